"""The nouns of a proposal: the stages that were found, the entries that they become, and what could not be said."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from ..types import Json

_NOTHING: Mapping[str, Json] = {}


class NotUnderstood(Exception):
    """Why a stage, a command or a cell cannot be taken over; always a sentence for people."""


class NeedsShell(NotUnderstood):
    """What only a shell can do; ``sign`` is what stands for it."""

    def __init__(self, sign: str) -> None:
        super().__init__(f"its command needs a shell ('{sign}')")
        self.sign = sign


class Stage(NamedTuple):
    """One command with its files, in whatever words it was found; paths are relative to the project's folder."""

    name: str
    origin: str
    """Where it was found, for the comment above the entry: ``stage 'train' of dvc.yaml:4``."""
    commands: tuple[tuple[str, ...], ...]
    """The words of each command; braces are doubled, and ``{params.x}`` stands for a setting."""
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    """Files with figures about a model; gates measure them here, so that they are no results by themselves."""
    params: Mapping[str, Json] = _NOTHING
    settings: tuple[str, ...] = ()
    """Files whose values it reads; they count as code."""
    env: Mapping[str, str] = _NOTHING
    lock: str = ""
    why: tuple[str, ...] = ()
    """What was guessed, and what of the source has no counterpart here."""
    guessed: bool = False
    """Whether its files were guessed from its text: one that nobody has is then left out."""
    cwd: str = ""
    """The folder that the commands run in, from the project's; only their words count from there."""
    script: tuple[str, ...] = ()
    """Where a shell has to read the commands, the texts in which they stand, in order."""


class Source(NamedTuple):
    """What one reader found: its stages, files that hold data beyond theirs, and what it could not read."""

    stages: tuple[Stage, ...] = ()
    data: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    files: Mapping[str, str] = _NOTHING
    """Scripts to write beside notebooks, by path."""
    read: tuple[str, ...] = ()
    """The files that it read."""
    lost: Mapping[str, str] = _NOTHING
    """Files that only a stage makes which cannot be taken over: path -> the stage."""


class Entry(NamedTuple):
    """One proposed block of a section, with the comment above it."""

    section: str
    name: str
    keys: Mapping[str, Json]
    why: tuple[str, ...] = ()


class Taken(NamedTuple):
    """A stage that became an entry: its name there, and where each output lies below ``$MLOPS_OUT``."""

    name: str
    stage: Stage
    places: Mapping[str, str]
    bases: Mapping[str, str]
    """The dependencies that other entries make: path -> the name of the entry."""


class Proposal(NamedTuple):
    """All that is known of a repository."""

    entries: tuple[Entry, ...]
    taken: tuple[Taken, ...]
    unknown: tuple[str, ...]
    figures: tuple[str, ...] = ()
    """What measured models before, one line each."""


def relative(path: str, folder: str = "") -> str:
    """A path of another tool's file as one below the project's folder. Raises NotUnderstood for one outside of it."""
    if not path.strip("./"):
        raise NotUnderstood(f"'{path}' names no file")
    if "://" in path or path.startswith("/"):
        raise NotUnderstood(f"{path} does not lie in the project's folder")
    found = posixpath.normpath(posixpath.join(folder, path))
    if found == ".." or found.startswith("../"):
        raise NotUnderstood(f"{path} does not lie in the project's folder")
    return found


def from_folder(path: str, cwd: str) -> str:
    """A path of the project as commands write it that run in one of its folders."""
    return posixpath.relpath(f"/{path}", f"/{cwd}") if cwd else path


def in_project(word: str, cwd: str) -> str:
    """The path of the project that a word of a command means which runs in one of its folders."""
    return posixpath.normpath(posixpath.join(cwd, word))


def inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(folder + "/")


def name_for(text: str, taken: Collection[str]) -> str:
    """A name as the manifest takes it, with a number where it is taken."""
    base = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).lstrip("-_0123456789").rstrip("-_") or "entry"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}-{number}", number + 1
    return found
