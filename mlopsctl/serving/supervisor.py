"""Keeps one server running: ``python -I -m mlopsctl.serving.supervisor STATE HOST PORT [WISH]``.

Binds the port first (exit 4 where that fails, with the reason on stderr), then leaves the caller's session and
terminal. It holds the listening socket, so connections wait while a crashed server is started again. It ends on
SIGTERM and when the state folder is gone. Standard library only: it runs as long as the deployment does.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, cast

from .files import write_json
from .processes import start_mark

CANNOT_BIND = 4
LOG_LIMIT = 1024 * 1024
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
STEADY = 30.0
"""Seconds after which a server counts as well and the back-off begins anew."""


def bind(host: str, port: int, wish: int = 0) -> socket.socket:
    """A listening socket; with port 0 on ``wish`` if it is free, else on any. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in dict.fromkeys([port or wish, port]):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(2048)
            return listener
        except OSError:
            listener.close()
            if candidate == port:
                raise
    raise AssertionError("unreachable: the last candidate returns or raises")


class Log:
    """``server.log``, and ``server.log.1`` before it: at most twice LOG_LIMIT, for its owner's eyes.

    What cannot be written is lost: a full disk must not end the server.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, chunk: bytes) -> None:
        with contextlib.suppress(OSError), open(self._path, "ab", opener=_private) as file:
            file.write(chunk)
            if file.tell() > LOG_LIMIT:
                self._path.replace(self._path.with_name(self._path.name + ".1"))


def _private(path: str, flags: int) -> int:
    # A program's own words may quote the rows that it was asked about.
    return os.open(path, flags, 0o600)


class Supervisor:
    """Runs the server again whenever it ends, after a delay that doubles."""

    def __init__(self, state: Path, listener: socket.socket) -> None:
        self._state = state
        self._folder = state.stat().st_ino
        self._listener = listener
        self._log = Log(state / "server.log")
        self._ending = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        delay = FIRST_DELAY
        while not self._ending and self._wanted():
            begun = time.monotonic()
            status = self._run_once()
            if self._ending or not self._wanted():
                break
            delay = FIRST_DELAY if time.monotonic() - begun > STEADY else min(delay * 2, LONGEST_DELAY)
            self._log.write(f"the server ended with status {status}; it starts again in {delay:.1f} s\n".encode())
            pause = time.monotonic() + delay
            while time.monotonic() < pause and not self._ending and self._wanted():
                time.sleep(0.1)

    def _end(self, number: int, frame: object) -> None:
        self._ending = True

    def _wanted(self) -> bool:
        try:
            return self._state.stat().st_ino == self._folder
        except FileNotFoundError:
            return False

    def _run_once(self) -> int:
        number = self._listener.fileno()
        server = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-I", "-m", "mlopsctl.serving.server", str(self._state), str(number), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[number],
            process_group=0,
        )
        output = cast("IO[bytes]", server.stdout)
        told = False
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            # Not reaped before its group has ended too: until then the number is nobody else's.
            while os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                if not told and (self._ending or not self._wanted()):
                    server.terminate()
                    told, deadline = True, time.monotonic() + 8
                if told and time.monotonic() > deadline:
                    server.kill()
                if selector.get_map() and selector.select(0.2):
                    chunk = os.read(output.fileno(), 1 << 16)
                    if chunk:
                        self._log.write(chunk)
                    else:
                        selector.unregister(output)
                elif not selector.get_map():
                    time.sleep(0.1)
            if selector.get_map() and selector.select(0):
                self._log.write(os.read(output.fileno(), 1 << 16))
        output.close()
        os.killpg(server.pid, signal.SIGKILL)  # the programs of a model that outlived it
        return server.wait()


def main(arguments: list[str]) -> int:
    state, host, port = Path(arguments[0]).resolve(), arguments[1], int(arguments[2])
    wish = int(arguments[3]) if len(arguments) > 3 else 0
    try:
        listener = bind(host, port, wish)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return CANNOT_BIND
    said, say = os.pipe()
    if os.fork():
        # Whoever started this may rely on supervisor.json once this process has ended well.
        os.close(say)
        return 0 if os.read(said, 1) else 1
    os.close(said)
    os.setsid()
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    os.chdir("/")
    pid = os.getpid()
    address = listener.getsockname()
    write_json(
        state / "supervisor.json",
        {"pid": pid, "start": start_mark(pid), "host": host, "port": address[1]},
    )
    os.write(say, b".")
    os.close(say)
    Supervisor(state, listener).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
