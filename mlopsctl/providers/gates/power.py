"""What a view of some size can show at all, said before anything is measured."""

from __future__ import annotations

from math import sqrt

from ...measures.names import PROPORTIONS

LEAST_UNITS = 200
_STEPS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)


def half_width(share: float, n: int, confidence: float) -> float:
    """Half the width of the interval of a proportion: z sqrt(p (1 - p) / n), with p kept half a row off 0 and 1."""
    # Imported here because it brings fractions and decimals along.
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = min(max(share, 0.5 / n), 1 - 0.5 / n)
    return z * sqrt(share * (1 - share) / n)


def power_line(metric: str, n: int, bar: float, confidence: float) -> str:
    """``resolves ±0.026 at 360 rows; ±0.01 needs about 2,500``; empty where nothing is known beforehand."""
    if n <= 0:
        return "the view has no rows: nothing can be measured"
    if metric not in PROPORTIONS:
        few = f"{n} rows: too few for an interval, which takes {LEAST_UNITS}" if n < LEAST_UNITS else ""
        return few if metric != "f1" else ""
    half = half_width(bar, n, confidence)
    finer = next((step for step in _STEPS if step < 0.6 * half), None)
    line = f"resolves ±{_short(half)} at {n:,} rows"
    if finer is None:
        return line
    return f"{line}; ±{finer:g} needs about {_two_digits(n * (half / finer) ** 2)}"


def _short(value: float) -> str:
    """Two significant digits without exponent."""
    places = 1
    while value < 10**-places and places < 9:
        places += 1
    return f"{value:.{places + 1}f}".rstrip("0")


def _two_digits(rows: float) -> str:
    step = 10 ** max(len(str(int(rows))) - 2, 0)
    return f"{round(rows / step) * step:,}"
