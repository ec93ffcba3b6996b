"""Begins programs: confined ones through one small process that is kept for them, others by themselves.

The kept process (``workers/spawn.py``) has read what confines a program already. It is started with the first confined
program, ends when this process does, however that ends, and takes the programs that still run with it.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

from . import children

WORKERS = Path(__file__).parent.parent / "workers"
# Imported, so that Python keeps it compiled; behind the standard library, so that no file beside it stands in for a part.
_START = f"import sys; sys.path.append({str(WORKERS)!r}); import spawn; spawn.main(int(sys.argv[1]))"
_STARTED, _REAPED = "=q", "=qdq"
_KILLED = int(signal.SIGKILL)


class Usage(NamedTuple):
    """How a program ended, as wait(2) says it; processor seconds, and the peak of its memory in KiB."""

    status: int
    cpu_seconds: float
    max_rss: int


class Confinement(Protocol):
    """What ``Sandbox`` is."""

    def request(self, parent: int) -> list[str]:
        """The words by which ``confine`` knows what to allow."""

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that confines itself and then becomes ``argv``."""


class Running(Protocol):
    """A program that was begun, first of its own session and group."""

    @property
    def pid(self) -> int: ...
    @property
    def exited(self) -> int | None:
        """A descriptor that can be read once it has ended, where the kernel has such."""

    def has_ended(self) -> bool:
        """Looks without reaping, so that the number of the process group stays taken until it was killed."""

    def reap(self) -> Usage:
        """Waits for its end; once."""


class _Child:
    """A child of this process."""

    def __init__(self, process: subprocess.Popen[bytes]):
        self._process = process
        self.pid = process.pid
        self.exited = children.open_exit(process.pid)

    def has_ended(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def reap(self) -> Usage:
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self.exited is not None:
            os.close(self.exited)
        return Usage(status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


class _Grandchild:
    """A child of the kept process. That reaps it only when it is asked, so that its number stays its own until then."""

    def __init__(self, pid: int, exited: int, keeper: Spawner):
        self.pid = pid
        self.exited = exited
        self._keeper = keeper

    def has_ended(self) -> bool:
        return bool(select.select([self.exited], [], [], 0)[0])

    def reap(self) -> Usage:
        select.select([self.exited], [], [])
        os.close(self.exited)
        return self._keeper.reap(self.pid)


class Spawner:
    """The kept process, seen from here; threads may use it at once."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno())],
                cwd="/",
                env={},  # nor can a program look here for secrets
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process, which then ends every program in good order
            )
        self.pid = self._process.pid
        self._link = ours
        self._lock = Lock()

    def start(self, words: Sequence[str], handles: Sequence[int]) -> int:
        """The number of the process that was begun. Raises OSError, ConnectionError where the kept process is gone."""
        number = int(self._ask(_STARTED, ["start", *words], handles)[0])
        if number < 0:
            raise OSError(-number, os.strerror(-number))
        return number

    def reap(self, pid: int) -> Usage:
        """How a program ended. Where the kept process was killed, so was the program."""
        try:
            status, cpu, peak = self._ask(_REAPED, ["reap", str(pid)])
            return Usage(int(status), cpu, int(peak))
        except OSError:
            return Usage(_KILLED, 0.0, 0)

    def _ask(self, form: str, words: Sequence[str], handles: Sequence[int] = ()) -> tuple[int | float, ...]:
        if any("\0" in word for word in words):
            raise ValueError("embedded null byte")
        body = "\0".join(words).encode(sys.getfilesystemencoding(), "surrogateescape")
        with self._lock:
            try:
                socket.send_fds(self._link, [len(body).to_bytes(4, "little")], handles)
                self._link.sendall(body)
                answer = self._link.recv(struct.calcsize(form), socket.MSG_WAITALL)
            except BaseException:
                # After an interrupt the answer would be taken for that of the next question.
                with suppress(OSError):
                    self._link.shutdown(socket.SHUT_RDWR)
                raise
        if len(answer) < struct.calcsize(form):
            raise ConnectionError(errno.EPIPE, os.strerror(errno.EPIPE))
        return struct.unpack(form, answer)

    def close(self) -> None:
        """Ends the kept process, and every program that it still has."""
        with self._lock:
            self._link.close()
            self._process.wait()


_KEPT: list[Spawner] = []
_KEEPING = Lock()


def close() -> None:
    """Ends the kept process, where there is one; the next confined program starts another."""
    with _KEEPING:
        while _KEPT:
            _KEPT.pop().close()


def _keeper(gone: Spawner | None = None) -> Spawner:
    """The kept process; another one than ``gone``."""
    with _KEEPING:
        if _KEPT and _KEPT[0] is gone:
            _KEPT.pop().close()
        if not _KEPT:
            _KEPT.append(Spawner())
        return _KEPT[0]


def begin(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], handles: Sequence[int], confined: Confinement | None
) -> Running:
    """Begins a program with these descriptors as stdin, stdout and stderr. Raises OSError where it cannot be started."""
    if confined is not None and _kernel_tells_ends():
        return _begin_confined(argv, cwd, env, handles, confined)
    stdin, stdout, stderr = handles
    words = confined.wrap(argv) if confined is not None else list(argv)
    return _Child(
        subprocess.Popen(  # noqa: S603 - an argument list, never a shell
            words, cwd=cwd, env=dict(env), stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    )


@cache
def _kernel_tells_ends() -> bool:
    handle = children.open_exit(os.getpid())
    if handle is not None:
        os.close(handle)
    return handle is not None


def _begin_confined(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], handles: Sequence[int], confined: Confinement
) -> Running:
    given = [str(cwd), str(len(env)), *(f"{name}={value}" for name, value in env.items())]
    keeper = _keeper()
    try:
        pid = keeper.start([*given, *confined.request(keeper.pid), *argv], handles)
    except ConnectionError:
        keeper = _keeper(gone=keeper)
        pid = keeper.start([*given, *confined.request(keeper.pid), *argv], handles)
    exited = children.open_exit(pid)
    if exited is None:
        os.killpg(pid, signal.SIGKILL)
        keeper.reap(pid)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return _Grandchild(pid, exited, keeper)


atexit.register(close)
