"""Confines itself and becomes the given program: ``python -I -S confine.py REQUEST… PROGRAM ARGUMENT…``.

REQUEST is ``MODE PARENT MEMORY CPUS READ WRITE HIDE`` and then the paths: MODE is ``landlock``, ``namespaces`` or ``export``,
PARENT the process that it must not outlive, MEMORY the bytes of private memory a process and CPUS the cores, 0 for no limit;
READ, WRITE and HIDE (for namespaces) count the paths that follow, in this order. With ``--probe`` alone it prints the
strongest mode this kernel offers. Standard library only, and little of it: json or signal take longer to import than Python
to start. ``spawn`` does the same for many programs without starting Python for each.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys

_LIBC = ctypes.CDLL(None, use_errno=True)
_SIGKILL = 9
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _REFER, _SCOPE_SIGNAL = 1 << 14, 1 << 13, 2
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def landlock_version() -> int:
    """The Landlock ABI of this kernel, 0 where it has none or where it is switched off."""
    return max(int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)), 0)


def landlock(read: list[str], write: list[str]) -> None:
    """From here on only these paths and what lies below them can be opened. Source: landlock(7)."""
    version = landlock_version()
    handled = (1 << 13) - 1 | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("QQQ", handled, 0, _SCOPE_SIGNAL) if version >= 6 else struct.pack("Q", handled)
    rules = _checked(_LIBC.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock")
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    for paths, access in ((read, reading), (write, handled)):
        for path in paths:
            _allow(rules, path, access)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _checked(_LIBC.syscall(_RESTRICT_SELF, rules, 0), "landlock")
    os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no permission
    if not os.path.isdir(path):
        access &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
    rule = struct.pack("=Qi", access, place)
    _checked(_LIBC.syscall(_ADD_RULE, rules, 1, rule, 0), f"landlock {path}")
    os.close(place)


def namespaces(hide: list[str], keep: list[str]) -> None:
    """Mounts an empty folder over each path of ``hide`` and shows in it again what ``keep`` names below it."""
    user, group = os.getuid(), os.getgid()
    _checked(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as stream:
            stream.write(text)
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    # Outermost first: an inner one may lie in a folder that an outer one has already emptied.
    for outer in sorted(set(hide), key=len):
        if not os.path.isdir(outer):
            continue
        inside = [path for path in keep if os.path.commonpath([outer, path]) == outer and os.path.lexists(path)]
        inside.sort(key=len)
        places = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC), os.path.isdir(path)) for path in inside]
        _mount("tmpfs", outer, "tmpfs", 0)
        for path, place, is_folder in places:
            # What a kept folder shows already is the real thing: to make a place for it there would empty it.
            if not os.path.lexists(path):
                os.makedirs(path if is_folder else os.path.dirname(path), exist_ok=True)
                if not is_folder:
                    open(path, "xb").close()
                _mount(f"/proc/self/fd/{place}", path, None, _MS_BIND | _MS_REC)
            os.close(place)
    # Without this the working folder would still be the one below the mounts.
    os.chdir(os.environ.get("PWD", "/"))
    # A program that runs as root could unmount again what hides the folders.
    for capability in range(64):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    found = _LIBC.mount(source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), None)
    _checked(found, f"mount {target}")


def probe() -> str:
    """``landlock`` (an allow-list) before ``namespaces`` (a deny-list) before ``export`` (nothing but the copy)."""
    if landlock_version():
        return "landlock"
    try:
        namespaces([], [])
    except OSError:
        return "export"
    return "namespaces"


def end_with(parent: int) -> None:
    """From here on the kernel ends this process when ``parent`` does, however that ends.

    A parent that was killed before the kernel was asked is known by its number: then somebody else is the parent already.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), _SIGKILL)


def become(words: list[str]) -> None:
    """Confines this process as the request says and replaces it by the program. Ends it where that cannot be."""
    mode, numbers, rest = words[0], [int(word) for word in words[1:7]], words[7:]
    parent, memory, cpus, *counts = numbers
    paths = []
    for count in counts:
        paths.append(rest[:count])
        rest = rest[count:]
    read, write, hide = paths
    end_with(parent)
    if memory:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if cpus:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cpus])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if mode == "landlock":
        landlock(read, write)
    elif mode == "namespaces":
        namespaces(hide, read + write)
    program = rest[0]
    try:
        os.execvp(program, rest)
    except OSError as error:
        code = 126 if error.errno != errno.ENOENT else 127
        print(f"{program}: {error.strerror}", file=sys.stderr)
        sys.exit(code)


def main() -> None:
    """Does what the command line asks for."""
    if sys.argv[1] == "--probe":
        print(probe())
    else:
        become(sys.argv[1:])


if __name__ == "__main__":
    main()
