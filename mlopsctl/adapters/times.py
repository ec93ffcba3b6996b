"""How long something took, in words."""

from __future__ import annotations


def lasting(seconds: float) -> str:
    """``12 s``, ``12 m``, ``3 h 5 m`` or ``2 d 4 h``; a clock that went back gives ``0 s``."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} m" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def in_words(seconds: float) -> str:
    """The same for what may be over in no time."""
    return lasting(seconds) if seconds >= 1 else "less than 1 s"
