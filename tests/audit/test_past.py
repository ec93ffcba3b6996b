"""The trail as it stood then: by time, by entry, and from a clone with nothing but the trail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.adapters.trail_index import TrailIndex
from mlopsctl.audit.checks import verify
from mlopsctl.audit.past import as_of
from mlopsctl.audit.trail import TrailLog
from mlopsctl.errors import MlopsError
from mlopsctl.types import Entry
from tests.cli.contract import follows
from tests.quickstart import must, shell

from .clone import Clone, result


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


def append(clone: Clone, name: str, at: str, kind: str = "result", **more: object) -> Entry:
    """One entry at a time of our choice."""
    trail = clone.trail
    trail.clock = lambda: at
    given = {**result(name), "commit": clone.commit(), **more} if kind == "result" else more
    entry = trail.append(kind, **given)
    trail.flush()
    return entry


def at(clone: Clone, when: str) -> TrailLog:
    return as_of(clone.trail, when, TrailIndex(None))


def test_a_moment_gives_what_stood_then(clone: Clone) -> None:
    first = append(clone, "first", "2099-01-01T00:00:00Z", address="train.m")
    second = append(clone, "second", "2099-02-01T00:00:00Z", address="train.m")
    assert at(clone, "2099-01-31T23:59:59Z").latest("train.m") == first
    assert at(clone, "2099-02-01T00:00:00Z").latest("train.m") == second
    assert verify(at(clone, "2099-01-15T00:00:00Z").ledger).entries == 2


def test_an_entry_gives_what_it_built_on(clone: Clone) -> None:
    first = append(clone, "first", "2099-01-01T00:00:00Z")
    append(clone, "second", "2099-02-01T00:00:00Z")
    past = at(clone, first.id[:12])
    assert [entry.id for entry in past.entries()][-1] == first.id and past.tips() == [first.id]


def test_a_backdated_entry_stood_no_earlier_than_what_it_names(clone: Clone) -> None:
    append(clone, "first", "2099-03-01T00:00:00Z")
    backdated = append(clone, "second", "2099-01-01T00:00:00Z")
    assert at(clone, "2099-02-01T00:00:00Z").entry(backdated.id) is None
    assert at(clone, "2099-03-01T00:00:00Z").entry(backdated.id) is not None


def test_it_is_judged_by_the_policy_of_that_time(clone: Clone, tmp_path: Path) -> None:
    bob = new_key(tmp_path / "keys" / "bob.pem")
    trust = clone.trail.entries()[0].facts["trust"]
    more = {**trust, "signers": {**trust["signers"], "bob": {"key": bob.key, "roles": ["train"]}}}
    append(clone, "", "2099-02-01T00:00:00Z", "trust", facts={"trust": more})
    before, after = at(clone, "2099-01-01T00:00:00Z"), at(clone, "2099-03-01T00:00:00Z")
    for trail, names in ((before, ["owner"]), (after, ["bob", "owner"])):
        assert verify(trail.ledger).ok
        policy = trail.ledger.policy_in_force()
        assert policy is not None and sorted(policy.signers) == names


def test_what_waits_in_the_journal_stands_too(clone: Clone) -> None:
    entry = clone.trail.append("result", **result("waiting"), commit=clone.commit())
    assert at(clone, entry.id).latest("train.waiting") == entry


def test_nothing_is_added_to_the_past(clone: Clone) -> None:
    entry = append(clone, "first", "2099-01-01T00:00:00Z")
    with pytest.raises(MlopsError, match="nothing can be added"):
        at(clone, entry.id).append("result", **result("second"))
    with pytest.raises(MlopsError) as caught:
        at(clone, "1999-01-01T00:00:00Z")
    assert caught.value.code == "MLO7238"


# --- The verbs -----------------------------------------------------------------------------------------------------


def test_a_clone_with_nothing_but_the_trail_traces(project: Path, tmp_path: Path) -> None:
    whole = follows("audit-trace", must("mlopsctl audit trace targets.cpu --format json", project))
    for kind in ("", "--bare"):
        bare = tmp_path / f"only-notes{kind}"
        must(f"git init -q {kind} {bare}", tmp_path)
        must(f"git fetch -q {project} refs/notes/mlops:refs/notes/mlops", bare)
        assert follows("audit-trace", must("mlopsctl audit trace targets.cpu --format json", bare)) == whole
        assert must("mlopsctl audit trace targets.cpu", bare) == must("mlopsctl audit trace targets.cpu", project)
        then = must(f"mlopsctl audit trace train.classifier --at {whole['id']}", bare)
        assert "command: python train.py" in then


def test_what_ran_at_a_time(project: Path) -> None:
    must("printf '\\ndeployments:\\n  local: {target: cpu}\\n' >> mlops.yaml && git commit -qam deploy", project)
    try:
        must("mlopsctl apply -y", project)
        log = json.loads(must("mlopsctl audit log deployments.local --format json", project))["entries"]
    finally:
        must("mlopsctl destroy --all -y", project)
    gone = shell("mlopsctl audit trace deployments.local", project)
    assert gone.returncode == 1 and "MLO7237" in gone.stdout and "took it down" in gone.stdout
    then = follows(
        "audit-trace", must(f"mlopsctl audit trace deployments.local --at {log[0]['id'][:10]} --format json", project)
    )
    assert (then["id"], then["as_of"]) == (log[0]["id"], log[0]["id"][:10])
    assert then["inputs"][0]["address"] == "targets.cpu"
    before = shell(f"mlopsctl audit trace deployments.local --at {log[0]['parents'][0]}", project)
    assert before.returncode == 1 and "MLO7115" in before.stdout


def test_a_verdict_as_of_a_time(project: Path) -> None:
    first = json.loads(must("mlopsctl audit log --kind root --format json", project))["entries"][0]
    found = follows("audit-verify", must(f"mlopsctl audit verify --at {first['id']} --format json", project))
    assert found["ok"] and found["entries"] == 1 and found["policy"].startswith("sha256:") and found["signers"]
    for words, code in (("--at 2026-02-30", 64), ("--at yesterday", 64), ("--at 1999-01-01", 1)):
        assert shell(f"mlopsctl audit verify {words}", project).returncode == code


# --- Bytes ---------------------------------------------------------------------------------------------------------


def test_every_output_that_is_here_is_hashed(project: Path) -> None:
    whole = follows("audit-verify", must("mlopsctl audit verify --bytes --format json", project))
    assert whole["bytes"]["differ"] == 0 and whole["bytes"]["missing"] == [] and whole["bytes"]["as_attested"] >= 6
    entry = json.loads(must("mlopsctl audit log targets.cpu --format json", project))["entries"][0]
    hexa = entry["outputs"]["artifact"].partition(":")[2]
    store = project / ".git/mlops/store"
    first = (store / "dirhash" / hexa[:2] / hexa).read_text()[:64]
    place = store / "sha256" / first[:2] / first
    place.chmod(0o644)
    place.write_bytes(b"other bytes")
    signature = entry["outputs"]["artifact.sig"].partition(":")[2]
    (store / "sha256" / signature[:2] / signature).unlink()
    done = shell("mlopsctl audit verify --bytes --format json 2>/dev/null", project)
    found = follows("audit-verify", done.stdout)
    assert done.returncode == 7
    assert [(one["code"], one["entry"]) for one in found["findings"]] == [("MLO7236", entry["id"])]
    assert [one["output"] for one in found["bytes"]["missing"]] == ["artifact.sig"]
    assert follows("audit-verify", must("mlopsctl audit verify --format json", project))["ok"]
