"""Runs mlopsctl with another clock: ``at_time.py SECONDS ARGUMENT…``; what it starts keeps the machine's own.

SECONDS are added to every answer of the clock, or with ``backwards`` every answer is a minute before the last one.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from itertools import count


def set_clock(now: Callable[[], int]) -> None:
    """``now`` gives nanoseconds since the epoch, to everybody who imports either module from here on."""

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Shifted:
            return cls.fromtimestamp(now() / 1e9, tz)

    broken_down = time.gmtime
    time.time_ns = now
    time.time = lambda: now() / 1e9
    time.gmtime = lambda seconds=None: broken_down(now() / 1e9 if seconds is None else seconds)
    datetime.datetime = Shifted  # type: ignore[misc]


def main() -> int:
    by, *arguments = sys.argv[1:]
    real, looks = time.time_ns, count(1)
    if by == "backwards":
        set_clock(lambda: real() - next(looks) * 60 * 10**9)
    else:
        set_clock(lambda: real() + int(by) * 10**9)
    from mlopsctl.cli.main import run

    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
