"""What ``init --from-existing`` proposed, for the person who asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..adopt.text import printable
from . import console


class Proposed(NamedTuple):
    """A manifest and the files beside it, not written yet."""

    manifest: bytes
    files: Mapping[str, bytes]
    entries: tuple[str, ...]
    unknown: tuple[str, ...]
    next_steps: tuple[str, ...] = ()
    ran: tuple[str, ...] = ()


def say_proposed(proposed: Proposed) -> None:
    """The entries, the scripts that were written, and what was not taken over."""
    many = len(proposed.entries)
    console.out(f"mlops.yaml proposes {many} {'entry' if many == 1 else 'entries'}, with where each comes from:")
    for line in proposed.entries:
        console.out(f"  {printable(line)}")
    for path in proposed.files:
        console.out(f"Written: {printable(path)}")
    for line in proposed.ran:
        console.out(printable(line))
    if proposed.unknown:
        console.note(f"not taken over ({len(proposed.unknown)}; they stand at the end of mlops.yaml too):")
    for text in proposed.unknown:
        console.note(f"  {printable(text)}")
