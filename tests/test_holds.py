"""Overrides of a deployment last until they are lifted or replaced, never by time."""

from __future__ import annotations

from mlopsctl.holds import holds
from mlopsctl.types import Entry


def entry(seq: int, kind: str, **facts: object) -> Entry:
    return Entry(f"{seq:064x}", seq, (), f"2026-01-0{seq}T00:00:00Z", "ada", kind, "deployments.live", facts=facts)


def test_a_halt_stands_until_it_is_resumed() -> None:
    halted = [entry(1, "halt", reason="wrong answers")]
    assert [hold.reason for hold in holds(halted)] == ["wrong answers"]
    assert holds([*halted, entry(2, "resume", lifts=["halt"])]) == ()


def test_resume_lifts_only_what_it_names() -> None:
    both = [entry(1, "rollback", to="a" * 64), entry(2, "halt"), entry(3, "resume", lifts=["halt"])]
    assert [hold.kind for hold in holds(both)] == ["rollback"]


def test_a_newer_rollback_replaces_the_older_one() -> None:
    assert [hold.to for hold in holds([entry(2, "rollback", to="b"), entry(1, "rollback", to="a")])] == ["b"]


def test_the_order_of_the_entries_given_does_not_matter() -> None:
    entries = [entry(1, "halt"), entry(2, "resume", lifts=["halt"]), entry(3, "halt", reason="again")]
    assert holds(entries) == holds(entries[::-1])
