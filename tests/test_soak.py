"""What runs somewhere, since when by the signed times, and whether that is long enough for what comes after it."""

from __future__ import annotations

import pytest

from mlopsctl.soak import Running, Wait, running, wait
from mlopsctl.types import Address, Digest, Entry, Input, Need, Observed, Verdict

STAGING = Address("deployments", "staging")
X, Y = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def entry(kind: str, hour: int, artifact: str = "", *, trusted: bool = True, at_place: str = "") -> Entry:
    parts = {"inputs": {"artifact": [artifact]}} if artifact else {}
    at = f"2026-01-01T{hour:02}:00:00Z"
    return Entry(
        f"{hour:064}", hour, (), at, "ann", kind, str(STAGING), ingredients=parts, trusted=trusted, location=at_place
    )


@pytest.mark.parametrize(
    ("oldest_first", "artifact", "hour"),
    [
        ([], "", 0),
        ([entry("result", 1, X)], X, 1),
        ([entry("result", 1, X), entry("result", 3, X)], X, 1),
        ([entry("result", 1, X), entry("result", 2, Y), entry("result", 3, X)], X, 3),
        ([entry("result", 1, Y), entry("result", 2, X)], X, 2),
        ([entry("result", 1, X), entry("destroy", 2)], "", 0),
        ([entry("result", 1, X), entry("destroy", 2), entry("result", 3, X)], X, 3),
        ([entry("result", 1, X), entry("resume", 2)], X, 2),
        ([entry("result", 1, X), entry("unhold", 2), entry("result", 3, X)], X, 2),
        ([entry("result", 1, Y), entry("resume", 2), entry("result", 3, X)], X, 3),
        ([entry("result", 1, X, trusted=False), entry("result", 2, X)], X, 2),
        ([entry("result", 1, X, trusted=False)], "", 0),
        ([entry("result", 1, X), entry("result", 2, X, at_place="elsewhere")], X, 2),
    ],
)
def test_the_clock_starts_where_it_last_became_what_it_is(oldest_first: list[Entry], artifact: str, hour: int) -> None:
    found = running(reversed(oldest_first), "")
    assert found == Running(artifact, f"2026-01-01T{hour:02}:00:00Z" if hour else "")


def test_a_witnessed_time_counts_and_not_the_claimed_one() -> None:
    """Nobody can say of it that it ran before somebody else saw it, and a claim may be as old as its signer likes."""
    seen = {entry("result", 1, X).id: ("2026-01-01T09:00:00Z", "tsa.example")}

    def witnessed(one: Entry) -> tuple[str, str]:
        return seen.get(one.id, ("", ""))

    runs = [entry("result", 3, X), entry("result", 1, X)]
    assert running(runs, "", witnessed) == Running(X, "2026-01-01T09:00:00Z", "", "tsa.example")
    lifted = [entry("resume", 5), entry("result", 1, X)]
    assert running(lifted, "", witnessed) == Running(X, "2026-01-01T09:00:00Z", "", "tsa.example")
    seen.clear()
    assert running(lifted, "", witnessed) == Running(X, "2026-01-01T05:00:00Z")


def given(digest: str | None) -> list[Input]:
    seen = Observed(Digest("m"), {"artifact": Digest(digest)}) if digest else None
    return [Input(Need("artifact", Address("targets", "cpu"), "artifact"), seen)]


STANDS = {STAGING: Verdict()}
SINCE = "2026-01-01T02:00:00Z"


def test_it_is_free_when_the_time_is_over_and_not_a_second_before() -> None:
    there = Running(X, SINCE)
    early = wait(STAGING, 3600, given(X), there, STANDS, "2026-01-01T02:59:59Z")
    assert early.free_at == "2026-01-01T03:00:00Z"
    assert early.why == (
        f"deployments.staging, which runs it since {SINCE}, claimed by its signer, and has to for 1 h: free at {early.free_at}"
    )
    seen = wait(STAGING, 3600, given(X), there._replace(by="tsa.example"), STANDS, SINCE)
    assert f"since {SINCE}, witnessed by tsa.example, and has to" in seen.why
    assert wait(STAGING, 3600, given(X), there, STANDS, "2026-01-01T03:00:00Z") == Wait()
    assert wait(STAGING, 0, given(X), there, STANDS, SINCE) == Wait()


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (Running(Y, SINCE), "deployments.staging, which runs another artifact"),
        (Running(), "deployments.staging, which runs nothing"),
        (Running(X, SINCE, "halted by ann"), "deployments.staging, which counts as not running: halted by ann"),
    ],
)
def test_what_time_alone_does_not_mend(there: Running, why: str) -> None:
    assert wait(STAGING, 0, given(X), there, STANDS, "2026-02-01T00:00:00Z") == Wait(why)


def test_what_this_apply_will_change_first_is_looked_at_again_afterwards() -> None:
    assert wait(STAGING, 0, given(X), Running(Y, SINCE), {STAGING: None}, SINCE) == Wait()
    assert wait(STAGING, 0, given(None), Running(Y, SINCE), STANDS, SINCE) == Wait()
    first = Wait("deployments.staging, which has to run it for 1 d first")
    assert wait(STAGING, 86400, given(X), Running(Y, SINCE), {STAGING: None}, SINCE) == first
    assert wait(STAGING, 86400, given(None), Running(), STANDS, SINCE) == first
