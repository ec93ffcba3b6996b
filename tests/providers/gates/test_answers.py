"""Who is asked: a gate on a target runs the artifact, and a gate on a deployment believes no other artifact's answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from mlopsctl.adapters import endpoint
from mlopsctl.adapters.table import Table
from mlopsctl.errors import EvidenceError, ProviderError
from mlopsctl.providers.gates.answers import Limits, of_artifact, of_deployment, of_model
from mlopsctl.types import RUNNING, Address, Digest, Input, Need, Observed
from tests.shelf import write_model

LIMITS = Limits(60.0, 4 * 2**30)
ROWS = Table({"x": np.array([0.0, 1.0]), "y": np.array([0, 1])}, 2)
ABOUT = {"label": "y", "classes": [0, 1]}
PORT = {"name": "x", "dtype": "float32", "shape": [None, 1]}


def item(role: str, address: str, output: str = "", **facts: Any) -> Input:
    seen = Observed(Digest("sha256:00"), {output: Digest(f"dirhash:{role}")}, facts, "e" * 64)
    return Input(Need(role, Address.parse(address), output), seen)


MODEL, MADE = item("model", "train.m", "model"), item("artifact", "targets.cpu", "artifact")


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    """A store with a model that is right, and an artifact of it that is always wrong."""
    for role, weight in (("model", 1.0), ("artifact", -1.0)):
        (tmp_path / role).mkdir()
        write_model(tmp_path / role, weight)
    described = {
        "format": 1,
        "name": "m",
        "runtime": "onnxruntime",
        "model": "model.onnx",
        "inputs": [PORT],
        "outputs": [],
    }
    (tmp_path / "artifact" / "artifact.json").write_text(json.dumps(described))
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def checkout(digest: str, place: Path) -> Path:
        return Path(shutil.copytree(tmp_path / digest.partition(":")[2], place))

    return SimpleNamespace(store=SimpleNamespace(checkout=checkout), scratch=scratch, root=tmp_path, state=tmp_path)


def labels(found: Any) -> list[int]:
    return cast("list[int]", found[0].outputs["label"].tolist())


def test_the_artifact_is_run_and_not_the_model_that_it_was_made_of(ctx: Any) -> None:
    assert labels(of_model(MODEL, ABOUT, ROWS, LIMITS, ctx)) == [0, 1]
    assert labels(of_artifact(MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)) == [1, 0]


def test_an_artifact_that_runs_nowhere_here(ctx: Any) -> None:
    path = ctx.root / "artifact" / "artifact.json"
    path.write_text(path.read_text().replace("onnxruntime", "fpga"))
    with pytest.raises(ProviderError, match="no gate can run") as caught:
        of_artifact(MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)
    assert caught.value.code == "MLO1322"
    path.write_text("{}")
    shutil.rmtree(ctx.scratch / "artifact")
    with pytest.raises(ProviderError, match="cannot be measured"):
        of_artifact(MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)


def test_what_a_deployment_answers_counts_where_it_comes_from_the_artifact(
    ctx: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_where = {"dirhash:artifact"}

    def answer(*asked: Any) -> endpoint.Told:
        assert asked[0] == "http://127.0.0.1:8000" and asked[1] == "m" and asked[3] == ["x"]
        return endpoint.Told({"label": np.array([0, 1])}, [0, 1], frozenset(from_where), ["d"])

    monkeypatch.setattr(endpoint, "ask_endpoint", answer)
    here = item(RUNNING, "deployments.staging", endpoint="http://127.0.0.1:8000")
    assert labels(of_deployment(here, MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)) == [0, 1]
    from_where.add("dirhash:other")
    with pytest.raises(EvidenceError, match="not with the artifact"):
        of_deployment(here, MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)


@pytest.mark.parametrize("where", ["", "http://example.com", "https://127.0.0.1.example.com/x", "http://10.0.0.1:80"])
def test_rows_are_sent_to_servers_on_this_machine_only(ctx: Any, where: str) -> None:
    elsewhere = item(RUNNING, "deployments.staging", endpoint=where)
    with pytest.raises(ProviderError) as caught:
        of_deployment(elsewhere, MODEL, MADE, ABOUT, ROWS, LIMITS, ctx)
    assert caught.value.code == "MLO1323"


def test_what_runs_is_known_by_all_that_it_was_made_from() -> None:
    running = item(RUNNING, "deployments.staging")
    assert running.digest == "sha256:00" and running._replace(seen=None).digest is None
