"""Who listens on a TCP port of this machine, as far as this user may know. Linux's /proc alone is read."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ...serving.processes import start_mark


class Listener(NamedTuple):
    """A process that has the listening socket; ``host`` is the address that it is bound to."""

    pid: int
    mark: str
    argv: tuple[str, ...]
    host: str
    own: bool
    """Whether it runs as this user."""

    def __str__(self) -> str:
        return f"process {self.pid} ({' '.join(self.argv)[:80] or 'unknown'})"


def port_holder(port: int) -> str:
    """``process PID (NAME)`` that listens on a port; empty where this user may not know."""
    return next((str(one) for one in listeners(port)), "")


def listeners(port: int) -> Iterator[Listener]:
    """The processes that hold a socket which listens on a port."""
    sockets = {f"socket:[{inode}]": host for host, inode in _listening(port)}
    for process in Path("/proc").iterdir() if sockets else ():
        held = sockets.keys() & _open_files(process) if process.name.isdigit() else ()
        pid = int(process.name) if held else 0
        if held and (mark := start_mark(pid)):
            yield Listener(pid, mark, _argv(process), sockets[min(held)], _user(process) == os.getuid())


def bound_to(port: int) -> list[str]:
    """The addresses on which anybody listens at a port, other users included."""
    return [host for host, _ in _listening(port)]


def _listening(port: int) -> Iterator[tuple[str, str]]:
    """Address and inode of each listening socket.

    Source: proc(5), /proc/net/tcp: field 2 is the local address in hex, 4 the state (0A = listen), 10 the inode.
    """
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            address, _, number = fields[1].rpartition(":")
            if fields[3] == "0A" and int(number, 16) == port:
                yield _address(address), fields[9]


def _address(text: str) -> str:
    """An address of /proc/net/tcp: words of 32 bits, each in the byte order of the machine."""
    import sys

    words = (int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    return str(ipaddress.ip_address(b"".join(words)))


def _open_files(process: Path) -> set[str]:
    found = set()
    try:
        for number in (process / "fd").iterdir():
            # A file may be closed meanwhile, this listing's own among them.
            with contextlib.suppress(FileNotFoundError):
                found.add(os.readlink(number))
    except OSError:  # the process ended, or belongs to somebody else
        return found
    return found


def _argv(process: Path) -> tuple[str, ...]:
    try:
        return tuple((process / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
    except OSError:
        return ()


def _user(process: Path) -> int:
    try:
        return process.stat().st_uid
    except OSError:
        return -1
