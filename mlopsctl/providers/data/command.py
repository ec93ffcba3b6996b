"""``use: command``: a pinned program fetches or makes a dataset (docs/command-protocol.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import ManifestError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    always_fine,
    diff_by_fingerprint,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    result,
    run,
)
from ...types import Json, Need, Outcome, Resource
from . import dvc
from .split import Split, rule_of

RESULT_VERSION = 1
LATER_KEYS = dvc.LATER_KEYS

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
notes = dvc.notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A table that a program fetches or makes; mlopsctl shares its rows out."""

    program: str = run(doc="The program: a file of this repository, or an absolute path.")
    digest: str = result(doc="The program's sha256, as sha256sum prints it.", pattern="^sha256:[0-9a-f]{64}$")
    path: str = result(doc="Where a training command finds the rows, relative to mlops.yaml: a .csv or .parquet.")
    args: tuple[str, ...] = result((), doc="Arguments of the program.")
    params: Mapping[str, Any] = result({}, doc="Settings, handed over in the request.")
    label: str = result("", doc="The column to predict.")
    positive: str | int | bool | None = result(None, doc="The label value that counts as positive.")
    split: Split | Literal["none"] | None = result(  # noqa: RUF009 - a field without a mutable default
        None,
        doc="How rows are shared out between training and testing; by default 20 % test where there is a label.",
        looser="any",
    )
    final: bool = policy(
        False,
        doc="Whether its rows judge one model a release: no other one is measured on them before a deployment.",
        looser=(True, False),
    )
    timeout: float = run(3600.0, doc="How long the program may take.", quantity="duration")


def _table_spec(spec: Spec) -> dvc.Spec:
    return dvc.Spec(spec.path, spec.label, spec.positive, spec.split)


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """Nothing. Raises ManifestError where the spec contradicts itself."""
    dvc.check(_table_spec(spec))
    if Path(spec.path).suffix.lower() not in dvc.FORMATS:
        raise ManifestError(
            f"path: {spec.path} has no format that use: command can make",
            hint="end it with .csv or .parquet, and let the program write that format",
            code="MLO1065",
        )
    return ()


def outputs(spec: Spec) -> tuple[str, ...]:
    """The views that it will have, known before the program is asked."""
    return dvc.outputs(_table_spec(spec))


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Asks the program for ``all``: one file with every row; the views are made here."""
    from ...adapters.program import ask, require_output

    spec: Spec = want.spec
    details = {"params": dict(spec.params), "path": spec.path, "label": spec.label or None}
    answer = ask("apply", want.address, spec, details, inputs, ctx)
    table = require_output(answer, "all", spec.program)
    if not table.is_file():
        raise ProviderError(
            f"the program {spec.program} answered with the folder {table.name} as its rows",
            hint="answer with one file that holds every row; views are made by split:",
            code="MLO1066",
        )
    kind = dvc.FORMATS[Path(spec.path).suffix.lower()]
    rule = rule_of(spec.split, spec.label)
    facts: dict[str, Json] = {
        "format": kind,
        "path": spec.path,
        "label": spec.label or None,
        "size": table.stat().st_size,
        "key": rule.column or None,
        "claimed": dict(answer.facts),
    }
    return dvc._table(_table_spec(spec), rule, kind, table, facts, ctx)
