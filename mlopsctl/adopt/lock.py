"""dvc.lock against today's files: which results of DVC are what its stages would make from what lies here. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from ..provider import Tree
from .dvc import LOCK, DvcStage
from .files import read_node, read_values
from .proposal import NotUnderstood, Taken, in_project, inside

Md5s = Callable[[str], Collection[str]]
"""The md5 values that DVC may have given a file or folder as it lies here; none where it is not here."""

_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")


class Result(NamedTuple):
    """What DVC made in one stage, or why that is not what the stage would make now."""

    taken: Taken
    outs: Mapping[str, str]
    """Path -> DVC's md5, with ``.dir`` for a folder."""
    bases: Mapping[str, str]
    """The outputs of other stages that it was made from: path -> DVC's md5."""
    seen: tuple[str, ...] = ()
    """The code that DVC compared; other code of the step is taken on trust."""
    why_not: str = ""


def read_lock(tree: Tree) -> dict[str, Any]:
    """The stages of dvc.lock. Raises NotUnderstood."""
    found = read_node(tree, LOCK).plain()
    stages = found.get("stages") if isinstance(found, dict) and str(found.get("schema")) == "2.0" else None
    if not isinstance(stages, dict):
        raise NotUnderstood(f"{LOCK} is empty or of another DVC: dvc repro with DVC 3 writes it anew")
    return stages


def results(
    stages: Sequence[DvcStage], taken: Sequence[Taken], locked: Mapping[str, Any], tree: Tree, md5s: Md5s
) -> list[Result]:
    """A Result for each stage that became an entry."""
    by_name = {found.name: found for found in stages}
    return [_result(by_name[item.stage.name], item, locked, tree, md5s) for item in taken if item.stage.name in by_name]


def _result(found: DvcStage, taken: Taken, locked: Mapping[str, Any], tree: Tree, md5s: Md5s) -> Result:
    try:
        lock = locked.get(found.name)
        if not isinstance(lock, Mapping):
            raise NotUnderstood(f"{LOCK} does not have it: dvc repro {found.name}")
        if lock.get("cmd") != found.cmd:
            raise NotUnderstood("its command was changed since DVC ran it")
        cwd = found.wdir
        deps, outs = _hashes(lock.get("deps"), cwd), _hashes(lock.get("outs"), cwd)
        _check_deps(deps, taken, md5s)
        _check_params(_of_project(lock.get("params") or {}, cwd), found, tree)
        missing = sorted(set(taken.places) - set(outs))
        if missing:
            raise NotUnderstood(f"{LOCK} does not have its output {missing[0]}")
    except NotUnderstood as error:
        return Result(taken, {}, {}, why_not=str(error))
    bases = {path: deps[path] for path in deps if path in taken.bases}
    seen = tuple(path for path in deps if path not in taken.bases)
    return Result(taken, {path: outs[path] for path in taken.places}, bases, (*seen, *taken.stage.settings))


def _of_project(params: Any, cwd: str) -> Any:
    """The locked parameters by file; like all paths of a stage its files are named from its ``wdir:``."""
    return (
        {in_project(str(path), cwd): keys for path, keys in params.items()} if isinstance(params, Mapping) else params
    )


def _hashes(items: Any, cwd: str) -> dict[str, str]:
    found = {}
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, Mapping) or item.get("hash") != "md5" or not _MD5.fullmatch(str(item.get("md5"))):
            raise NotUnderstood(f"{LOCK} is of another DVC: dvc repro with DVC 3 writes it anew")
        found[in_project(str(item.get("path")), cwd)] = item["md5"]
    return found


def _check_deps(deps: Mapping[str, str], taken: Taken, md5s: Md5s) -> None:
    """Raises NotUnderstood where a dependency is not the one that DVC saw. Outputs of other stages are compared later."""
    if set(deps) != set(taken.stage.deps):
        other = sorted(set(deps) ^ set(taken.stage.deps))
        raise NotUnderstood(f"it has other dependencies than when DVC ran it: {', '.join(other[:3])}")
    for path, md5 in deps.items():
        if path in taken.bases:
            continue
        near = [base for base in taken.bases if inside(path, base) or inside(base, path)]
        if near:
            raise NotUnderstood(
                f"it depends on {path}, which is a part of {near[0]} or holds it, and DVC's sums tell nothing of that"
            )
        if md5 not in md5s(path):
            raise NotUnderstood(f"{path} is not what it was when DVC ran it")


def _check_params(locked: Any, found: DvcStage, tree: Tree) -> None:
    """Raises NotUnderstood where a watched value is another one now."""
    if not isinstance(locked, Mapping) or set(locked) != set(found.params):
        raise NotUnderstood("it depends on other parameter files than when DVC ran it")
    for path, keys in found.params.items():
        values, before = read_values(tree, path), locked[path]
        if not isinstance(before, Mapping):
            raise NotUnderstood(f"{LOCK} holds no values of {path}")
        now = values if keys is None else {key: _at(values, key) for key in keys}
        for key in sorted({*now, *before}):
            if key not in now or key not in before or now[key] != before[key]:
                raise NotUnderstood(f"'{key}' in {path} is not what it was when DVC ran it")


def _at(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise NotUnderstood(f"the parameter '{key}' is gone")
        found = found[part]
    return found
