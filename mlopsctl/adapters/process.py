"""Runs somebody else's program: its own process group, a clean environment, a log that cannot fill the disk."""

from __future__ import annotations

import os
import re
import select
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from . import children, share, spawner
from .files import private

KEPT = ("PATH", "LANG", "LC_ALL")
"""The variables of the user's shell that reach a program, besides those that begin with CUDA_."""

_CHUNK = 1 << 16
_GRACE = 2.0
_TICK = 0.05
_TOLD = 200
_TELLING = 8
"""Characters from which on a line of a longer secret is one itself: a bracket in a file of JSON is none."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended; ``returncode`` is negative where a signal ended it. Times are in seconds.

    ``max_rss_bytes`` is never below what the process had that started the program, which wait4(2) counts from: some 10 MB for
    a confined program, as much as this process has for others.
    """

    returncode: int
    seconds: float
    cpu_seconds: float
    max_rss_bytes: int
    timed_out: bool = False


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment a program gets: PATH, LANG, LC_ALL and CUDA_* of this process, its share, and what ``extra`` names."""
    # By names alone: reading every value takes longer than all else here.
    kept = {key: os.environ[key] for key in os.environ if key in KEPT or key.startswith("CUDA_")}
    kept.setdefault("PATH", os.defpath)
    return {**kept, **share.variables(), **(extra or {})}


@dataclass
class CappedLog:
    """Keeps the head of what is written on disk and the tail in memory, so that a gigabyte costs ``limit`` bytes.

    ``secrets`` are blotted out, also where one lies across two writes.
    """

    stream: IO[bytes]
    limit: int
    secrets: Sequence[bytes] = ()
    total: int = 0
    _carry: bytes = b""
    _head: int = 0
    _tail: deque[bytes] = field(default_factory=deque)
    _tail_size: int = 0
    _dropped: int = 0

    def write(self, chunk: bytes) -> None:
        self.total += len(chunk)
        if self.secrets:
            chunk = self._carry + chunk
            for secret in self.secrets:
                chunk = chunk.replace(secret, b"***")
            whole = max(len(chunk) - max(map(len, self.secrets)) + 1, 0)
            chunk, self._carry = chunk[:whole], chunk[whole:]
        self._keep(chunk)

    def _keep(self, chunk: bytes) -> None:
        room = max(self.limit // 2 - self._head, 0)
        if room:
            self.stream.write(chunk[:room])
            self.stream.flush()
            self._head += len(chunk[:room])
            chunk = chunk[room:]
        if chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
        while self._tail and self._tail_size - len(self._tail[0]) >= self.limit // 2:
            gone = self._tail.popleft()
            self._tail_size -= len(gone)
            self._dropped += len(gone)

    def close(self) -> None:
        """Writes the tail behind a line that counts what was left out."""
        self._keep(self._carry)
        self._carry = b""
        if self._dropped:
            self.stream.write(f"\n… {self._dropped:,} bytes left out …\n".encode())
        self.stream.writelines(self._tail)
        self.stream.flush()


@dataclass
class _LastLine:
    """Tells the newest complete line, at most ten times a second, so that progress bars cost nothing."""

    tell: Callable[[str], None]
    secrets: Sequence[bytes] = ()
    _rest: bytes = b""
    _pending: str = ""
    _told: float = 0.0

    def feed(self, chunk: bytes) -> None:
        lines = (self._rest + chunk).replace(b"\r", b"\n").split(b"\n")
        self._rest = lines[-1][-_CHUNK:]
        found = next((line for line in reversed(lines[:-1]) if line.strip()), None)
        if found is not None:
            for secret in self.secrets:
                found = found.replace(secret, b"***")
            self._pending = readable(found[: 4 * _TOLD])[:_TOLD]
        if time.monotonic() - self._told >= 0.1:
            self.flush()

    def flush(self) -> None:
        if self._pending.strip():
            self.tell(self._pending)
            self._told = time.monotonic()
        self._pending = ""


def readable(line: bytes) -> str:
    """A line of a log as text without control characters, so that a log cannot drive the terminal."""
    return _CONTROL.sub("", line.decode("utf-8", "replace")).rstrip()


def blotted(secrets: Sequence[str]) -> list[bytes]:
    """What of secrets must not be shown: each as a whole, and its lines, by which a program may print a key.

    The longest come first, so that one that is a part of another doesn't leave the rest of it.
    """
    lines = {line.strip() for text in secrets for line in text.splitlines()}
    found = {text for text in secrets if text} | {line for line in lines if len(line) >= _TELLING}
    return sorted((text.encode() for text in found), key=len, reverse=True)


def tail_lines(log: Path, count: int = 15, width: int = 300) -> list[str]:
    """The last lines of a log, each cut to ``width`` characters; none where there is no log."""
    if not log.is_file():
        return []
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - count * 4 * width, 0))
        lines = stream.read().replace(b"\r", b"\n").split(b"\n")
    found = [readable(line)[:width] for line in lines if line.strip()]
    return found[-count:]


def run_logged(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    log: Path,
    timeout: float | None = None,
    on_line: Callable[[str], None] = lambda line: None,
    max_log_bytes: int = 4 << 20,
    secrets: Sequence[str] = (),
    confined: spawner.Confinement | None = None,
    stdin: Path = Path(os.devnull),
    stdout: Path | None = None,
) -> Finished:
    """Runs a program to its end, in a sandbox where one is given, and appends what it prints to ``log``.

    What it writes to its stdout goes into a new file where ``stdout`` names one.

    Its whole process group is killed on timeout, on an interrupt of this process, and when the program has ended and
    left others behind. Raises OSError where the program cannot be started.
    """
    begun = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        kept = CappedLog(stream, max_log_bytes, blotted(secrets))
        last = _LastLine(on_line, kept.secrets)
        with _begin(argv, cwd, env, confined, stdin, stdout) as (process, pipe):
            try:
                children.started(process.pid)
                in_time = _watch(process, pipe, kept, last, begun + timeout if timeout is not None else None)
            finally:
                code, cpu, rss = _end(process)
                last.flush()
                kept.close()
    return Finished(code, time.monotonic() - begun, cpu, rss, not in_time)


@contextmanager
def _begin(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    confined: spawner.Confinement | None,
    stdin: Path,
    stdout: Path | None,
) -> Iterator[tuple[spawner.Running, int]]:
    """A program, and the pipe that it prints to."""
    pipe, theirs = os.pipe()
    with os.fdopen(pipe, "rb", buffering=0):
        with os.fdopen(theirs, "wb", buffering=0), stdin.open("rb") as source, ExitStack() as opened:
            answers = opened.enter_context(open(stdout, "xb", opener=private)).fileno() if stdout else theirs
            process = spawner.begin(argv, cwd, env, (source.fileno(), answers, theirs), confined)
        yield process, pipe


def _watch(process: spawner.Running, pipe: int, log: CappedLog, last: _LastLine, deadline: float | None) -> bool:
    """Reads until the program ends; False where the deadline came first."""
    os.set_blocking(pipe, False)
    exited = process.exited
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        if exited is not None:
            selector.register(exited, selectors.EVENT_READ)
        open_pipe = True
        while not process.has_ended():
            children.check_cancelled()
            left = deadline - time.monotonic() if deadline is not None else _TICK
            if left <= 0:
                return False
            # Without a descriptor for the end the program is looked at often.
            ready = selector.select(min(left, _TICK if exited is not None or open_pipe else _TICK / 5))
            if open_pipe and any(key.fd == pipe for key, _ in ready):
                open_pipe = _take(pipe, log, last)
                if not open_pipe:
                    selector.unregister(pipe)
        # Whatever the program left behind ends with it; what stands in the pipe still belongs to the log.
        _kill_group(process, signal.SIGKILL)
        drained = time.monotonic() + _GRACE
        while open_pipe and _readable(pipe) and time.monotonic() < drained:
            open_pipe = _take(pipe, log, last)
    return True


def _take(pipe: int, log: CappedLog, last: _LastLine) -> bool:
    """Takes one piece of the pipe; False at its end."""
    try:
        chunk = os.read(pipe, _CHUNK)
    except BlockingIOError:
        return True
    log.write(chunk)
    last.feed(chunk)
    return bool(chunk)


def _readable(pipe: int) -> bool:
    return bool(select.select([pipe], [], [], 0)[0])


def _end(process: spawner.Running) -> tuple[int, float, int]:
    """Ends the group (SIGTERM, two seconds later SIGKILL): exit code, processor seconds and peak memory in bytes."""
    if not process.has_ended():
        _kill_group(process, signal.SIGTERM)
        until = time.monotonic() + _GRACE
        while time.monotonic() < until and not process.has_ended():
            time.sleep(_TICK / 5)
    _kill_group(process, signal.SIGKILL)
    found = process.reap()
    # The peak counts KiB on Linux: getrusage(2).
    return os.waitstatus_to_exitcode(found.status), found.cpu_seconds, found.max_rss * 1024


def _kill_group(process: spawner.Running, number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
