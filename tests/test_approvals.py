"""Whose approval counts, for which release, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.approvals import Maker, People, Quorum, count, others_made, quorum_of, release_digest, waits
from mlopsctl.providers.deployments.controls import Approvals
from mlopsctl.types import GUARD, Address, Digest, Entry, Input, Need, Observed, Resource, Status, Verdict

NOW = "2026-11-25T12:00:00Z"
GATE, TARGET = Address("gates", "accuracy"), Address("targets", "cpu")


@dataclass(frozen=True)
class Spec:
    to: str = ""
    approvals: Approvals | None = field(default_factory=lambda: Approvals(2, 14 * 86400.0))
    built_by: tuple[str, ...] = ()


TWO = Quorum(2, 14 * 86400.0)
WANT = Resource(Address("deployments", "production"), "deployments/local", Spec())


def release(spec: Spec = WANT.spec, artifact: str = "a", gate: str = "g", verdict: str = "0.95 above 0.93") -> Digest:
    inputs = (
        Input(Need("artifact", TARGET, "artifact"), Observed(Digest(""), {"artifact": Digest(f"sha256:{artifact}")})),
        Input(Need(GUARD, GATE), Observed(Digest(""), {}, entry=gate)),
    )
    found = release_digest(WANT._replace(spec=spec), inputs, {GATE: Verdict(Status.PASSED, verdict)})
    assert found is not None
    return found


def approval(signer: str, at: str = "2026-11-24T12:00:00Z", of: Digest | None = None) -> Entry:
    facts = {"release": of or release()}
    return Entry("e", 1, (), at, signer, "approval", "deployments.production", facts=facts)


def people(*approvals: Entry, **more: Any) -> People:
    signers = {name: frozenset[str]() for name in ("ann", "ben", "cy")}
    given: dict[str, Any] = {
        "makers": (Maker("train.m", "ci"),),
        "authors": frozenset(),
        "signers": signers,
        "now": NOW,
    }
    return People(approvals=approvals, **{**given, **more})


def test_two_people_agree() -> None:
    assert waits(WANT, release(), people(approval("ann"), approval("ben")), TWO) == ()
    assert waits(WANT, release(), people(approval("ann")), TWO) == (
        "1 of 2 approvals (ann): mlopsctl approve production",
    )


def test_one_person_counts_once() -> None:
    assert count(TWO, release(), people(approval("ann"), approval("ann"))).approvers == ("ann",)
    two_keys = {"ann": frozenset({"sha256:1"}), "ann-laptop": frozenset({"sha256:1"})}
    have = count(TWO, release(), people(approval("ann"), approval("ann-laptop"), signers=two_keys))
    assert have.approvers == ("ann",) and have.refused == ("ann-laptop is the same person as ann",)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"makers": (Maker("train.m", "ann"),)}, "ann trained it"),
        ({"authors": frozenset({"ann"})}, "ann wrote the code"),
        ({"authors": frozenset({"sha256:x"}), "signers": {"ann": frozenset({"sha256:x"})}}, "ann wrote the code"),
        ({"signers": {}}, "ann is no signer any more"),
        ({"now": "2026-12-24T12:00:00Z"}, "ann approved until 2026-12-08 12:00 UTC"),
    ],
)
def test_whose_approval_does_not_count(changed: dict[str, Any], why: str) -> None:
    have = count(TWO, release(), people(approval("ann"), **changed))
    assert have.approvers == () and have.refused == (why,)


@pytest.mark.parametrize(
    "other",
    [
        release(artifact="b"),
        release(gate="h"),
        release(verdict="0.95 above 0.90"),
        release(Spec(to="127.0.0.1:80")),
        release(Spec(approvals=Approvals(1, None))),
    ],
    ids=["artifact", "measurement", "bar", "address", "fewer approvals"],
)
def test_an_approval_is_of_one_release(other: Digest) -> None:
    assert other != release()
    assert count(TWO, other, people(approval("ann"))) == ((), ())


@dataclass(frozen=True)
class LaterSpec(Spec):
    """The same deployment as a later version knows it, with a key that this manifest does not write."""

    branch: str = ""


@dataclass(frozen=True)
class LaterApprovals(Approvals):
    """The same inside of a key."""

    teams: tuple[str, ...] = ()


def test_an_upgrade_that_brings_new_keys_voids_no_approval() -> None:
    assert release(LaterSpec()) == release()
    assert release(Spec(approvals=LaterApprovals(3))) == release(Spec(approvals=Approvals(3)))
    assert release(LaterSpec(branch="release")) != release()


def test_what_is_not_measured_yet_has_no_release() -> None:
    guard = Input(Need(GUARD, GATE), None)
    assert release_digest(WANT, (guard,), {GATE: None}) is None
    assert waits(WANT, None, people(), TWO) == ("2 approvals, once its gates have measured",)


def test_without_approvals_a_deployment_is_not_protected() -> None:
    assert quorum_of(WANT.spec) == TWO and quorum_of(Spec(approvals=None)) is None and quorum_of(object()) is None


def test_whose_work_counts() -> None:
    makers = [Maker("train.m", "ci"), Maker("gates.accuracy", "ann")]
    assert others_made(Spec(built_by=("ci",)), makers) == ("gates.accuracy built by ann",)


@given(st.lists(st.sampled_from(["ann", "ben", "cy", "ci", "eve"])), st.sets(st.sampled_from(["ann", "ben", "cy"])))
def test_a_quorum_is_of_different_signers_who_made_nothing(names: list[str], authors: set[str]) -> None:
    have = count(TWO, release(), people(*map(approval, names), authors=frozenset(authors)))
    assert set(have.approvers) == set(names) & {"ann", "ben", "cy"} - authors
