"""Forward through the trail: everything made from something, and the deployments that run it or ran it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters.keys import new_key
from mlopsctl.audit.forward import standing
from mlopsctl.audit.impact import Impact, impact, resolve
from mlopsctl.errors import MlopsError
from mlopsctl.types import Entry
from mlopsctl.verifiers import key_id
from tests.audit.clone import Clone
from tests.audit.pipeline import made, pipeline, sha


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone.start(tmp_path / "repo")


@pytest.fixture
def entries(clone: Clone) -> dict[str, Entry]:
    return pipeline(clone)


def ask(clone: Clone, what: str, **how: bool) -> Impact:
    return impact(clone.trail, resolve(clone.trail, what, **how))


def reached(found: Impact) -> set[str]:
    return {one.entry.id for one in found.reached}


def test_everything_made_from_a_dataset_down_to_the_deployment(clone: Clone, entries: dict[str, Entry]) -> None:
    found = ask(clone, "data.rows")
    after = ("failed", "train", "gate", "scan", "target", "live")
    assert reached(found) == {entries[name].id for name in after}
    by_id = {one.entry.id: one for one in found.reached}
    assert by_id[entries["target"].id].parents == (entries["data"].id, entries["train"].id)
    assert (by_id[entries["train"].id].depth, by_id[entries["live"].id].depth) == (1, 2)
    (period,) = found.deployments
    assert (period.entry.id, period.until) == (entries["live"].id, "")


def test_every_way_to_say_what(clone: Clone, entries: dict[str, Entry]) -> None:
    below = reached(ask(clone, "train.model"))
    assert below == {entries[name].id for name in ("gate", "scan", "target", "live")}
    train = entries["train"]
    for what in (train.id, train.id[:16], f"entry:{train.id[:16]}", sha("model")):
        assert reached(ask(clone, what)) == below, what
    commit = clone.repo.rev("HEAD")
    for what in (commit, commit[:10], f"commit:{commit[:8]}", f"gitoid:{commit}"):
        assert {one.id for one in ask(clone, what).start.entries} >= {one.id for one in entries.values()}, what
    key = key_id(clone.signer.key)
    for what in ("signer:owner", key, key[:12], f"key:{key[:12]}"):
        assert {one.id for one in ask(clone, what).start.entries} >= {one.id for one in entries.values()}, what


def test_a_signer_after_a_change_of_keys_is_told_from_the_key(
    clone: Clone, entries: dict[str, Entry], tmp_path: Path
) -> None:
    trail = clone.trail
    trust = trail.entries(kinds=("root",))[0].facts["trust"]
    old, new = clone.signer, new_key(tmp_path / "keys" / "owner2.pem")
    signers = {"owner": {**trust["signers"]["owner"], "key": new.key}}
    trail.append("trust", facts={"trust": {**trust, "signers": signers}})
    trail.flush()
    clone.signer = new
    later = made(clone, "data.later", "later")
    assert later.id in {one.id for one in ask(clone, "signer:owner").start.entries}
    assert later.id not in {one.id for one in ask(clone, f"key:{key_id(old.key)}").start.entries}
    assert [one.id for one in ask(clone, f"key:{key_id(new.key)}").start.entries] == [later.id]


def test_bytes_that_nobody_made_here_are_followed_too(clone: Clone, entries: dict[str, Entry]) -> None:
    downloaded = made(clone, "train.tuned", "tuned", base="downloaded", data="others")
    found = ask(clone, sha("downloaded"))
    assert found.start.entries == () and reached(found) == {downloaded.id}


def test_the_code_of_a_run(clone: Clone) -> None:
    tree = "a" * 40
    run = made(clone, "train.coded", "coded", code=tree)
    gate = made(clone, "gates.coded", model="coded", status="passed")
    clone.trail.ledger.index.add_code([(tree, run.id)])
    found = ask(clone, f"gitoid:{tree}")
    assert [one.id for one in found.start.entries] == [run.id] and reached(found) == {gate.id}


def test_releases_follow_each_other_at_one_place(clone: Clone, entries: dict[str, Entry]) -> None:
    elsewhere = made(clone, "deployments.local", artifact="artifact", location="there")
    second = made(clone, "deployments.local", artifact="another", location="here")
    periods = {one.entry.id: one.until for one in ask(clone, "data.rows").deployments}
    assert periods == {entries["live"].id: second.at, elsewhere.id: ""}
    gone = made(clone, "deployments.local", kind="destroy", location="there")
    assert {one.entry.id: one.until for one in ask(clone, "data.rows").deployments}[elsewhere.id] == gone.at


def test_a_gate_reaches_the_deployments_that_it_let_through(clone: Clone, entries: dict[str, Entry]) -> None:
    (period,) = ask(clone, entries["gate"].id).deployments
    assert (period.entry.id, period.judged_by) == (entries["live"].id, ("gates.accuracy",))
    late = made(clone, "gates.late", model="model", status="passed")
    assert ask(clone, late.id).deployments == ()


def test_an_address_means_its_newest_result(clone: Clone, entries: dict[str, Entry]) -> None:
    newest = made(clone, "data.rows", "newer rows")
    assert [one.id for one in ask(clone, "data.rows").start.entries] == [newest.id]
    assert {one.id for one in ask(clone, "data.rows", every_version=True).start.entries} == {
        newest.id,
        entries["data"].id,
    }


def test_a_withdrawal_is_followed_by_its_roots(clone: Clone, entries: dict[str, Entry]) -> None:
    start = resolve(clone.trail, "data.rows")
    entry = clone.trail.append("withdraw", facts={"roots": list(start.roots), "reason": "x"})
    found = ask(clone, entry.id)
    assert reached(found) == reached(ask(clone, "data.rows"))
    assert [one.entry for one in found.withdrawn] == [entry.id] == [one.entry for one in standing(clone.trail)]


def test_a_circle_ends(clone: Clone) -> None:
    made(clone, "train.a", "one", base="two")
    made(clone, "train.b", "two", base="one")
    assert len(ask(clone, "train.a").reached) == 1


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("data.none", "no result"),
        ("signer:nobody", "signed nothing"),
        ("0000000", "begins no"),
        ("key:0000", "begins no"),
        ("nonsense", "is no address"),
        ("sha256:12", "is no address"),
        ("", "is no address"),
    ],
)
def test_what_is_nothing_here_is_said(clone: Clone, entries: dict[str, Entry], what: str, why: str) -> None:
    with pytest.raises(MlopsError, match=why) as caught:
        ask(clone, what)
    assert caught.value.code == "MLO7251"


def test_the_index_made_anew_says_the_same(clone: Clone, entries: dict[str, Entry]) -> None:
    before = reached(ask(clone, "data.rows"))
    (clone.state / "index.db").unlink()
    assert reached(ask(clone, "data.rows")) == before


def test_malformed_inputs_of_a_trusted_signer_break_nothing(clone: Clone, entries: dict[str, Entry]) -> None:
    trail = clone.trail
    for given in ("text", {"data": "sha256:" + "1" * 64}, {"data": [1, None]}, {"data": [["x"]]}):
        trail.append("failure", address="train.odd", ingredients={"inputs": given}, commit=clone.repo.rev("HEAD"))
    trail.flush()
    (clone.state / "index.db").unlink()
    assert clone.verdict().ok and len(ask(clone, "data.rows").reached) == 6
