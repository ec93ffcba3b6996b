"""Approvals of a protected deployment, from plan to a server that runs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.contract import follows
from tests.quickstart import must, shell, take_down

PROTECTED = "deployments:\n  local: {target: cpu, approvals: {count: 2, valid: 14d}}\n"


def person(name: str) -> str:
    """What goes before a command that this person types: their key, and their name in git."""
    return f"MLOPS_KEY=$PWD/../{name}.pem GIT_AUTHOR_NAME={name} GIT_AUTHOR_EMAIL={name}@example.com"


def admit(folder: Path, *names: str) -> None:
    """Makes a key for each and lets them approve."""
    lines = []
    for name in names:
        made = must(f"XDG_CONFIG_HOME=$PWD/../home-{name} mlopsctl key new {name}", folder)
        key = re.search(r"key +(\S+)", made.split("id", 1)[1])
        assert key is not None
        for suffix in ("pem", "pub"):
            shutil.copy(folder.parent / f"home-{name}/mlops/keys/{name}.{suffix}", folder.parent)
        lines += [f"  {name}:", f"    key: {key[1]}", "    roles: [approve, train]"]
    trust = folder / "trust.yaml"
    trust.write_text(trust.read_text() + "\n".join(lines) + "\n")
    must("mlopsctl trust apply -y", folder)


@pytest.fixture
def protected(project: Path) -> Iterator[Path]:
    """The applied quickstart with a deployment that two people must approve; ann, ben and cy may."""
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().rstrip("\n") + "\n" + PROTECTED)
    admit(project, "ann", "ben", "cy")
    must("git add -A && git commit -qm 'A protected deployment'", project)
    yield project
    take_down(project)


def test_a_protected_deployment_waits_for_two_people(protected: Path) -> None:
    plan = follows("plan", must("mlopsctl plan --format json", protected))
    step = next(step for step in plan["steps"] if step["address"] == "deployments.local")
    assert step["waits_for"] == ["0 of 2 approvals: mlopsctl approve local"] and plan["summary"]["waiting"] == 1
    rules = {rule["name"]: rule for rule in step["rules"]}
    assert rules["committed"]["met"] is True and "review" not in rules
    assert rules["approvals"] == {
        "name": "approvals",
        "text": "2 approvals, each good for 14 d, of others than author and trainer; ann, ben, cy can",
        "met": False,
    }
    assert shell("mlopsctl plan --detailed-exitcode", protected).returncode == 5
    saved = must("mlopsctl plan -o ../release.plan", protected)
    assert "waits for 0 of 2 approvals: mlopsctl approve local" in saved
    assert "policy, not met: 2 approvals, each good for 14 d, of others than author and trainer; ann, b" in saved

    done = shell("mlopsctl apply -y --format json", protected)
    assert done.returncode == 5
    assert json.loads(done.stdout.splitlines()[-1])["waiting"] == 1

    shown = must(f"{person('ann')} mlopsctl approve local -y", protected)
    assert "gates.accuracy  passed" in shown and "1 of 2 approvals" in shown
    again = must(f"{person('ann')} mlopsctl approve local -y", protected)
    assert "1 of 2 approvals" in again, "one person counts once"
    assert shell("mlopsctl apply -y", protected).returncode == 5
    assert "2 of 2 approvals" in must(f"{person('ben')} mlopsctl approve local -y", protected)

    must("mlopsctl apply ../release.plan", protected)
    assert "serving" in must("mlopsctl status local", protected)
    must("mlopsctl audit verify --full", protected)
    refused = shell(f"{person('cy')} mlopsctl approve local -y", protected)
    assert refused.returncode == 1 and "MLO1551" in refused.stdout


def test_who_cannot_approve(protected: Path) -> None:
    owner = shell("mlopsctl approve local -y", protected)
    assert owner.returncode == 5 and "MLO5001" in owner.stdout and "trained it" in owner.stdout
    author = shell(f"{person('ann')} GIT_AUTHOR_EMAIL=ada@example.com mlopsctl approve local -y", protected)
    assert author.returncode == 5 and "wrote the code" in author.stdout
    must("GIT_AUTHOR_NAME=ben GIT_AUTHOR_EMAIL=ben@elsewhere.org git commit -q --allow-empty -m 'By ben'", protected)
    wrote = shell(f"{person('ben')} GIT_AUTHOR_EMAIL=other@example.com mlopsctl approve local -y", protected)
    assert wrote.returncode == 5 and "wrote the code" in wrote.stdout
    asked = shell(f"{person('ann')} mlopsctl approve local", protected)
    assert asked.returncode == 64 and "MLO6403" in asked.stdout


def test_another_release_needs_other_approvals(protected: Path) -> None:
    for name in ("ann", "ben"):
        must(f"{person(name)} mlopsctl approve local -y", protected)
    assert shell("mlopsctl plan --detailed-exitcode", protected).returncode == 2
    must("sed -i 's/min: 0.93/min: 0.80/' mlops.yaml && git commit -qam 'Lower the bar'", protected)
    assert shell("mlopsctl plan --detailed-exitcode", protected).returncode == 5, "another bar, another release"
    must("git reset -q --hard HEAD~1", protected)
    assert shell("mlopsctl plan --detailed-exitcode", protected).returncode == 2
    must("mlopsctl trust revoke ann -y --reason left", protected)
    assert "1 of 2 approvals (ben)" in must("mlopsctl plan", protected), "revoked with all that was good until now"


def test_an_approval_runs_out(protected: Path) -> None:
    must("sed -i 's/valid: 14d/valid: 1s/' mlops.yaml && git commit -qam 'A short while'", protected)
    must(f"{person('ann')} mlopsctl approve local -y", protected)
    must("sleep 2.1", protected)
    plan = must("mlopsctl plan", protected)
    assert "0 of 2 approvals; not counted: ann approved until" in plan


def test_uncommitted_changes_are_not_released(protected: Path) -> None:
    must("echo '# a note' >> train.py", protected)
    assert "blocked" in must("mlopsctl plan", protected)
    assert "uncommitted changes" in must("mlopsctl plan", protected)


def test_only_named_builders_count(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().rstrip("\n") + "\ndeployments:\n  local: {target: cpu, built_by: [ci]}\n")
    must("git commit -qam 'Built by ci'", project)
    plan = must("mlopsctl plan", project)
    assert "train.classifier built by" in plan and "blocked" in plan
    assert shell("mlopsctl apply -y", project).returncode == 4


def test_a_deployment_without_approvals_takes_none(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().rstrip("\n") + "\ndeployments:\n  local: {target: cpu}\n")
    done = shell("mlopsctl approve local -y", project)
    assert done.returncode == 64 and "MLO6415" in done.stdout


def test_a_plan_says_who_could_agree_and_what_a_pull_request_may_not_do(protected: Path) -> None:
    """Nobody but the key that trained may approve; what is not made yet has no approvals yet."""
    trust = protected / "trust.yaml"
    trust.write_text(trust.read_text().replace("roles: [approve, train]", "roles: [train]"))
    own = re.search(r"^signers:\n  (\w+):", trust.read_text(), re.MULTILINE)
    assert own is not None
    must("mlopsctl trust apply -y && git commit -qam 'Nobody may approve' && echo '# more' >> train.py", protected)
    plan = follows("plan", must("GITHUB_REF=refs/pull/7/merge mlopsctl plan --format json", protected))
    step = next(step for step in plan["steps"] if step["address"] == "deployments.local")
    rules = {rule["name"]: rule for rule in step["rules"]}
    assert rules["approvals"]["met"] is None and rules["approvals"]["text"].endswith(
        f"only {own[1]} can, so add signers to trust.yaml: mlopsctl trust apply"
    )
    assert rules["committed"]["met"] is False
    assert rules["review"] == {
        "name": "review",
        "text": "a merged change: pull request 7 deploys nothing",
        "met": False,
    }
    page = must("GITHUB_REF=refs/pull/7/merge mlopsctl plan --format markdown", protected)
    assert "policy, known after apply: 2 approvals" in page and "pull request 7 deploys nothing" in page
