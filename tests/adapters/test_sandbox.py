"""What a confined program can open, in each mode that this kernel offers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlopsctl.adapters.process import clean_env
from mlopsctl.adapters.sandbox import ask_python, cover, make_sandbox, strongest_mode

MODES = ("landlock", "namespaces")


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


def run(project: Path, mode: str, code: str, **limits: int) -> subprocess.CompletedProcess[str]:
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
    return subprocess.run(
        sandbox.wrap([sys.executable, "-c", code]),
        cwd=work / "code",
        env=clean_env({"PWD": str(work / "code")}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_named_folders_are_seen_and_written(project: Path, mode: str) -> None:
    done = run(project, mode, "open('x', 'w').write(open('../given/rows.csv').read()); import os; os.replace('x', 'y')")
    assert done.returncode == 0, done.stderr
    assert (project / ".git/work/code/y").read_text() == "given"


def test_nothing_of_the_project_can_be_read(project: Path, mode: str) -> None:
    for path in (project / "data.csv", project / ".git/store/test.csv", Path("/proc/self/cwd/../../store/test.csv")):
        done = run(project, mode, f"print(open({str(path)!r}).read())")
        assert done.returncode == 1 and "hidden" not in done.stdout
        assert "Permission" in done.stderr or "No such file" in done.stderr


def test_other_processes_are_no_way_out(project: Path, mode: str) -> None:
    path = f"/proc/{os.getpid()}/root{project}/data.csv"
    done = run(project, mode, f"print(open({path!r}).read())")
    assert done.returncode == 1 and "hidden" not in done.stdout


def test_a_mount_cannot_be_undone(project: Path, mode: str) -> None:
    code = f"""
import ctypes
libc = ctypes.CDLL(None)
for _ in range(3):
    libc.umount2({str(project).encode()!r}, 2)
libc.unshare(0x10020000)
libc.umount2({str(project).encode()!r}, 2)
print(open({str(project / "data.csv")!r}).read())
"""
    done = run(project, mode, code)
    assert done.returncode == 1 and "hidden" not in done.stdout


def test_what_is_given_cannot_be_changed_by_landlock(project: Path) -> None:
    if strongest_mode() != "landlock":
        pytest.skip("this kernel has no Landlock")
    done = run(project, "landlock", "open('../given/rows.csv', 'w')")
    assert "Permission denied" in done.stderr
    assert (project / ".git/work/given/rows.csv").read_text() == "given"


def test_a_pipe_and_a_pool_of_processes_still_work(project: Path, mode: str) -> None:
    code = "import multiprocessing as m\nwith m.Pool(2) as p: print(sum(p.map(abs, range(10))))"
    done = run(project, mode, code)
    assert done.stdout.strip() == "45", done.stderr


def test_a_program_does_not_outlive_an_mlopsctl_that_is_killed(tmp_path: Path) -> None:
    sandbox = make_sandbox(read=[], write=[], hidden=[], path="", mode="export")
    code = f"import subprocess; p = subprocess.Popen({sandbox.wrap(['sleep', '60'])!r}); print(p.pid, flush=True); p.wait()"
    ours = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert ours.stdout is not None
    program = Path(f"/proc/{ours.stdout.readline().strip()}/comm")
    until = time.monotonic() + 5
    while program.read_text().strip() != "sleep" and time.monotonic() < until:
        time.sleep(0.02)
    ours.kill()
    ours.wait()
    ours.stdout.close()
    while program.exists() and "Z" not in program.with_name("stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < until + 5, "the program still runs"
        time.sleep(0.02)


def test_limits_hold(project: Path) -> None:
    done = run(
        project, "export", "import os; print(len(os.sched_getaffinity(0))); bytearray(1 << 29)", memory=1 << 28, cpus=1
    )
    assert done.stdout.strip() == "1" and "MemoryError" in done.stderr


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
