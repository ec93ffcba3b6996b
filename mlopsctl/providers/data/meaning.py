"""What the rows of a dataset mean: words that come from the rows themselves, and so may be personal.

They lie in an output of their own beside the views, and like the views they stay where the rows are: a clone makes
them anew from the rows. The entry holds commitments to what decides how a view is read, so that fingerprints see a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...canonical import canonical
from ...commitments import commitment, key_of
from ...provider import COMMITTED, MEANING
from ...types import Json

_FILE_SALT = b"mlopsctl salt 1"
_VIEW_KEY = b"mlopsctl view 1"


def commitments_of(meaning: Mapping[str, Json], views: Mapping[str, Path]) -> dict[str, Json]:
    """For each view the commitments to the classes and the positive one, under a key made of that view's rows.

    A view that stays the same under equal classes keeps its commitments, whatever happens to the other rows.
    """
    said = {name: meaning[name] for name in COMMITTED if meaning.get(name) is not None}
    keys: dict[Path, bytes] = {}
    found: dict[str, Json] = {}
    for view, path in views.items() if said else ():
        key = keys.setdefault(path, b"") or key_of(path, _VIEW_KEY)
        keys[path] = key
        found[view] = {name: commitment(key, value) for name, value in said.items()}
    return found


def write_meaning(meaning: Mapping[str, Json], rows: Path, folder: Path) -> Path:
    """The file; a salt made of the rows keeps its digest, which the entry names, from being guessed."""
    made = folder / f"{MEANING}.json"
    made.write_bytes(canonical({"version": 1, "salt": key_of(rows, _FILE_SALT).hex(), **meaning}) + b"\n")
    return made
