"""Stages -> entries of a manifest, in the one grammar: a step gets a fresh folder, its inputs are copied into it and its
outputs out of it, so that the command itself stays as it is."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import MlopsError
from ..manifest.findings import holds_secret
from ..manifest.yaml_positions import MAX_BYTES
from ..provider import Tree
from ..providers.train.code import DATA_SUFFIXES, code_files
from ..types import Json
from .command import as_run, as_script, doubled
from .label import guess_label, header_of
from .proposal import Entry, NotUnderstood, Proposal, Source, Stage, Taken, from_folder, in_project, inside, name_for

MODEL = "model.onnx"


class _Parts(NamedTuple):
    """What a stage's dependencies turned out to be."""

    bases: dict[str, str]
    """Path -> the name of the stage that makes it."""
    data: list[str]
    code: list[str]


def propose(source: Source, tree: Tree) -> Proposal:
    """The entries for all stages that can be expressed; the others are named in ``unknown``, with those behind them."""
    unknown = list(source.unknown)
    needed = [dep for stage in source.stages for dep in stage.deps]
    figures = [line for stage in source.stages for line in _figures(stage)]
    stages = [_results_of(stage, needed, tree) for stage in source.stages]
    measuring = [stage for stage in stages if not stage.outs and stage.figures]
    unknown += [
        f"{stage.origin}: it measures ({', '.join(stage.figures)}); figures are measured here, by gates"
        for stage in measuring
    ]
    stages = [stage for stage in stages if stage not in measuring]
    makers: dict[str, str] = {}
    for stage in stages:
        for out in stage.outs:
            if makers.setdefault(out, stage.name) != stage.name:
                unknown.append(f"{stage.origin}: '{makers[out]}' writes {out} too, and is who others take it from")
    parts: dict[str, _Parts] = {}
    for stage in stages:
        try:
            parts[stage.name] = _parts(stage, makers, source.lost, tree)
        except NotUnderstood as error:
            unknown.append(f"{stage.origin}: {error}")
    stages = _without_cycles(_with_their_inputs(stages, parts, unknown), parts, unknown)
    data = _names(dict.fromkeys([path for stage in stages for path in parts[stage.name].data] + list(source.data)))
    return _entries(stages, parts, data, unknown, figures, tree)


def _entries(
    stages: Sequence[Stage],
    parts: Mapping[str, _Parts],
    data: Mapping[str, str],
    unknown: list[str],
    figures: Sequence[str],
    tree: Tree,
) -> Proposal:
    names = {stage: name for name, stage in _pairs([stage.name for stage in stages])}
    entries = [_dataset(path, name, stages, parts, tree) for path, name in data.items()]
    taken = []
    for stage in stages:
        found = parts[stage.name]
        places = _places(stage)
        bases = {path: names[maker] for path, maker in found.bases.items()}
        taken.append(Taken(names[stage.name], stage, places, bases))
    by_name = {item.name: item for item in taken}
    for item in taken:
        found = parts[item.stage.name]
        entries.append(_training(item, by_name, [data[path] for path in found.data], bool(data), found.code, tree))
    return Proposal(tuple(entries), tuple(taken), tuple(unknown), tuple(figures))


def _figures(stage: Stage) -> Iterator[str]:
    for path in stage.figures:
        yield f"{path} (by {stage.origin})"


def _results_of(stage: Stage, needed: Sequence[str], tree: Tree) -> Stage:
    """The stage with what it leaves behind: figures that another stage reads are results, small files in git are none.

    A file that git holds would count as code of the step that writes it; data and models never do.
    """

    def read(path: str) -> bool:
        return any(inside(dep, path) or inside(path, dep) for dep in needed)

    def in_git(path: str) -> bool:
        return tree.file(path) is not None and posixpath.splitext(path)[1].lower() not in DATA_SUFFIXES

    every = [*stage.outs, *stage.figures]
    outs = [path for path in every if read(path) or (path in stage.outs and not in_git(path))]
    left = [path for path in stage.outs if path not in outs]
    why = (
        [f"It also writes {', '.join(left)}, which git holds: left out, to be no reason to run again."]
        if left and outs
        else []
    )
    figures = [path for path in every if path not in outs]
    return stage._replace(outs=tuple(outs), figures=tuple(figures), why=(*stage.why, *why))


def _with_their_inputs(stages: Sequence[Stage], parts: Mapping[str, _Parts], unknown: list[str]) -> list[Stage]:
    """Those stages whose inputs can all be made; the others join ``unknown``."""
    kept = [stage for stage in stages if stage.name in parts]
    while True:
        names = {stage.name for stage in kept}
        lost = {
            stage.name: maker
            for stage in kept
            for maker in parts[stage.name].bases.values()
            if maker not in names
        }  # fmt: skip
        if not lost:
            return kept
        unknown += [f"{stage.origin}: it needs '{lost[stage.name]}'" for stage in kept if stage.name in lost]
        kept = [stage for stage in kept if stage.name not in lost]


def _without_cycles(stages: list[Stage], parts: Mapping[str, _Parts], unknown: list[str]) -> list[Stage]:
    """Those stages that can be made one after the other; guesses from texts may wait for each other."""
    ready: set[str] = set()
    waiting = list(stages)
    while True:
        free = [stage for stage in waiting if set(parts[stage.name].bases.values()) <= ready]
        if not free:
            break
        ready |= {stage.name for stage in free}
        waiting = [stage for stage in waiting if stage not in free]
    unknown += [f"{stage.origin}: it waits for what is made out of its own results" for stage in waiting]
    return [stage for stage in stages if stage.name in ready]


def _parts(stage: Stage, makers: Mapping[str, str], lost: Mapping[str, str], tree: Tree) -> _Parts:
    """Sorts the dependencies of a stage. Raises NotUnderstood for one that nobody has."""
    _refuse(stage, tree)
    found = _Parts({}, [], [])
    files = tree.files()
    for dep in dict.fromkeys(stage.deps):
        made = {
            out: maker
            for out, maker in makers.items()
            if maker != stage.name and (inside(dep, out) or inside(out, dep))
        }
        if made:
            found.bases.update(made)
            continue
        if dep in lost:
            raise NotUnderstood(f"it needs {dep}, which '{lost[dep]}' makes")
        dataset = _dataset_of(dep, tree, files)
        if dataset:
            found.data.append(dataset)
        elif tree.file(dep) is not None or any(inside(name, dep) for name in files):
            found.code.append(dep)
        elif not stage.guessed or posixpath.splitext(dep)[1].lower() in DATA_SUFFIXES:
            raise NotUnderstood(
                f"it needs {dep}, which neither git nor DVC holds: git add it, or mlopsctl data add {dep}"
            )
    for path in stage.settings:
        if tree.file(path) is None:
            raise NotUnderstood(f"it reads settings from {path}, which is not in the repository")
        found.code.append(path)
    try:
        plain = code_files(
            [list(words) for words in stage.commands], (), "", tree, shell=bool(stage.script), cwd=stage.cwd
        )
    except MlopsError as error:
        raise NotUnderstood(error.message) from None
    for path in plain:
        if any(inside(path, dataset) for dataset in found.data):
            raise NotUnderstood(f"its command names {path}, which is data and code in one")
    return found._replace(data=list(dict.fromkeys(found.data)), code=_more_code(found.code, plain, files))


def _refuse(stage: Stage, tree: Tree) -> None:
    """Raises NotUnderstood for what cannot be said in a manifest."""
    texts = [
        *(word for words in stage.commands for word in words),
        *stage.script,
        *stage.env.values(),
        *map(str, stage.params.values()),
    ]
    if any(holds_secret(text) for text in texts):
        raise NotUnderstood("it holds a secret in clear text: give it by name, env: {NAME: env:NAME}")
    named = [word for words in stage.commands for word in words if tree.file(in_project(word, stage.cwd)) is not None]
    for path in (*(from_folder(path, stage.cwd) for path in (*stage.deps, *stage.outs)), *named):
        if path.startswith("-"):
            raise NotUnderstood(f"programs would take the name of {path} for an option: rename it")
    models = [out for out in stage.outs if out.endswith(".onnx")]
    if MODEL in stage.outs and len(models) > 1:
        raise NotUnderstood(f"it writes {len(models)} models: {', '.join(models)}")


def _dataset_of(path: str, tree: Tree, files: Sequence[str]) -> str:
    """The dataset that a path belongs to: pinned by DVC at or above it, or a file or folder of data in git; "" for code."""
    parts = path.split("/")
    for depth in range(len(parts), 0, -1):
        above = "/".join(parts[:depth])
        if tree.file(above + ".dvc") is not None:
            return above
    if tree.file(path) is not None:
        return path if posixpath.splitext(path)[1].lower() in DATA_SUFFIXES else ""
    below = [name for name in files if name.startswith(path + "/")]
    data = [name for name in below if posixpath.splitext(name)[1].lower() in DATA_SUFFIXES]
    return path if data and not any(name.endswith((".py", ".sh", ".R", ".ipynb", ".dvc")) for name in below) else ""


def _more_code(code: Sequence[str], plain: Mapping[str, object], files: Sequence[str]) -> list[str]:
    """The globs of ``code:``; empty where what is found by itself is all."""
    more = []
    for path in code:
        below = [name for name in files if inside(name, path)]
        if not set(below) <= set(plain):
            more.append(path if path in files else f"{path}/**")
    return list(dict.fromkeys([*plain, *more])) if more else []


# --- Entries -----------------------------------------------------------------------------------------------


def _pairs(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name in the manifest, name where it was found)."""
    taken: set[str] = set()
    for name in names:
        chosen = name_for(name, taken)
        taken.add(chosen)
        yield chosen, name


def _names(paths: Iterable[str]) -> dict[str, str]:
    """Path of each dataset -> its name."""
    found: dict[str, str] = {}
    for path in paths:
        stem = posixpath.basename(path)
        found[path] = name_for(stem.partition(".")[0] or stem, found.values())
    return found


def _dataset(path: str, name: str, stages: Sequence[Stage], parts: Mapping[str, _Parts], tree: Tree) -> Entry:
    readers = [stage.origin for stage in stages if path in parts[stage.name].data]
    pinned = tree.file(path + ".dvc") is not None
    why = [f"Pinned by {path}.dvc." if pinned else "Tracked by git."]
    if readers:
        why.append(
            "Read by " + ", ".join(readers[:3]) + (f" and {len(readers) - 3} more." if len(readers) > 3 else ".")
        )
    keys: dict[str, Json] = {"path": path}
    label = _label(path, [stage for stage in stages if path in parts[stage.name].data], tree)
    if label:
        keys |= {"label": label, "split": "none"}
        why.append(
            f"Guessed: '{label}' is what is predicted. All rows are for training, as before; without 'split: none'"
        )
        why.append("a fifth of them would be kept back, for gates to measure on.")
    elif path.endswith((".csv", ".parquet", ".pq")):
        why.append(
            "All rows are for training. 'label: COLUMN' would keep a fifth of them back, for gates to measure on."
        )
    return Entry("data", name, keys, tuple(why))


def _label(path: str, readers: Sequence[Stage], tree: Tree) -> str:
    """The label of a table that an ONNX model is trained on, whose columns without it are what the model takes."""
    training = [stage for stage in readers if MODEL in _places(stage).values()]
    if not training or not path.endswith(".csv"):
        return ""
    words = {in_project(word, stage.cwd) for stage in training for command in stage.commands for word in command}
    scripts = [word for word in sorted(words) if word.endswith(".py") and tree.file(word) is not None]
    return guess_label(
        [tree.read(path, MAX_BYTES).decode("utf-8", "replace") for path in scripts], header_of(path, tree)
    )


def _places(stage: Stage) -> dict[str, str]:
    """Where each output goes below ``$MLOPS_OUT``: the one ONNX model under the name that models have, the rest as it is."""
    models = [out for out in stage.outs if out.endswith(".onnx")]
    return {out: MODEL if [out] == models else out for out in stage.outs}


def _training(
    item: Taken, others: Mapping[str, Taken], data: list[str], any_data: bool, code: list[str], tree: Tree
) -> Entry:
    stage = item.stage
    written = as_script if stage.script else as_run
    own = stage.script or tuple(map(as_run, stage.commands))
    run = [*map(written, _copies_in(item, others)), *own, *map(written, _copies_out(item))]
    keys: dict[str, Json] = {"run": run[0] if len(run) == 1 else run}
    if stage.cwd:
        keys["cwd"] = stage.cwd
    if stage.script:
        keys["shell"] = True
    if stage.params:
        keys["params"] = dict(stage.params)
    if any_data or data:
        keys["data"] = data[0] if len(data) == 1 else data
    if code:
        keys["code"] = code
    if stage.env:
        keys["env"] = dict(stage.env)
    if stage.lock:
        keys["lock"] = stage.lock
    if MODEL not in item.places.values():
        keys["produces"] = "files"
    why = [f"{stage.origin[0].upper()}{stage.origin[1:]}.", *stage.why]
    if not stage.outs:
        why.append("What it writes was not found: let it write into the folder $MLOPS_OUT.")
    return Entry("train", item.name, keys, tuple(why))


def _copies_in(item: Taken, others: Mapping[str, Taken]) -> Iterator[tuple[str, ...]]:
    """Commands that put what other entries made where this one's command looks for it."""
    moves: dict[str, list[str]] = {}
    renamed = []

    def here(path: str) -> str:
        return doubled(from_folder(path, item.stage.cwd))

    for path, name in item.bases.items():
        place = others[name].places[path]
        source = f"{{train.{name}}}/{doubled(place)}"
        if posixpath.basename(place) == posixpath.basename(path):
            moves.setdefault(posixpath.dirname(here(path)), []).append(source)
        else:
            renamed.append((source, here(path)))
    written = [posixpath.dirname(here(path)) for path in (*item.bases, *item.stage.outs)]
    folders = sorted({folder for folder in written if folder.strip("./")})
    # A folder that lies above another one is made with it.
    folders = [folder for folder in folders if not any(other.startswith(folder + "/") for other in folders)]
    if folders:
        yield ("mkdir", "-p", *folders)
    for folder, sources in moves.items():
        yield ("cp", "-R", *sources, f"{folder}/" if folder else ".")
    for source, path in renamed:
        yield ("cp", "-R", source, path)


def _copies_out(item: Taken) -> Iterator[tuple[str, ...]]:
    """Commands that put what the command wrote where mlopsctl takes it from."""
    moves: dict[str, list[str]] = {}
    renamed = []

    def here(path: str) -> str:
        return doubled(from_folder(path, item.stage.cwd))

    for path, place in item.places.items():
        if posixpath.basename(place) == posixpath.basename(path):
            moves.setdefault(doubled(posixpath.dirname(place)), []).append(here(path))
        else:
            renamed.append((here(path), doubled(place)))
    folders = [f"{{out}}/{folder}" for folder in sorted(moves) if folder]
    if folders:
        yield ("mkdir", "-p", *folders)
    for folder, paths in moves.items():
        yield ("cp", "-R", *paths, f"{{out}}/{folder}/" if folder else "{out}/")
    for path, place in renamed:
        yield ("cp", "-R", path, f"{{out}}/{place}")
