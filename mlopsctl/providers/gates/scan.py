"""``use: scan``: looks through a model's folder before anything else loads it. Every model has one, declared or not."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...adapters.lineage import model_address
from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import EvidenceError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    diff_by_fingerprint,
    no_notes,
    no_sources,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    run,
)
from ...types import Json, Need, Observed, Outcome, Resource, Status, Verdict

RESULT_VERSION = 1
LATER_KEYS = ("scanner", "allow", "waive")
ALWAYS = True
"""No ``gates:`` of a deployment leaves it out."""

# The standard's own operators, and those that ONNX Runtime itself brings; any other domain needs a library loaded beside the model.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
MAX_NODES = 200_000
MAX_ELEMENTS = 2**32
MAX_RANK = 16
MAX_FILES = 10_000
INERT = ("json", "txt", "md")
"""Text that no runtime executes; allowed beside any model."""
_REFUSALS = ("MLO1301", "MLO1302", "MLO1303", "MLO1304", "MLO1306")
_SHOWN = 8

sources = no_sources
read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """What a model's folder may hold. A folder with no file at all does not pass."""

    model: str = run("", doc="The model to look through; may be left out where only one exists.", ref="train")
    formats: tuple[str, ...] = policy(
        (),
        doc="File suffixes allowed besides ONNX, its weights and plain text, such as safetensors; pkl allows pickles.",
        looser="added",
    )
    max_size: int = policy(8 * 2**30, doc="The most bytes the folder may hold.", quantity="size", looser="higher")
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    priority: int = priority_field()
    resources: Resources | None = resources_field()  # noqa: RUF009
    timeout: float = run(600.0, doc="How long loading may take.", quantity="duration")
    memory: int = run(4 * 2**30, doc="The address space that loading may use.", quantity="size")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The model."""
    return (Need("model", model_address(spec.model, specs), "model"),)


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """What was found against what the manifest allows today; any finding blocks."""
    spec: Spec = want.spec
    facts = seen.facts
    try:
        findings = [str(item) for item in facts["findings"]]
        files, size, kind = int(facts["files"]), int(facts["bytes"]), str(facts["kind"])
        suffixes, pickles = dict(facts["suffixes"]), list(facts["pickles"])
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the entry of this scan holds no findings ({error!r})",
            hint="scan anew: mlopsctl apply --replace ADDRESS",
            code="MLO1316",
        ) from None
    formats = (*spec.formats, *(str(item) for item in facts.get("formats") or ()))
    if files == 0:
        findings.append("the model's folder holds no file: nothing was looked at")
    if size > spec.max_size:
        findings.append(f"the folder holds {size:,} bytes; at most {spec.max_size:,} are allowed")
    findings += _forbidden(kind, suffixes, pickles, formats)
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        hint = (
            "let the training step leave model.onnx alone in its folder, or allow a format by name: formats: [SUFFIX]"
        )
        return Verdict(Status.FAILED, findings[0] + more, hint, blocks=True)
    what = f"{facts.get('nodes', 0)} operators, all of the standard" if kind == "onnx" else "an opaque model"
    return Verdict(Status.PASSED, f"{files} file{'s' if files != 1 else ''}, {size:,} bytes, {what}")


def _forbidden(kind: str, suffixes: Mapping[str, Any], pickles: Sequence[str], formats: Sequence[str]) -> list[str]:
    """Pickles and file types that nothing allows."""
    allowed = {item.lower().lstrip(".") for item in formats}
    found = []
    for name in pickles:
        suffix = _suffix(str(name))
        if suffix not in allowed:
            found.append(f"{name} is a pickle: loading it runs whatever code it holds")
    if kind == "opaque" and not allowed:
        return found
    for suffix in suffixes:
        if suffix not in allowed and suffix not in INERT and suffix not in ("onnx", "onnx weights"):
            found.append(f"the folder holds a file of type '{suffix}', which is neither ONNX nor allowed by formats:")
    return found


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Walks the folder as files, then parses and loads each ONNX file in a limited process."""
    spec: Spec = want.spec
    model = next((item for item in inputs if item.role == "model" and item.seen and item.digest), None)
    if model is None or model.seen is None or model.digest is None:
        raise ProviderError(
            "there is no model to scan: its training step yields files only",
            hint="remove this gate, or set produces: model at the training step",
            code="MLO1314",
        )
    folder = ctx.store.checkout(model.digest, ctx.scratch / "model")
    opaque = model.seen.facts.get("kind") == "opaque"
    if model.seen.facts.get("kind") == "files":
        raise ProviderError("the training step yields files and no model", hint="remove this gate", code="MLO1314")
    facts = scan_folder(folder, opaque=opaque, memory=spec.memory, seconds=spec.timeout)
    if model.seen.facts.get("formats"):
        facts["formats"] = list(model.seen.facts["formats"])
    version = facts.pop("onnxruntime", "")
    return Outcome({}, facts, {"onnxruntime": str(version)} if version else {})


def scan_folder(folder: Path, *, opaque: bool, memory: int, seconds: float) -> dict[str, Json]:
    """What a model's folder holds: counts, suffixes, pickles and ``findings`` (one sentence each)."""
    names, findings = _walk(folder)
    about: dict[str, Json] = {}
    external: set[str] = set()
    if not opaque:
        if "model.onnx" not in names and names:
            findings.append("there is no model.onnx in the folder")
        for name in [item for item in names if item.lower().endswith(".onnx")][:_SHOWN]:
            found, wrong = _examine(folder / name, memory, seconds)
            findings += [f"{name}: {text}" for text in wrong]
            base = Path(name).parent
            external |= {(base / item).as_posix() for item in found.get("external", ())}
            about = found if name == "model.onnx" else about
    # Weights of a model are raw numbers that only the runtime reads; their first bytes mean nothing.
    pickles = [name for name in names if name not in external and _is_pickle(folder / name)]
    suffixes = Counter("onnx weights" if name in external else _suffix(name) for name in names)
    return {
        "kind": "opaque" if opaque else "onnx",
        "files": len(names),
        "bytes": sum((folder / name).stat().st_size for name in names),
        "suffixes": dict(suffixes.most_common(32)),
        "pickles": pickles[:_SHOWN],
        "findings": [text[:300] for text in findings[:_SHOWN]],
        "nodes": about.get("nodes", 0),
        "ops": dict(Counter(about.get("ops", {})).most_common(64)),
        "opset": about.get("opset", 0),
        "smoke": about.get("smoke", ""),
        "onnxruntime": about.get("onnxruntime", ""),
    }


def _examine(model: Path, memory: int, seconds: float) -> tuple[dict[str, Any], list[str]]:
    from ...adapters.inference import check_model
    from ...adapters.share import share

    try:
        found = check_model(
            model,
            domains=DOMAINS,
            max_nodes=MAX_NODES,
            max_elements=MAX_ELEMENTS,
            max_rank=MAX_RANK,
            memory=memory,
            seconds=seconds,
        )
    except ProviderError as error:
        # What needs more memory than ``resources:`` gives to any model is no suspect, and no result for ever.
        if error.code not in _REFUSALS or (error.code == "MLO1306" and share().memory):
            raise
        return {}, [error.message.removeprefix(f"examining {model.name}: ")]
    return found, list(found["findings"])


def _walk(folder: Path) -> tuple[list[str], list[str]]:
    """Relative names of all plain files, sorted, and what is no plain file."""
    names: list[str] = []
    findings: list[str] = []
    for place, folders, files in os.walk(folder, followlinks=False):
        for name in [*folders, *files]:
            path = Path(place, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(folder).as_posix()
            if stat.S_ISREG(mode):
                names.append(relative)
            elif not stat.S_ISDIR(mode):
                findings.append(f"{relative} is {'a link' if stat.S_ISLNK(mode) else 'no plain file'}")
        if len(names) > MAX_FILES:
            findings.append(f"the folder holds more than {MAX_FILES:,} files")
            break
    return sorted(names), findings


def _is_pickle(path: Path) -> bool:
    """A pickle by its first bytes (protocol 2 and later), a PyTorch archive of one, or by its suffix alone."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    archived = head.startswith(b"PK\x03\x04") and b"data.pkl" in head
    named = _suffix(path.name) in ("pkl", "pickle", "joblib", "pt", "pth", "ckpt")
    return archived or named or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def _suffix(name: str) -> str:
    return Path(name).suffix.lower().lstrip(".") or "none"
