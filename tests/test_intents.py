"""An announced change stands until an entry says how it ended, or somebody lifts it; time and order end nothing."""

from __future__ import annotations

from itertools import permutations

from mlopsctl.intents import half_done, standing
from mlopsctl.types import Entry


def entry(name: str, seq: int, kind: str, **facts: object) -> Entry:
    return Entry(name, seq, (), f"2026-01-{seq:02}T00:00:00Z", "ada", kind, "deployments.live", facts=facts)


def open_of(*entries: Entry) -> list[str]:
    found = {tuple(one.entry for one in standing(order)) for order in permutations(entries)}
    assert len(found) == 1, "the order in which they are read says nothing"
    return list(found.pop())


def test_it_stands_until_an_entry_names_it() -> None:
    announced = entry("i", 1, "intent", does="deploy", artifact="dirhash:12")
    assert open_of(announced) == ["i"]
    for kind in ("result", "failure", "destroy"):
        assert open_of(announced, entry("r", 2, kind, intent="i")) == []
        assert open_of(announced, entry("r", 2, kind)) == ["i"], "one that was made without it ends nothing"
    assert open_of(announced, entry("h", 2, "halt", intent="i")) == ["i"]


def test_one_that_lifts_ends_it_and_announces_only_what_it_says() -> None:
    announced = entry("i", 1, "intent", does="deploy")
    assert open_of(announced, entry("l", 2, "intent", lifts=["i"], reason="gone")) == []
    assert open_of(announced, entry("j", 2, "intent", lifts=["i"], does="deploy")) == ["j"]
    assert open_of(announced, entry("l", 2, "intent", lifts="i")) == ["i"], "a list of ids, and nothing else"


def test_two_that_met_in_a_merge_both_stand() -> None:
    assert open_of(entry("a", 3, "intent", does="deploy"), entry("b", 3, "intent", does="remove")) == ["a", "b"]


def test_it_says_who_when_and_what() -> None:
    text = str(standing([entry("i" * 64, 1, "intent", does="deploy", artifact="dirhash:1234")])[0])
    assert text == "ada announced at 2026-01-01T00:00:00Z to deploy dirhash:1234 (entry iiiiiiiiiiii)"


def test_after_an_attempt_that_may_have_changed_the_place_nobody_knows_what_runs() -> None:
    assert half_done(None) == half_done(entry("r", 2, "result")) == half_done(entry("d", 2, "destroy")) == ""
    assert "ada announced at 2026-01-02" in half_done(entry("i", 2, "intent", does="deploy"))
    assert "ada ended from outside" in half_done(entry("l", 2, "intent", lifts=["i"]))
    assert "that failed at 2026-01-02" in half_done(entry("f", 2, "failure", intent="i", code="MLO1062"))
    assert half_done(entry("f", 2, "failure", intent="i", code="MLO6022")) == "", "it gave way and touched nothing"
    assert half_done(entry("f", 2, "failure", code="MLO1062")) == "", "it was never announced, so nothing was touched"
