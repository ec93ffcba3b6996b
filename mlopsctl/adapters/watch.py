"""Writes down all that a verb looks at while it works: the one seam through which facts become known to a memo.

No list of inputs is kept by hand. The interpreter itself tells of every opened file, listed folder, database and
process (audit events), and ``os.stat`` with its kin, of which it does not tell, is wrapped for as long as the watch
lasts. What is neither known to be harmless nor a fact that can be looked at again makes the watch refuse.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

from .facts import FILE, LEADS, LINK, LIST, LOCK, MAY, PROCESS, TEXT, UnknownFactError, look
from .git_start import is_question

HARMLESS = frozenset({
    # The interpreter at work.
    "array.__new__", "builtins.id", "code.__new__", "compile", "exec", "function.__new__", "gc.get_objects", "import",
    "marshal.loads", "object.__delattr__", "object.__getattr__", "object.__setattr__", "sys._current_frames",
    "sys._getframe", "sys._getframemodulename", "sys.excepthook", "sys.unraisablehook", "cpython._PySys_ClearAuditHooks",
    # What is done and not asked. Folders are asked for by the two that "pathlib" and "glob" go on to use.
    "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.utime", "os.walk", "glob.glob", "glob.glob/2",
    "pathlib.Path.glob", "pathlib.Path.rglob", "sqlite3.connect/handle",
    # Which folder and host: both are part of what a memo is found by.
    "os.chdir", "os.putenv", "os.unsetenv", "socket.gethostname",
})  # fmt: skip

_MANY = 2_000
"""More entries of one folder are not looked at one by one."""


class Watch:
    """The facts of one run, each as it was when it was first asked for, and what was printed."""

    def __init__(self) -> None:
        self.begun = time.time_ns()
        self.facts: dict[tuple[str, str], str] = {}
        self.git: dict[tuple[str, tuple[str, ...]], tuple[int, bytes]] = {}
        self.said: list[str] = []
        self.refused = ""
        self.settled = False
        self._processes = 0
        self._aside = False
        self._thread = get_ident()

    def refuse(self, why: str) -> None:
        """Nothing may be concluded from this run; the first reason is kept, and nobody has to be watched any more."""
        self.refused = self.refused or why
        _restore()

    def see(self, kind: str, name: str) -> None:
        """Looks at a fact, once."""
        if (kind, name) in self.facts:
            return
        if "\n" in name or "\t" in name:
            self.refuse(f"the name {name!r}")
        try:
            with self.aside():
                self.facts[kind, name] = look(kind, name)
        except UnknownFactError as unknown:
            self.refuse(f"{kind} {unknown}")

    def event(self, name: str, args: tuple[Any, ...]) -> None:
        """What the interpreter tells; must not raise."""
        if name in HARMLESS or self.is_aside():
            return
        if name == "subprocess.Popen":
            # Only ``ran`` knows what came of it, and takes it off again.
            self._processes += 1
        elif name == "open":
            self._opened(*args)
        elif name == "sqlite3.connect" and isinstance(args[0], str | bytes | os.PathLike):
            if os.fsdecode(args[0]) != ":memory:":
                self.see(FILE, _absolute(args[0]))
        elif name in ("os.listdir", "os.scandir"):
            self._listed(name, args[0])
        else:
            self.refuse(name)

    def _opened(self, path: Any, mode: Any, flags: int) -> None:
        if isinstance(path, int) or flags & os.O_ACCMODE == os.O_WRONLY:
            return
        name = _absolute(path)
        if re.fullmatch(r"/proc/\d+/stat", name):
            self.see(PROCESS, name)
        else:
            self.see(TEXT if name.startswith(("/proc/", "/sys/")) else FILE, name)

    def _listed(self, name: str, folder: Any) -> None:
        if isinstance(folder, int):
            self.refuse(f"{name} of an open folder")
            return
        path = _absolute("." if folder is None else folder)
        self.see(TEXT if path.startswith(("/proc/", "/sys/")) else LIST, path)
        if name == "os.listdir":
            return
        with self.aside():
            entries = sorted(os.listdir(path)) if os.path.isdir(path) else []
        if len(entries) > _MANY:
            self.refuse(f"{len(entries)} entries of {path}")
            return
        # Whoever has such an entry can ask it what it is without any event.
        for entry in entries:
            self.see(FILE, os.path.join(path, entry))
            self.see(LINK, os.path.join(path, entry))

    def ran(self, folder: Path, args: tuple[str, ...], data: bytes | None, code: int, output: bytes) -> None:
        """What git answered. Writing commands, and those that were told something, cannot be asked again."""
        if self.is_aside():
            return
        self._processes -= 1
        known = self.git.setdefault((_absolute(folder), args), (code, output))
        if data is not None or not is_question(args) or known != (code, output):
            self.refuse(f"git {' '.join(args)[:80]}")

    def unaccounted(self) -> bool:
        """Whether a process was started of whose answer nothing is known."""
        return self._processes != 0

    def is_aside(self) -> bool:
        """Whether what is asked now is not written down. What another thread asks ends the watch.

        While one thread looks at a fact, another's could not be told from that.
        """
        if get_ident() != self._thread:
            self.refuse("another thread")
        return self._aside or bool(self.refused)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is looked at meanwhile has no part in the answer."""
        before, self._aside = self._aside, True
        try:
            yield
        finally:
            self._aside = before


_watch: Watch | None = None
_hooked = False
_ORIGINALS: Mapping[str, Callable[..., Any]] = {
    name: getattr(os, name) for name in ("stat", "lstat", "access", "readlink")
}


@contextmanager
def watched() -> Iterator[Watch]:
    """Watches what is done in the block."""
    global _watch, _hooked
    if not _hooked:
        # A hook stays for as long as the interpreter; without a watch it is one comparison.
        sys.addaudithook(_hook)
        _hooked = True
    found = _watch = Watch()
    try:
        for name, original in _ORIGINALS.items():
            setattr(os, name, _wrapped(found, name, original))
        yield found
    finally:
        _watch = None
        _restore()


def _restore() -> None:
    for name, original in _ORIGINALS.items():
        setattr(os, name, original)


def _hook(name: str, args: tuple[Any, ...]) -> None:
    if _watch is not None:
        try:
            _watch.event(name, args)
        except Exception as error:  # noqa: BLE001 - what a hook raises would fail what is being done
            _watch.refuse(f"{name}: {error}")


def _wrapped(watch: Watch, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """A function of ``os`` that also writes down what it is asked."""

    def asked(path: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(path, int) and not watch.is_aside():
            _ask(watch, name, path, args, options)
        return original(path, *args, **options)

    return asked


def _ask(watch: Watch, name: str, path: Any, args: Sequence[Any], options: dict[str, Any]) -> None:
    follows = options.get("follow_symlinks", True)
    where = _absolute(path)
    if options.get("dir_fd") is not None or options.get("effective_ids") or (name == "access" and not follows):
        watch.refuse(f"{name} with options")
    elif name == "access":
        watch.see(MAY, f"{args[0] if args else options['mode']} {where}")
    elif name == "readlink":
        watch.see(LEADS, where)
    else:
        watch.see(FILE if name == "stat" and follows else LINK, where)


def _absolute(path: Any) -> str:
    """The path from the root; ``..`` stays, because it may follow a symbolic link."""
    return os.path.join(os.getcwd(), os.fsdecode(path))


# --- What the rest of the house says ------------------------------------------------------------------------------


def needs(what: str) -> None:
    """Something counts that cannot be looked at again: the clock, the machine, a server's answer."""
    if _watch is not None:
        _watch.refuse(what)


def ran(folder: Path, args: tuple[str, ...], data: bytes | None, code: int, output: bytes) -> None:
    """A git process ended."""
    if _watch is not None:
        _watch.ran(folder, args, data, code, output)


def settled() -> None:
    """The verb found nothing to do; of anything else nothing is remembered."""
    if _watch is not None:
        _watch.settled = True


def said(line: str) -> None:
    """A line of the result was printed."""
    if _watch is not None:
        _watch.said.append(line)


@contextmanager
def taking(lock: Path) -> Iterator[None]:
    """What it takes to get a lock is no fact of the answer, but that it can be had is one."""
    if _watch is None:
        yield
        return
    with _watch.aside():
        yield
    # Held by this very process now, so that it is written down and not looked at.
    _watch.facts[LOCK, _absolute(lock)] = "free"
