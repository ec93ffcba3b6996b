"""What is measured by a gate: the answers of a model, of a target's artifact, or of what a deployment runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...adapters.table import Table, feature_names
from ...errors import EvidenceError, ProviderError
from ...measures.measure import Answers
from ...measures.predictions import program_outputs
from ...provider import Context
from ...types import Digest, Input, Json


class Limits(NamedTuple):
    """How long what is measured may run, and in how much address space."""

    seconds: float
    memory: int


_HERE = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}")
"""Hosts that are this machine, whatever a name server says."""

Found = tuple[Answers, dict[str, str]]
"""The answers, and the versions of what gave them."""


def of_model(model: Input, about: Mapping[str, Json], table: Table, limits: Limits, ctx: Context) -> Found:
    """The model itself, in a limited process. ``about`` are the facts of the data that the rows are of."""
    from ...adapters.features import feed
    from ...adapters.inference import run_fully

    facts, file = _facts(model), _model_folder(model, ctx)
    if facts.get("kind") == "opaque":
        return _of_program(facts["predict"], file, about, table, limits, ctx), {}
    description = _described(file, limits)
    feeds = feed(table, about, description["inputs"])
    ran = run_fully(file / "model.onnx", feeds, memory=limits.memory, seconds=limits.seconds)
    return Answers(ran.outputs, description, ran.keys), {"onnxruntime": ran.runtime}


def of_artifact(
    model: Input, made: Input, about: Mapping[str, Json], table: Table, limits: Limits, ctx: Context
) -> Found:
    """What a target made of the model; which classes its scores stand for is what the model says."""
    from ...adapters.features import feed
    from ...adapters.inference import run_fully
    from ...adapters.library import run_library

    folder, raw = _artifact(made, ctx)
    if raw["runtime"] == "program":
        return _of_program(raw["predict"], folder, about, table, limits, ctx), {}
    description = _described(_model_folder(model, ctx), limits)
    feeds = feed(table, about, description["inputs"])
    if raw["runtime"] in ("tvm", "openvino"):
        outputs = run_library(folder, feeds, ctx.scratch, seconds=limits.seconds, memory=limits.memory)
        return Answers(outputs, description), {}
    if raw["runtime"] == "native":
        from ...adapters.native import run_bundle

        outputs = run_bundle(folder, raw, feeds, ctx.scratch, seconds=limits.seconds, memory=limits.memory)
        return Answers(outputs, description), {}
    if raw["runtime"] == "web":
        from ...adapters.browser import browse

        ran_there = browse(folder, feeds, seconds=limits.seconds, memory=limits.memory)
        return Answers(ran_there.outputs, description), {"chromium": ran_there.browser}
    if raw["runtime"] != "onnxruntime":
        raise ProviderError(
            f"artifacts of {made.need.address} run in {raw['runtime']}, which no gate can run",
            hint="measure the model: leave target: out at the gate",
            code="MLO1322",
        )
    ran = run_fully(folder / raw["model"], feeds, memory=limits.memory, seconds=limits.seconds)
    return Answers(ran.outputs, description, ran.keys), {"onnxruntime": ran.runtime}


def of_deployment(
    running: Input, model: Input, made: Input, about: Mapping[str, Json], table: Table, limits: Limits, ctx: Context
) -> Found:
    """What a deployment on this machine answers; each answer must come from the artifact that the gate is about.

    Raises EvidenceError where another artifact answers, ProviderError where the deployment cannot be asked from here.
    """
    from ...adapters.endpoint import ask_endpoint

    endpoint = str(_facts(running).get("endpoint", ""))
    host = urlsplit(endpoint).hostname or ""
    if not _HERE.fullmatch(host):
        raise ProviderError(
            f"{running.need.address} {'answers at ' + endpoint if endpoint else 'says no address where it answers'}, "
            "and rows are sent to servers on this machine only",
            hint="let the gate measure the artifact instead: target: NAME in place of on:",
            code="MLO1323",
        )
    _, raw = _artifact(made, ctx)
    found = ask_endpoint(endpoint, str(raw["name"]), table, feature_names(table, about))
    if found.artifacts != {str(made.digest)}:
        raise EvidenceError(
            f"{running.need.address} answered with {', '.join(sorted(found.artifacts))}, not with the artifact "
            f"{made.digest}",
            hint="mlopsctl status --refresh says what runs there",
            code="MLO1324",
        )
    opaque = raw["runtime"] == "program"
    return Answers(found.outputs, {} if opaque else _described(_model_folder(model, ctx), limits)), {}


def _facts(item: Input) -> Mapping[str, Any]:
    return item.seen.facts if item.seen is not None else {}


def _model_folder(item: Input, ctx: Context) -> Path:
    """The model's folder, checked out once."""
    place = ctx.scratch / item.role
    return place if place.exists() else ctx.store.checkout(item.digest or Digest(""), place)


def _described(folder: Path, limits: Limits) -> dict[str, Any]:
    from ...adapters.inference import inspect_model

    return inspect_model(folder / "model.onnx", memory=limits.memory, seconds=limits.seconds)


def _artifact(item: Input, ctx: Context) -> tuple[Path, dict[str, Any]]:
    """The artifact's folder and what its ``artifact.json`` says. Raises ProviderError where that is none."""
    from ...serving.artifact import ArtifactRefused, read_artifact

    folder = _model_folder(item, ctx)
    try:
        return folder, read_artifact(folder).raw
    except ArtifactRefused as error:
        raise ProviderError(
            f"what {item.need.address} made cannot be measured: {error}",
            hint="measure the model: leave target: out at the gate",
            code="MLO1322",
        ) from None


def _of_program(
    argv: Any, folder: Path, about: Mapping[str, Json], table: Table, limits: Limits, ctx: Context
) -> Answers:
    from ...adapters.inference import run_program

    rows, hidden = _records(table, feature_names(table, about)), (ctx.root, ctx.state)
    return Answers(
        program_outputs(run_program(argv, folder, rows, seconds=limits.seconds, hidden=hidden, root=ctx.root))
    )


def _records(table: Table, features: list[str]) -> list[dict[str, Any]]:
    """Rows as JSON can hold them; a missing value is null."""
    columns = [[None if value != value else value for value in table.columns[name].tolist()] for name in features]  # noqa: PLR0124
    return [dict(zip(features, values, strict=True)) for values in zip(*columns, strict=True)]
