"""Texts that people read, compared word for word with files of ``tests/golden``: a change of one is seen in review.

``RENEW_GOLDEN=1 pytest FILE`` writes the files anew; look at what ``git diff`` says of them before you commit.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
# In CI the files are what was reviewed.
RENEW = os.environ.get("RENEW_GOLDEN") == "1" and not os.environ.get("CI")


def same_as(name: str, text: str) -> None:
    """Compares a text with ``tests/golden/NAME``, or writes that where it is to be renewed."""
    path = GOLDEN / name
    if RENEW:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    kept = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert text == kept, f"tests/golden/{name} has another text; where the new one is better: RENEW_GOLDEN=1 pytest"


def unused(folder: str, names: Collection[str]) -> list[str]:
    """The golden files that no test compares with any more."""
    return sorted({path.name for path in (GOLDEN / folder).iterdir()} - set(names))
