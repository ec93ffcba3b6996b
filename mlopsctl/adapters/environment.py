"""The versions in a virtual environment, read off its folders: nothing in it is run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_VERSION = r"(?m)^version(?:_info)?\s*=\s*([0-9]+(?:\.[0-9]+)*)"


def versions(program: Path, packages: Sequence[str]) -> dict[str, str]:
    """``python`` and each of the packages that the environment around the interpreter has; {} where it is in none."""
    home = program.parent.parent
    try:
        said = re.search(_VERSION, (home / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}
    installed = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for info in home.glob("lib/python*/site-packages/*.dist-info")
        for name, _, version in [info.name.removesuffix(".dist-info").partition("-")]
    }
    found = {name: installed[name] for name in packages if name in installed}
    return found | ({"python": said[1]} if said else {})
