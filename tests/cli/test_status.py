"""``status``: one screen for an incident."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.contract import follows
from tests.e2e.refusals import start, wait_for
from tests.quickstart import must, shell, take_down


def test_each_resource_has_one_line(project: Path) -> None:
    said = must("mlopsctl status", project)
    assert "data.digits       current  all 1797 rows, test " in said
    assert "rows agree" in said and "(device-run)" in said
    only = must("mlopsctl status targets.cpu", project)
    assert only.startswith("targets.cpu") and len(only.splitlines()) == 1


def test_it_begins_with_what_the_project_is_and_who_answers_for_it(project: Path) -> None:
    said = {"owner": "ml@example.com", "purpose": "Read digits", "license": "Apache-2.0"}
    manifest = project / "mlops.yaml"
    keys = "".join(f"{key}: {value}, " for key, value in said.items())
    manifest.write_text(manifest.read_text().replace("project: {", "project: {" + keys, 1))
    first = must("mlopsctl status", project).splitlines()[0]
    assert first == "digits: Read digits; owner ml@example.com; license Apache-2.0"
    assert json.loads(must("mlopsctl status --format json", project))["project"] == {"name": "digits", **said}
    assert "No changes" in must("mlopsctl plan", project)


def test_what_is_outdated_says_why(project: Path) -> None:
    must("echo '# another line' >> train.py", project)
    said = must("mlopsctl status train.classifier", project)
    assert "outdated" in said and "train.py" in said


def test_while_the_manifest_is_not_valid_the_committed_one_counts(project: Path) -> None:
    before = must("mlopsctl status", project)
    shown = must("mlopsctl show train.classifier", project)
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "data: [\n")
    note = "mlops.yaml is not valid, and read as it was committed"
    said = must("mlopsctl status", project)
    assert note in said and said.endswith(before)
    assert must("mlopsctl show train.classifier", project).endswith(shown)
    json.loads(must("mlopsctl status --format json 2>/dev/null", project))
    assert shell("mlopsctl show", project).returncode == 3, "the manifest itself is what lies there"
    must("git commit -qam Broken", project)
    assert shell("mlopsctl status", project).returncode == 3


def test_wrong_words(project: Path) -> None:
    done = shell("mlopsctl status trian.classifier", project)
    assert done.returncode == 1 and "MLO1012" in done.stdout and "train.classifier" in done.stdout
    assert shell("mlopsctl status --format yaml", project).returncode == 64


@pytest.mark.parametrize(
    ("words", "wanted"),
    [("status train.classifier", "current"), ("show train.classifier", "state: noop"), ("data ls", "current")],
)
def test_a_fresh_clone_fetches_the_trail_before_it_calls_anything_absent(
    project: Path, tmp_path: Path, words: str, wanted: str
) -> None:
    must(f"git clone -q {project} {tmp_path / 'clone'}", project)
    assert wanted in must(f"mlopsctl {words}", tmp_path / "clone")


def test_a_deployment_that_left_the_manifest_is_shown_while_it_runs(project: Path) -> None:
    """Until the next apply takes it down, it answers: whoever is called at night has to find it."""
    manifest = project / "mlops.yaml"
    before = manifest.read_text()
    manifest.write_text(before + "\ndeployments:\n  local: {target: cpu}\n")
    must("git commit -qam 'Deploy'", project)
    try:
        must("mlopsctl apply -y", project)
        manifest.write_text(before)
        must("git commit -qam 'Drop the deployment'", project)
        said = must("mlopsctl status", project)
        assert "deployments.local  serving" in said and "no longer in the manifest" in said
        assert "mlopsctl halt local" in said and "mlopsctl destroy --target local" in said and "rollback" not in said
        row = json.loads(must("mlopsctl status --format json", project))["resources"][-1]
        assert row["address"] == "deployments.local" and row["undeclared"] is True
        plan = must("mlopsctl plan", project)
        assert "take down: no longer in the manifest" in plan and "Work: take down." in plan
        must("mlopsctl apply -y", project)
        assert "deployments.local" not in must("mlopsctl status", project)
    finally:
        take_down(project)


def test_what_is_under_way_is_shown_and_what_a_kill_left(project: Path) -> None:
    (project / "train.py").write_text("import time\nprint('training', flush=True)\ntime.sleep(600)\n")
    assert "at_work" not in json.loads(must("mlopsctl status --format json", project))
    with start("mlopsctl apply -y", project) as process:
        wait_for(process, "training")
        said = must("mlopsctl status", project)
        assert re.search(
            rf"at work: 'mlopsctl apply', process {process.pid} on .*: train\.classifier for \d+ s", said
        ), said
        found = follows("status", must("mlopsctl status --format json", project))
        assert found["at_work"]["by"]["pid"] == process.pid and found["at_work"]["steps"] == ["train.classifier"]
        process.kill()
        process.communicate(timeout=60)
    said = must("mlopsctl status", project)
    assert "interrupted: train.classifier; the next apply goes on from there" in said and "at work" not in said
    found = follows("status", must("mlopsctl status --format json", project))
    assert found["at_work"] == {"by": None, "steps": ["train.classifier"]}
    must("git checkout -q train.py && mlopsctl apply -y", project)
    assert "interrupted" not in must("mlopsctl status", project)
