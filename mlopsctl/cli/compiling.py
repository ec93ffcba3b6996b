"""What ``mlopsctl compile`` asks of a target outside a project: the target's own apply, in a place that is gone afterwards."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..adapters.store import LocalStore
from ..errors import ManifestError, UsageError
from ..provider import Context, Tree
from ..registry import provider
from ..types import Address, Digest, Entry, Input, Json, Observed, Outcome, Resource, Status, Verdict

if TYPE_CHECKING:
    from ..provider import Inputs

NO_ROWS = "no rows were given, so it ran at most on one row of zeros: --data FILE compares it"


class Given(NamedTuple):
    """What all targets of one call are made from; ``rows`` is None where no rows were given."""

    model: Path
    name: str
    description: Mapping[str, Any]
    rows: Path | None
    calibration: Path | None
    label: str


class Made(NamedTuple):
    """One target's artifact, with the verdict by its own bars; ``facts`` claim no more than the rows allow."""

    want: Resource
    outcome: Outcome
    facts: Mapping[str, Json]
    verdict: Verdict


def read_targets(texts: Sequence[str], name: str, label: str) -> list[Resource]:
    """The targets that ``--target`` names, each checked as a manifest's would be. Raises UsageError."""
    blocks: dict[str, dict[str, Any]] = {}
    for text in texts:
        block = _block(text)
        base = name_of("-".join(str(block[key]) for key in ("use", "device", "arch", "quantize") if key in block))
        number = sum(other == base or re.fullmatch(re.escape(base) + "-[0-9]+", other) is not None for other in blocks)
        blocks[base if not number else f"{base}-{number + 1}"] = block
    return [_checked(target, block, name, label, texts) for target, block in blocks.items()]


def _block(text: str) -> dict[str, Any]:
    """``use=tvm,arch=arm64`` or ``tvm,arch=arm64`` as the mapping that a manifest would have."""
    from ..manifest.yaml_positions import decode, read_yaml

    found: dict[str, Any] = {}
    for place, part in enumerate(text.split(",")):
        key, equals, value = part.partition("=")
        if not equals and place == 0:
            key, value = "use", part
        if not key.strip() or not value.strip() or key.strip() in found or not (equals or place == 0):
            raise UsageError(
                f"--target {text} is no list of KEY=VALUE",
                hint="--target tvm,arch=arm64 or --target use=tvm,arch=arm64",
                code="MLO6490",
            )
        found[key.strip()] = read_yaml(*decode(value.strip().encode(), "--target")).plain()
    return found


def name_of(text: str) -> str:
    """A text as a name that a manifest may have."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower()).rstrip("-_").lstrip("-_0123456789") or "target"


def _checked(target: str, block: dict[str, Any], name: str, label: str, texts: Sequence[str]) -> Resource:
    from ..manifest import load_manifest

    manifest = {
        "apiVersion": "mlopsctl/v1",
        "project": {"name": "compile"},
        "data": {"rows": {"path": "rows.csv", "label": label or "label", "split": {"test": 0.2, "val": 0.1}}},
        "train": {name: {"run": "none", "data": "rows"}},
        "targets": {target: block},
    }
    try:
        (want,) = (one for one in load_manifest(json.dumps(manifest).encode(), "--target").resources if _is_target(one))
    except ManifestError as error:
        raise UsageError(f"--target {', '.join(texts)}: {error.message}", hint=error.hint, code="MLO6491") from None
    return want


def _is_target(want: Resource) -> bool:
    return want.address.section == "targets"


def make(want: Resource, given: Given, place: Path, tell: Callable[[str], None]) -> Made:
    """Makes one target's artifact below ``place``. Raises what its apply raises, and UsageError for rows that it needs."""
    scratch = place / want.address.name
    scratch.mkdir()
    store = LocalStore(place / "store")
    inputs = _inputs(want, given, store, place)
    context = Context(
        root=place / "root",
        state=place,
        scratch=scratch,
        tree=cast(Tree, None),
        store=store,
        trail=_NoTrail(),
        project="compile",
        tell=tell,
    )
    module = provider(want.provider)
    if want.provider == "targets/command":
        raise UsageError(
            "use: command runs a pinned program of a repository, and compile has none",
            hint="write the target into mlops.yaml; mlopsctl apply makes it",
            code="MLO6495",
        )
    outcome = module.apply(want, inputs, context)
    facts = dict(outcome.facts)
    if given.rows is None:
        ran = facts.get("proof") in ("emulated", "device-run")
        facts |= {"proof": "compiled" if ran else facts.get("proof"), "n": 0, "agreement": None, "max_abs_diff": None}
        facts |= {"not_assessed": facts.get("not_assessed") or NO_ROWS, "metrics": {}}
        return Made(want, outcome, facts, Verdict(Status.NOT_ASSESSED, str(facts["not_assessed"])))
    seen = Observed(Digest(""), {}, facts)
    return Made(want, outcome, facts, module.judge(want, seen, inputs))


class _NoTrail:
    """Outside a project nothing was attested."""

    def result(self, made_from: Digest) -> Entry | None:
        return None

    def latest(self, address: Address, kinds: Sequence[str] = ("result",)) -> Entry | None:
        return None

    def entry(self, entry_id: str) -> Entry | None:
        return None

    def with_output(self, digest: Digest, section: str = "") -> Entry | None:
        return None

    def key_of(self, name: str) -> str:
        return ""


def _inputs(want: Resource, given: Given, store: LocalStore, place: Path) -> Inputs:
    """Every need of the target, from the model file and the files of rows."""
    model = store.put(_model_folder(given, place))
    about: dict[str, Json] = {"kind": "onnx", **given.description}
    found = []
    for need in want.needs:
        if need.address.section == "train":
            found.append(Input(need, Observed(model, {need.output: model}, about)))
            continue
        rows = given.calibration if need.output == "train" else given.rows
        if need.output == "train" and rows is None:
            raise UsageError(
                f"{want.address.name} is calibrated on rows, and none were given for that",
                hint="--calibrate FILE names them; they must be others than those of --data",
                code="MLO6492",
            )
        path = rows or _zeros(given.description, place)
        digest = store.put(path)
        # Rows to calibrate on need no label, and zeros have none.
        label = given.label if path == given.rows else ""
        facts = _data_facts(path, label, given.label, place)
        found.append(Input(need, Observed(digest, {need.output: digest}, facts)))
    return tuple(found)


def _model_folder(given: Given, place: Path) -> Path:
    """The model under the name that targets know, with the files beside it that hold its weights."""
    folder = place / "model"
    if not folder.is_dir():
        folder.mkdir()
        for name in given.description["external"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(given.model.parent / name, folder / name)
        shutil.copyfile(given.model, folder / "model.onnx")
    return folder


def _data_facts(path: Path, label: str, aside: str, place: Path) -> dict[str, Json]:
    """What a dataset's entry says of such a table; the column ``aside`` is no feature, where there is one."""
    from ..adapters.table import read_table
    from ..providers.data.split import Rule
    from ..providers.data.views import split_csv, split_parquet

    kind = "parquet" if path.suffix.lower() == ".parquet" else "csv"
    split = split_parquet if kind == "parquet" else split_csv
    found = split(path, path.name, label, Rule(whole="test"), "label", place, lambda line: None)
    if not read_table(path, kind, path.name).rows:
        raise UsageError(f"{path.name} holds no rows", hint="give a file with at least one row", code="MLO6463")
    return {
        "format": kind,
        "label": label or None,
        "columns": list(found.columns),
        "features": [name for name in found.columns if name not in (label, aside)],
        "classes": found.classes,
    }


def _zeros(description: Mapping[str, Any], place: Path) -> Path:
    """A table of one row of zeros (or of words) that fits the model."""
    inputs = description["inputs"]
    if len(inputs) == 1:
        sizes = inputs[0]["shape"][1:]
        if None in sizes:
            raise UsageError(
                f"how many numbers a row has is not known: the input '{inputs[0]['name']}' leaves its sizes open",
                hint="--data FILE names rows",
                code="MLO6493",
            )
        columns = {f"f{number}": inputs[0]["dtype"] for number in range(prod(sizes))}
    else:
        columns = {item["name"]: item["dtype"] for item in inputs}
    path = place / "zeros.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerow("word" if dtype == "string" else 0 for dtype in columns.values())
    return path
