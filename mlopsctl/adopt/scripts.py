"""Bare scripts -> stages, by what their text says that they read and write. Guesses, and each one says so."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence

from ..manifest.yaml_positions import MAX_BYTES
from ..provider import Tree
from ..providers.train.code import imported
from ..types import Json
from .command import doubled
from .flow import Flow, Option, flow_of
from .proposal import Source, Stage

FILL_IN = "FILL-IN"
_ASIDE = ("test", "tests", "docs", "doc", "examples", "notebooks")
_TOOLS = frozenset(("setup.py", "conftest.py", "noxfile.py", "fabfile.py", "tasks.py", "manage.py", "dodo.py"))


def read_scripts(tree: Tree, taken: Collection[str]) -> Source:
    """A stage for each script that reads data or writes results; ``taken`` are files that other stages run or import."""
    files = tree.files()
    have = frozenset(files)
    candidates = [path for path in files if path.endswith(".py") and path not in taken and not _aside(path)]
    flows = {path: flow for path in candidates if (flow := script_flow(tree, path)) and flow.runs}
    # A module that another script imports is started by that one.
    used = {path: imported([path], [posixpath.dirname(path), "", "src"], tree, have) for path in flows}
    modules = {name for path, names in used.items() for name in names if name != path}
    stages, unknown, read = [], [], []
    for path, flow in flows.items():
        if path in modules or not (flow.writes or flow.own):
            continue
        stages.append(_stage(path, flow))
        read.append(path)
        if flow.computed:
            unknown.append(
                f"{path}: the names of {flow.computed} file(s) that it opens are computed and were not found"
            )
    return Source(tuple(stages), unknown=tuple(unknown), read=tuple(read))


def _aside(path: str) -> bool:
    name = posixpath.basename(path)
    folders = path.split("/")[:-1]
    return (
        name in _TOOLS
        or name.startswith(("test_", "_", "."))
        or any(part in _ASIDE or part.startswith(".") for part in folders)
    )


def script_flow(tree: Tree, path: str) -> Flow | None:
    """What a script does; None for one that is not there, is no Python, or is too large for one that people wrote."""
    if tree.file(path) is None:
        return None
    body = tree.read(path, MAX_BYTES + 1)
    return flow_of(body.decode("utf-8", "replace")) if len(body) <= MAX_BYTES else None


def _stage(path: str, flow: Flow) -> Stage:
    words, params, why = options_of(flow.options)
    origin = f"the script {path}"
    reads, writes, more = files_of(flow)
    return Stage(
        posixpath.splitext(posixpath.basename(path))[0],
        origin,
        (("python", doubled(path), *words),),
        tuple(reads),
        tuple(writes),
        params=params,
        why=(*more, *why),
        guessed=True,
    )


def files_of(flow: Flow) -> tuple[list[str], list[str], list[str]]:
    """(what it depends on, what it leaves behind, the guesses in words)."""
    reads = [path for path in flow.reads if not path.startswith(("/", "..")) and "://" not in path]
    foreign = [path for path in flow.reads if path not in reads]
    writes = [] if flow.own else [path for path in flow.writes if not path.startswith(("/", ".."))]
    why = []
    if reads or writes:
        read = f"reads {', '.join(reads)}" if reads else "reads no file"
        wrote = (
            f"writes {', '.join(writes)}" if writes else "writes to $MLOPS_OUT" if flow.own else "writes nothing new"
        )
        why.append(f"Guessed from its text: it {read} and {wrote}.")
    if foreign:
        why.append(f"It also reads {', '.join(foreign[:3])}, which lies outside of the repository.")
    return reads, writes, why


def options_of(options: Sequence[Option]) -> tuple[list[str], dict[str, Json], list[str]]:
    """The words that hand its options to a script, ``params:`` for them, and what has to be filled in."""
    words: list[str] = []
    params: dict[str, Json] = {}
    missing = []
    for option in options:
        if option.default is None and not option.required:
            continue
        value = option.default
        if isinstance(value, bool):
            continue
        if value is None:
            value = FILL_IN
            missing.append(option.name)
        params[option.name] = value
        placeholder = f"{{params.{option.name}}}"
        words += [doubled(option.flag), placeholder] if option.flag.startswith("-") else [placeholder]
    why = [f"It has no default for {', '.join(missing)}: write a value in the place of {FILL_IN}."] if missing else []
    return words, params, why
