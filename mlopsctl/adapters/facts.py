"""What a plan looks at, and how it is looked at once more.

A fact has a kind, a name (mostly a path) and an answer in words. While a plan works ``watch`` writes down the answers;
before a remembered plan is shown each is asked again by the same function. Nothing heavy may be imported here.
"""

from __future__ import annotations

import fcntl
import os
from os import access, lstat, readlink, stat

from .git_start import HARDENED, environment, is_question

FILE, LINK, LIST, MAY, LEADS, TEXT, PROCESS, LOCK = "file", "link", "list", "may", "leads", "text", "process", "lock"

GRAIN_NS = 2_000_000_000
"""The coarsest time stamp of a file system in use (FAT: 2 s)."""

_FOLDER, _LINK, _PLAIN, _KIND = 0o040000, 0o120000, 0o100000, 0o170000
_MOST = 1 << 16


class UnknownFactError(Exception):
    """A fact that cannot be looked at; then nothing may be concluded."""


def look(kind: str, name: str) -> str:
    """What is the case now. The functions of ``os`` are bound above, so that no watcher sees them called from here."""
    try:
        return _LOOKS[kind](name)
    except (OSError, ValueError) as error:
        return f"no {getattr(error, 'errno', 0)}"
    except KeyError:
        raise UnknownFactError(kind) from None


def changed(answer: str) -> int:
    """When that file or folder was last changed (ns since the epoch), by an answer of ``look``; 0 where that is no matter."""
    words = answer.split(" ")
    return max(int(words[-2]), int(words[-1])) if len(words) == 6 else 0


def _words(found: os.stat_result, times: bool) -> str:
    what = f"{found.st_mode} {found.st_dev} {found.st_ino}"
    return f"{what} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}" if times else what


def _file(path: str) -> str:
    """A plain file with all that changes with its bytes; which folder or device it is, where it is one."""
    found = stat(path)
    return _words(found, found.st_mode & _KIND == _PLAIN)


def _link(path: str) -> str:
    """The same of a path itself, where it may be a symbolic link."""
    found = lstat(path)
    return _words(found, found.st_mode & _KIND in (_PLAIN, _LINK))


def _list(path: str) -> str:
    """A folder's times change with the names in it."""
    return _words(stat(path), True)


def _may(name: str) -> str:
    mode, _, path = name.partition(" ")
    return "yes" if access(path, int(mode)) else "not"


def _text(path: str) -> str:
    """What a file of the kernel says: its times say nothing."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        body = os.read(handle, _MOST)
    finally:
        os.close(handle)
    if len(body) == _MOST:
        raise UnknownFactError(path)
    return body.hex()


def _process(path: str) -> str:
    """Whether a process runs and when it began, by ``/proc/PID/stat``: fields 3 and 22, see proc(5)."""
    text = bytes.fromhex(_text(path)).decode(errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    return "ended" if fields[0] in "ZX" else f"since {fields[19]}"


def _lock(path: str) -> str:
    """Whether nobody holds the lock that whoever makes something takes first."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)
    return "free"


_LOOKS = {
    FILE: _file, LINK: _link, LIST: _list, MAY: _may, LEADS: readlink, TEXT: _text, PROCESS: _process, LOCK: _lock,
}  # fmt: skip


def ask_git(folder: str, args: tuple[str, ...]) -> tuple[int, bytes]:
    """Exit code and output of a question to git; the module ``subprocess`` would take longer to import than git runs.

    Raises UnknownFactError for a command that does more than look, and OSError.
    """
    if not is_question(args):
        raise UnknownFactError(" ".join(args))
    ours, theirs = os.pipe()
    here = os.getcwd()
    try:
        os.chdir(folder)
        nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        silent = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
        actions = [nothing, silent, (os.POSIX_SPAWN_DUP2, theirs, 1)]
        pid = os.posix_spawnp("git", ["git", *HARDENED, *args], environment(), file_actions=actions)
    finally:
        os.close(theirs)
        os.chdir(here)
    try:
        body = b""
        while more := os.read(ours, _MOST):
            body += more
    finally:
        os.close(ours)
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), body
