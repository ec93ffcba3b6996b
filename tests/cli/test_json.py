"""JSON that other programs read: real output follows the schemas under schemas/."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.contract import SCHEMAS, follows
from tests.quickstart import must, shell


def said(line: str, folder: Path) -> str:
    """What a line prints on stdout."""
    return must(f"{line} 2>/dev/null", folder)


def test_every_schema_has_a_title_and_says_where_it_is_from() -> None:
    for path in SCHEMAS.glob("*.schema.json"):
        document = json.loads(path.read_text())
        assert document["title"] and document["$schema"].endswith("2020-12/schema"), path.name


def test_plans_new_unchanged_and_saved(project: Path) -> None:
    still = follows("plan", said("mlopsctl plan --format json", project))
    assert {step["action"] for step in still["steps"]} == {"noop"}
    must("echo '# another line' >> train.py", project)
    changed = follows("plan", said("mlopsctl plan --format json -o p.plan", project))
    assert changed["dirty"] is True and changed["summary"]["update"] >= 1
    retrained = next(step for step in changed["steps"] if step["address"] == "train.classifier")
    assert retrained["changes"][0]["old"] != retrained["changes"][0]["new"]
    unknown = next(step for step in changed["steps"] if step["address"] == "targets.cpu")
    assert unknown["made_from"] == {"unknown": True}
    saved = follows("plan", (project / "p.plan").read_text())
    assert saved == changed


def test_every_line_of_apply_and_its_summary_last(project: Path) -> None:
    must(
        "sed -i 's/min: 0.93/min: 0.999/; s/metric: accuracy/metric: balanced_accuracy/' mlops.yaml && git commit -qam x",
        project,
    )
    done = shell("mlopsctl apply -y --format json 2>/dev/null", project)
    events = [follows("apply", line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "summary" and events[-1]["applied"] == 1
    measured = next(event for event in events if event.get("verdict"))
    assert (measured["address"], done.returncode) == ("gates.accuracy", 4)


def test_a_failure_is_an_event_with_its_code(project: Path) -> None:
    must("echo 'raise SystemExit(1)' >> train.py && git commit -qam broken", project)
    done = shell("mlopsctl apply -y --format json 2>/dev/null", project)
    events = [follows("apply", line) for line in done.stdout.splitlines()]
    failed = next(event for event in events if event["event"] == "fail")
    assert (failed["error"]["code"], done.returncode) == ("MLO1211", 1)
    assert events[-1]["failed"] == 1 and events[-1]["skipped"] >= 1


def test_status(project: Path) -> None:
    found = follows("status", said("mlopsctl status --format json", project))
    states = {row["address"]: row["state"] for row in found["resources"]}
    assert states["data.digits"] == "current" and states["gates.accuracy"] == "passed"
    target = next(row for row in found["resources"] if row["address"] == "targets.cpu")
    assert target["proof"] == "device-run" and target["outputs"]["artifact"].startswith("dirhash:")


def test_diff(project: Path) -> None:
    must("echo '# another line' >> train.py", project)
    found = follows("diff", said("mlopsctl diff --format json", project))
    assert [one["address"] for one in found["differences"] if one["files"]] == ["train.classifier"]


def test_graph(project: Path) -> None:
    found = follows("graph", said("mlopsctl graph --format json", project))
    assert {"from": "data.digits", "to": "train.classifier", "role": "data", "output": "train"} in found["edges"]
    assert {edge["from"] for edge in found["edges"]} <= {node["address"] for node in found["nodes"]}


@pytest.mark.parametrize("gate", ["accuracy", "scan"])
def test_gate_run(project: Path, gate: str) -> None:
    found = follows("gate", said(f"mlopsctl gate run {gate} --format json", project))
    assert found["status"] == "passed" and found["blocks"] is False


def test_audit_verify_whole_and_torn(project: Path) -> None:
    whole = follows("audit-verify", said("mlopsctl audit verify --format json", project))
    assert whole["ok"] is True and whole["findings"] == []
    must("git update-ref refs/notes/mlops $(git rev-list --max-parents=0 refs/notes/mlops)", project)
    done = shell("mlopsctl audit verify --format json 2>/dev/null", project)
    torn = follows("audit-verify", done.stdout)
    assert (torn["ok"], done.returncode) == (False, 7)
