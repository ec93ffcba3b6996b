"""The names of a deployment: what is said of one name is said of those that it had before."""

from __future__ import annotations

from mlopsctl.audit.called import Called, read_names
from mlopsctl.types import Digest, Entry

OLD, NEW, LAST = "deployments.old", "deployments.new", "deployments.last"


def entry(kind: str, address: str, was: str = "", location: str = "here") -> Entry:
    facts = {"from": was} if was else {}
    made = Digest("")
    return Entry(
        "e", 1, (), "2026-11-25T00:00:00Z", "ada", kind, address, "done", made, {}, {}, facts, location=location
    )


def named(*entries: Entry) -> Called:
    return read_names(entries)


def test_names_lead_back_and_forth() -> None:
    found = named(entry("move", NEW, OLD), entry("move", LAST, NEW))
    assert found.names(LAST, {}) == (LAST, NEW, OLD) and found.names(OLD, {}) == (OLD,)
    assert found.today(OLD) == LAST and found.today(LAST) == LAST


def test_a_name_that_came_back_ends_no_search() -> None:
    found = named(entry("move", NEW, OLD), entry("move", OLD, NEW))
    assert found.names(OLD, {}) == (OLD, NEW) and found.today(NEW) == OLD and found.today(OLD) == OLD


def test_what_the_manifest_says_counts_before_it_is_signed() -> None:
    assert named().names(NEW, {NEW: OLD}) == (NEW, OLD)
    found = named(entry("move", NEW, OLD))
    assert found.names(LAST, {LAST: NEW}) == (LAST, NEW, OLD)
    assert found.names(LAST, {LAST: OLD}) == (LAST,), "its history is that of the one it was given up for"


def test_what_was_taken_down_everywhere_gives_its_names_free() -> None:
    both = [entry("move", NEW, OLD), entry("move", NEW, OLD, location="there")]
    assert named(*both, entry("destroy", NEW)).names(NEW, {}) == (NEW, OLD)
    gone = named(*both, entry("destroy", NEW), entry("destroy", NEW, location="there"))
    assert gone.names(NEW, {}) == (NEW,) and not gone.now
    assert gone.today(OLD) == NEW, "what ran is known by its last name"


def test_what_everybody_shares_is_taken_down_once_wherever_it_was_deployed_to_since() -> None:
    renamed = entry("move", NEW, OLD)
    shared = renamed._replace(facts={**renamed.facts, "scope": "shared"})
    gone = entry("destroy", NEW, location="elsewhere")
    assert named(shared).names(NEW, {}) == (NEW, OLD)
    assert named(shared, gone).names(NEW, {}) == (NEW,)
    assert named(renamed, gone).names(NEW, {}) == (NEW, OLD)
