"""``dvc.yaml`` and ``.dvc`` files -> stages. Templates are filled in from the parameter files; nothing else is computed."""

from __future__ import annotations

import itertools
import math
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import ProviderError
from ..manifest.yaml_positions import MAX_BYTES
from ..provider import Tree
from ..providers.train.shell import commands_in
from .command import MARK, doubled, in_script, read_line
from .files import read_node, read_values
from .proposal import NeedsShell, NotUnderstood, Source, Stage, in_project, relative
from .templating import as_words, flags, resolve, substitute

PIPELINE, LOCK, PARAMS = "dvc.yaml", "dvc.lock", "params.yaml"
_KNOWN = frozenset((
    "cmd", "wdir", "deps", "outs", "metrics", "plots", "params", "vars", "frozen", "always_changed", "desc", "meta",
))  # fmt: skip
_SECTIONS = frozenset(("stages", "vars", "params", "metrics", "plots"))
"""What dvc.yaml may hold beside stages that is said otherwise here, or is about showing figures."""
_PLAIN_VALUE = re.compile(r"[\w./:@%+=,-]+")
MOST = 1000
"""Stages that one definition may stand for."""


_ENTERS = re.compile(r"\s*cd\s+([\w.][\w./-]*)\s*(?:&&|\n)\s*(?!.*\bcd\b)(?=\S)", re.DOTALL)
"""A command that goes to a folder first, and to no other one after that."""


class DvcStage(NamedTuple):
    """A stage as dvc.lock knows it, beside what it becomes."""

    name: str
    cmd: str | list[str]
    stage: Stage
    params: Mapping[str, tuple[str, ...] | None]
    """File -> the keys that the stage depends on; None for the whole file."""
    wdir: str = ""
    """The folder that dvc.lock names its files from."""


def read_dvc(tree: Tree) -> Source:
    """Every stage of dvc.yaml that can be run without DVC, and every dataset that a ``.dvc`` file pins."""
    stages, unknown, lost = read_stages(tree)
    data, broken = _pins(tree)
    others = [path for path in tree.files() if path.endswith("/" + PIPELINE)]
    unknown += [
        f"{path}: a pipeline of another folder: mlopsctl init --from-existing {posixpath.dirname(path)}"
        for path in others
    ]
    read = [name for name in (PIPELINE, PARAMS) if tree.file(name) is not None]
    return Source(
        tuple(found.stage for found in stages),
        tuple(data),
        (*unknown, *broken),
        read=(*read, *(f"{path}.dvc" for path in data)),
        lost=lost,
    )


def read_stages(tree: Tree) -> tuple[list[DvcStage], list[str], dict[str, str]]:
    """The stages that can be expressed, in order, a sentence for each thing that cannot, and whose outputs those are."""
    if tree.file(PIPELINE) is None:
        return [], [], {}
    unknown: list[str] = []
    lost: dict[str, str] = {}
    try:
        root = read_node(tree, PIPELINE)
        document = root.plain()
        if not isinstance(document, dict) or not isinstance(document.get("stages", {}), dict):
            raise NotUnderstood(f"{PIPELINE} has no stages")
        values = _values(tree, document.get("vars"), "")
    except NotUnderstood as error:
        return [], [str(error)], {}
    unknown += [
        f"{PIPELINE}: its '{key}' has no counterpart here" for key in sorted(set(map(str, document)) - _SECTIONS)
    ]
    found = []
    block = root.get("stages")
    for name, definition in (document.get("stages") or {}).items():
        line = block.keys[name][0] if block else 1
        origin = f"stage '{name}' of {PIPELINE}:{line}"
        try:
            for instance, own, local in _instances(name, definition, values):
                found.append(_stage(instance, own, local, origin.replace(f"'{name}'", f"'{instance}'"), tree))
        except NotUnderstood as error:
            unknown.append(f"{origin}: {error}")
            lost |= dict.fromkeys(_names_of(definition), name)
    return found, unknown, lost


def _names_of(definition: Any) -> Iterator[str]:
    """The outputs of a stage that is not taken over, as far as they stand there in plain words."""
    items = definition.get("outs") if isinstance(definition, Mapping) else None
    for item in items if isinstance(items, list) else ():
        for path in item if isinstance(item, Mapping) else (item,):
            yield in_project(str(path), str(definition.get("wdir") or ""))


def _pins(tree: Tree) -> tuple[list[str], list[str]]:
    """The paths that ``.dvc`` files pin, and what is wrong with the others."""
    from ..adapters.dvcfile import parse_pin

    data, broken = [], []
    for path in tree.files():
        if not path.endswith(".dvc") or tree.file(path) is None:
            continue
        try:
            parse_pin(tree.read(path, MAX_BYTES), path)
        except ProviderError as error:
            broken.append(f"{error.message}: {error.hint}")
            continue
        data.append(path.removesuffix(".dvc"))
    return data, broken


def _values(tree: Tree, given: Any, folder: str) -> dict[str, Any]:
    """What ``vars:`` and the default params.yaml hold. Raises NotUnderstood."""
    default = posixpath.join(folder, PARAMS)
    values = dict(read_values(tree, default)) if tree.file(default) is not None else {}
    if given is not None and not isinstance(given, list):
        raise NotUnderstood("'vars' is no list")
    for item in given or []:
        if isinstance(item, Mapping):
            values = _merged(values, item)
            continue
        values = _merged(values, _loaded(tree, item, folder))
    return values


def _loaded(tree: Tree, item: Any, folder: str) -> dict[str, Any]:
    """The values of one file of ``vars:``, or those of its keys that it names. Raises NotUnderstood."""
    path, _, keys = str(item).partition(":")
    loaded = read_values(tree, relative(path, folder))
    return {key: loaded[key] for key in keys.split(",") if key in loaded} if keys else dict(loaded)


def _folder(wdir: Any) -> str:
    """``wdir:`` as a folder of the project, "" for its own. Raises NotUnderstood for one outside of it."""
    if not isinstance(wdir, str):
        raise NotUnderstood("its 'wdir' is no name of a folder")
    found = posixpath.normpath(wdir)
    if found.split("/")[0] in ("..", ".git"):
        raise NotUnderstood(f"the folder {wdir} does not lie in the project's folder")
    return "" if found == "." else relative(wdir)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(old)
    for key, value in new.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found


def _instances(name: str, definition: Any, values: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(name, definition, values) of each stage that one definition stands for: of ``foreach`` and ``matrix`` several."""
    if not isinstance(definition, Mapping):
        raise NotUnderstood("it is no mapping of keys")
    if "foreach" in definition:
        items = resolve(definition["foreach"], values)
        named = isinstance(items, Mapping)
        if isinstance(items, list):
            simple = not any(isinstance(item, list | Mapping) for item in items)
            items = {as_words(item) if simple else str(index): item for index, item in enumerate(items)}
        if not isinstance(items, Mapping):
            raise NotUnderstood("its 'foreach' is neither a list nor a mapping")
        _refuse_many(len(items))
        for key, item in items.items():
            yield f"{name}@{key}", definition.get("do"), {**values, "item": item, **({"key": key} if named else {})}
        return
    if "matrix" in definition:
        axes = resolve(definition["matrix"], values)
        if not isinstance(axes, Mapping) or not all(isinstance(axis, list) for axis in axes.values()):
            raise NotUnderstood("its 'matrix' holds something that is no list")
        _refuse_many(math.prod(map(len, axes.values())))
        rest = {key: value for key, value in definition.items() if key != "matrix"}
        for combination in itertools.product(*(enumerate(axis) for axis in axes.values())):
            item = {axis: value for axis, (_, value) in zip(axes, combination, strict=True)}
            words = [
                f"{axis}{index}" if isinstance(value, list | Mapping) else as_words(value)
                for axis, (index, value) in zip(axes, combination, strict=True)
            ]
            key = "-".join(words)
            yield f"{name}@{key}", rest, {**values, "item": item, "key": key}
        return
    yield name, definition, values


def _refuse_many(count: int) -> None:
    if count > MOST:
        raise NotUnderstood(f"it stands for {count:,} stages, and the most are {MOST:,}")


def _stage(name: str, definition: Any, values: dict[str, Any], origin: str, tree: Tree) -> DvcStage:
    if not isinstance(definition, Mapping) or "cmd" not in definition:
        raise NotUnderstood("it has no command")
    strange = sorted(set(definition) - _KNOWN)
    if strange:
        raise NotUnderstood(f"its '{strange[0]}' has no counterpart here")
    wdir = _folder(resolve(definition.get("wdir") or ".", values))
    own = _items(definition, "vars", None)
    local = [item for item in own if isinstance(item, Mapping)]
    files = [item for item in own if not isinstance(item, Mapping)]
    for item in [*files, *local]:
        values = _merged(values, item if isinstance(item, Mapping) else _loaded(tree, item, wdir))
    cmd, cwd = _entered(definition["cmd"], wdir)
    script: tuple[str, ...] = ()
    shell: list[str] = []
    try:
        commands, env, params = _commands(cmd, values)
    except NeedsShell as error:
        commands, script, params = _script(cmd, values)
        env = {}
        shell.append(
            f"Its command needs a shell ('{error.sign}'): sh reads it here, where DVC takes the one of $SHELL."
        )
    outs, why = _outputs(_items(definition, "outs", values), wdir)
    figures = [path for key in ("metrics", "plots") for path in _outputs(_items(definition, key, values), wdir)[0]]
    settings, watched = _settings(_items(definition, "params", values), wdir)
    if settings:
        why.append(f"All of {', '.join(settings)} counts as its code, where DVC looks at single values.")
    why += _notes(definition)
    stage = Stage(
        name,
        origin,
        commands,
        tuple(relative(str(dep), wdir) for dep in _items(definition, "deps", values)),
        tuple(outs),
        tuple(figures),
        params,
        tuple(settings),
        env,
        why=(*shell, *why),
        script=script,
        cwd=cwd,
    )
    cmd = definition["cmd"]
    written = [_written(line, values) for line in cmd] if isinstance(cmd, list) else _written(cmd, values)
    return DvcStage(name, written, stage, watched, wdir)


def _entered(cmd: Any, wdir: str) -> tuple[Any, str]:
    """The command without a ``cd`` that it begins with, and the folder that it then runs in. Raises NotUnderstood."""
    found = _ENTERS.match(cmd) if isinstance(cmd, str) else None
    return (cmd[found.end() :], _folder(posixpath.join(wdir, found[1]))) if found else (cmd, wdir)


def _items(definition: Mapping[str, Any], key: str, values: Mapping[str, Any] | None) -> list[Any]:
    """The items of a list, each a text or a mapping, with references replaced. Raises NotUnderstood for anything else."""
    found = definition.get(key) or []
    found = found if values is None else resolve(found, values)
    if not isinstance(found, list) or not all(isinstance(item, str | Mapping) for item in found):
        raise NotUnderstood(f"its '{key}' is no list of names")
    return found


def _written(cmd: Any, values: dict[str, Any]) -> str:
    """The command as DVC writes it into its lock file."""
    return substitute(str(cmd), values, lambda _, value: flags(value))


def _commands(cmd: Any, values: dict[str, Any]) -> tuple[tuple[tuple[str, ...], ...], dict[str, str], dict[str, Any]]:
    """The words of the commands; a setting among them becomes ``{params.NAME}`` where it is one plain word."""
    params: dict[str, Any] = {}
    found, env = [], {}
    for text in _marked(cmd, values, params):
        line = read_line(text)
        for key, value in line.env.items():
            env[key] = re.sub(f"{MARK}(.*?){MARK}", lambda match: as_words(params[match[1]]), value)
        found += [tuple(_placeholders(word) for word in words) for words in line.commands]
    return tuple(found), env, _used(params, (word for words in found for word in words))


def _script(cmd: Any, values: dict[str, Any]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...], dict[str, Any]]:
    """The commands for a shell: the words among which code is looked for, and the texts."""
    params: dict[str, Any] = {}
    texts = [in_script(text, lambda name: as_words(params[name])) for text in _marked(cmd, values, params)]
    return tuple(map(tuple, commands_in(texts))), tuple(texts), _used(params, texts)


def _used(params: Mapping[str, Any], texts: Iterable[str]) -> dict[str, Any]:
    used = {name for text in texts for name in re.findall(r"\{params\.([^}]*)\}", text)}
    return {name: value for name, value in params.items() if name in used}


def _marked(cmd: Any, values: dict[str, Any], params: dict[str, Any]) -> list[str]:
    """The lines with their references replaced: by a mark where the setting goes to ``params``, else by its words."""

    def write(reference: str, value: Any) -> str:
        loop = reference.partition(".")[0].partition("[")[0] in ("item", "key")
        # TOML has dates, and numbers that are none: they are written where they stand.
        plain = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
        if loop or not plain or not _PLAIN_VALUE.fullmatch(as_words(value)):
            return flags(value)
        name = re.sub(r"\W+", "_", reference).strip("_")
        if params.setdefault(name, value) != value:
            return flags(value)
        return f"{MARK}{name}{MARK}"

    return [substitute(str(text), values, write) for text in (cmd if isinstance(cmd, list) else [cmd])]


def _placeholders(word: str) -> str:
    return re.sub(f"{MARK}(.*?){MARK}", r"{params.\1}", doubled(word))


def _outputs(items: Any, wdir: str) -> tuple[list[str], list[str]]:
    """The paths of ``outs:``, and what of their settings has no counterpart."""
    paths, why = [], []
    for item in items:
        for path, settings in item.items() if isinstance(item, Mapping) else [(item, None)]:
            paths.append(relative(str(path), wdir))
            if isinstance(settings, Mapping) and settings.get("persist"):
                why.append(f"In DVC it finds its last {path} when it runs; here it begins with an empty folder.")
    return paths, why


def _settings(items: Any, wdir: str) -> tuple[list[str], dict[str, tuple[str, ...] | None]]:
    """The parameter files of a stage, and which of their values DVC looks at."""
    watched: dict[str, tuple[str, ...] | None] = {}
    for item in items:
        for path, keys in item.items() if isinstance(item, Mapping) else [(PARAMS, [item])]:
            place = relative(str(path), wdir)
            if keys is not None and not isinstance(keys, list):
                raise NotUnderstood("its 'params' is no list of names")
            before = watched.get(place, ())
            whole = not keys or before is None
            watched[place] = None if whole else (*(before or ()), *(str(key) for key in keys or ()))
    return list(watched), watched


def _notes(definition: Mapping[str, Any]) -> Iterator[str]:
    if definition.get("frozen"):
        yield "DVC has it frozen; here it runs when something that it is made from changes."
    if definition.get("always_changed"):
        yield "In DVC it runs every time; here only when something that it is made from changes."
