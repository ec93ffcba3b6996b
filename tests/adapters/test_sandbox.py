"""What a confined program can open, in each mode that this kernel offers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlopsctl.adapters import spawner
from mlopsctl.adapters.process import clean_env, run_logged
from mlopsctl.adapters.sandbox import ask_python, cover, make_sandbox, strongest_mode

MODES = ("landlock", "namespaces")
either_way = pytest.mark.parametrize("way", ["alone", "kept"])


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name == "landlock" and strongest_mode() != "landlock":
        pytest.skip("this kernel has no Landlock")
    if name == "namespaces" and subprocess.run(["unshare", "-Um", "true"], check=False).returncode != 0:
        pytest.skip("this kernel grants no user namespaces")
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose git folder holds the working folder of a step, as the real one does."""
    root = tmp_path / "project"
    (root / ".git/work/code").mkdir(parents=True)
    (root / ".git/work/given").mkdir()
    (root / ".git/work/given/rows.csv").write_text("given")
    (root / ".git/store").mkdir()
    (root / ".git/store/test.csv").write_text("hidden")
    (root / "data.csv").write_text("hidden")
    return root


def run(project: Path, mode: str, code: str, way: str = "alone", **limits: int) -> subprocess.CompletedProcess[str]:
    """Runs a program in its sandbox, started by itself or ``kept`` by the process that is kept for such programs."""
    work = project / ".git/work"
    python = ask_python(sys.executable, ())
    assert python is not None
    sandbox = make_sandbox(
        read=[work / "given", *python.folders],
        write=[work / "code"],
        hidden=[project, project / ".git"],
        path=os.environ["PATH"],
        mode=mode,
        **limits,
    )
    argv, folder, env = [sys.executable, "-c", code], work / "code", clean_env({"PWD": str(work / "code")})
    if way == "alone":
        return subprocess.run(sandbox.wrap(argv), cwd=folder, env=env, capture_output=True, text=True, check=False)
    log = project / "log"
    log.unlink(missing_ok=True)
    ended = run_logged(argv, cwd=folder, env=env, log=log, confined=sandbox)
    return subprocess.CompletedProcess(argv, ended.returncode, log.read_text(), log.read_text())


@either_way
def test_named_folders_are_seen_and_written(project: Path, mode: str, way: str) -> None:
    done = run(
        project, mode, "open('x', 'w').write(open('../given/rows.csv').read()); import os; os.replace('x', 'y')", way
    )
    assert done.returncode == 0, done.stderr
    assert (project / ".git/work/code/y").read_text() == "given"


@either_way
def test_nothing_of_the_project_can_be_read(project: Path, mode: str, way: str) -> None:
    for path in (project / "data.csv", project / ".git/store/test.csv", Path("/proc/self/cwd/../../store/test.csv")):
        done = run(project, mode, f"print(open({str(path)!r}).read())", way)
        assert done.returncode == 1 and "hidden" not in done.stdout
        assert "Permission" in done.stderr or "No such file" in done.stderr


@either_way
def test_other_processes_are_no_way_out(project: Path, mode: str, way: str) -> None:
    path = f"/proc/{os.getpid()}/root{project}/data.csv"
    done = run(project, mode, f"print(open({path!r}).read())", way)
    assert done.returncode == 1 and "hidden" not in done.stdout


@either_way
def test_a_mount_cannot_be_undone(project: Path, mode: str, way: str) -> None:
    code = f"""
import ctypes
libc = ctypes.CDLL(None)
for _ in range(3):
    libc.umount2({str(project).encode()!r}, 2)
libc.unshare(0x10020000)
libc.umount2({str(project).encode()!r}, 2)
print(open({str(project / "data.csv")!r}).read())
"""
    done = run(project, mode, code, way)
    assert done.returncode == 1 and "hidden" not in done.stdout


def test_what_is_given_cannot_be_changed_by_landlock(project: Path) -> None:
    if strongest_mode() != "landlock":
        pytest.skip("this kernel has no Landlock")
    done = run(project, "landlock", "open('../given/rows.csv', 'w')")
    assert "Permission denied" in done.stderr
    assert (project / ".git/work/given/rows.csv").read_text() == "given"


@either_way
def test_a_pipe_and_a_pool_of_processes_still_work(project: Path, mode: str, way: str) -> None:
    code = "import multiprocessing as m\nwith m.Pool(2) as p: print(sum(p.map(abs, range(10))))"
    done = run(project, mode, code, way)
    assert done.stdout.strip() == "45", done.stderr


def started(code: str, words: int) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that prints the numbers of others."""
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    said = ours.stdout.readline().split()
    assert len(said) == words
    return ours, [int(word) for word in said]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3].strip() not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(*pids: int) -> bool:
    """Whether all of them have ended within some seconds."""
    until = time.monotonic() + 5
    while any(map(runs, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(runs, pids))


ALONE = """
import subprocess
from mlopsctl.adapters.sandbox import make_sandbox
sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
p = subprocess.Popen(sandbox.wrap(["sh", "-c", "echo $$; exec sleep 60"])); p.wait()
"""
KEPT = """
import os, pathlib, sys
from mlopsctl.adapters.process import clean_env, run_logged
from mlopsctl.adapters.sandbox import make_sandbox
sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
run_logged(["sh", "-c", "sleep 60 & echo $$ $! $PPID; wait"], cwd=pathlib.Path("/"), env=clean_env(),
           log=pathlib.Path("/dev/null"), on_line=lambda line: print(line, flush=True), confined=sandbox)
"""


def test_a_program_does_not_outlive_an_mlopsctl_that_is_killed() -> None:
    ours, (program,) = started(ALONE, 1)
    with ours:
        ours.kill()
    assert gone(program)


def test_nothing_that_a_program_started_outlives_an_mlopsctl_that_is_killed() -> None:
    """The process that is kept for confined programs ends with mlopsctl, and takes their groups along."""
    ours, (program, child, keeper) = started(KEPT, 3)
    with ours:
        assert runs(program) and runs(child) and runs(keeper)
        ours.kill()
    assert gone(program, child, keeper)


def test_a_program_does_not_outlive_the_process_that_is_kept_for_it() -> None:
    ours, (program, child, keeper) = started(KEPT, 3)
    with ours:
        os.kill(keeper, signal.SIGKILL)
        assert gone(program, child), "mlopsctl kills what is left of the group"
    assert ours.returncode == 0


def test_a_program_whose_mlopsctl_was_killed_before_it_could_be_bound_to_it_does_not_begin(tmp_path: Path) -> None:
    """Between the start of a process and its request to end with its parent the parent may have gone."""
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    words = sandbox.wrap(["touch", str(tmp_path / "begun")])
    assert words.count(str(os.getpid())) == 1
    words[words.index(str(os.getpid()))] = "1"
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "begun").exists()


def test_another_process_is_kept_where_the_first_was_killed(tmp_path: Path) -> None:
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    seen = []
    for _ in range(3):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        ended = run_logged(["sh", "-c", "echo $PPID"], cwd=tmp_path, env=clean_env(), log=log, confined=sandbox)
        assert ended.returncode == 0
        seen.append(int(log.read_text()))
        if len(seen) == 2:
            os.kill(seen[1], signal.SIGKILL)
    assert seen[0] == seen[1] != seen[2]
    spawner.close()
    assert gone(seen[2])


def test_a_kept_process_hands_on_what_a_program_gets_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments and variables with any bytes in them; no descriptor but three; signals as any other program gets them."""
    monkeypatch.setenv("CLOUD_SECRET", "s3cret")
    spawner.close()
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    code = (
        "import os, sys; print(sys.argv[1:], sorted(os.environ), os.environb[b'ODD'], os.listdir('/proc/self/fd'),"
        " os.readlink('/proc/self/fd/0'), os.getsid(0) == os.getpid(), os.getcwd());"
        "print(open(f'/proc/{os.getppid()}/environ').read())"
    )
    odd, large = "a\nb=\udcff\t", "x" * (1 << 16)
    env = {"ODD": odd, "LARGE": large, "PATH": os.environ["PATH"]}
    log = tmp_path / "log"
    run_logged([sys.executable, "-S", "-c", code, odd, ""], cwd=tmp_path, env=env, log=log, confined=sandbox)
    said = log.read_text()
    assert "['a\\nb=\\udcff\\t', ''] ['LARGE', 'LC_CTYPE', 'ODD', 'PATH']" in said and "b'a\\nb=\\xff\\t'" in said, said
    assert "['0', '1', '2', '3'] /dev/null True " + str(tmp_path) in said, "3 is the listing itself"
    assert "s3cret" not in said
    ignored = ["grep", "SigIgn", "/proc/self/status"]
    run_logged(ignored, cwd=tmp_path, env=env, log=log, confined=sandbox)
    assert subprocess.run(ignored, capture_output=True, text=True, check=True).stdout in log.read_text()
    with pytest.raises(ValueError, match="null byte"):
        run_logged(["echo", "a\0b"], cwd=tmp_path, env=env, log=log, confined=sandbox)
    ended = run_logged(["true"], cwd=tmp_path / "nowhere", env=env, log=log, confined=sandbox)
    assert ended.returncode == 126 and "nowhere" in log.read_text()


def test_the_peak_of_memory_is_that_of_the_program(tmp_path: Path) -> None:
    """Not what mlopsctl itself had when the program began."""
    ballast = bytearray(os.urandom(1 << 12) * (1 << 14))
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    ended = run_logged(["true"], cwd=tmp_path, env=clean_env(), log=tmp_path / "log", confined=sandbox)
    assert 0 < ended.max_rss_bytes < len(ballast)


@either_way
def test_limits_hold(project: Path, way: str) -> None:
    code = "import os; print(len(os.sched_getaffinity(0))); bytearray(1 << 29)"
    done = run(project, "export", code, way, memory=1 << 28, cpus=1)
    assert "1" in done.stdout.splitlines() and "MemoryError" in done.stderr


def test_an_unknown_program_exits_127(project: Path) -> None:
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    done = subprocess.run(sandbox.wrap(["no-such-program"]), capture_output=True, text=True, check=False)
    assert done.returncode == 127 and "no-such-program: No such file" in done.stderr


def test_a_folder_around_a_hidden_one_is_covered_by_its_other_children(tmp_path: Path) -> None:
    for name in ("a/b", "a/hidden/x", "c"):
        (tmp_path / name).mkdir(parents=True)
    hidden = str(tmp_path / "a/hidden")
    assert cover(str(tmp_path), [hidden]) == [str(tmp_path / "a/b"), str(tmp_path / "c")]
    assert cover(hidden, [hidden]) == []
    assert cover(hidden + "/x", [hidden]) == [hidden + "/x"], "named inside a hidden folder on purpose"
    assert cover("/nowhere", [hidden]) == ["/nowhere"]


def test_an_interpreter_that_is_asked_about_itself_gets_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUD_SECRET", "s3cret")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nenv > {tmp_path}/seen\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    assert ask_python(str(python), ()) is not None
    assert "PATH=" in (tmp_path / "seen").read_text()
    assert "CLOUD_SECRET" not in (tmp_path / "seen").read_text()


def test_a_file_kept_inside_a_kept_folder_stays_as_it_is(project: Path, mode: str) -> None:
    environment = project / ".venv"
    environment.mkdir()
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    python = ask_python(sys.executable, ())
    assert python is not None
    work = project / ".git/work/code"
    sandbox = make_sandbox(
        read=[environment, environment / "pyvenv.cfg", *python.folders],
        write=[work],
        hidden=[project],
        path=os.environ["PATH"],
        mode=mode,
    )
    code = f"print(open({str(environment / 'pyvenv.cfg')!r}).read())"
    argv = sandbox.wrap([sys.executable, "-c", code])
    done = subprocess.run(
        argv, cwd=work, env=clean_env({"PWD": str(work)}), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "home = /usr/bin", done.stderr
    assert (environment / "pyvenv.cfg").read_text() == "home = /usr/bin\n"


def test_an_interpreter_is_asked_again_once_its_packages_changed(tmp_path: Path) -> None:
    sites, python = tmp_path / "sites", tmp_path / "python"
    sites.mkdir()
    python.write_text(
        f"#!/bin/sh\necho asked >> {tmp_path}/log\n"
        f"""echo '{{"folders": [], "sites": ["{sites}"], "python": "3.11", "packages": {{}}}}'\n"""
    )
    python.chmod(0o755)

    def asked() -> int:
        assert ask_python(str(python), ("numpy",)) is not None
        return (tmp_path / "log").read_text().count("asked")

    assert [asked(), asked()] == [1, 2], "what was just written to may change within the same tick"
    for path in (sites, python):
        os.utime(path, (1, 1))
    assert [asked(), asked(), asked()] == [3, 3, 3]
    (sites / "numpy").mkdir()
    assert asked() == 4


def test_an_interrupt_between_question_and_answer_leaves_no_answer_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        """The socket, with one Ctrl-C as soon as something was asked."""

        done = False

        def __init__(self, link: socket.socket):
            self.link = link

        def __getattr__(self, name: str) -> object:
            return getattr(self.link, name)

        def recv(self, *args: int) -> bytes:
            if self.done:
                return self.link.recv(*args)
            self.done = True
            raise KeyboardInterrupt

    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")

    def run(line: str) -> str:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        ended = run_logged(["sh", "-c", line], cwd=tmp_path, env=clean_env(), log=log, confined=sandbox)
        assert ended.returncode == 0
        return log.read_text()

    assert run("echo first") == "first\n"
    (keeper,) = spawner._KEPT
    monkeypatch.setattr(keeper, "_link", Interrupted(keeper._link))
    with pytest.raises(KeyboardInterrupt):
        run("echo $$ > begun; exec sleep 60")
    assert [run(f"echo {number}") for number in range(3)] == ["0\n", "1\n", "2\n"]
    assert not (tmp_path / "begun").exists() or gone(int((tmp_path / "begun").read_text() or "0"))
