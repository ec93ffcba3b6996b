"""Notebooks -> scripts and stages, from their JSON alone; hidden state is named by cell."""

from __future__ import annotations

import ast
import builtins
import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from ..provider import Tree
from .command import doubled
from .flow import flow_of
from .proposal import NotUnderstood, Source, Stage
from .text import printable

MAX_BYTES = 20_000_000
_LEFT_OUT = ("matplotlib", "load_ext", "reload_ext", "autoreload", "config")
"""Line magics that change what is shown or how one works, and never a result."""
_INSTALLS = re.compile(r"[%!]\s*(?:pip|conda|mamba|uv pip|python -m pip)\s+install\b")
_CELL_MAGICS = ("time", "capture")
_SHOWN = "_show"


class Cell(NamedTuple):
    """A code cell: its number counts all code cells from 1, ``ran`` is the order in which it was last run."""

    number: int
    source: str
    ran: int | None
    printed: tuple[str, ...]
    """The lines with figures that it left in the notebook."""
    shows: bool
    """Whether the value of its last expression was shown."""


class Notebook(NamedTuple):
    """One notebook as a script."""

    path: str
    script: str
    text: str
    cells: tuple[Cell, ...]
    left_out: tuple[str, ...]
    hidden: tuple[str, ...]
    """What a run from top to bottom would miss, named by cell."""

    @property
    def findings(self) -> tuple[str, ...]:
        """All there is to say about it."""
        return (*self.left_out, *self.hidden)


def read_notebooks(tree: Tree, refused: Mapping[str, str]) -> tuple[Source, tuple[Notebook, ...]]:
    """A script and a stage for each notebook that writes something; ``refused`` says of some why they are no stage."""
    stages, unknown, found = [], [], []
    files: dict[str, str] = {}
    for path in tree.files():
        parts = path.split("/")
        if not path.endswith(".ipynb") or any(part.startswith(".") for part in parts) or tree.file(path) is None:
            continue
        try:
            if path in refused:
                raise NotUnderstood(refused[path])
            notebook = read_notebook(path, tree.read(path, MAX_BYTES + 1), {*tree.files(), *files})
            stage = _stage(notebook)
        except (NotUnderstood, RecursionError) as error:
            unknown.append(f"{path}: {error if isinstance(error, NotUnderstood) else 'it is nested too deeply'}")
            continue
        stages.append(stage)
        found.append(notebook)
        files[notebook.script] = notebook.text
        unknown += [f"{path}: {text}" for text in notebook.findings]
    return Source(tuple(stages), unknown=tuple(unknown), files=files, read=tuple(item.path for item in found)), tuple(
        found
    )


def read_notebook(path: str, body: bytes, have: Collection[str]) -> Notebook:
    """Turns a notebook into a script. Raises NotUnderstood for magics that only Jupyter can run, naming the cell."""
    cells = _cells(body)
    left_out: list[str] = []
    plain: list[Cell] = []
    for cell in cells:
        source, said = _without_magics(cell)
        left_out += said
        plain.append(cell._replace(source=source))
    script = path.removesuffix(".ipynb") + ".py"
    if script in have:
        script = path.removesuffix(".ipynb") + "_notebook.py"
    if script in have:
        raise NotUnderstood(f"{script} is there already, and nothing is overwritten")
    text = _script(path, plain)
    try:
        compile(text, script, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        number = cell_at(text, getattr(error, "lineno", 0) or 0)
        raise NotUnderstood(f"cell {number}: it is no Python program ({getattr(error, 'msg', error)})") from None
    return Notebook(path, script, text, tuple(plain), tuple(left_out), tuple(hidden_state(plain)))


def cell_at(script: str, line: int) -> int:
    """The number of the cell that a line of the script belongs to; 0 for the lines above the first."""
    found = 0
    for text in script.split("\n")[:line]:
        match = re.match(r"# %% cell ([0-9]+)$", text)
        found = int(match[1]) if match else found
    return found


def _cells(body: bytes) -> list[Cell]:
    if len(body) > MAX_BYTES:
        raise NotUnderstood("it is larger than 20 MB: clear its outputs")
    try:
        document = json.loads(body)
        kernel = str((document.get("metadata") or {}).get("kernelspec", {}).get("language", "python"))
        code = [item for item in document["cells"] if item.get("cell_type") == "code"]
        cells = [_cell(number, item) for number, item in enumerate(code, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NotUnderstood("it is no notebook of format 4") from None
    if kernel.lower() != "python":
        raise NotUnderstood(f"it is written in {kernel}")
    return cells


def _cell(number: int, item: Mapping[str, object]) -> Cell:
    count = item.get("execution_count")
    outputs = item.get("outputs")
    outputs = [one for one in outputs if isinstance(one, dict)] if isinstance(outputs, list) else []
    shows = any(one.get("output_type") == "execute_result" for one in outputs)
    texts = [_text(one.get("text")) for one in outputs if one.get("name") == "stdout"]
    texts += [
        _text((one.get("data") or {}).get("text/plain"))
        for one in outputs
        if one.get("output_type") == "execute_result"
    ]
    printed = [line.strip() for text in texts for line in text.splitlines() if re.search(r"[0-9]", line)]
    return Cell(number, _text(item.get("source")), count if isinstance(count, int) else None, tuple(printed), shows)


def _text(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else value if isinstance(value, str) else ""


def _parses(source: str) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _without_magics(cell: Cell) -> tuple[str, list[str]]:
    """The cell without what Jupyter alone understands. Raises NotUnderstood where that would change what it does."""
    if _parses(cell.source):
        return cell.source, []
    lines, left_out = cell.source.split("\n"), []
    for position, line in enumerate(lines):
        bare = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        if bare.startswith("%%"):
            name = bare[2:].partition(" ")[0]
            if name not in _CELL_MAGICS:
                raise NotUnderstood(f"cell {cell.number}: '{bare[:40]}' is understood by Jupyter alone")
            lines[position] = f"{indent}# {bare}"
        elif _INSTALLS.match(bare):
            lines[position] = f"{indent}pass  # {bare}"
            left_out.append(
                f"cell {cell.number}: '{bare[:60]}' is left out: install it into .venv, and pin it in a lock file"
            )
        elif bare.startswith("%time "):
            lines[position] = indent + bare.removeprefix("%time ").strip()
        elif bare.startswith("%") and bare[1:].partition(" ")[0] in _LEFT_OUT:
            lines[position] = f"{indent}pass  # {bare}"
        elif bare.startswith(("%", "!")) or (bare.endswith("?") and not bare.startswith("#")):
            raise NotUnderstood(f"cell {cell.number}: '{bare[:40]}' is understood by Jupyter alone")
    source = "\n".join(lines)
    if not _parses(source):
        raise NotUnderstood(f"cell {cell.number}: it is no Python")
    return source, left_out


def _script(path: str, cells: Sequence[Cell]) -> str:
    folder = posixpath.dirname(path)
    head = [f"# The code cells of {printable(path)} in their order, written by mlopsctl init --from-existing."]
    if folder:
        head += [
            "import os",
            "",
            "os.chdir(os.path.dirname(os.path.abspath(__file__)))  # where a notebook looks for files",
        ]
    bodies = [_shown(cell) for cell in cells]
    if any(f"{_SHOWN}(" in body for body in bodies):
        head += [
            "",
            "",
            f"def {_SHOWN}(value):",
            '    """Prints what a notebook shows of the last expression of a cell."""',
        ]
        head += ["    if value is not None:", "        print(repr(value))"]
    if any(re.search(r"\bdisplay\(", body) for body in bodies):
        head += ["", "", "display = print"]
    blocks = [
        f"# %% cell {cell.number}\n{body.strip()}" for cell, body in zip(cells, bodies, strict=True) if body.strip()
    ]
    return "\n".join(head) + "\n\n" + "\n\n".join(blocks) + "\n"


def _shown(cell: Cell) -> str:
    """The cell; where a notebook shows the value of its last expression, so does the script."""
    body = ast.parse(cell.source).body
    last = body[-1] if body else None
    if not cell.shows or not isinstance(last, ast.Expr) or cell.source.rstrip().endswith(";"):
        return cell.source
    lines = [line.encode() for line in cell.source.split("\n")]  # columns count bytes of UTF-8
    row, end = last.lineno - 1, (last.end_lineno or last.lineno) - 1
    tail = lines[end][last.end_col_offset :]
    lines[end] = lines[end][: last.end_col_offset] + b")" + tail
    lines[row] = lines[row][: last.col_offset] + f"{_SHOWN}(".encode() + lines[row][last.col_offset :]
    return b"\n".join(lines).decode()


def _stage(notebook: Notebook) -> Stage:
    flow = flow_of(notebook.text)
    if flow is None or not (flow.writes or flow.own):
        raise NotUnderstood("it writes no file whose name was found, so that nothing of it could be kept")
    folder = posixpath.dirname(notebook.path)
    reads = tuple(_below(folder, flow.reads))
    writes = () if flow.own else tuple(_below(folder, flow.writes))
    why = [
        f"Its cells in order are in {notebook.script}, which is what runs: change the script, not the notebook.",
        f"Guessed from its text: it reads {', '.join(reads) or 'no file'} and writes {', '.join(writes) or '$MLOPS_OUT'}.",
        *(f"Hidden state: {text}." for text in notebook.hidden),
    ]
    env = {"MPLBACKEND": "Agg"} if "matplotlib" in notebook.text else {}
    name = posixpath.splitext(posixpath.basename(notebook.script))[0]
    run = (("python", doubled(notebook.script)),)
    return Stage(name, f"the notebook {notebook.path}", run, reads, writes, env=env, why=tuple(why), guessed=True)


def _below(folder: str, paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        place = posixpath.normpath(posixpath.join(folder, path))
        if not place.startswith(("/", "..")) and "://" not in path:
            yield place


# --- Hidden state ------------------------------------------------------------------------------------------


def hidden_state(cells: Sequence[Cell]) -> list[str]:
    """What a run from top to bottom would miss: names that later cells bind or none does, and cells run out of order."""
    found = []
    counts = [(cell.number, cell.ran) for cell in cells if cell.ran is not None]
    for (number, count), (after, later) in pairwise(counts):
        if later < count:
            found.append(
                f"cell {after} was run before cell {number}: its outputs are of another order than that of the cells"
            )
    parsed = [(cell.number, ast.parse(cell.source)) for cell in cells]
    if any(
        isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for _, tree in parsed for node in ast.walk(tree)
    ):
        return found
    binders: dict[str, list[int]] = {}
    for number, tree in parsed:
        for name in _bound(tree.body):
            binders.setdefault(name, []).append(number)
    known = {*dir(builtins), "__name__", "__file__", "__doc__", "display"}
    functions: dict[str, set[str]] = {}
    said: set[str] = set()
    for number, tree in parsed:
        for statement in tree.body:
            bound = set(_bound([statement]))
            for name in _needed(statement, functions):
                if name in known or name in bound or name in said:
                    continue
                said.add(name)
                later_cells = [cell for cell in binders.get(name, []) if cell > number]
                who = (
                    f"only cell {later_cells[0]} makes"
                    if later_cells
                    else "no cell makes: a deleted cell or another session did"
                )
                found.append(f"cell {number} uses '{name}', which {who}")
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[statement.name] = set(_free(statement))
            known |= bound
            if isinstance(statement, ast.Delete):
                known -= {item.id for item in statement.targets if isinstance(item, ast.Name)}
    return found


def _bound(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """Names that statements of a module bind there; what functions bind inside stays inside."""
    for statement in statements:
        for node in _outside_functions(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (item.asname or item.name.partition(".")[0] for item in node.names)
            elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
        for node in ast.walk(statement):
            if isinstance(node, ast.Global):
                yield from node.names


def _needed(statement: ast.stmt, functions: Mapping[str, set[str]]) -> Iterator[str]:
    """Names that a statement looks up when it runs, those of the functions that it names too."""
    waiting = [
        node.id
        for node in _outside_functions(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        yield name
        waiting += sorted(functions.get(name, ()))


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, bodies of functions and lambdas aside: they run later, or never."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and child in node.body:
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(child, ast.arguments):
            yield from (
                item
                for default in (*child.defaults, *filter(None, child.kw_defaults))
                for item in _outside_functions(default)
            )
            continue
        yield from _outside_functions(child)


def _free(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Names that a function takes from the module when it is called."""
    arguments = function.args
    local = {item.arg for item in ast.walk(arguments) if isinstance(item, ast.arg)}
    inner = [node for statement in function.body for node in ast.walk(statement)]
    local |= {
        item.arg
        for node in inner
        if isinstance(node, ast.arguments)
        for item in ast.walk(node)
        if isinstance(item, ast.arg)
    }
    local |= {node.id for node in inner if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    local |= {node.name for node in inner if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    local |= {node.name for node in inner if isinstance(node, ast.ExceptHandler) and node.name}
    local |= {
        item.asname or item.name.partition(".")[0]
        for node in inner
        if isinstance(node, ast.Import | ast.ImportFrom)
        for item in node.names
    }
    for node in inner:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in local:
            yield node.id
