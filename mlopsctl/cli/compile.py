"""``mlopsctl compile``: a model file for one or more targets, without a project."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EvidenceError, MlopsError, UsageError, worst
from . import console
from .options import check_format
from .report import FORMATS, write_targets
from .withdrawn import refuse_path

if TYPE_CHECKING:
    from ..adapters.keyless_signer import IdentitySigner
    from ..adapters.keys import Signer
    from ..render.targets import Row
    from .compiling import Given, Made

    AnySigner = Signer | IdentitySigner


def compile_(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="The model.", show_default=False)],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="USE[,KEY=VALUE…]", help="As a target of mlops.yaml: tvm,arch=arm64. Repeatable."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Rows (CSV, Parquet) on which artifact and model are compared.")
    ] = None,
    label: Annotated[str, typer.Option("--label", help="The column of --data that is the label.")] = "",
    calibrate: Annotated[
        Path | None, typer.Option("--calibrate", help="Other rows, for targets that are calibrated (quantize=int8).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A new folder; default: MODEL-compiled.", show_default=False)
    ] = None,
    key: Annotated[str, typer.Option("--key", help="Sign with this key; default: the one that signs here.")] = "",
    format: Annotated[str, typer.Option("--format", help="text, json, markdown or html.")] = "text",
) -> int:
    """Compile a model file for a target, with the same proof as in a project, and with no entry in any trail.

    The folder holds one folder a target and report.json. Each is signed (NAME.sig beside it) where a key signs here or --key
    names one. Without --data nothing is compared: the agreement is not_assessed. The exit code is 4 where an artifact
    answers otherwise than the model, by the bars that --target may also set.

    Examples:

      mlopsctl compile model.onnx --target onnxruntime --data test.csv --label y

      mlopsctl compile model.onnx --target tvm,arch=arm64 --target web -o dist
    """
    from ..render.targets import target_json
    from .compiling import make, read_targets

    check_format(format, FORMATS)
    given = _given(model, data, calibrate, label)
    wanted = read_targets(target or [], given.name, label)
    if not wanted:
        raise UsageError("compile needs a target", hint="--target onnxruntime", code="MLO6490")
    place = output or Path(f"{model.stem}-compiled")
    if place.exists():
        raise UsageError(f"{place} exists already", hint="name another folder: --output DIR", code="MLO6494")
    signer = _signer(key)
    rows: list[Row] = []
    codes: list[int] = []
    with tempfile.TemporaryDirectory(prefix="mlopsctl-compile-") as name:
        done: list[Made] = []
        for number, want in enumerate(wanted):
            scratch = Path(name) / str(number)
            scratch.mkdir()
            try:
                done.append(make(want, given, scratch, _tell(want.address.name)))
            except UsageError:
                raise
            except MlopsError as error:
                console.show_error(error)
                codes.append(error.exit_code)
        for made in done:
            signed, digest = _put(made, place, signer)
            row = target_json(
                made.want.address.name,
                given.name,
                made.facts,
                verdict=made.verdict,
                made_with=made.outcome.made_with,
                digest=digest,
                signed=signed,
            )
            rows.append(row)
            codes += [4] if made.verdict.blocks else []
    if rows:
        _report(rows, place, format, given)
    return worst(codes)


def _given(model: Path, data: Path | None, calibrate: Path | None, label: str) -> Given:
    from ..adapters.inference import inspect_model
    from .compiling import Given, name_of

    for path in (model, data, calibrate):
        if path is not None and not path.is_file():
            raise UsageError(f"there is no file {path}", hint="name an existing file", code="MLO6461")
    refuse_path(model)
    if label and data is None:
        raise UsageError("--label is a column of --data", hint="--data FILE --label COLUMN", code="MLO6490")
    if data is not None and calibrate is not None and data.samefile(calibrate):
        raise UsageError(
            "rows that an artifact was calibrated on say nothing about it",
            hint="give --calibrate other rows than --data",
            code="MLO6492",
        )
    return Given(model, name_of(model.stem), inspect_model(model), data, calibrate, label)


def _tell(name: str) -> Callable[[str], None]:
    return lambda line: console.note(f"  {name}: {line}")


def _signer(key: str) -> AnySigner | None:
    """Who signs; None, with a note, where no key is chosen on this machine."""
    from .sign import _signer as chosen

    try:
        return chosen(key)
    except EvidenceError as error:
        if key or error.code != "MLO7102":
            raise
        console.note("not signed: there is no signing key here; mlopsctl key new NAME makes one")
        return None


def _put(made: Made, place: Path, signer: AnySigner | None) -> tuple[dict[str, str] | None, str]:
    """The artifact under its name in the output folder, signed; its digest. All of it, or an error."""
    import shutil

    from ..adapters.model_proof import sign_folder
    from ..adapters.store import hash_folder

    artifact = made.outcome.outputs["artifact"]
    assert isinstance(artifact, Path)  # noqa: S101 — a target makes what it gives
    folder = place / made.want.address.name
    place.mkdir(parents=True, exist_ok=True)
    half = place / f".{folder.name}"
    shutil.copytree(artifact, half)
    half.rename(folder)
    if signer is not None:
        sign_folder(folder, signer, folder.with_name(folder.name + ".sig"))
    return ({"by": signer.name} if signer is not None else None), str(hash_folder(folder))


def _report(rows: list[Row], place: Path, format: str, given: Given) -> None:
    note = f"Compared on {given.rows.name}." if given.rows else "No rows were given, so nothing was compared."
    write_targets(rows, f"{given.name}: targets", "json", place / "report.json", note)
    write_targets(rows, f"{given.name}: targets", format, None, note)
