"""An opaque model: a program that reads JSON lines and writes one line for each."""

from __future__ import annotations

import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from .artifact import Artifact, ArtifactRefused, Port
from .protocol import Arrays, ModelFailed

PATIENCE = 10.0
"""Seconds after which a program that still reads is taken for one that answers only at the end of its input."""
TIMEOUT = 60.0
LINE_LIMIT = 64 * 1024 * 1024
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class ProgramModel:
    """Keeps the program running between requests; one that answers only at the end of its input is run anew each time."""

    inline = False

    def __init__(self, artifact: Artifact) -> None:
        if not artifact.predict:
            raise ArtifactRefused("artifact.json has the runtime 'program' and no 'predict' command")
        self.inputs: tuple[Port, ...] = artifact.inputs
        self.outputs: tuple[Port, ...] = artifact.outputs
        self._argv = command_of(artifact)
        self._folder = artifact.folder
        self._until_end = False
        self._lock = threading.Lock()
        self._home = tempfile.TemporaryDirectory(prefix="mlopsctl-program-")
        try:
            self._process = self._start()
        except ArtifactRefused:
            self._home.cleanup()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        try:
            return subprocess.Popen(  # noqa: S603 - the signed artifact names the program; no shell
                self._argv,
                cwd=self._folder,
                # Bytecode beside the program would be files that the artifact's signature does not cover.
                env={**kept, "HOME": self._home.name, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        except OSError as error:
            raise ArtifactRefused(f"the program {self._argv[0]} cannot start: {error.strerror}") from error

    def run(self, feeds: Arrays, wanted: Sequence[str]) -> Arrays:
        rows = rows_of(feeds)
        with self._lock:
            if self._process.poll() is not None:
                self._stop()  # closes its pipes
                self._process = self._start()
            try:
                lines = self._exchange([json.dumps(row, ensure_ascii=False).encode() for row in rows])
                return columns_of(lines, wanted)
            except BaseException:
                self._stop()
                raise

    def _exchange(self, rows: Sequence[bytes]) -> list[Any]:
        stdin, stdout = (cast("IO[bytes]", pipe) for pipe in (self._process.stdin, self._process.stdout))
        pending = memoryview(b"".join(row + b"\n" for row in rows))
        received, closed, begun = bytearray(), False, time.monotonic()
        os.set_blocking(stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stdin, selectors.EVENT_WRITE)
            while True:
                waited = time.monotonic() - begun
                if waited > TIMEOUT:
                    raise ModelFailed(f"the program gave no answer within {TIMEOUT:.0f} s")
                if not pending and not closed and (self._until_end or waited > PATIENCE):
                    stdin.close()
                    closed = self._until_end = True
                for key, _ in selector.select(0.1 if waited > PATIENCE / 2 else 1.0):
                    if key.fileobj is stdin:
                        try:
                            pending = pending[os.write(stdin.fileno(), pending[:65536]) :]
                        except BrokenPipeError:
                            raise ModelFailed("the program ended before it had read its input") from None
                        if not pending:
                            selector.unregister(stdin)
                        continue
                    chunk = os.read(stdout.fileno(), 1 << 16)
                    received += chunk
                    if len(received) > LINE_LIMIT:
                        raise ModelFailed("the program's answer is longer than 64 MiB")
                    if received.count(b"\n") >= len(rows) or not chunk:
                        return self._parse(bytes(received), len(rows))

    def _parse(self, received: bytes, count: int) -> list[Any]:
        lines = received.splitlines()
        if len(lines) != count:
            raise ModelFailed(f"the program answered {len(lines)} lines for {count} rows")
        try:
            answers = [json.loads(line) for line in lines]
        except ValueError as error:
            raise ModelFailed(f"the program wrote a line that is no JSON: {error}") from None
        if self._until_end:
            self._stop()
        return answers

    def close(self) -> None:
        self._stop()
        self._home.cleanup()

    def _stop(self) -> None:
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue  # it ended before it read all: there is nothing left to flush
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def command_of(artifact: Artifact) -> list[str]:
    """The words of ``predict``: ``{model}`` is the artifact's folder, ``{{`` and ``}}`` are braces; ``python`` is the one of
    ``$VIRTUAL_ENV`` or the server's own, as PATH need not have any.
    """
    values = {"{{": "{", "}}": "}", "{model}": str(artifact.folder.resolve())}
    first, *rest = [re.sub(r"\{\{|\}\}|\{model\}", lambda match: values[match[0]], word) for word in artifact.predict]
    if re.fullmatch(r"python(3(\.[0-9]+)?)?", first):
        own = Path(os.environ.get("VIRTUAL_ENV") or sys.prefix) / "bin" / first
        first = str(own) if os.access(own, os.X_OK) else sys.executable if first in ("python", "python3") else first
    return [first, *rest]


def rows_of(feeds: Arrays) -> list[dict[str, Any]]:
    """One dict a row; a tensor [N] or [N, 1] gives a value, a wider one a list. Raises ModelFailed for unequal N."""
    counts = {len(array) if array.ndim else 1 for array in feeds.values()}
    if len(counts) != 1:
        raise ModelFailed("the inputs have different numbers of rows")
    count = counts.pop()
    values = {name: (array.reshape(count) if array.size == count else array).tolist() for name, array in feeds.items()}
    return [{name: values[name][row] for name in values} for row in range(count)]


def columns_of(answers: Sequence[Any], wanted: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    """One array an output; answers that are no objects form one output (``output`` unless it has a name)."""
    if not all(isinstance(answer, dict) for answer in answers):
        name = wanted[0] if len(wanted) == 1 else "output"
        answers = [{name: answer} for answer in answers]
    names = list(wanted) or list(answers[0])
    try:
        return {name: _array([answer[name] for answer in answers]) for name in names}
    except KeyError as error:
        raise ModelFailed(f"the program's answer has no {error}") from None


def _array(values: list[Any]) -> np.ndarray[Any, Any]:
    try:
        array = np.array(values)
    except ValueError:
        array = np.array(0, dtype=object)
    if array.dtype.kind in "bif" and len(array) == len(values):
        return array
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
    return np.array(texts, dtype=object)
