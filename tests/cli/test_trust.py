"""trust show, apply, revoke, rotate and commitment, typed as a person would."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.test_approve import admit, person
from tests.quickstart import must, shell


def entries(folder: Path, *words: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(must(f"mlopsctl audit log --format json {' '.join(words)}", folder))[
        "entries"
    ]
    return found


def test_a_signer_is_admitted_shown_and_revoked(project: Path) -> None:
    admit(project, "ann")
    shown = must("mlopsctl trust show", project)
    assert "1 of 1 keys" in shown and "ann" in shown and "approve, train" in shown and "self-held key" in shown
    assert json.loads(must("mlopsctl trust show --format json", project))["policy"]["signers"]["ann"]["roles"]
    assert "no changes" in must("mlopsctl trust apply -y", project)
    must(f"{person('ann')} mlopsctl apply -y --replace train.classifier --offline", project)
    mine = entries(project, "--signer", "ann")
    assert mine, "ann's results count"
    good = entries(project, "--kind", "trust")[0]["id"]
    dry = must(f"mlopsctl trust revoke ann --last-good {good} --dry-run", project)
    assert f"{len(mine)} entries by ann stop counting" in dry and entries(project, "--signer", "ann") == mine
    must(f"mlopsctl trust revoke ann --last-good {good} --reason stolen -y", project)
    assert entries(project, "--signer", "ann") == []
    assert "retired  ann" in must("mlopsctl trust show", project)
    assert "MLO7015" in must("mlopsctl audit verify --full", project)
    assert "no changes" in must("mlopsctl trust apply -y", project), "trust.yaml was brought up to date"


def test_a_key_is_rotated_and_nothing_is_made_again(project: Path) -> None:
    admit(project, "ann", "ben")
    must("mlopsctl trust rotate ann --key ../ben.pub -y || true", project)
    assert "two signers share one key" in shell("mlopsctl trust rotate ann --key ../ben.pub -y", project).stdout
    must("XDG_CONFIG_HOME=$PWD/../other mlopsctl key new ann2", project)
    must("mlopsctl trust rotate ann --key ../other/mlops/keys/ann2.pub -y", project)
    assert entries(project, "--kind", "checkpoint")
    assert "No changes" in must("mlopsctl plan", project)
    must("mlopsctl audit verify --full", project)


def test_the_root_may_need_two(project: Path) -> None:
    admit(project, "ann")
    trust = project / "trust.yaml"
    key = (project.parent / "ann.pub").read_text().split("-----")[2].replace("\n", "")
    trust.write_text(trust.read_text().replace("  threshold: 1\n  keys:\n", f"  threshold: 2\n  keys:\n    - {key}\n"))
    must("mlopsctl trust apply -y", project)
    trust.write_text(trust.read_text().replace("roles: [approve, train]", "roles: [approve]"))
    assert "1 of 2 root signatures" in must("mlopsctl trust apply -y -o ../p.json", project)
    assert "approve, train" in must("mlopsctl trust show", project), "not yet in force"
    assert "2 of 2 root signatures" in must(f"{person('ann')} mlopsctl trust apply ../p.json -y", project)
    assert "approve, train" not in must("mlopsctl trust show", project)
    must("mlopsctl audit verify --full", project)


def test_wrong_words(project: Path) -> None:
    assert "MLO7215" in shell("mlopsctl trust revoke nobody -y", project).stdout
    assert shell("mlopsctl trust rotate ann --key missing.pub", project).returncode == 64
    owner = next(iter(json.loads(must("mlopsctl trust show --format json", project))["policy"]["signers"]))
    asked = shell(f"mlopsctl trust revoke {owner}", project)
    assert asked.returncode == 64 and "MLO6403" in asked.stdout
    (project / "trust.yaml").unlink()
    missing = shell("mlopsctl trust apply -y", project)
    assert missing.returncode == 1 and "MLO7216" in missing.stdout


def test_a_commitment_stands_for_an_address(project: Path) -> None:
    said = must("mlopsctl trust commitment Ada@example.com", project)
    assert said.startswith("sha256:") and said == must("mlopsctl trust commitment ada@example.com", project)


def test_a_colleague_pins_the_root_that_was_told(project: Path) -> None:
    root = entries(project, "--kind", "root")[0]["id"]
    elsewhere = "XDG_CONFIG_HOME=$PWD/../colleague mlopsctl"
    assert "root unpinned" in must(f"{elsewhere} audit verify", project)
    must(f"{elsewhere} trust pin {root}", project)
    assert "root pinned" in must(f"{elsewhere} audit verify --strict", project)
    other = shell(f"{elsewhere} trust pin {'0' * 64}", project)
    assert other.returncode == 7 and "MLO7217" in other.stdout
    unknown = shell(f"{elsewhere} trust pin {'0' * 64} --replace", project)
    assert unknown.returncode == 7 and "MLO7218" in unknown.stdout
    short = shell(f"{elsewhere} trust pin 3f9a", project)
    assert short.returncode == 64 and "MLO6416" in short.stdout


def test_own_results_are_adopted_once_the_key_has_the_role(project: Path) -> None:
    must("XDG_CONFIG_HOME=$PWD/../ann mlopsctl key new ann", project)
    ann = "XDG_CONFIG_HOME=$PWD/../ann mlopsctl"
    must(f"{ann} apply -y --offline --replace train.classifier", project)
    local = [
        one
        for one in json.loads(must(f"{ann} audit log --format json -n -1", project))["entries"]
        if not one["trusted"]
    ]
    assert local
    refused = shell(f"{ann} audit adopt", project)
    assert refused.returncode == 7 and "MLO7105" in refused.stdout
    key = (project.parent / "ann/mlops/keys/ann.pub").read_text().split("-----")[2].replace("\n", "")
    trust = project / "trust.yaml"
    trust.write_text(trust.read_text() + f"  ann: {{key: {key}, roles: [data, train, gate, compile]}}\n")
    must("mlopsctl trust apply -y", project)
    said = must(f"{ann} audit adopt 'train.*'", project)
    assert "1 results adopted" in said
    assert "0 results adopted" in must(f"{ann} audit adopt 'train.*'", project)
    must(f"{ann} audit adopt", project)
    must("rm .git/mlops/journal/local.jsonl", project)
    assert "No changes" in must("mlopsctl plan", project)
    must("mlopsctl audit verify --full", project)


def test_a_clone_believes_the_root_that_the_default_branch_names(project: Path) -> None:
    must("git init -q --bare ../remote.git && git remote add origin ../remote.git", project)
    must("git push -q origin HEAD:main && git -C ../remote.git symbolic-ref HEAD refs/heads/main", project)
    must("mlopsctl push --trail-only && git clone -q ../remote.git ../clone", project)
    clone = project.parent / "clone"
    mine = "XDG_CONFIG_HOME=$PWD/../colleague mlopsctl"
    must(f"{mine} pull --trail-only", clone)
    assert "root pinned" in must(f"{mine} audit verify", clone)
    must("sed -i 's/ .*/ '$(printf '0%.0s' $(seq 64))'/' .mlops/roots && git commit -qam 'Another root'", clone)
    assert "root pinned" in must(f"{mine} audit verify", clone), "what is under review has no say"
    must("git push -q origin HEAD:main && git fetch -q", clone)
    assert shell(f"{mine} audit verify --full", clone).returncode == 7


def test_nothing_is_deployed_for_a_pull_request(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().rstrip("\n") + "\ndeployments:\n  local: {target: cpu}\n")
    must("git commit -qam 'Deploy'", project)
    review = "GITHUB_EVENT_NAME=pull_request GITHUB_REF=refs/pull/12/merge mlopsctl"
    done = shell(f"{review} apply -y --offline", project)
    assert done.returncode == 4 and "pull request 12, which nobody merged yet" in done.stdout
    assert "redeploy" in must(f"{review} plan", project)


def test_a_key_that_was_cut_off_is_not_admitted(project: Path) -> None:
    admit(project, "ann")
    trust = project / "trust.yaml"
    key = (project.parent / "ann.pub").read_text().split("-----")[2].replace("\n", "")
    for broken in (key[:64], key[:-8] + "AAAAAAA="):
        trust.write_text(trust.read_text().replace(key, broken))
        run = shell("mlopsctl trust apply -y", project)
        assert run.returncode == 7 and "[MLO7019] the key of ann is cut off or mistyped" in run.stdout, run.stdout
        trust.write_text(trust.read_text().replace(broken, key))
    assert "no changes" in must("mlopsctl trust apply -y", project)
