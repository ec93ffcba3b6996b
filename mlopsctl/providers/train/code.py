"""Which files of the repository are the code of a training step. Pure: reads a Tree and runs nothing."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ...errors import ProviderError
from ...provider import Tree
from ...types import TreeFile
from .command_line import is_python as names_python

LOCKS = (
    "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "conda-lock.yml", "requirements.lock", "requirements.txt",
    "renv.lock", "Cargo.lock", "go.sum", "gradle.lockfile",
)  # fmt: skip
"""What ``lock:`` finds by itself: the first of these in the project's folder."""

DATA_SUFFIXES = frozenset((
    ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".npy", ".npz", ".jsonl", ".ndjson", ".h5", ".hdf5",
    ".pkl", ".pickle", ".joblib", ".db", ".sqlite", ".xls", ".xlsx", ".zip", ".gz", ".bz2", ".xz", ".zst",
    ".tar", ".tgz", ".tfrecord", ".onnx", ".pt", ".pth", ".safetensors", ".png", ".jpg", ".jpeg", ".wav",
    ".mp3", ".mp4", ".dvc",
))  # fmt: skip
"""A word of ``run:`` that ends so names data and not code; a glob of ``code:`` may still name it."""


def code_files(
    commands: Sequence[Sequence[str]],
    globs: Sequence[str],
    lock: str | None,
    tree: Tree,
    *,
    shell: bool = False,
    cwd: str = "",
) -> dict[str, TreeFile]:
    """The files named in the commands, the modules of the repository they import or what ``globs`` match, and the lock.

    The commands run in the folder ``cwd`` and name files from there; ``globs`` and ``lock`` are paths of the project.
    ``lock`` is a path, "" for none, or None to find it. A ``shell`` may start scripts from other folders, and such as it
    wrote itself. Raises ProviderError for another script or pattern without a file and for a symbolic link.
    """
    have = tree.names()
    roots: set[str] = set()
    scripts = [path for words in commands for path in _named(words, have, roots, shell, cwd)]
    found = {path for pattern in globs for path in _matching(pattern, have)}
    if not globs:
        found |= imported(scripts, [*sorted(roots), "", "src"], tree, have)
    found.update(scripts)
    if lock is None:
        lock = next((name for name in LOCKS if name in have), "")
    if lock:
        if lock not in have:
            raise ProviderError(
                f"lock: names {lock}, which is not in the repository",
                hint=f"git add {lock}, or remove lock: (it is found by itself)",
                code="MLO1204",
            )
        found.add(lock)
    return {path: _plain(path, tree) for path in sorted(found)}


def _plain(path: str, tree: Tree) -> TreeFile:
    file = tree.file(path)
    if file is None or not file.mode.startswith("100"):
        raise ProviderError(
            f"{path} is code of this training step, but it was deleted or is no plain file",
            hint=f"bring it back: git checkout -- {path}; of a link or submodule put the files themselves there",
            code="MLO1206",
        )
    return file


def _named(words: Sequence[str], have: Collection[str], roots: set[str], shell: bool, cwd: str) -> Iterator[str]:
    """The files that one command names, also as ``--config=FILE`` and ``-m MODULE``; adds to ``roots``."""
    is_python = names_python(words[0])
    script_seen = False
    for position, word in enumerate(words):
        if is_python and words[position - 1] == "-m" and position == 2:
            yield from _module_files(word, [cwd] if cwd else [""], have, run=True)
            roots.add(cwd)
            script_seen = True
            continue
        for part in (word, word.partition("=")[2]):
            path = posixpath.normpath(posixpath.join(cwd, part)) if part else ""
            if path in have and posixpath.splitext(path)[1] not in DATA_SUFFIXES:
                yield path
                if path.endswith(".py") and is_python and not script_seen:
                    roots.add(posixpath.dirname(path))
        if is_python and position == 1 and not word.startswith("-") and "{" not in word:
            script_seen = True
            if posixpath.normpath(posixpath.join(cwd, word)) not in have and not shell:
                raise _not_there(posixpath.normpath(posixpath.join(cwd, word)), have)


def _not_there(word: str, have: Collection[str]) -> ProviderError:
    from difflib import get_close_matches

    near = get_close_matches(word, [name for name in have if name.endswith(".py")], 1)
    mean = f"did you mean {near[0]}? else " if near else ""
    return ProviderError(
        f"run: starts {word}, which is not in the repository",
        hint=f"{mean}git add {word}; a file that git ignores is not seen",
        code="MLO1203",
    )


def _matching(pattern: str, have: Iterable[str]) -> list[str]:
    # ``**/`` is any number of folders, ``*`` stays within one.
    parts = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", pattern.removeprefix("./"))
    regex = re.compile("".join(parts.get(piece, re.escape(piece)) for piece in pieces))
    found = [path for path in have if regex.fullmatch(path)]
    if not found:
        raise ProviderError(
            f"code: '{pattern}' matches no file of the repository",
            hint="look at its spelling; a folder is written src/**, and a file that git ignores is not seen",
            code="MLO1205",
        )
    return found


def imported(scripts: Iterable[str], roots: Sequence[str], tree: Tree, have: Collection[str]) -> set[str]:
    """The scripts' modules that lie in the repository, and theirs; ``roots`` are folders that are searched."""
    waiting, found = [path for path in scripts if path.endswith(".py")], set[str]()
    while waiting:
        path = waiting.pop()
        if tree.file(path) is None:
            found.discard(path)  # deleted from the working tree, or a link
            continue
        # What nobody wrote by hand is not read for imports: a plan must not fall over a file of gigabytes.
        source = tree.read(path, _LONGEST + 1)
        for module, level in _imports(source) if len(source) <= _LONGEST else ():
            places, name = list(roots), module
            if level:
                folder = path
                for _ in range(level):
                    folder = posixpath.dirname(folder)
                places = [folder]
            for other in _module_files(name, places, have):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
    return found


_LONGEST = 16 << 20
"""Bytes of a script that is searched for imports; one of more names its modules in ``code:``."""


@lru_cache(maxsize=4096)
def _imports(source: bytes) -> tuple[tuple[str, int], ...]:
    """(dotted module, level) of every import, also inside functions and by ``importlib`` with a literal name."""
    try:
        parsed = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # broken or nested too deep: it fails by itself when it runs, with Python's own message
    # Expressions are most of a tree; they are looked at only where one of them can be an import.
    by_name = b"import_module" in source or b"__import__" in source
    return tuple(_imports_of(ast.walk(parsed) if by_name else _statements(parsed)))


def _statements(module: ast.Module) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = list(module.body)
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, field, ())


def _imports_of(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((name.name, 0) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield base, node.level
            yield from ((f"{base}.{name.name}".lstrip("."), node.level) for name in node.names if name.name != "*")
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
            if called in ("import_module", "__import__") and literal:
                text = str(first.value)  # type: ignore[attr-defined]
                yield text.lstrip("."), len(text) - len(text.lstrip("."))


def _module_files(module: str, places: Sequence[str], have: Collection[str], run: bool = False) -> Iterator[str]:
    """The files that importing ``module`` executes, from the first place that has it; with its packages' __init__."""
    parts = [part for part in module.split(".") if part]
    for place in places:
        base = posixpath.join(place, *parts)
        ends = [f"{base}.py", posixpath.join(base, "__init__.py")] + ([f"{base}/__main__.py"] if run else [])
        hits = [path for path in ends if path.lstrip("/") in have]
        if not hits:
            continue
        yield from hits
        for depth in range(len(parts)):
            package = posixpath.join(place, *parts[:depth], "__init__.py")
            if package in have:
                yield package
        return


def undeclared(text: str, have: Collection[str], roots: Sequence[str], cwd: str = "") -> str:
    """The file (or ``folder/**``) of the repository that a log says was not found; empty where it names none.

    ``roots`` are folders on disk that stand for the repository's root; other names count from ``cwd`` in it.
    """
    for path in _not_found(text, roots, cwd):
        if path in have:
            return path
        # An include is named from a search path, not from the root.
        inner = [item for item in have if item.endswith("/" + path)]
        if len(inner) == 1:
            return inner[0]
    for match in re.finditer(r"No module named '([\w.]+)'", text):
        for path in _module_files(match[1], [*([cwd] if cwd else []), "", "src"], have):
            return path
        folder = match[1].replace(".", "/")
        if any(path.startswith(folder + "/") for path in have):
            return folder + "/**"
    return ""


def unseen(text: str, root: Path, work: Path, cwd: str = "") -> str:
    """The file that a log says was not found and that lies in ``root`` all the same; empty where it names none."""
    for path in _not_found(text, [str(work), str(root)], cwd):
        if not path.startswith(("/", "..")) and (root / path).is_file() and not (work / path).exists():
            return path
    return ""


def _not_found(text: str, roots: Sequence[str], cwd: str = "") -> Iterator[str]:
    for match in re.finditer(_MISSING, text, re.IGNORECASE):
        name = next(group for group in match.groups() if group)
        for root in roots:
            if name.startswith(below := root.rstrip("/") + "/"):
                name = name.removeprefix(below)
                break
        else:
            name = posixpath.join(cwd, name)
        yield posixpath.normpath(name)


_MISSING = (
    r"(?:No such file or directory|Permission denied):? '([^'\n]+)'"
    r"|(?:cannot open|can't open|could not open|No such file(?: or directory)?:|file not found:?) (?:file )?['\"]?([^\s'\":]+)"
    r"|([^\s'\":]+)(?:: | \()(?:No such file or directory|Permission denied)"
)


def declared_code(files: Mapping[str, TreeFile], more: str) -> str:
    """The ``code:`` line that adds one file to those found."""
    return "code: [" + ", ".join(sorted({*files, more})) + "]"
