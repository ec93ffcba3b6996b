"""``MLproject`` files of MLflow -> a stage for each entry point."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Any

from ..provider import Tree
from ..providers.train.shell import commands_in
from ..types import Json
from .command import MARK, Line, doubled, in_script, read_line
from .files import read_node
from .proposal import NeedsShell, NotUnderstood, Source, Stage, relative
from .scripts import FILL_IN, files_of, script_flow

FILE = "MLproject"


def read_mlproject(tree: Tree) -> Source:
    """The entry points of the MLproject file in the project's folder."""
    if tree.file(FILE) is None:
        return Source()
    try:
        root = read_node(tree, FILE)
        document = root.plain()
        points = document.get("entry_points") if isinstance(document, dict) else None
        if not isinstance(points, dict):
            raise NotUnderstood(f"{FILE} has no entry_points")
    except NotUnderstood as error:
        return Source(unknown=(str(error),), read=(FILE,))
    lock, unknown = _environment(document, tree)
    block = root.get("entry_points")
    stages = []
    for name, point in points.items():
        origin = f"entry point '{name}' of {FILE}:{block.keys[name][0] if block else 1}"
        try:
            stages.append(_stage(str(name), point, origin, lock, tree))
        except NotUnderstood as error:
            unknown.append(f"{origin}: {error}")
    return Source(tuple(stages), unknown=tuple(unknown), read=(FILE,))


def _environment(document: Mapping[str, Any], tree: Tree) -> tuple[str, list[str]]:
    """The file that says which packages are used, and what cannot be taken over of the environment."""
    for key in ("python_env", "conda_env"):
        path = document.get(key)
        if isinstance(path, str) and tree.file(posixpath.normpath(path)) is not None:
            return posixpath.normpath(path), []
    if document.get("docker_env"):
        return "", [f"{FILE}: docker_env: no container runs a training step yet"]
    return "", []


def _stage(name: str, point: Any, origin: str, lock: str, tree: Tree) -> Stage:
    if not isinstance(point, Mapping) or not isinstance(point.get("command"), str):
        raise NotUnderstood("it has no command")
    declared = point.get("parameters") or {}
    if not isinstance(declared, Mapping):
        raise NotUnderstood("its parameters are no mapping")
    params, missing, deps = _parameters(declared, tree)
    marked = re.sub(
        r"\{(\w+)\}", lambda match: f"{MARK}{match[1]}{MARK}" if match[1] in params else match[0], point["command"]
    )
    script: tuple[str, ...] = ()
    why = []
    try:
        line = read_line(marked)
    except NeedsShell as error:
        script = (in_script(marked, lambda name: str(params[name])),)
        line = Line(tuple(map(tuple, commands_in(marked))), {})
        why.append(f"Its command needs a shell ('{error.sign}'): sh reads it here, where MLflow takes bash.")
    commands = tuple(tuple(_placeholders(word) for word in words) for words in line.commands)
    used = set(re.findall(f"{MARK}(.*?){MARK}", marked))
    if lock:
        why.append(f"{lock} counts as its lock file; mlopsctl makes no environment, and takes .venv or $VIRTUAL_ENV.")
    if missing := [item for item in missing if item in used]:
        why.append(f"MLproject has no default for {', '.join(missing)}: write a value in the place of {FILL_IN}.")
    outs, reads, more = _files(line.commands, tree)
    return Stage(
        name,
        origin,
        commands,
        tuple(dict.fromkeys([*(path for key, path in deps.items() if key in used), *reads])),
        tuple(outs),
        params={key: value for key, value in params.items() if key in used},
        env={key: _placeholders(value) for key, value in line.env.items()},
        lock=lock,
        why=(*more, *why),
        guessed=True,
        script=script,
    )


def _placeholders(word: str) -> str:
    return re.sub(f"{MARK}(.*?){MARK}", r"{params.\1}", doubled(word))


def _parameters(declared: Mapping[str, Any], tree: Tree) -> tuple[dict[str, Json], list[str], dict[str, str]]:
    """The values of the parameters, those without one, and those that are paths of the repository."""
    params: dict[str, Json] = {}
    missing, deps = [], {}
    for name, said in declared.items():
        value = said.get("default") if isinstance(said, Mapping) else None
        if value is None or isinstance(value, list | Mapping):
            value = FILL_IN
            missing.append(str(name))
        elif isinstance(value, str):
            try:
                path = relative(value)
            except NotUnderstood:
                path = ""
            if path and (tree.file(path) is not None or tree.file(path + ".dvc") is not None):
                deps[str(name)] = path
        params[str(name)] = value
    return params, missing, deps


def _files(commands: tuple[tuple[str, ...], ...], tree: Tree) -> tuple[list[str], list[str], list[str]]:
    """What the scripts among the words read and write, by their text."""
    outs: list[str] = []
    reads: list[str] = []
    why: list[str] = []
    for word in (word for words in commands for word in words if word.endswith(".py") and tree.file(word) is not None):
        flow = script_flow(tree, word)
        if flow:
            read, wrote, more = files_of(flow)
            reads, outs, why = [*reads, *read], [*outs, *wrote], [*why, *more]
    return outs, reads, why
