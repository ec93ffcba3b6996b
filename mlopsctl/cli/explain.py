"""``mlopsctl explain``: the long form of an error code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from ..errors import UsageError
from ..resources import EXPLANATIONS
from . import console

FOLDER = EXPLANATIONS
_HEADING = re.compile(r"## (MLO\d{4}) (\S.*)")


@dataclass(frozen=True)
class Explanation:
    """One code: its title, and what it means, why, and how to mend it."""

    code: str
    title: str
    text: str


def explanations() -> dict[str, Explanation]:
    """Every explained code, sorted."""
    found: dict[str, Explanation] = {}
    for path in sorted(FOLDER.glob("*.md")):
        for block in re.split(r"^(?=## )", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
            heading, _, text = block.partition("\n")
            match = _HEADING.fullmatch(heading.rstrip())
            if match:
                found[match[1]] = Explanation(match[1], match[2], text.strip())
    return dict(sorted(found.items()))


def explain(
    code: Annotated[str, typer.Argument(help="A code such as MLO3003, or only its digits; without one, all.")] = "",
) -> int:
    """What an error code means, why it is an error, and how to mend it.

    Examples:

      mlopsctl explain MLO3003

      mlopsctl explain
    """
    known = explanations()
    if not code:
        for one in known.values():
            console.out(f"{one.code}  {one.title}")
        return 0
    wanted = code.upper() if code.upper().startswith("MLO") else f"MLO{code}"
    if wanted not in known:
        raise UsageError(f"there is no error code '{code}'", hint="mlopsctl explain lists every code", code="MLO6452")
    console.out(f"{wanted}: {known[wanted].title}")
    console.out("")
    console.out(known[wanted].text)
    return 0
