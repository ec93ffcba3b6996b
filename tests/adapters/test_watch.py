"""What a watch sees, and that nothing a plan looks at escapes it."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import mlopsctl
from mlopsctl.adapters import facts, memo, watch
from mlopsctl.adapters.facts import FILE, LEADS, LINK, LIST, LOCK, MAY, PROCESS, TEXT, look
from mlopsctl.adapters.git import git
from mlopsctl.adapters.git_start import is_question
from mlopsctl.adapters.lock import locked
from mlopsctl.adapters.watch import Watch, watched
from mlopsctl.cli.trail import _clock

from ..quickstart import make_quickstart, must, take_down
from ..remembered import memos, plainly, remember

PACKAGE = Path(mlopsctl.__file__).parent


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("y")
    (tmp_path / "link").symlink_to("file")


SEEN: dict[str, tuple[Callable[[], object], set[tuple[str, str]]]] = {
    "read": (lambda: Path("file").read_bytes(), {(FILE, "file")}),
    "open": (lambda: os.close(os.open("file", os.O_RDONLY)), {(FILE, "file")}),
    "read and write": (lambda: os.close(os.open("file", os.O_RDWR)), {(FILE, "file")}),
    "not there": (lambda: Path("none").is_file(), {(FILE, "none")}),
    "exists": (lambda: os.path.exists("file"), {(FILE, "file")}),
    "is a link": (lambda: Path("link").is_symlink(), {(LINK, "link")}),
    "leads": (lambda: os.readlink("link"), {(LEADS, "link")}),
    "may": (lambda: os.access("file", os.X_OK), {(MAY, "1 file")}),
    "which": (lambda: shutil.which("none", path=os.getcwd()), {(FILE, "none")}),
    "names": (lambda: os.listdir("folder"), {(LIST, "folder")}),
    "entries": (
        lambda: [one.is_file() for one in os.scandir("folder")],
        {(LIST, "folder"), (FILE, "folder/inside"), (LINK, "folder/inside")},
    ),
    "walk": (lambda: list(os.walk("folder")), {(LIST, "folder"), (FILE, "folder/inside")}),
    "glob": (lambda: list(Path("folder").glob("*.json")), {(LIST, "folder")}),
    "database": (lambda: sqlite3.connect("file").close(), {(FILE, "file")}),
    "written": (lambda: Path("new").write_bytes(b""), set()),
}  # fmt: skip


def relative(found: Watch) -> set[tuple[str, str]]:
    here = os.getcwd() + "/"
    return {(kind, name.replace(here, "")) for kind, name in found.facts if here in name}


@pytest.mark.parametrize("what", SEEN)
def test_it_sees(what: str) -> None:
    act, expected = SEEN[what]
    with watched() as found:
        act()
    assert found.refused == "" and not found.unaccounted()
    assert expected <= relative(found) and bool(expected) == bool(relative(found))


def test_the_kernel_is_asked_and_not_its_clock() -> None:
    with watched() as found:
        Path("/proc/sys/kernel/random/boot_id").read_text()
        Path(f"/proc/{os.getpid()}/stat").read_text()
        Path("/proc/1073741824/stat").exists()
    assert found.facts[TEXT, "/proc/sys/kernel/random/boot_id"]
    assert found.facts[PROCESS, f"/proc/{os.getpid()}/stat"].startswith("since ")
    assert all(look(kind, name) == answer for (kind, name), answer in found.facts.items())


REFUSED: dict[str, Callable[[], object]] = {
    "a socket": lambda: socket.socket().close(),
    "a program": lambda: subprocess.run(["true"], check=True),
    "another program": lambda: os.posix_spawnp("true", ["true"], os.environ),
    "a shell": lambda: os.system("true"),
    "an open folder": lambda: os.stat("inside", dir_fd=os.open("folder", os.O_RDONLY)),
    "names of an open folder": lambda: os.listdir(os.open("folder", os.O_RDONLY)),
    "attributes": lambda: os.listxattr("file"),
    "the clock": _clock,
    "git that writes": lambda: git(Path.cwd(), "update-ref", "-d", "refs/x", check=False),
    "git that is told something": lambda: git(Path.cwd(), "rev-parse", "HEAD", data=b"x", check=False),
    "a signal": lambda: os.kill(os.getpid(), 0),
    "a name that fits in no line": lambda: os.path.exists("a\nb"),
    "a word on stderr": lambda: __import__("mlopsctl.cli.console", fromlist=["note"]).note("x"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_refuses(what: str) -> None:
    with watched() as found:
        REFUSED[what]()
    assert found.refused or found.unaccounted()
    memo._key = b"0" * 64
    try:
        assert memo.keep(found) != "" and memos() == []
    finally:
        memo._key = b""


def test_machine_code_that_may_read_unseen_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    with watched() as found:
        pass
    assert "read files unseen" in memo.keep(found)


def test_git_is_asked_again_as_it_was_asked() -> None:
    must("git init -q && git add file", Path.cwd())
    with watched() as found:
        done = git(Path.cwd(), "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard")
        assert git(Path.cwd(), "rev-parse", "--verify", "--quiet", "HEAD", check=False).returncode != 0
    assert found.refused == "" and len(found.git) == 2 and b"? folder/inside" in done.stdout
    for (folder, args), answer in found.git.items():
        assert facts.ask_git(folder, args) == answer
    before = os.listdir("/proc/self/fd")
    with pytest.raises(facts.UnknownFactError):
        facts.ask_git(".", ("update-ref", "-d", "HEAD"))
    assert os.listdir("/proc/self/fd") == before


def test_questions_to_git_are_few_and_only_look() -> None:
    for words in ("ls-files", "-c filter.a.clean= status", "remote", "config --name-only -z --get-regexp x"):
        assert is_question(tuple(words.split())), words
    for words in ("", "-c a=b", "fetch", "push", "config x y", "remote add x y", "-c a=b update-ref x", "commit",
                  "-C x status", "--exec-path=x status", "rev-list", "hash-object -w"):  # fmt: skip
        assert not is_question(tuple(words.split())), words


def test_that_a_lock_can_be_had_is_a_fact_and_what_it_takes_is_none() -> None:
    with watched() as found, locked(Path("lock"), "test"), found.aside():
        assert look(LOCK, f"{os.getcwd()}/lock") != "free"
    assert found.refused == "" and relative(found) == {(LOCK, "lock")}
    assert look(LOCK, f"{os.getcwd()}/lock") == "free"


def test_os_is_as_it_was_once_nothing_is_to_be_seen() -> None:
    before = (os.stat, os.lstat, os.access, os.readlink)
    with watched() as found:
        assert os.stat is not before[0]
        found.refuse("enough")
        assert (os.stat, os.lstat, os.access, os.readlink) == before
    with pytest.raises(ZeroDivisionError), watched():
        _ = 1 / 0
    assert (os.stat, os.lstat, os.access, os.readlink) == before
    watch.needs("nobody")


def test_other_threads_are_seen_too() -> None:
    with watched() as found:
        thread = threading.Thread(target=lambda: os.path.exists("file"))
        thread.start()
        thread.join()
    # Starting one is an event of its own in newer interpreters.
    assert (FILE, "file") in relative(found) or found.refused


# --- Nothing escapes ----------------------------------------------------------------------------------------------


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("time", "datetime"):
            yield from (f"{node.module}.{name.name}" for name in node.names)


CLOCKS = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "time.localtime",
}

# Why a module that looks at the clock makes no answer of a plan depend on it.
KNOWN_CLOCKS = {
    "adapters.files": "removes what was left behind",
    "adapters.lock": "says since when somebody else works, which is an error and not remembered",
    "adapters.notes": "writes a commit",
    "adapters.sandbox": "confines what runs",
    "adapters.statcache": "keeps the moment of a look beside it",
    "adapters.steps": "writes down when a step began",
    "adapters.watch": "the moment that facts are compared with",
    "audit.trail": "what cli/trail.py wraps",
    "cli.announced": "an age, which says so by watch.needs",
    "cli.queue": "names a file that is written",
}  # fmt: skip


def test_a_new_look_at_the_clock_is_thought_about(project: Path) -> None:
    """No watch sees a clock: a module of plan or apply that asks it for an answer has to say so by ``watch.needs``."""
    known = {name for verb in (["plan"], ["apply", "-y"]) for name in plainly(project, *verb).modules}
    ours = {name.removeprefix("mlopsctl."): importlib.util.find_spec(name) for name in known if "mlopsctl." in name}
    assert "plan" in ours and "cli.queue" in ours
    clocks = {name for name, spec in ours.items() if spec and spec.origin and CLOCKS & set(_calls(Path(spec.origin)))}
    assert clocks <= set(KNOWN_CLOCKS)


def test_nobody_holds_functions_of_os_from_before() -> None:
    names = {"stat", "lstat", "access", "readlink"}
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "os.path", "posix")
        if names & {name.name for name in node.names}
    }
    assert found == {"adapters/facts.py"}


_PATH = re.compile(r'(\w+)\((?:AT_FDCWD, )?"([^"]*)"')


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.slow
def test_every_path_that_a_plan_looks_at_is_in_the_memo(tmp_path: Path) -> None:
    """As the kernel saw it, with whatever sources of facts there are: a path that is in no memo fails this test."""
    folder = make_quickstart(tmp_path / "digits")
    try:
        must("mlopsctl apply -y", folder)
        for argv in (("plan",), ("plan", "--format", "json"), ("apply", "-y")):
            before = set(memos())
            remember(folder, *argv)
            (memo_file,) = set(memos()) - before
            known = {
                line.split("\t")[1].split(" ", 1)[-1] if line.startswith(MAY) else line.split("\t")[1]
                for line in memo._unpacked(memo_file.read_bytes()[len(memo.FORMAT) + 8 :])[2].decode().splitlines()
            }
            log = tmp_path / "strace.log"
            calls = (
                "trace=openat,open,stat,lstat,newfstatat,statx,access,faccessat2,readlink,readlinkat,getdents64,connect"
            )
            must(f"strace -qq -e {calls} -o {log} mlopsctl {' '.join(argv)}", folder)
            lines = [line for line in log.read_text().splitlines() if "O_WRONLY" not in line and "O_EXCL" not in line]
            paths = [found[2] for line in lines if (found := _PATH.match(line))]
            assert f"{folder}/mlops.yaml" in paths and f"{folder}/train.py" in paths
            if argv[0] == "apply":
                # Which process it is itself stands in the lock.
                paths = [path for path in paths if not re.fullmatch(r"/proc/\d+/stat", path)]
            missed = sorted({path for path in map(os.path.normpath, paths) if not _of_the_program(path)} - known)
            assert missed == [], "\n".join(missed)
            assert "connect(" not in log.read_text()
    finally:
        take_down(folder)


def _of_the_program(path: str) -> bool:
    """Python, its modules, and what its libraries read of the system before our first line."""
    installed = (sys.prefix, sys.base_prefix, str(PACKAGE), os.path.dirname(os.path.realpath(sys.executable)))
    if path.startswith((*installed, "/etc/ld.so", "/lib/", "/usr/lib", "/lib64/", "/usr/share/locale", "/proc/self/")):
        return True
    # Python asks where it lies itself, and for a zone that no answer is written in.
    if any(one.startswith(f"{path}/") for one in installed) or re.search(
        r"/lib/python\d+\.zip$|^/etc/localtime$", path
    ):
        return True
    # SQLite looks for its own two files beside a database that is a fact itself.
    return path.endswith(("index.db-wal", "index.db-shm", "index.db-journal")) or path in ("/dev/urandom",)


def test_what_a_thread_asks_while_another_looks_is_not_lost() -> None:
    """A look aside is that of its thread; of a second one nobody knows what it asked meanwhile."""
    for ask in (lambda: os.path.exists("file"), lambda: os.listdir("folder")):
        with watched() as found, found.aside():
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        assert found.refused
