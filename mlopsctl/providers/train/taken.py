"""A model that stands already, taken in: copied, looked through like a trained one, its bytes kept as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from ...errors import ProviderError
from ...provider import Context, Inputs
from ...types import Json, Outcome, Resource
from .code import code_files
from .command_line import commands


def adopt(want: Resource, inputs: Inputs, source: Path, ctx: Context) -> Outcome:
    """Takes over a file or folder that exists as if the command had written it just now; nothing is run.

    Raises ProviderError where it is not what the command would have to leave.
    """
    from ...adapters.store import hash_path
    from . import contract

    place = ctx.scratch / "source" / (source.resolve().name or "source")
    place.parent.mkdir()
    copy(source, place, str(source))
    origin: dict[str, Json] = {"digest": hash_path(place)}
    if getattr(want.spec, "produces", "") == "files":
        folder = place if place.is_dir() else place.parent
        contract.written(folder)
        return Outcome({"model": folder}, {"kind": "files", "origin": origin})
    taken = as_model(want, place, str(source), ctx, origin)
    data = [item.seen.facts for item in inputs if item.role == "data" and item.seen]
    if taken.facts["kind"] == "onnx" and len(data) == 1:
        contract.check_features(taken.facts, data[0])
    return Outcome({"model": taken.folder}, taken.facts)


def copy(source: Path, place: Path, named: str) -> None:
    """Copies plain files only. Raises ProviderError where nothing is there."""
    from ...adapters.store import files_below

    if source.is_symlink():
        raise ProviderError(f"{named} is a link", hint=f"name the file itself: {source.resolve()}", code="MLO1230")
    if not source.is_file() and not source.is_dir():
        raise ProviderError(
            f"there is no file or folder at {named}", hint="look at the path, or fetch the model", code="MLO1230"
        )
    if place.resolve().is_relative_to(source.resolve()):
        raise ProviderError(
            f"{named} holds this whole repository", hint="name the model's own file or folder", code="MLO1230"
        )
    if source.is_file():
        shutil.copyfile(source, place)
        return
    for name, path in files_below(source):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / name)


class Taken(NamedTuple):
    folder: Path
    facts: dict[str, Json]


def as_model(want: Resource, source: Path, named: str, ctx: Context, origin: dict[str, Json]) -> Taken:
    """The source as the folder that gates, targets and the scan read, with what is known about it.

    Raises ProviderError where it is no model.
    """
    from . import contract

    spec = want.spec
    out = ctx.scratch / "model"
    if source.is_dir():
        source.rename(out)
    else:
        out.mkdir()
        origin = {**origin, "file": source.name if spec.predict else contract.MODEL}
        source.rename(out / str(origin["file"]))
    names = contract.written(out)
    if spec.predict:
        contract.check_formats(out, names, spec.formats)
        added = _add_program(want, out, ctx)
        origin |= {"added": added} if added else {}
        allowed = {"formats": list(spec.formats)} if spec.formats else {}
        return Taken(out, {"kind": "opaque", "predict": commands(spec.predict)[0], **allowed, "origin": dict(origin)})
    kind = (
        contract.framework_of(out / contract.MODEL) if contract.MODEL in names else "a folder without " + contract.MODEL
    )
    if kind:
        raise ProviderError(
            f"{named} is no ONNX model: it seems to be {kind}",
            hint="export it to ONNX, or write predict: with the command that answers for it",
            code="MLO1233",
        )
    try:
        found = contract.inspect(out / contract.MODEL)
    except ProviderError as error:
        raise ProviderError(f"{named} does not load as an ONNX model", hint=error.message, code="MLO1233") from error
    kept = {key: found[key] for key in ("opset", "ir", "inputs", "outputs")}
    return Taken(out, {"kind": "onnx", **kept, "origin": dict(origin)})


def _add_program(want: Resource, out: Path, ctx: Context) -> list[str]:
    """Copies the files of this repository that ``predict:`` runs into the model's folder; their names."""
    files = code_files(commands(want.spec.predict), (), "", ctx.tree)
    for name in files:
        target = out / name
        if target.exists():
            raise ProviderError(
                f"the imported model holds {name}, the name of a file that predict: runs",
                hint="keep the program under another name",
                code="MLO1224",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(ctx.tree.read(name))
    return sorted(files)
