"""Compares a dataset's bytes with the digest that the trail attests, wherever copies of them lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...adapters.dvcfile import cache_path, cache_root, find_dvc, parse_folder_object, parse_pin
from ...adapters.store import dirhash, hash_file, hash_path, listing_of
from ...errors import EvidenceError
from ...provider import MEANING, Store, Tree
from ...types import Digest, TreeFile


@dataclass(frozen=True)
class Copy:
    """One place where the bytes lie, and the digest they have there (None where they are gone)."""

    place: str
    found: Digest | None
    wanted: Digest

    @property
    def state(self) -> str:
        """``same``, ``differs`` or ``absent``."""
        return "absent" if self.found is None else "same" if self.found == self.wanted else "differs"


def copies(
    path: str, sources: Mapping[str, TreeFile], outputs: Mapping[str, Digest], root: Path, tree: Tree, store: Store
) -> Iterator[Copy]:
    """Every copy of a dataset on this machine, re-hashed: the working file, DVC's cache, the outputs in the store."""
    whole = outputs["all"]
    working = root / path
    pinned = path + ".dvc" in sources
    if not working.is_symlink() and (working.is_file() or working.is_dir()):
        yield Copy(path, _hash_working(working, path, sources, pinned), whole)
    if pinned:
        yield Copy(f"{path} in DVC's cache", _cached(path + ".dvc", root, tree), whole)
    for name, digest in outputs.items():
        if name.endswith(".sig"):
            continue
        what = "their meaning" if name == MEANING else f"view '{name}'"
        yield Copy(f"{what} in the store", _stored(digest, store), digest)


def _hash_working(working: Path, path: str, sources: Mapping[str, TreeFile], pinned: bool) -> Digest:
    if not working.is_dir() or pinned:
        return hash_path(working)
    # A folder tracked by git is what git tracks of it, whatever else lies there.
    names = [name for name in sources if (working / name[len(path) + 1 :]).is_file()]
    return dirhash(
        listing_of((name[len(path) + 1 :], hash_file(working / name[len(path) + 1 :])[7:]) for name in names)
    )


def at_hand(pin_name: str, root: Path, tree: Tree) -> bool:
    """Whether the working folder or DVC's cache has what a ``.dvc`` file pins; nothing is hashed."""
    if (root / pin_name.removesuffix(".dvc")).exists():
        return True
    pin, dvc = parse_pin(tree.read(pin_name), pin_name), find_dvc(root)
    if dvc is None:
        return False
    cache = cache_root(dvc)
    place = cache_path(cache, pin.md5)
    if not place.is_file() or not pin.folder:
        return place.is_file()
    return all(cache_path(cache, md5).is_file() for _, md5 in parse_folder_object(place.read_bytes(), str(place)))


def _cached(pin_name: str, root: Path, tree: Tree) -> Digest | None:
    pin, dvc = parse_pin(tree.read(pin_name), pin_name), find_dvc(root)
    if dvc is None:
        return None
    cache = cache_root(dvc)
    place = cache_path(cache, pin.md5)
    if not place.is_file():
        return None
    if not pin.folder:
        return hash_file(place)
    files = [(name, cache_path(cache, md5)) for name, md5 in parse_folder_object(place.read_bytes(), str(place))]
    if not all(file.is_file() for _, file in files):
        return None
    return dirhash(listing_of((name, hash_file(file)[7:]) for name, file in files))


def _stored(digest: Digest, store: Store) -> Digest | None:
    if not store.has(digest):
        return None
    try:
        if digest.startswith("sha256:"):
            return hash_file(store.path(digest))
        import tempfile

        with tempfile.TemporaryDirectory() as scratch:
            return hash_path(store.checkout(digest, Path(scratch) / "folder"))
    except EvidenceError:
        return Digest("other bytes")
