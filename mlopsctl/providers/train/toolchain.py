"""``toolchain:``: programs whose versions count. They are declared, and so known without running anything; a step that is
about to run is refused where another version is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ManifestError, ProviderError
from ...provider import Tree
from ...types import TreeFile

if TYPE_CHECKING:
    from .workplace import Workplace

_VERSION = r"[0-9]+(?:\.[0-9]+)*"
_PROGRAM = r"[A-Za-z0-9][A-Za-z0-9_+.-]*"
_ASKED = {"go": "version"}
"""Programs that are asked by another word than --version."""

_PATIENCE = 60.0


def check_declared(declared: str | Mapping[str, str]) -> None:
    """Raises ManifestError for what is no program or no version."""
    for program, version in declared.items() if not isinstance(declared, str) else ():
        if not re.fullmatch(_PROGRAM, program) or not re.fullmatch(_VERSION, version):
            raise ManifestError(
                f"'toolchain' says {program}: {version}, which is no program with the beginning of its version",
                hint='write the program\'s name and a version in digits: toolchain: {gcc: "12", python: "3.11"}',
                code="MLO1226",
            )


def files_of(declared: str | Mapping[str, str], tree: Tree) -> dict[str, TreeFile]:
    """The file of the repository that says the versions, where the manifest does not. Raises ProviderError for none."""
    if not isinstance(declared, str):
        return {}
    file = tree.file(declared)
    if file is None or not file.mode.startswith("100"):
        raise ProviderError(
            f"toolchain: names {declared}, which is no file of the repository",
            hint=f'git add {declared}, or write versions: toolchain: {{gcc: "12"}}',
            code="MLO1228",
        )
    return {declared: file}


def versions(declared: str | Mapping[str, str], tree: Tree) -> Mapping[str, str]:
    """The programs and versions that can be checked: of files those in ``.python-version`` and ``.tool-versions``.

    Any other file counts by its bytes, and lies in the working folder for the tool that reads it.
    """
    if not isinstance(declared, str):
        return declared
    name = declared.rpartition("/")[2]
    if name not in (".python-version", ".tool-versions"):
        return {}
    lines = [line.split() for line in tree.read(declared).decode("utf-8", "replace").splitlines()]
    pairs = [("python", *line[:1]) if name == ".python-version" else tuple(line[:2]) for line in lines if line]
    known = (pair for pair in pairs if len(pair) == 2 and re.fullmatch(_PROGRAM, pair[0]))
    return {program: version for program, version in known if re.fullmatch(_VERSION, version)}


def check(wanted: Mapping[str, str], place: Workplace, root: Path) -> dict[str, str]:
    """The versions that were found, each asked for in the step's own sandbox.

    Raises ProviderError where a program is missing, says no version or another one.
    """
    found = {}
    for program, version in wanted.items():
        there = _ask(program, place, root)
        if there != version and not there.startswith(version + "."):
            what = f"is {there} here" if there else "says no version here"
            raise ProviderError(
                f"toolchain: {program} {what}, and {version} is declared",
                hint=f"install {program} {version}, or declare what shall be used: "
                f'toolchain: {{{program}: "{there or version}"}}, which trains anew',
                code="MLO1227",
            )
        found[program] = there
    return found


def _ask(program: str, place: Workplace, root: Path) -> str:
    """What the program says its version is: the first number with a point in it, else the first number."""
    from ...adapters.process import run_logged
    from .command_line import find_program

    try:
        path = find_program(program, root, place.work, place.env["PATH"])
    except ProviderError:
        raise ProviderError(
            f"toolchain: there is no program '{program}' here",
            hint=f"install {program}, or take it out of toolchain:",
            code="MLO1227",
        ) from None
    said = place.out.with_name(f"version-of-{program}")
    # Without secrets: none can be said, and none is taken out of what is said, such as the "12" of a version.
    env = {name: value for name, value in place.env.items() if value not in place.secrets}
    run_logged(
        (path, _ASKED.get(program, "--version")),
        cwd=place.work,
        env=env,
        log=said,
        timeout=_PATIENCE,
        confined=place.sandbox,
    )
    text = said.read_text("utf-8", "replace")
    match = re.search(r"[0-9]+(?:\.[0-9]+)+", text) or re.search(r"[0-9]+", text)
    return match[0] if match else ""
