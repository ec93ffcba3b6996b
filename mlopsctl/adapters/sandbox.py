"""What a program that is not ours may see of the file system: named folders and the operating system, nothing else.

``landlock`` is an allow-list: what is not named cannot be opened, not even by root. ``namespaces``, for kernels without
it, is a deny-list: the project, its git folder, the home and the temporary folders appear empty. ``export`` confines
nothing: the program merely runs in a folder of its own. The network is left as it is in all three.
"""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from .process import clean_env
from .share import share

CONFINE = Path(__file__).parent.parent / "workers" / "confine.py"
_START = f"import sys; sys.path.append({str(CONFINE.parent)!r}); import confine; confine.main()"
# Imported, so that Python keeps it compiled; behind the standard library, so that no file beside it stands in for a part.
_CONFINED = (sys.executable, "-I", "-S", "-c", _START)

SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix", "/proc", "/sys",
    "/run/systemd/resolve", "/run/resolvconf",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm")  # noqa: S108 — the shared memory of multiprocessing
DEVICE_GLOBS = ("/dev/nvidia*", "/dev/dri", "/dev/kfd", "/dev/accel*")


@dataclass(frozen=True)
class Sandbox:
    """Paths a program may read and write, and its limits; ``memory`` is in bytes of private memory a process."""

    mode: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    memory: int | None = None
    cpus: int | None = None

    def request(self, parent: int) -> list[str]:
        """The words by which ``workers/confine.py`` knows what to allow a child of the process ``parent``."""
        lists = (self.read, self.write, self.hide)
        numbers = (parent, self.memory or 0, self.cpus or 0, *map(len, lists))
        return [self.mode, *map(str, numbers), *(path for paths in lists for path in paths)]

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that confines itself and then becomes ``argv``; this process has to start it."""
        return [*_CONFINED, *self.request(os.getpid()), *argv]


@cache
def strongest_mode() -> str:
    """``landlock``, ``namespaces`` or ``export``: the strongest that this kernel grants this user."""
    probe = subprocess.run(  # noqa: S603 — our own interpreter and our own file
        [*_CONFINED, "--probe"], capture_output=True, text=True, check=False
    )
    return probe.stdout.strip() if probe.returncode == 0 else "export"


def make_sandbox(
    *,
    read: Iterable[Path],
    write: Iterable[Path],
    hidden: Iterable[Path],
    path: str,
    mode: str = "",
    memory: int | None = None,
    cpus: int | None = None,
) -> Sandbox:
    """A sandbox in which ``read`` and ``write`` and the operating system are seen, and ``hidden`` is not.

    ``path`` is the PATH whose programs can be run; no limit is wider than the share of the step. A path of ``read`` or ``write`` may lie inside a hidden folder.
    """
    mine = share()
    shut = tuple(_real(item) for item in hidden)
    ground = _ground(path, shut, str(Path.home()), tempfile.gettempdir())
    named = dict.fromkeys(part for item in read for part in cover(_real(item), shut))
    return Sandbox(
        mode or strongest_mode(),
        read=tuple(dict.fromkeys((*ground.read, *named))),
        write=(*(_real(item) for item in write), *ground.devices),
        hide=ground.hide,
        memory=min(filter(None, (memory, mine.memory)), default=None),
        cpus=min(filter(None, (cpus, mine.cpus)), default=None),
    )


def _real(path: Path) -> str:
    """``os.path.realpath``; the folders of one step lie beside each other, and are looked up once."""
    if os.path.islink(path) or path.name in ("", ".."):
        return os.path.realpath(path)
    return os.path.join(_real_folder(os.path.dirname(path)), path.name)


@lru_cache(64)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


class _Ground(NamedTuple):
    """What is the same for every step of a command."""

    read: tuple[str, ...]
    devices: tuple[str, ...]
    hide: tuple[str, ...]


@cache
def _ground(path: str, shut: tuple[str, ...], home: str, temporary: str) -> _Ground:
    """The operating system with the programs of ``path``. Kept, because looking for them takes longer than a small step."""
    system = [*SYSTEM, *_programs(path, shut)]
    return _Ground(
        tuple(dict.fromkeys(part for item in system for part in cover(os.path.realpath(item), shut))),
        (*DEVICES, *(found for pattern in DEVICE_GLOBS for found in glob.glob(pattern))),
        tuple(dict.fromkeys([*shut, os.path.realpath(home), os.path.realpath(temporary)])),
    )


def _programs(path: str, hidden: Sequence[str]) -> list[str]:
    """The folders of PATH, and for ``…/bin`` the folder that holds the libraries beside it too.

    Inside a hidden folder only virtual environments count: other folders there hold the project's own files.
    """
    found = []
    for name in (os.path.realpath(item) for item in path.split(os.pathsep) if os.path.isabs(item)):
        parent = os.path.dirname(name)
        inside = any(name == item or name.startswith(item + "/") for item in hidden)
        if inside and not os.path.isfile(os.path.join(parent, "pyvenv.cfg")):
            continue
        roomy = parent in ("/", os.path.realpath(Path.home()))
        found.append(name if roomy or os.path.basename(name) != "bin" else parent)
    return found


def cover(folder: str, hidden: Sequence[str]) -> list[str]:
    """``folder``, or where it holds a hidden folder, what lies in it besides."""
    if folder in hidden:
        return []
    if not any(item.startswith(folder.rstrip("/") + "/") for item in hidden):
        return [folder]
    try:
        children = sorted(entry.path for entry in os.scandir(folder) if not entry.is_symlink())
    except OSError:
        return []
    return [part for child in children for part in cover(child, hidden)]


_ASK = """
import importlib.metadata as m, json, platform, sys
def version(name):
    try:
        return m.version(name)
    except m.PackageNotFoundError:
        return ""
names = sys.argv[1:]
print(json.dumps({"folders": [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
    "sites": sys.path, "python": platform.python_version(), "packages": {n: version(n) for n in names if version(n)}}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python outside this process: where it lives, its version and those of some packages."""

    folders: tuple[Path, ...]
    python: str
    packages: Mapping[str, str]
    sites: tuple[Path, ...] = ()
    """Where its packages lie."""


def ask_python(program: str, packages: Sequence[str]) -> Interpreter | None:
    """Asks an interpreter about itself, isolated from the current folder and without this process's secrets; None where
    it gives no answer.

    An answer is kept for this command, as long as neither the program nor a folder of its packages was written to.
    """
    asked = program, tuple(packages)
    told = _TOLD.get(asked)
    if told is not None and told[0] == _stamps(program, told[1]):
        return told[1]
    begun = time.time()
    found = _ask_python(program, packages)
    if found is not None:
        stamps = _stamps(program, found)
        # What was written to lately may have been written to while it answered.
        if max((stamp[-1] for stamp in stamps), default=0) < (begun - _RECENT) * 1e9:
            _TOLD[asked] = stamps, found
    return found


_RECENT = 2.0
_Stamps = list[tuple[int, int, int]]
_TOLD: dict[tuple[str, tuple[str, ...]], tuple[_Stamps, Interpreter]] = {}


def _stamps(program: str, found: Interpreter) -> _Stamps:
    """Others once a package was put into the interpreter's folders or taken out, or the program is another one."""
    stamps = []
    for path in (program, *map(str, found.sites)):
        with suppress(OSError):
            seen = os.stat(path)
            stamps.append((seen.st_dev, seen.st_ino, seen.st_mtime_ns))
    return stamps


def _ask_python(program: str, packages: Sequence[str]) -> Interpreter | None:
    try:
        said = subprocess.run(  # noqa: S603 — the interpreter that the project's own command names
            [program, "-I", "-c", _ASK, *packages],
            env=clean_env(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        found = json.loads(said)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    folders = [Path(item) for item in dict.fromkeys(found["folders"])]
    inside = [folder / name for folder in folders for name in ("bin", "lib", "lib64", "include", "pyvenv.cfg")]
    sites = [Path(item) for item in found["sites"]]
    return Interpreter((*folders, *inside), str(found["python"]), found["packages"], tuple(sites))
