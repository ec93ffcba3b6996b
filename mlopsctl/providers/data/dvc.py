"""``use: dvc``: a dataset as git tracks it, or as a ``.dvc`` file pins it, with its views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...errors import ManifestError, ProviderError
from ...provider import (
    MEANING,
    Context,
    Inputs,
    Specs,
    Tree,
    always_fine,
    diff_by_fingerprint,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    result,
)
from ...types import Json, Need, Outcome, Resource, TreeFile
from .meaning import commitments_of, write_meaning
from .split import Rule, Split, rule_of, split_facts

if TYPE_CHECKING:
    from .views import Views

RESULT_VERSION = 1
LATER_KEYS = (
    "url", "from", "run", "contract", "subject", "protected", "classification", "region", "license", "origin",
    "retention", "columns", "partition", "consent", "cache",
)  # fmt: skip
LATER_SPLIT_KEYS = ("time", "train", "stratify")

FORMATS: Mapping[str, str] = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A dataset: a file or folder that git or DVC tracks."""

    path: str = result(doc="Where the data lies, relative to mlops.yaml.")
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


def check(spec: Spec) -> None:
    """Raises ManifestError where the keys do not fit together."""
    from ...adapters.store import check_name

    try:
        check_name(spec.path)
    except ProviderError as error:
        raise ManifestError(f"path: {error.message}", hint=error.hint, code="MLO1116") from None
    if spec.positive is not None and not spec.label:
        raise ManifestError("positive: needs a label:", hint="name the label's column: label: COLUMN", code="MLO1116")
    split = spec.split
    if not isinstance(split, Split):
        return
    if split.by and split.key:
        raise ManifestError(
            "split: takes by: or key:, not both",
            hint="by: keeps groups together and does all that key: does",
            code="MLO1116",
        )
    if split.test == "all":
        if split.val or split.by or split.key or split.seed:
            raise ManifestError("split: test: all takes no other key", hint="write split: {test: all}", code="MLO1116")
    elif split.test + split.val >= 1:
        raise ManifestError(
            f"split: test {split.test:g} and val {split.val:g} leave nothing to train on",
            hint="keep their sum below 1",
            code="MLO1116",
        )
    if spec.label and split.by == spec.label:
        raise ManifestError(
            f"split: by the label '{spec.label}' would put whole classes on one side",
            hint="split by what groups the rows, such as a customer or a patient, or leave by: out",
            code="MLO1116",
        )


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """A pinned dataset needs nothing. Raises ManifestError where the spec contradicts itself."""
    check(spec)
    return ()


def outputs(spec: Spec) -> tuple[str, ...]:
    """The views that it will have, known before any row is read."""
    return ("all", *rule_of(spec.split, spec.label).views)


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """Warns where a correction of a row can move it to another side."""
    spec: Spec = want.spec
    rule = rule_of(spec.split, spec.label)
    if rule.test and not rule.column:
        return ("split unstable under edits: a row that is corrected may change sides; name it by key: or by:",)
    return ()


def sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    """The tracked file, the files of the tracked folder, or the ``.dvc`` file. Raises ProviderError for none."""
    path: str = want.spec.path
    pin = tree.file(path + ".dvc")
    file = tree.file(path)
    tracked = tree.tracked(path)
    if file is not None and tracked:
        return {path: file}
    if pin is not None and not (tracked and file is None):
        return {path + ".dvc": pin}
    if file is None:
        inside = {name: tree.file(name) for name in tree.files() if name.startswith(path + "/")}
        found = {name: item for name, item in inside.items() if item is not None}
        if found and any(tree.tracked(name) for name in found):
            return found
        if found:
            raise _untracked(path)
        raise ProviderError(
            f"there is no data at '{path}': neither the file or folder nor {path}.dvc is there",
            hint="check path:, or bring the data and pin it: mlopsctl data add " + path,
            code="MLO1101",
        )
    raise _untracked(path)


def _untracked(path: str) -> ProviderError:
    return ProviderError(
        f"'{path}' is tracked neither by git nor by DVC, so nobody else could have the same data",
        hint=f"small data: git add {path}; large data: mlopsctl data add {path}",
        code="MLO1102",
    )


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Copies the very bytes the fingerprint names, reads them once and writes the views."""
    from .fetch import fetch

    spec: Spec = want.spec
    rule = rule_of(spec.split, spec.label)
    bytes_here = fetch(spec.path, sources(want, ctx.tree), ctx)
    kind = "folder" if bytes_here.path.is_dir() else FORMATS.get(Path(spec.path).suffix.lower(), "file")
    facts: dict[str, Json] = {
        "format": kind, "path": spec.path, "label": spec.label or None, "size": bytes_here.size, "key": rule.column or None,
    }  # fmt: skip
    if kind in ("folder", "file"):
        if spec.label or rule.test:
            raise ProviderError(
                f"'{spec.path}' is no table, so it has neither a label nor rows to share out",
                hint="tables are .csv and .parquet; for anything else leave label: out and write split: none",
                code="MLO1116",
            )
        views = {"all": bytes_here.path, **({rule.whole: bytes_here.path} if rule.whole else {})}
        return Outcome(views, {**facts, "rows": {},
                               "split": split_facts(spec.split, rule)})  # fmt: skip
    return _table(spec, rule, kind, bytes_here.path, facts, ctx)


def _table(spec: Spec, rule: Rule, kind: str, source: Path, facts: dict[str, Json], ctx: Context) -> Outcome:
    from ...adapters.store import storage_error
    from .views import split_csv, split_parquet

    out = ctx.scratch / "views"
    out.mkdir()
    if ctx.sample is not None:
        from .sample import take_sample

        named = spec.split.key if isinstance(spec.split, Split) else ""
        source, total = take_sample(source, kind, spec.path, named, ctx.sample, ctx.scratch)
        facts["sample"] = {"of": total}
    column_key = "by" if isinstance(spec.split, Split) and spec.split.by else "key"
    make = split_csv if kind == "csv" else split_parquet
    try:
        found = make(source, spec.path, spec.label, rule, column_key, out, ctx.tell)
    except OSError as error:
        raise storage_error(error, out) from error
    if spec.positive is not None:
        _check_positive(spec, found)
    aside = {spec.label, rule.column}
    features = [name for name in found.columns if name not in aside]
    views = {"all": source, **found.paths}
    meaning: dict[str, Json] = {
        "columns": found.columns,
        "features": features,
        "classes": found.classes,
        "positive": spec.positive,
        "membership": found.membership,
    }
    facts |= {
        "rows": found.rows,
        "column_count": len(found.columns),
        "split": split_facts(spec.split, rule),
        "commitments": commitments_of(meaning, views),
    }
    with_tool = {"pyarrow": _pyarrow_version()} if kind == "parquet" else {}
    return Outcome({**views, MEANING: write_meaning(meaning, source, ctx.scratch)}, facts, with_tool)


def _check_positive(spec: Spec, found: Views) -> None:
    classes = found.classes
    if classes is None or not any(spec.positive == one and type(spec.positive) is type(one) for one in classes):
        known = "the label is no class" if classes is None else "labels are " + ", ".join(map(repr, classes[:10]))
        raise ProviderError(
            f"positive: {spec.positive!r} is no value of '{spec.label}'",
            hint=f"{known}; text needs quotes and numbers none",
            code="MLO1117",
        )


def _pyarrow_version() -> str:
    import pyarrow

    return str(pyarrow.__version__)
