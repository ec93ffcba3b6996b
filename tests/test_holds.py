"""Overrides of a deployment last until they are lifted or replaced by somebody who knew of them, never by time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl import holds as module
from mlopsctl.holds import Hold
from mlopsctl.types import Entry


def entry(name: str, kind: str, *parents: Entry, **facts: object) -> Entry:
    """An entry that builds on its parents."""
    seq = 1 + max((parent.seq for parent in parents), default=0)
    ids = tuple(parent.id for parent in parents)
    return Entry(name, seq, ids, f"2026-01-{seq:02}T00:00:00Z", "ada", kind, "deployments.live", facts=facts)


def holds(entries: Sequence[Entry]) -> list[str]:
    """Ids of the overrides in force."""
    return [hold.entry for hold in found(entries)]


def found(entries: Sequence[Entry]) -> tuple[Hold, ...]:
    known = {one.id: one for one in entries}

    def builds_on(later: str, earlier: str) -> bool:
        parents = known[later].parents if later in known else ()
        return earlier in parents or any(builds_on(parent, earlier) for parent in parents)

    return module.holds(entries, builds_on)


def test_a_halt_stands_until_it_is_resumed() -> None:
    halted = entry("h", "halt", reason="wrong answers")
    assert [hold.reason for hold in found([halted])] == ["wrong answers"]
    assert found([halted, entry("r", "resume", halted, lifts=["h"])]) == ()


def test_resume_lifts_only_what_it_names() -> None:
    rollback = entry("b", "rollback", to="a" * 64)
    halt = entry("h", "halt", rollback)
    assert holds([rollback, halt, entry("r", "resume", halt, lifts=["h"])]) == ["b"]


def test_a_newer_override_of_the_artifact_replaces_the_older_one_for_good() -> None:
    rollback = entry("b", "rollback", to="1")
    pin = entry("p", "pin", rollback, to="2")
    assert holds([rollback, pin]) == ["p"]
    assert holds([rollback, pin, entry("u", "unhold", pin, lifts=["p"])]) == []


def test_a_halt_that_a_resume_of_another_clone_did_not_know_survives_the_merge() -> None:
    """The resume has a higher seq than the halt: its clone had more entries."""
    first = entry("h1", "halt")
    busy = entry("x2", "result", entry("x1", "result", first))
    resume = entry("r", "resume", busy, lifts=["h1"])
    concurrent = entry("h2", "halt", first, reason="worse")
    assert resume.seq > concurrent.seq
    assert holds([first, resume, concurrent]) == ["h2"]


def test_entries_of_earlier_versions_lift_the_kinds_they_name_of_what_they_knew() -> None:
    halt, concurrent = entry("h", "halt"), entry("c", "halt")
    later = entry("x", "result", halt)
    resume = entry("r", "resume", later, lifts=["halt", "rollback"])
    assert holds([halt, later, resume]) == []
    assert holds([halt, later, resume, concurrent]) == ["c"]


def test_two_concurrent_pins_both_show_and_the_last_of_one_order_holds() -> None:
    pins = [entry("p", "pin", to="1"), entry("q", "pin", to="2")]
    assert holds(pins) == holds(pins[::-1]) == ["p", "q"]


@given(st.integers(0, 119))
def test_the_order_of_the_entries_given_does_not_matter(number: int) -> None:
    halt = entry("1", "halt")
    resume = entry("2", "resume", halt, lifts=["1"])
    again = entry("3", "halt", resume)
    pin = entry("4", "pin", again, to="x")
    entries = [halt, resume, again, pin, entry("5", "halt", halt)]
    assert holds(list(permutations(entries))[number]) == ["5", "3", "4"] == holds(entries)
