"""``fallback:`` of a target: what a deployment takes where this machine lacks something, and what the plan says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters import gpu, tools
from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest
from mlopsctl.registry import provider
from mlopsctl.types import Input

MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: demo}
data:
  rows: {path: rows.csv, label: y}
train:
  small: {run: python train.py}
gates:
  of-gpu: {target: gpu, metric: accuracy, min: 0.5}
  of-server: {target: server, metric: accuracy, min: 0.5}
  of-other: {target: other, metric: accuracy, min: 0.5}
targets:
  gpu: {device: gpu, arch: sm_90, fallback: [other, server]}
  other: {device: gpu, arch: webgpu}
  server: {}
deployments:
  live: {target: gpu, use: USE}
"""
COMMAND = 'command, program: tool.sh, digest: "sha256:3333333333333333333333333333333333333333333333333333333333333333", to: x'


def resource(text: str, name: str) -> Any:
    return next(item for item in load_manifest(text.encode()).resources if str(item.address) == name)


def card(monkeypatch: pytest.MonkeyPatch, folder: Path, *, there: bool) -> None:
    if there:
        (folder / "nvidia0").touch()
    monkeypatch.setattr(gpu, "_CARD", folder / "nvidia0")
    monkeypatch.setattr(tools, "find", lambda name: name)


def taken(text: str) -> str:
    return str(resource(text, "deployments.live").needs[0].address)


def test_a_deployment_takes_the_first_that_can_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = MANIFEST.replace("USE", COMMAND)
    card(monkeypatch, tmp_path, there=False)
    assert taken(text) == "targets.server"
    card(monkeypatch, tmp_path, there=True)
    assert taken(text) == "targets.gpu"
    monkeypatch.setattr(tools, "find", lambda name: None)
    assert taken(text) == "targets.server"


def test_a_server_here_takes_only_what_it_can_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card(monkeypatch, tmp_path, there=True)
    assert taken(MANIFEST.replace("USE", "local")) == "targets.server"


def test_gates_of_both_guard_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card(monkeypatch, tmp_path, there=False)
    needs = resource(MANIFEST.replace("USE", "local"), "deployments.live").needs
    measured = {str(need.address) for need in needs if ".of-" in str(need.address)}
    assert measured == {"gates.of-gpu", "gates.of-server"}


def test_the_plan_says_which_stands_in_and_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    card(monkeypatch, tmp_path, there=False)
    text = MANIFEST.replace("USE", "local")
    target, live = resource(text, "targets.gpu"), resource(text, "deployments.live")
    said = provider(target.provider).notes(target, ())
    assert said == (f"there is no NVIDIA GPU here ({tmp_path}/nvidia0); deployments take other, else server",)
    inputs = tuple(Input(need, None) for need in live.needs)
    assert provider(live.provider).notes(live, inputs) == ("targets.server stands in for targets.gpu",)
    card(monkeypatch, tmp_path, there=True)
    assert provider(target.provider).notes(target, ()) == ()


@pytest.mark.parametrize("names", ["[nowhere]", "[gpu]", "[server, server]", "[foreign]"])
def test_what_cannot_stand_in_is_refused(names: str) -> None:
    text = MANIFEST.replace("USE", "local").replace("[other, server]", names)
    text = text.replace("targets:\n", "targets:\n  foreign: {model: second}\n")
    text = text.replace("train:\n", "train:\n  second: {run: python train.py}\n").replace(
        "{device: gpu", "{model: small, device: gpu"
    )
    text = text.replace("server: {}", "server: {model: small}").replace(
        "{target: gpu, use", "{model: small, target: gpu, use"
    )
    with pytest.raises(ManifestError) as error:
        load_manifest(text.encode())
    assert error.value.code == "MLO1442"
