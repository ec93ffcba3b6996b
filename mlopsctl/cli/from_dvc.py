"""``import --from-dvc``: what DVC has made already counts as the result of the steps that its stages became."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TypeAlias

from ..adapters.dvcfile import cache_path, cache_root, find_dvc, folder_object, parse_folder_object, parse_pin
from ..adapters.origin import BY_DVC
from ..adapters.statcache import hash_once
from ..adapters.store import copy_hashed
from ..adopt.build import propose
from ..adopt.dvc import read_dvc, read_stages
from ..adopt.lock import Result, read_lock, results
from ..adopt.proposal import NotUnderstood, Proposal, inside
from ..adopt.text import manifest_text, printable
from ..adopt.visible import Visible
from ..apply import Walk
from ..canonical import digest_of
from ..errors import MlopsError, ProviderError
from ..manifest import load_manifest
from ..provider import Tree, result_fields
from ..registry import provider
from ..types import Address, Json, Resource, Selection
from . import console
from .adoption import adopt_result, standing
from .plan import plan_project
from .progress import Printer
from .project import Project
from .workshop import ProjectWorkshop

_MOST_NAMED = 20
_Places: TypeAlias = Mapping[str, Mapping[str, str]]
"""Name of an entry -> where each of its outputs lies below its folder."""


class _Refused(Exception):
    """Why a result of DVC is not taken over."""


def take_over(project: Project) -> int:
    """Takes over every result of DVC that its stage would make from today's files; returns how many there were.

    Datasets are pinned first, because results are made from them. Nothing of the repository is run. Whoever calls holds
    the lock of the clone. Raises MlopsError where there is no dvc.lock to go by.
    """
    tree = Visible(project.tree)
    try:
        locked = read_lock(tree)
    except NotUnderstood as error:
        raise MlopsError(
            f"there is nothing of DVC to take over: {error}",
            hint="dvc repro, or dvc pull, then try again",
            code="MLO1084",
        ) from None
    stages, unknown, _ = read_stages(tree)
    if not stages:
        raise MlopsError(
            "there is nothing of DVC to take over: "
            + (unknown[0] if unknown else "there is no stage in a dvc.yaml here"),
            hint="run it in the folder of dvc.yaml, which is the one of mlops.yaml too",
            code="MLO1084",
        )
    for text in unknown:
        console.note(printable(text))
    proposal = propose(read_dvc(tree), tree)
    files = _DvcFiles(project.root, tree)
    proposed = _proposed(proposal)
    declared = {want.address: want for want in project.resources}
    found = {
        Address("train", item.taken.name): item for item in results(stages, proposal.taken, locked, tree, files.md5s)
    }
    wanted: dict[Address, Result] = {}
    for want in project.resources:
        item = found.get(want.address)
        if item is None:
            continue
        why = item.why_not or _other(want, proposed.get(want.address))
        if why:
            console.out(f"{want.address}: not taken over: {why}")
        else:
            wanted[want.address] = item
    for address in (address for address in found if address not in declared):
        console.out(f"{address}: the manifest has no such entry any more")
    _pin_data(project, [declared[address] for address in wanted])
    places = {item.name: item.places for item in proposal.taken}
    taken = 0
    for address, item in wanted.items():
        try:
            taken += _take(project, declared[address], item, places, files)
        except (_Refused, ProviderError) as error:
            console.out(f"{address}: not taken over: {getattr(error, 'message', error)}")
    return taken


def _proposed(proposal: Proposal) -> Mapping[Address, Resource]:
    """The steps as init would propose them now: only what still does what the stage did can be its result."""
    if not proposal.taken:
        return {}
    manifest = load_manifest(manifest_text("dvc", proposal, ()).encode())
    return {want.address: want for want in manifest.resources}


def _other(want: Resource, proposed: Resource | None) -> str:
    if proposed is None:
        return "it became no entry"
    same = (want.provider, result_fields(want.spec), want.needs) == (
        proposed.provider, result_fields(proposed.spec), proposed.needs,
    )  # fmt: skip
    return "" if same else "its entry says something else now than was proposed from dvc.yaml"


def _pin_data(project: Project, wants: Sequence[Resource]) -> None:
    """Pins the datasets behind the results, as apply would."""
    addresses = {str(need.address) for want in wants for need in want.needs if need.address.section == "data"}
    if not addresses:
        return
    plan = plan_project(project, Selection(tuple(sorted(addresses))))
    printer = Printer("text")
    failed: MlopsError | None = None
    with (
        closing(printer),
        ProjectWorkshop(project, printer.tell) as workshop,
        closing(Walk(plan, project.resources, workshop, jobs=1)) as walk,
    ):
        for event in walk:
            printer.event(event)
            failed = failed or event.error
    if failed is not None:
        raise failed


def _take(project: Project, want: Resource, item: Result, places: _Places, files: _DvcFiles) -> bool:
    """Records one result; whether there was something to record. Raises _Refused and MlopsError."""
    there = standing(project, want)
    if there is not None:
        console.out(f"{want.address}: has a result already: entry {there.entry[:12]}")
        return False
    with tempfile.TemporaryDirectory(prefix="mlopsctl-") as place:
        for path, md5 in item.bases.items():
            _check_base(project, item, path, md5, places, Path(place) / "bases")
        folder = Path(place) / "model"
        for path, md5 in item.outs.items():
            files.fetch(path, md5, folder / item.taken.places[path])
        trusted = sorted(set(provider(want.provider).sources(want, project.tree)) - set(_covered(item, project.tree)))
        observed = adopt_result(project, want, {"model": folder}, _origin(item, trusted))
    also = f"; DVC does not compare {', '.join(trusted[:5])}" if trusted else ""
    console.out(f"{want.address}: taken over from DVC as entry {observed.entry[:12]}{also}")
    return True


def _origin(item: Result, trusted: Sequence[str]) -> dict[str, Json]:
    """What the entry says about where its bytes come from."""
    outs: Json = dict(item.outs) if len(item.outs) <= _MOST_NAMED else {"digest": digest_of(dict(item.outs))}
    found: dict[str, Json] = {"how": BY_DVC, "stage": item.taken.stage.name, "md5": outs}
    if trusted:
        found["not_compared"] = list(trusted[:_MOST_NAMED])
    return found


def _covered(item: Result, tree: Tree) -> list[str]:
    """The files whose content DVC compared: its dependencies, and the files in those that are folders."""
    return [name for name in tree.files() if any(inside(name, path) for path in item.seen)]


def _check_base(project: Project, item: Result, path: str, md5: str, places: _Places, scratch: Path) -> None:
    """The other step's result here must be what DVC's stage was given. Raises _Refused."""
    name = item.taken.bases[path]
    want = project.resource(f"train.{name}")
    seen = standing(project, want)
    if seen is None:
        raise _Refused(f"it needs {want.address}, which was not taken over")
    said = (seen.facts.get("origin") or {}).get("md5") or {}
    if said.get(path) == md5:
        return
    folder = project.store.checkout(seen.outputs["model"], scratch / name)
    if md5 not in _md5s(folder / places[name][path], ()):
        raise _Refused(f"it was made from another {path} than {want.address} has here")


class _DvcFiles:
    """Files as DVC names them: by md5, in its cache or in the working tree."""

    def __init__(self, root: Path, tree: Tree) -> None:
        self._root, self._tree = root, tree
        dvc = find_dvc(root)
        self._cache = cache_root(dvc) if dvc else root / ".dvc" / "cache"

    @cache  # noqa: B019 - lives as long as one command
    def md5s(self, path: str) -> frozenset[str]:
        """The md5 values that DVC may have given what lies at a path; a ``.dvc`` file says it for its data."""
        pin = path + ".dvc"
        if self._tree.file(pin) is not None:
            return frozenset((parse_pin(self._tree.read(pin), pin).md5,))
        below = {name.removeprefix(path + "/") for name in self._tree.files() if name.startswith(path + "/")}
        return frozenset(_md5s(self._root / path, below))

    def fetch(self, path: str, md5: str, place: Path) -> None:
        """Copies one output, whose md5 must be the one of the lock file. Raises _Refused where it is nowhere."""
        if md5.endswith(".dir"):
            listing = self._listing(path, md5)
            for name, one in listing:
                self._copy(f"{path}/{name}", one, place / name)
            if not listing:
                place.mkdir(parents=True, exist_ok=True)
            return
        self._copy(path, md5, place)

    def _listing(self, path: str, md5: str) -> list[tuple[str, str]]:
        kept = cache_path(self._cache, md5)
        if kept.is_file():
            text = kept.read_bytes()
            if _sum(text) + ".dir" == md5:
                return parse_folder_object(text, path)
        pairs = _pairs(self._root / path)
        if _sum(folder_object(pairs)) + ".dir" != md5:
            raise _Refused(f"{path} is neither in DVC's cache nor as it was in the working tree: dvc pull {path}")
        return pairs

    def _copy(self, path: str, md5: str, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        for source in (cache_path(self._cache, md5), self._root / path):
            if source.is_file() and not (source == self._root / path and source.is_symlink()):
                if copy_hashed(source, place).md5 == md5:
                    return
                place.unlink()
        raise _Refused(f"{path} is neither in DVC's cache nor as it was in the working tree: dvc pull {path}")


def _sum(text: bytes) -> str:
    import hashlib

    return hashlib.md5(text, usedforsecurity=False).hexdigest()


def _pairs(folder: Path) -> list[tuple[str, str]]:
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.is_file():
                found.append((path.relative_to(folder).as_posix(), hash_once(path).md5))
    return found


def _md5s(place: Path, seen: Collection[str]) -> set[str]:
    """The md5 of a file; of a folder with all its files, and with those alone that git sees."""
    if place.is_file():
        return {hash_once(place).md5}
    if not place.is_dir():
        return set()
    pairs = _pairs(place)
    return {_sum(folder_object(some)) + ".dir" for some in (pairs, [pair for pair in pairs if pair[0] in seen])}
