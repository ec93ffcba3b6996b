"""Words that people write into the trail: they stay for ever."""

from __future__ import annotations

import re

from ..errors import MlopsError
from . import console

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")


def check_words(text: str, what: str) -> str:
    """``text`` without white space around it; warns of e-mail addresses, and asks where somebody can be asked.

    Raises MlopsError where nothing is left, or the person thinks better of it.
    """
    text = text.strip()
    if not text:
        raise MlopsError(f"{what} is empty", hint=f"say it in a sentence: {what} is kept for ever", code="MLO7252")
    found = _EMAIL.search(text)
    if found is None:
        return text
    console.note(f"warning: {what} names the e-mail address {found[0]}, and the trail cannot forget it")
    if console.interactive() and not console.confirm("Keep it for ever?"):
        raise MlopsError("nothing was recorded", hint="write it again without the address", code="MLO7253")
    return text
