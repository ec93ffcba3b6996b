"""What of a person is struck out before a text is signed for ever, and which claims of a program may be kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .types import Json

STRUCK = "***"
PROSE = ("reason", "message", "note", "text", "title", "comment", "endpoint")
"""Facts that people type, or that name a machine."""

# What follows the @ has a dot: user@host of a coordinate without a domain is no address of a person.
_ADDRESS = r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+"
_HOME = r"(?:/home|/Users|/var/home|[A-Za-z]:\\Users)[/\\][^/\\\s\"':]+"
_FIGURE = r"[A-Za-z_][A-Za-z0-9_.:/%+\- ]{0,63}"
_NUMBER = r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?(?:nan|inf|infinity)"
_MOST_NESTED = 4


class Machine(NamedTuple):
    """This machine's own words: the home folder of whoever works on it, and its name."""

    home: str = ""
    host: str = ""


NOBODYS = Machine()


def struck(text: str, machine: Machine = NOBODYS, *, prose: bool = False) -> str:
    """``text`` without e-mail addresses and home folders; in prose, without this machine's name too.

    Elsewhere a machine's name stays, because it may be an ordinary word that a figure has as well.
    """
    if "@" in text:
        text = re.sub(_ADDRESS, STRUCK, text)
    if machine.home and machine.home in text:
        text = re.sub(rf"{re.escape(machine.home)}(?![\w-])", "~", text)
    if "/" in text or "\\" in text:
        text = re.sub(_HOME, "~", text)
    if prose and machine.host:
        text = re.sub(rf"(?<![\w-]){re.escape(machine.host)}(?![\w-])", STRUCK, text)
    return text


def without_persons(value: Json, machine: Machine = NOBODYS, *, prose: bool = False) -> Json:
    """The value with every text in it, keys too, ``struck``."""
    if isinstance(value, str):
        return struck(value, machine, prose=prose)
    if isinstance(value, list | tuple):
        return [without_persons(item, machine, prose=prose) for item in value]
    if isinstance(value, Mapping):
        return {
            struck(str(key), machine): without_persons(item, machine, prose=prose or key in PROSE)
            for key, item in value.items()
        }
    return value


def claims(said: Mapping[str, Any], deeper: int = _MOST_NESTED) -> dict[str, Json]:
    """Of what a program claims: numbers (also as text), truth values, and lists and objects of them.

    Other text is left out, because the program has seen rows and could quote one; so are names that are no plain words.
    """
    found: dict[str, Json] = {}
    for name, value in said.items():
        kept = _claim(value, deeper)
        if kept is not None and re.fullmatch(_FIGURE, name):
            found[name] = kept
    return found


def _claim(value: Any, deeper: int) -> Json:
    if isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value if re.fullmatch(_NUMBER, value, re.IGNORECASE) else None
    if isinstance(value, Mapping) and deeper:
        return claims(value, deeper - 1) or None
    if isinstance(value, list | tuple) and deeper:
        kept = [_claim(item, deeper - 1) for item in value]
        return kept if kept and all(item is not None for item in kept) else None
    return None
