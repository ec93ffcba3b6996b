"""Judges a recorded measurement by the bars of today's manifest; nothing is measured here, and nothing heavy imported."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

from ...errors import EvidenceError
from ...measures.names import SHARES
from ...types import Json, Status, Verdict


class Bars(NamedTuple):
    """What a gate demands; ``warn`` lets an inconclusive measurement pass with a warning."""

    least: float | None
    most: float | None
    warn: bool = False

    def __str__(self) -> str:
        parts = [
            f">= {self.least:g}" if self.least is not None else "",
            f"<= {self.most:g}" if self.most is not None else "",
        ]
        return " and ".join(part for part in parts if part)


class Measured(NamedTuple):
    """The numbers of a recorded measurement."""

    metric: str
    n: int
    value: float | None
    lo: float | None
    hi: float | None
    reason: str
    invalid: int
    view: str
    null: float | None
    copied: int = 0
    """Rows that were left out, because the model was made with them."""
    unsure: bool = False
    """Whether nobody could say of all rows that the model was not made with them."""

    @classmethod
    def of(cls, facts: Mapping[str, Json]) -> Measured:
        """Reads them from the facts of an entry. Raises EvidenceError where they are no measurement."""
        try:
            ci = facts["ci"]
            lo, hi = (None, None) if ci is None else (float(ci[0]), float(ci[1]))
            return cls(
                str(facts["metric"]),
                int(facts["n"]),
                None if facts["value"] is None else float(facts["value"]),
                lo,
                hi,
                str(facts.get("reason", "")),
                int(facts.get("invalid", 0)),
                str(facts.get("view", "test")),
                float(facts["null"]) if "null" in facts else None,
                int(facts.get("copied", 0)),
                "training_rows_unknown" in (facts.get("limitations") or ()),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EvidenceError(
                f"the entry of this gate holds no measurement ({error!r})",
                hint="measure anew: mlopsctl apply --replace ADDRESS",
                code="MLO1312",
            ) from None

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.metric} has no value on {self.n} rows"
        text = f"{self.metric} {self.show(self.value)}"
        if self.lo is not None and self.hi is not None:
            text += f" [{self.show(self.lo)}, {self.show(self.hi)}]"
        text += f" on {self.n} rows"
        if self.copied:
            text += f", without {self.copied} that it was made with"
        if self.unsure:
            text += ", limitation training_rows_unknown: what it was trained on is not at hand"
        if self.null is not None:
            text += f" (a perfectly calibrated model shows {self.show(self.null)} here)"
        return text + (f" ({self.invalid} without a valid answer count as wrong)" if self.invalid else "")

    def show(self, value: float) -> str:
        return f"{value:.4f}" if self.metric in SHARES else f"{value:.4g}"


def judge_measurement(facts: Mapping[str, Json], bars: Bars) -> Verdict:
    """Passed where the whole interval clears every bar, failed where it lies wholly beyond one, else inconclusive."""
    found = Measured.of(facts)
    if found.value is None and found.invalid:
        text = f"{found.metric}: {found.reason}, needs {bars}"
        return Verdict(Status.FAILED, text, "look for rows that overflow or divide by zero in the model", blocks=True)
    if found.value is None:
        text = f"{found}: {found.reason or 'the view is empty'}, needs {bars}"
        return Verdict(Status.NOT_ASSESSED, text, "give the view more rows: split: {test: 0.2}", blocks=True)
    if found.lo is None or found.hi is None:
        hint = "more rows in the view would settle it, or a metric with a closed-form interval such as accuracy"
        return _inconclusive(f"{found}, no interval: {found.reason}; needs {bars}", hint, bars)
    text = f"{found}, needs {bars}"
    below = bars.least is not None and found.hi < bars.least
    beyond = bars.most is not None and found.lo > bars.most
    if below or beyond:
        return Verdict(Status.FAILED, text, _distance(found, bars), blocks=True)
    if (bars.least is None or found.lo >= bars.least) and (bars.most is None or found.hi <= bars.most):
        return Verdict(Status.PASSED, text)
    return _inconclusive(text, _what_would_help(found, bars), bars)


def _inconclusive(text: str, hint: str, bars: Bars) -> Verdict:
    return Verdict(Status.INCONCLUSIVE, text, hint, blocks=not bars.warn)


def _margin(found: Measured, bars: Bars) -> tuple[float, float, float]:
    """By how much the value clears its tightest bar (negative: misses it), the half width that matters, and the bar."""
    assert found.value is not None and found.lo is not None and found.hi is not None  # noqa: S101 — see the caller
    sides = []
    if bars.least is not None:
        sides.append((found.value - bars.least, found.value - found.lo, bars.least))
    if bars.most is not None:
        sides.append((bars.most - found.value, found.hi - found.value, bars.most))
    return min(sides)


def _distance(found: Measured, bars: Bars) -> str:
    margin, half, bar = _margin(found, bars)
    near = "a near miss: " if -margin < 2 * half else ""
    return f"{near}the model misses {bar:g} by {found.show(-margin)}: improve it, or give it better data"


def _what_would_help(found: Measured, bars: Bars) -> str:
    """How many rows would settle it, or what this many rows demand of the model."""
    margin, half, bar = _margin(found, bars)
    better = "a lower" if bars.most == bar and bars.least != bar else "a higher"
    wanted = bar + half if better == "a higher" else bar - half
    demand = f"at {found.n} rows it takes {better} value: about {found.show(wanted)}"
    if found.metric in SHARES and not 0 < wanted < 1:
        demand = f"{found.n} rows are too few to show it for any value but the very best"
    if margin <= 0:
        return (
            f"the value itself misses {bar:g} by {found.show(-margin)}, within the noise: improve the model; {demand}"
        )
    rows = found.n * (half / margin) ** 2
    if rows > 1e7:
        return f"the value stands on the bar: no realistic number of rows settles it; {demand}"
    return f"a near miss: about {_rounded(rows)} rows would settle it if the value holds; {demand}"


def _rounded(rows: float) -> str:
    """Two significant digits, rounded up: 2501 is 2,600."""
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"{ceil(rows / step) * step:,}"
