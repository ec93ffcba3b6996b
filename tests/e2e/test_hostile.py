"""A hostile repository that is only looked at, and a hostile trainer that looks for the test rows."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import pytest

import mlopsctl
from tests.e2e.refusals import check_left
from tests.e2e.traps import Traps, set_traps
from tests.quickstart import BIN, must, shell, take_down
from tests.shelf import BEFORE, block, declare

READING = [
    "plan", "plan --why --format json", "plan --detailed-exitcode", "plan --replace '*'", "plan --refresh-only",
    "plan --target 'train.*'", "plan --quick", "plan --set train.classifier.seed=7", "validate", "diff",
    "diff HEAD~1..HEAD", "diff HEAD~3...HEAD --format markdown", "diff HEAD~2..HEAD~1 --format json", "status", "status --format json", "graph",
    "graph --format dot", "graph --state --format svg", "graph train.classifier --format mermaid", "runs ls", "show train.classifier", "audit log", "audit verify",
    "plan --format junit", "diff --format github", "validate --format sarif",
]  # fmt: skip
SECRET = "correct horse battery staple"

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@dataclass(frozen=True)
class Traced:
    """What a command did, as the kernel saw it."""

    output: str
    exit: int
    started: list[str]
    connected: list[str]
    written: list[str]


def traced(line: str, folder: Path, log: Path) -> Traced:
    """Runs a line of ours under strace and follows every process that it starts."""
    calls = "execve,execveat,connect,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2"
    calls += ",symlink,symlinkat,link,linkat,unlink,unlinkat,truncate,chmod,fchmodat"
    done = shell(f"export TRAP_SECRET='{SECRET}'; strace -f -qq -y -s 4096 -e trace={calls} -o {log} {line}", folder)
    text = log.read_text(errors="replace")
    succeeded = [entry for entry in text.splitlines() if not re.search(r"= -1 E", entry)]
    return Traced(
        done.stdout,
        done.returncode,
        [found[1] for entry in succeeded if (found := re.search(r'execve(?:at)?\((?:[^"]*, )?"([^"]+)"', entry))],
        # A refused connection is one that was tried.
        [entry for entry in text.splitlines() if "connect(" in entry],
        [path for entry in succeeded for path in _changed(entry)],
    )


def _changed(entry: str) -> list[str]:
    """The paths that one system call writes to, makes, renames or removes."""
    call = re.search(r"(\w+)\((.*)", entry)
    if call is None or call[1] in ("execve", "execveat", "connect"):
        return []
    if call[1].startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", call[2]):
        return []
    found = []
    for base, name in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"([^"]*)"', call[2]):
        found.append(os.path.normpath(os.path.join(base, name)))
    return found


@pytest.fixture(scope="module")
def trapped(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> Traps:
    """An applied project in which everything is trapped."""
    place = tmp_path_factory.mktemp("trapped")
    folder = Path(shutil.copytree(applied, place / "digits", symlinks=True))
    return set_traps(folder, place / "marks")


@needs_strace
@pytest.mark.parametrize("verb", READING)
def test_reading_a_hostile_repository_executes_nothing_of_it(trapped: Traps, tmp_path: Path, verb: str) -> None:
    before = _state(trapped.folder)
    seen = traced(f"{BIN}/mlopsctl {verb}", trapped.folder, tmp_path / "strace.log")

    assert seen.exit in (0, 2), seen.output
    assert "Traceback" not in seen.output and "trapped" not in seen.output
    assert sorted(path.name for path in trapped.marks.iterdir()) == [], "a trap went off"
    assert [path for path in seen.started if not _ours(path)] == [], "only mlopsctl and git run"
    assert seen.connected == []
    assert [path for path in seen.written if not _allowed(path, trapped.folder)] == []
    assert SECRET not in seen.output, "no secret is resolved"
    assert _state(trapped.folder) == before, "no file of the person, no ref and no setting was changed"


def _ours(program: str) -> bool:
    if program in (str(BIN / "mlopsctl"), shutil.which("git")):
        return True
    return os.path.realpath(program).startswith(("/usr/lib/git-core/git", "/usr/libexec/git-core/git"))


def _allowed(path: str, folder: Path) -> bool:
    """Our state in ``.git/mlops``, bytecode of what is installed, copies of blobs by their id, and no file at all."""
    # ``tempfile`` tries a name of 8 letters first.
    if re.fullmatch(rf"{gettempdir()}/(mlopsctl-\w+(/[0-9a-f]{{40}})?|[a-z0-9_]{{8}})", path):
        return True
    installed = (
        str(Path(mlopsctl.__file__).parent),
        str(BIN.parent),
        os.path.realpath(BIN / "python").rpartition("/bin/")[0],
    )
    bytecode = "/__pycache__/" in path and path.startswith(installed) and not path.startswith(str(folder))
    made = path.endswith("/__pycache__") and path.startswith(installed)
    return bytecode or made or path in ("/dev/null", "/dev/tty") or path.startswith(f"{folder}/.git/mlops/")


def _state(folder: Path) -> dict[str, bytes | str]:
    """Everything but our own state."""
    found: dict[str, bytes | str] = {}
    for place, folders, files in os.walk(folder):
        if place == str(folder / ".git"):
            folders.remove("mlops")
        for name in files:
            path = Path(place) / name
            found[str(path)] = os.readlink(path) if path.is_symlink() else path.read_bytes()
    return found


@needs_strace
def test_looking_at_deployments_starts_no_program_and_asks_no_server(project: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    declare(project, local="    target: cpu\n", live=block(shelf))
    try:
        must(f"{BEFORE}mlopsctl apply -y", project)
        traps = set_traps(project, tmp_path / "marks")
        for verb in ("status", "status --format json", "plan", "diff HEAD~1..HEAD", "graph", "validate"):
            seen = traced(f"{BIN}/mlopsctl {verb}", traps.folder, tmp_path / "strace.log")
            assert (seen.exit, seen.connected) == (0, []), (verb, seen.output)
            assert [path for path in seen.started if not _ours(path)] == [], verb
        status = must("mlopsctl status", project)
        assert "serving" in status and "deployed" in status and "not asked" in status
        asked = traced(f"{BIN}/mlopsctl plan --refresh", traps.folder, tmp_path / "strace.log")
        assert asked.connected and [path for path in asked.started if not _ours(path)] == []
    finally:
        take_down(project)


def test_the_traps_work(trapped: Traps, tmp_path: Path) -> None:
    """Stock git and Python do step into them: otherwise the tests above would show nothing."""
    marks = tmp_path / "marks"
    copy = Path(shutil.copytree(trapped.folder, tmp_path / "digits", symlinks=True))
    shell(f"grep -rlIZ {trapped.marks} . | xargs -0 sed -i s:{trapped.marks}:{marks}:g; mkdir {marks}", copy)
    shell(f"grep -rlIZ {trapped.folder}/ . | xargs -0 sed -i s:{trapped.folder}/:{copy}/:g", copy)
    tame = "git config filter.evil.required false; git config --unset filter.evil.process"
    for line in ("git status", "git cat-file -e " + "1" * 40, tame, "git diff", "git add -A", "git commit -qm x",
                 "git log -1 -p --ext-diff", "python train.py", "python -c 'import yaml'"):  # fmt: skip
        shell(f"timeout -k 1 5 bash -c {shlex.quote(line)}", copy)
    names = {path.name for path in marks.iterdir()}
    assert {"core.fsmonitor", "filter.evil.process", "core.sshCommand", "filter.evil.clean"} <= names, names
    assert {"diff.evil.command", "included-filter", "submodule-fsmonitor", "yaml.py", "train.py"} <= names, names


def test_a_missing_object_is_not_fetched(trapped: Traps, tmp_path: Path) -> None:
    """The repository says that it is a partial clone, and names the program that fetches what it lacks."""
    copy = Path(shutil.copytree(trapped.folder, tmp_path / "digits", symlinks=True))
    blob = must("git rev-parse HEAD~2:train.py", copy).strip()
    (copy / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    told = shell("mlopsctl diff HEAD~2..HEAD", copy)
    assert told.returncode == 1 and "error[MLO" in told.stdout and "Traceback" not in told.stdout, told.stdout
    assert list(trapped.marks.iterdir()) == []


def test_a_manifest_that_wants_the_environment(project: Path) -> None:
    """A stranger's manifest does not print what is in yours."""
    manifest = project / "mlops.yaml"
    text = manifest.read_text()
    for old, new in (
        ("python train.py", "'python train.py ${env:TRAP_SECRET}'"),
        ("\ndata:", "\nstore: ${env:TRAP_SECRET}\ndata:"),
        ("path: data/digits.csv", "path: '${env:TRAP_SECRET}'"),
        ("path: data/digits.csv", "path: '${TRAP_SECRET}'"),
    ):
        assert old in text
        manifest.write_text(text.replace(old, new))
        told = shell(f"export TRAP_SECRET='{SECRET}'; mlopsctl plan", project)
        assert told.returncode in (1, 3) and "fix:" in told.stdout, told.stdout
        assert SECRET not in told.stdout and "Traceback" not in told.stdout


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../outside.csv", "data/../../outside.csv", "data/link.csv", "away/outside.csv"]
)
def test_data_outside_the_repository(project: Path, path: str) -> None:
    (project.parent / "outside.csv").write_text("a,digit\n1,2\n")
    (project / "data" / "link.csv").symlink_to("../../outside.csv")
    (project / "away").symlink_to("..")
    manifest = project / "mlops.yaml"
    text = manifest.read_text()
    manifest.write_text(text.replace("path: data/digits.csv", f"path: {path}"))
    told = shell("mlopsctl plan", project)
    assert told.returncode in (1, 3), told.stdout
    assert "Traceback" not in told.stdout and "fix:" in told.stdout
    manifest.write_text(text)
    check_left(project)


HUNT = '''
import hashlib, os, sys
WANTED = set("""{wanted}""".split())
looked = refused = 0

def look(path, opener=None):
    global looked, refused
    try:
        if opener is None and (not os.path.isfile(path) or os.path.getsize(path) > 2_000_000):
            return
        with open(path if opener is None else opener, "rb", closefd=opener is None) as file:
            body = file.read(2_000_000)
    except (OSError, ValueError):
        refused += 1
        return
    looked += 1
    hits = sum(hashlib.sha256(line.strip()).hexdigest() in WANTED for line in body.splitlines())
    if hits:
        print("FOUND", hits, "test rows in", path, flush=True)

def walk(top, limit=2000):
    for place, folders, files in os.walk(top):
        folders[:] = [name for name in folders if name not in ("site-packages", "lib-dynload", "sys", "task")]
        for name in files:
            look(os.path.join(place, name))
            limit -= 1
            if limit < 0:
                return

for top in {tops!r}:
    walk(top)
for number in map(int, os.listdir("/proc/self/fd")):
    if number > 2:
        look(f"descriptor {{number}}", number)
for pid in (os.getpid(), os.getppid(), {parent}, 1):
    for name in ("environ", "cmdline"):
        look(f"/proc/{{pid}}/{{name}}")
    for name in ("cwd", "root" + {tops[0]!r}, "root" + {tops[1]!r}):
        walk(f"/proc/{{pid}}/{{name}}", 300)
    try:
        for number in os.listdir(f"/proc/{{pid}}/fd"):
            look(f"/proc/{{pid}}/fd/{{number}}")
    except OSError:
        refused += 1
print("LOOKED", looked, "REFUSED", refused, flush=True)
'''


def test_a_trainer_that_hunts_for_the_test_rows(project: Path, tmp_path: Path) -> None:
    """It reads all it can of the repository, git, the store, the temporary folders and /proc, by the hash of each row."""
    resources = json.loads(must("mlopsctl status --format json", project))["resources"]
    outputs = next(found["outputs"] for found in resources if found["address"] == "data.digits")
    store = project / ".git" / "mlops" / "store" / "sha256"
    views = {
        name: (store / outputs[name][7:9] / outputs[name][7:]).read_bytes().splitlines()[1:]
        for name in ("test", "train")
    }
    rows = set(views["test"]) - set(views["train"])
    assert len(rows) > 300
    wanted = "\n".join(hashlib.sha256(row.strip()).hexdigest() for row in sorted(rows))
    tops = [
        str(project),
        str(project / ".git"),
        str(tmp_path.parent),
        "/tmp",
        "/dev/shm",
        "/var/tmp",
        os.environ["HOME"],
        ".",
    ]
    hunt = HUNT.format(wanted=wanted, tops=tops, parent=os.getpid())
    good = (project / "train.py").read_text()

    control = tmp_path / "hunt.py"
    control.write_text(HUNT.format(wanted=wanted, tops=tops[:2], parent=os.getpid()))
    assert "FOUND" in must(f"python {control}", project), "without isolation the hunter does find them"

    (project / "train.py").write_text(hunt + good)
    must("mlopsctl apply -y", project)
    said = must("mlopsctl logs train.classifier", project)
    assert "FOUND" not in said, said
    looked, _ = re.findall(r"LOOKED (\d+) REFUSED (\d+)", said)[0]
    assert int(looked) > 1
    assert re.search(r'"isolation": "(landlock|namespaces)"', must("mlopsctl audit log --format json", project))
