"""What a diff says beyond fingerprints: lines of code, and rows, columns and files of data, where their bytes are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..adapters.git import CommitTree
from ..diff import DataChange, Difference, Lines
from ..errors import MlopsError
from ..plan import Assessment
from ..types import Address, Digest

if TYPE_CHECKING:
    from .project import Project

Side = tuple["Project", Mapping[Address, Assessment]]


def detailed(found: tuple[Difference, ...], old: Side, new: Side) -> tuple[Difference, ...]:
    """The differences with everything that the repository and the store here can add."""
    counts = _line_counts(old[0], new[0]) if any(one.files for one in found) else {}
    return tuple(_detail(one, old, new, counts) for one in found)


def _detail(one: Difference, old: Side, new: Side, counts: Mapping[str, Lines]) -> Difference:
    lines = {}
    for file in one.files:
        count = counts.get(file.field)
        if count is None and file.old is None:
            count = _whole(new[0], file.field)
        if count is not None:
            lines[file.field] = count
    if one.address.section != "data" or one.address not in old[1] or one.address not in new[1]:
        return replace(one, lines=lines)
    return replace(one, lines=lines, data=_data(one.address, old, new))


def _line_counts(old: Project, new: Project) -> dict[str, Lines]:
    """By the paths that the manifest's folder gives to files. Empty where git does not hold what it would compare."""
    if not isinstance(old.tree, CommitTree):
        return {}
    commit = new.tree.commit if isinstance(new.tree, CommitTree) else ""
    prefix = old.tree.prefix
    found = old.repo.line_counts(old.tree.commit, commit)
    return {name.removeprefix(prefix): Lines(*counts) for name, counts in found.items() if name.startswith(prefix)}


def _whole(project: Project, name: str) -> Lines | None:
    """A file that git does not know yet is all new."""
    try:
        body = project.tree.read(name)
    except (OSError, MlopsError):
        return None
    return None if b"\0" in body[:8000] else Lines(len(body.splitlines()), 0)


def _data(address: Address, old: Side, new: Side) -> DataChange | None:
    before, after = old[1][address], new[1][address]
    folders = [_listing(project, one) for project, one in ((old[0], before), (new[0], after))]
    if folders[0] is not None and folders[1] is not None:
        from ..adapters.tablediff import compare_listings

        added, removed, changed = compare_listings(folders[0], folders[1])
        return DataChange(files_added=added, files_removed=removed, files_changed=changed)
    tables = [_table(project, one) for project, one in ((old[0], before), (new[0], after))]
    kind = _kind(before)
    if tables[0] is None or tables[1] is None or kind != _kind(after):
        return None
    return _tables(tables[0], tables[1], kind, str(getattr(getattr(after.spec, "split", None), "key", "") or ""))


def _tables(old: Path, new: Path, kind: str, key: str) -> DataChange:
    from ..adapters.tablediff import LARGEST, compare_tables

    size = (old.stat().st_size, new.stat().st_size)
    if max(size) > LARGEST:
        return DataChange(size=size)
    try:
        found = compare_tables(old, new, kind, key)
    except MlopsError:
        # A table that cannot be read, here or at all, is the matter of plan and apply; it is not compared.
        found = None
    if found is None:
        return DataChange(size=size)
    return DataChange(
        found.rows_added, found.rows_removed, found.rows_changed, found.columns_added, found.columns_removed, size=size
    )


def _listing(project: Project, one: Assessment) -> dict[str, str] | None:
    """Digest of each file of a folder that the store holds."""
    digest = _kept(project, one)
    if digest is None or not digest.startswith("dirhash:"):
        return None
    return {name: value for value, name in ((pair[1], pair[0]) for pair in project.store.listing(digest))}


def _kind(one: Assessment) -> str:
    return {".csv": "csv", ".parquet": "parquet"}.get(Path(str(getattr(one.spec, "path", ""))).suffix, "")


def _table(project: Project, one: Assessment) -> Path | None:
    """A table as this side has it: in the tree where git tracks it, or else in the store."""
    path = str(getattr(one.spec, "path", ""))
    if not _kind(one):
        return None
    try:
        if path in one.sources:
            return project.tree.open_path(path)
        digest = _kept(project, one)
        return project.store.path(digest) if digest is not None else None
    except (OSError, MlopsError):
        return None


def _kept(project: Project, one: Assessment) -> Digest | None:
    digest = one.seen.outputs.get("all") if one.seen else None
    return digest if digest is not None and project.store.has(digest) else None
