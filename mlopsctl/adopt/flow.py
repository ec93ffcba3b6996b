"""Which files a Python program reads and writes, and which options it takes: guessed from its text, which is never run."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Mapping
from typing import NamedTuple

READERS = frozenset((
    "read_csv", "read_parquet", "read_json", "read_excel", "read_feather", "read_table", "read_pickle", "scan_csv",
    "loadtxt", "genfromtxt", "load", "imread", "open_dataset",
))  # fmt: skip
WRITERS: Mapping[str, int] = {
    "to_csv": 0, "to_parquet": 0, "to_json": 0, "to_excel": 0, "to_feather": 0, "write_csv": 0, "write_parquet": 0,
    "save_model": 0, "savetxt": 0, "savefig": 0, "savez": 0, "save_pretrained": 0,
}  # fmt: skip
"""Methods that write a file, and which argument names it."""
DUMPERS: Mapping[str, int] = {
    "onnx.save": 1, "onnx.save_model": 1, "joblib.dump": 1, "torch.save": 1, "torch.jit.save": 1, "torch.onnx.export": 2,
    "numpy.save": 0, "pickle.dump": 1, "json.dump": 1, "skops.io.dump": 1, "safetensors.torch.save_file": 1,
    "safetensors.numpy.save_file": 1, "cloudpickle.dump": 1,
}  # fmt: skip
"""Functions by their full name, and which argument names the file."""
_PATHS = frozenset(("Path", "PurePath", "join", "str", "abspath"))
_FOLDERS = frozenset(("cwd", "getcwd"))
OUT = "MLOPS_OUT"
_LONGEST = 1000
"""Letters of a path: names that are put together out of each other would grow without end."""


class Option(NamedTuple):
    """One option of ``argparse``, click or typer: its flag, and what it is where nobody gives it."""

    flag: str
    name: str
    default: object
    required: bool


class Flow(NamedTuple):
    """What a program seems to do."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()
    runs: bool = False
    """Whether it does something when it is started, and not only when it is imported."""
    own: bool = False
    """Whether it writes to ``$MLOPS_OUT`` by itself."""
    computed: int = 0
    """How many files it opens whose names were not found."""


def flow_of(source: str) -> Flow | None:
    """The flow of a program, or None where it is no Python, or nested too deeply."""
    try:
        return _flow_of(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _flow_of(module: ast.Module) -> Flow:
    options = tuple(_options(module))
    names = _constants(module) | {
        f"args.{option.name}": str(option.default) for option in options if isinstance(option.default, str)
    }
    aliases = _aliases(module)
    reads: list[str] = []
    writes: list[str] = []
    computed = 0
    for node in ast.walk(module):
        if not isinstance(node, ast.Call):
            continue
        found = _file_of(node, names, aliases)
        if found is None:
            continue
        path, written = found
        if not path:
            computed += 1
        else:
            (writes if written else reads).append(posixpath.normpath(path))
    runs = any(_acts(node) for node in module.body)
    reads = [path for path in dict.fromkeys(reads) if path not in writes]
    return Flow(tuple(reads), tuple(dict.fromkeys(writes)), options, runs, _names_out(module), computed)


def _names_out(module: ast.Module) -> bool:
    """Whether the program asks for the folder of its outputs; a docstring that mentions it does not."""
    said = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    texts = (node for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return any(OUT in str(node.value) and id(node) not in said for node in texts)


def _acts(node: ast.stmt) -> bool:
    """Whether a statement of a module does more than define something."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Compare):
        names = {item.id for item in ast.walk(node.test) if isinstance(item, ast.Name)}
        return "__name__" in names
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call)
    return isinstance(node, ast.For | ast.While | ast.With | ast.Try)


def _file_of(node: ast.Call, names: Mapping[str, str], aliases: Mapping[str, str]) -> tuple[str, bool] | None:
    """(path or "" where it is computed, whether it is written) for a call that opens a file."""
    first, dot, rest = _dotted(node.func).partition(".")
    called = aliases.get(first, first) + dot + rest
    last = called.rpartition(".")[2]
    if called in DUMPERS:
        return _argument(node, DUMPERS[called], names, True)
    if last == "open":
        method = isinstance(node.func, ast.Attribute) and not called.startswith(("io.", "gzip.", "bz2.", "lzma."))
        mode = node.args[0 if method else 1] if len(node.args) > (0 if method else 1) else _keyword(node, "mode")
        written = (
            isinstance(mode, ast.Constant) and isinstance(mode.value, str) and any(one in mode.value for one in "wax")
        )
        where = (
            node.func.value if method and isinstance(node.func, ast.Attribute) else node.args[0] if node.args else None
        )
        return (_path(where, names), written) if where is not None else None
    if last in ("write_text", "write_bytes", "read_text", "read_bytes") and isinstance(node.func, ast.Attribute):
        return _path(node.func.value, names), last.startswith("write")
    if last in WRITERS:
        return _argument(node, WRITERS[last], names, True)
    if (
        last in READERS
        and (node.args or node.keywords)
        and not called.startswith(("json.", "pickle.", "yaml.", "toml"))
    ):
        return _argument(node, 0, names, False)
    return None


def _argument(node: ast.Call, position: int, names: Mapping[str, str], written: bool) -> tuple[str, bool] | None:
    value = node.args[position] if len(node.args) > position else None
    if value is None:
        value = next(
            (
                _keyword(node, key)
                for key in ("path", "f", "fname", "filename", "file", "path_or_buf")
                if _keyword(node, key)
            ),
            None,
        )
    if (
        value is None
        or isinstance(value, ast.Call)
        and _dotted(value.func).rpartition(".")[2] in ("open", "BytesIO", "StringIO")
    ):
        return None  # the inner call is looked at by itself
    if isinstance(value, ast.Name) and value.id not in names:
        return None if position else ("", written)
    return _path(value, names), written


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((item.value for item in node.keywords if item.arg == name), None)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _path(node: ast.expr | None, names: Mapping[str, str]) -> str:
    """The path that an expression of literals and constants stands for; "" where it is computed."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) and "\n" not in node.value else ""
    if isinstance(node, ast.Name | ast.Attribute):
        return names.get(_dotted(node), "")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        left, right = _path(node.left, names), _path(node.right, names)
        if not left or not right:
            return ""
        whole = posixpath.join(left, right) if isinstance(node.op, ast.Div) else left + right
        return whole if len(whole) <= _LONGEST else ""
    if isinstance(node, ast.Call):
        last = _dotted(node.func).rpartition(".")[2]
        if last in _FOLDERS:
            return "."
        parts = [_path(item, names) for item in node.args]
        if last in _PATHS and parts and all(parts) and sum(map(len, parts)) <= _LONGEST:
            return posixpath.join(*parts)
    return ""


def _constants(module: ast.Module) -> dict[str, str]:
    """Names that are bound once in the whole program, to a path of literals."""
    found: dict[str, str] = {}
    bound: dict[str, int] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] = bound.get(node.id, 0) + 1
    for node in ast.walk(module):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            path = _path(node.value, found)
            if path and bound.get(node.targets[0].id) == 1:
                found[node.targets[0].id] = path
    return found


def _aliases(module: ast.Module) -> dict[str, str]:
    """Local names of imported modules and functions -> their full names."""
    found = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            found.update({item.asname: item.name for item in node.names if item.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({item.asname or item.name: f"{node.module}.{item.name}" for item in node.names})
    return found


def _options(module: ast.Module) -> Iterator[Option]:
    """What ``add_argument`` declares. Options of other libraries are not looked for."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and _dotted(node.func).endswith("add_argument")):
            continue
        flags = [item.value for item in node.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        action = _keyword(node, "action")
        if not flags or (isinstance(action, ast.Constant) and action.value != "store") or _keyword(node, "nargs"):
            continue
        flag = max(flags, key=len)
        dest = _keyword(node, "dest")
        name = (
            dest.value
            if isinstance(dest, ast.Constant) and isinstance(dest.value, str)
            else flag.lstrip("-").replace("-", "_")
        )
        default = _keyword(node, "default")
        value = _literal(default)
        required = not flag.startswith("-") or _is_true(_keyword(node, "required"))
        yield Option(flag, name, value, required and value is None)


def _literal(node: ast.expr | None) -> object:
    try:
        value = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    if isinstance(value, int) and abs(value) >= 2**63:
        return None
    return value if isinstance(value, str | int | float | bool) else None


def _is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True
