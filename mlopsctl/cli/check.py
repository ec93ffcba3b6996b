"""What the doctor finds: one state, in words, with the fix."""

from __future__ import annotations

from dataclasses import dataclass

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Check:
    """One finding: ``ok``, ``note`` (works, with less) or ``problem``, in words, with the fix."""

    name: str
    state: str
    text: str
    fix: str = ""
