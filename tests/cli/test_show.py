"""``show``, ``graph`` and ``logs``: looking at one thing, at how things hang together, and at what a step wrote."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.quickstart import BIN, must, shell


def test_one_resource_in_full(project: Path) -> None:
    shown = yaml.safe_load(must("mlopsctl show train.classifier", project))
    assert shown["declared"]["run"] == "python train.py" and shown["declared"]["retries"] == 0
    assert set(shown["files"]) == {"train.py"}
    assert shown["made_from"].startswith("sha256:") and shown["outputs"]["model"].startswith("dirhash:")
    gate = json.loads(must("mlopsctl show gates.accuracy --format json", project))
    assert gate["verdict"].startswith("passed: accuracy 0.9")


def test_the_whole_manifest_with_every_default(project: Path) -> None:
    shown = yaml.safe_load(must("mlopsctl show --resolved", project))
    assert shown["project"]["name"] == "digits"
    assert (
        shown["targets"]["cpu"] | {"use": "onnxruntime", "arch": "x86-64", "tolerance": 1e-4} == shown["targets"]["cpu"]
    )
    assert shown == yaml.safe_load(must("mlopsctl show", project))
    one = yaml.safe_load(must("mlopsctl show targets.cpu --resolved", project))
    assert one["targets"] == {"cpu": shown["targets"]["cpu"]} and "data" not in one


def test_the_history_has_every_attempt_newest_first(project: Path) -> None:
    must(
        "sed -i 's/metric: accuracy/metric: f1/; s/min: 0.93/min: 0.9/' mlops.yaml && git commit -qam f1 && mlopsctl apply -y",
        project,
    )
    lines = must("mlopsctl show gates.accuracy --history", project).splitlines()
    assert lines[0].split()[:3] == ["entry", "at", "kind"]
    assert "f1 0.9" in lines[1] and "accuracy 0.9" in lines[2] and len(lines) == 3
    entries = json.loads(must("mlopsctl show gates.accuracy --history --format json", project))["entries"]
    assert [entry["facts"]["metric"] for entry in entries] == ["accuracy", "f1"]


def test_an_unknown_address_names_the_nearest(project: Path) -> None:
    done = shell("mlopsctl show gates.acuracy", project)
    assert done.returncode == 1 and "did you mean 'gates.accuracy'?" in done.stdout


def test_the_graph_as_text(project: Path) -> None:
    said = must("mlopsctl graph", project)
    assert "train.classifier\n  data from data.digits (train)\n" in said
    assert "gates.accuracy\n  model from train.classifier (model)\n  data from data.digits (test)\n" in said


def test_the_graph_for_drawing(project: Path) -> None:
    dot = must("mlopsctl graph --format dot", project)
    assert dot.startswith("digraph mlops {\n") and dot.rstrip().endswith("}")
    for line in dot.splitlines()[3:-1]:
        assert re.fullmatch(r'  "[a-z.\-]+"( -> "[a-z.\-]+"( \[style=dashed\])?)?;', line), line
    mermaid = must("mlopsctl graph --format mermaid", project).splitlines()
    assert mermaid[0] == "graph LR"
    names = {match[1] for line in mermaid if (match := re.fullmatch(r'  (n\d+)\["[a-z.\-]+"\]', line))}
    edges = [re.fullmatch(r"  (n\d+) (?:-->|-\.->) (n\d+)", line) for line in mermaid[1:] if '["' not in line]
    assert len(names) == 5 and edges and all(edge and {edge[1], edge[2]} <= names for edge in edges)
    assert shell("mlopsctl graph --format png", project).returncode == 64


def test_a_guard_is_a_dashed_line(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "deployments:\n  local: {target: cpu}\n")
    assert '"gates.accuracy" -> "deployments.local" [style=dashed];' in must("mlopsctl graph --format dot", project)


def test_the_log_of_a_step(project: Path) -> None:
    assert "epoch" in must("mlopsctl logs train.classifier", project)
    done = shell("mlopsctl logs data.digits", project)
    assert done.returncode == 1 and "MLO1014" in done.stdout
    assert shell("mlopsctl logs train.none", project).returncode == 1


def test_a_log_is_followed_while_it_grows(project: Path, tmp_path: Path) -> None:
    log = project / ".git/mlops/logs/train.classifier.log"
    assert log.is_file()
    with (tmp_path / "out").open("w") as out:
        following = subprocess.Popen(
            [str(BIN / "mlopsctl"), "logs", "train.classifier", "-f"], cwd=project, stdout=out, env=os.environ
        )
    try:
        until = time.monotonic() + 20
        while "epoch" not in (tmp_path / "out").read_text() and time.monotonic() < until:
            time.sleep(0.05)
        with log.open("a") as file:
            file.write("a line of later\n")
        while "a line of later" not in (tmp_path / "out").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        following.send_signal(2)
        assert following.wait(10) == 130
    finally:
        following.kill()
        following.wait()


@pytest.mark.parametrize("line", ["mlopsctl show --format xml", "mlopsctl graph targets.cpu extra", "mlopsctl logs"])
def test_wrong_words_are_64(project: Path, line: str) -> None:
    assert shell(line, project).returncode == 64


@pytest.mark.parametrize("words", ["show --history", "show train.classifier --history --resolved"])
def test_a_history_that_nobody_can_show_is_refused(project: Path, words: str) -> None:
    done = shell(f"mlopsctl {words}", project)
    assert done.returncode == 64 and "MLO6406" in done.stdout
