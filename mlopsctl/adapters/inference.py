"""Runs models that nobody has to trust: ONNX in a limited worker process, opaque models as programs of their own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProviderError
from . import children
from .argv import fill_model, find_python
from .worker import run_worker

if TYPE_CHECKING:
    import numpy as np

    Arrays = dict[str, np.ndarray[Any, Any]]

BATCH = 1024
MEMORY = 4 * 2**30
"""Bytes of address space for a worker, beside four times the model's own size: the runtime alone maps 0.2 GB."""
SECONDS = 600.0
_MOST_PRINTED, _MOST_A_ROW = 64 * 2**20, 16 * 2**10
"""Bytes that an opaque model's program may print in all: a program that prints without end must not fill the disk."""


@dataclass(frozen=True)
class Ran:
    """What a model answered: an array [rows, …] for each output; ``keys`` are the classes that the columns of a list
    of maps stand for, ``runtime`` is the version that ran it."""

    outputs: Arrays
    keys: Mapping[str, list[Any]]
    runtime: str


def inspect_model(model: Path, *, memory: int = MEMORY, seconds: float = SECONDS) -> dict[str, Any]:
    """Loads an ONNX model in a limited process and says what it is.

    Returns ``opset``, ``opsets``, ``ir``, ``producer``, ``inputs`` and ``outputs`` (``name``, ``dtype`` in numpy's words,
    ``shape`` with None for a free dimension), ``metadata``, ``labels`` (of an ai.onnx.ml classifier), ``ops`` (operator ->
    count), ``nodes``, ``external`` (files with weights), ``size`` in bytes and the version of ``onnxruntime``.
    Raises ProviderError where it is no ONNX model, reads files outside its folder or does not load.
    """
    return _ask({"command": "inspect"}, model, memory, seconds, f"loading {model.name}")


def check_model(
    model: Path,
    *,
    domains: Sequence[str],
    max_nodes: int,
    max_elements: int,
    max_rank: int,
    memory: int = MEMORY,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """``inspect_model`` for a suspect: also ``findings`` (why it must not be loaded) and ``smoke`` (one row of zeros was run).

    Raises ProviderError where it is no ONNX model, or needs more memory or time than it may use.
    """
    bounds = {"domains": list(domains), "max_nodes": max_nodes, "max_elements": max_elements, "max_rank": max_rank}
    return _ask({"command": "check", **bounds}, model, memory, seconds, f"examining {model.name}")


def run_model(model: Path, feeds: Arrays, *, threads: int = 1) -> Arrays:
    """The model's outputs for all rows: name -> array [rows, …]; text comes back as numpy strings.

    Rows go in batches of 1024; a model of one fixed batch size gets batches of that size. Raises ProviderError where
    the model does not load, refuses the rows, or needs more memory or time than it may use.
    """
    return run_fully(model, feeds, threads=threads).outputs


def run_fully(model: Path, feeds: Arrays, *, threads: int = 1, memory: int = MEMORY, seconds: float = SECONDS) -> Ran:
    """``run_model`` with what is known beside the outputs."""
    import numpy as np

    with tempfile.TemporaryDirectory(prefix="mlopsctl-arrays-") as name:
        folder = Path(name)
        files = {}
        for number, (port, array) in enumerate(feeds.items()):
            files[port] = str(folder / f"in{number}.npy")
            np.save(files[port], array.astype(str) if array.dtype.kind == "O" else array, allow_pickle=False)
        room = memory + 8 * sum(array.nbytes for array in feeds.values())
        request = {"command": "run", "feeds": files, "out": str(folder), "threads": threads, "batch": BATCH}
        answer = _ask(request, model, room, seconds, f"running {model.name}")
        outputs = {
            port: np.load(folder / f"{number}.npy", allow_pickle=False) for number, port in enumerate(answer["names"])
        }
    return Ran(outputs, answer["keys"], answer["onnxruntime"])


_CODES = {"parse": "MLO1302", "outside": "MLO1303", "load": "MLO1304", "run": "MLO1305", "memory": "MLO1306"}
_HINTS = {
    "parse": "let the training step write the model with onnx.save, or set predict: for a model that is not ONNX",
    "outside": "keep external data beside model.onnx and name it by its file name only",
    "load": "export with opset 17 to 22 and IR version 10 or lower, using operators of ai.onnx and ai.onnx.ml",
    "run": "compare the model's inputs with the columns of the data: mlopsctl show ADDRESS",
    "memory": "make the model or its intermediate tensors smaller",
}


def _ask(request: dict[str, Any], model: Path, memory: int, seconds: float, task: str) -> dict[str, Any]:
    from ..workers import onnx_run

    if not model.is_file():
        raise ProviderError(
            f"there is no {model.name} in the model's folder",
            hint="the training step must write model.onnx into $MLOPS_OUT",
            code="MLO1301",
        )
    room = memory + 4 * sum(file.stat().st_size for file in model.parent.rglob("*") if file.is_file())
    request = {**request, "model": str(model.resolve())}
    try:
        answer = run_worker(Path(onnx_run.__file__), request, seconds=seconds, memory=room, task=task)
    except ProviderError as error:
        raise ProviderError(
            error.message,
            hint="the model took its process down, or needs more time or memory than it may use: make it smaller,"
            " or export it anew",
            code="MLO1306",
        ) from None
    if "error" in answer:
        kind = str(answer["kind"])
        raise ProviderError(f"{task}: {answer['error']}", hint=_HINTS[kind], code=_CODES[kind])
    return answer


def run_program(
    argv: Sequence[str],
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    seconds: float = SECONDS,
    hidden: Sequence[Path] = (),
    root: Path | None = None,
) -> list[Any]:
    """Runs an opaque model over all rows: JSON lines in, one JSON line out for each, in the same order.

    ``argv`` is as the manifest has it: ``{model}`` is the absolute path of ``folder``, and ``python`` the one of the
    ``.venv`` in the project ``root``, of ``$VIRTUAL_ENV`` or mlopsctl's own. The program starts in that folder, which it can
    only read, with a home of its own and an environment of PATH and LANG alone. It sees the operating system and its folder; ``hidden``
    are folders to hide where the kernel knows no allow-list. Raises ProviderError where it fails, takes too long or
    answers otherwise.
    """
    from .process import clean_env

    folder = folder.resolve()
    words = fill_model(argv, folder)
    with tempfile.TemporaryDirectory(prefix="mlopsctl-program-") as name:
        place, home = Path(name), Path(name) / "home"
        home.mkdir()
        env = clean_env({"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"})
        lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        (place / "in").write_text(lines, encoding="utf-8")
        confined = _confined(words, folder, home, env["PATH"], hidden, root)
        code = _run_confined(confined, place, folder, env, seconds, len(rows))
        said = (place / "log").read_bytes()[-2000:].decode("utf-8", "replace").strip()
        if code != 0:
            how = (
                "it printed far more than one line a row" if code == -signal.SIGXFSZ else f"it ended with status {code}"
            )
            raise _program(how, said)
        return _answers((place / "out").read_text(encoding="utf-8", errors="replace"), len(rows), said)


def _confined(
    words: Sequence[str], folder: Path, home: Path, path: str, hidden: Sequence[Path], root: Path | None
) -> list[str]:
    """The command in a sandbox, with its program found."""
    from .sandbox import ask_python, make_sandbox

    first = words[0]
    found = find_python(first, root) or (str(folder / first) if "/" in first else shutil.which(first, path=path))
    if found is None or not os.access(found, os.X_OK):
        raise _program(f"there is no program '{first}'", "")
    interpreter = ask_python(found, ()) if Path(found).name.startswith("python") else None
    libraries = interpreter.folders if interpreter else ()
    sandbox = make_sandbox(read=[folder, *libraries], write=[home], hidden=hidden, path=path)
    return sandbox.wrap([found, *words[1:]])


def _run_confined(
    words: Sequence[str], place: Path, folder: Path, env: Mapping[str, str], seconds: float, rows: int
) -> int:
    with (place / "in").open("rb") as given, (place / "out").open("wb") as out, (place / "log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=folder, env=dict(env), stdin=given, stdout=out, stderr=log, start_new_session=True
        )
        with contextlib.suppress(ProcessLookupError):  # it may have ended already
            most = _MOST_PRINTED + _MOST_A_ROW * rows
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
        try:
            children.started(process.pid)
            return children.wait(process, seconds)
        except subprocess.TimeoutExpired:
            raise _program(f"no end after {seconds:g} seconds for {rows} rows", "") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what it started and left behind
            process.wait()


def _answers(text: str, count: int, said: str) -> list[Any]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != count:
        raise _program(f"it answered {len(lines)} lines for {count} rows", said)
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            raise _program(f"line {number} of its answer is no JSON", line[:80]) from None
    return found


def _program(what: str, said: str) -> ProviderError:
    """The error for a program that failed; its own words may hold rows, so they stay out of the kept message."""
    must = "it must read one JSON object a line and print one JSON value a line, in the same order, and nothing else"
    return ProviderError(
        f"the model's predict: command failed: {what}",
        hint=must + (f"; it last said: {said.splitlines()[-1][:300]}" if said.strip() else ""),
        code="MLO1307",
    )
