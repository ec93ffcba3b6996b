"""Running somebody else's program: it ends, its log stays small, and its environment holds no secrets."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.adapters.process import CappedLog, Finished, blotted, clean_env, readable, run_logged, tail_lines


def run(tmp_path: Path, body: str, **options: object) -> tuple[Finished, str, list[str]]:
    told: list[str] = []
    log = tmp_path / "log"
    ended = run_logged(
        [sys.executable, "-c", textwrap.dedent(body)],
        cwd=tmp_path,
        env=clean_env(),
        log=log,
        on_line=told.append,
        **options,  # type: ignore[arg-type]
    )
    return ended, log.read_text(errors="replace"), told


def test_output_is_kept_and_the_last_line_told(tmp_path: Path) -> None:
    ended, log, told = run(tmp_path, "import sys; print('out'); sys.stdout.flush(); print('err', file=sys.stderr)")
    assert ended.returncode == 0 and not ended.timed_out
    assert log == "out\nerr\n"
    assert told[-1] in ("err", "out")
    assert ended.max_rss_bytes > 1 << 20 and 0 < ended.cpu_seconds < 10


def test_a_progress_bar_is_told_line_by_line_without_terminal_codes(tmp_path: Path) -> None:
    _, _, told = run(tmp_path, r"print('\x1b[31m 10%\r\x1b]0;title\x07 20%\r', end='')")
    assert told and "\x1b" not in told[-1]
    assert readable(b"a\x1b[2Jb\x00\xffc") == "ab�c"


def test_the_whole_group_dies_at_the_timeout_even_if_it_ignores_sigterm(tmp_path: Path) -> None:
    began = time.monotonic()
    ended, log, _ = run(
        tmp_path,
        """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print(child.pid, flush=True)
        time.sleep(60)
        """,
        timeout=0.5,
    )
    assert ended.timed_out and ended.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 10
    assert _gone(int(log))


def test_a_full_disk_ends_the_program(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid())); print('x', flush=True); " + (
        "__import__('time').sleep(60)"
    )
    with pytest.raises(OSError, match="No space left"):
        run_logged([sys.executable, "-c", code], cwd=tmp_path, env=clean_env(), log=Path("/dev/full"))
    assert _gone(int((tmp_path / "pid").read_text()))


def test_a_child_left_behind_that_holds_the_pipe_does_not_hang_us(tmp_path: Path) -> None:
    began = time.monotonic()
    ended, log, _ = run(tmp_path, "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)")
    assert ended.returncode == 0 and time.monotonic() - began < 10
    assert _gone(int(log))


def test_a_program_that_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    ended, _, _ = run(tmp_path, "import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(7)")
    assert ended.returncode == 7 and ended.seconds >= 0.3


def test_ctrl_c_ends_the_program_with_us(tmp_path: Path) -> None:
    """The program sits in a session of its own, so the terminal's signal reaches us alone."""
    code = f"""
import sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from mlopsctl.adapters.process import clean_env, run_logged
try:
    run_logged([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"],
        cwd=Path("."), env=clean_env(), log=Path("log"))
except KeyboardInterrupt:
    sys.exit(130)
"""
    ours = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    until = time.monotonic() + 20
    log = tmp_path / "log"
    while not (log.exists() and log.read_text().strip()):
        assert time.monotonic() < until
        time.sleep(0.02)
    ours.send_signal(signal.SIGINT)
    assert ours.wait(10) == 130
    assert _gone(int(log.read_text()))


def _gone(pid: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in ("Z", "X"):
            return True
        time.sleep(0.02)
    return False


def test_a_long_log_keeps_its_head_and_its_tail(tmp_path: Path) -> None:
    _, log, _ = run(tmp_path, "for n in range(100_000): print(n)", max_log_bytes=20_000)
    assert log.startswith("0\n1\n2\n") and log.endswith("99998\n99999\n")
    assert "bytes left out" in log and len(log) < 100_000


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(10, 200))
def test_a_log_is_whole_or_says_how_much_is_missing(chunks: list[bytes], limit: int) -> None:
    stream = io.BytesIO()
    log = CappedLog(stream, limit)
    for chunk in chunks:
        log.write(chunk)
    log.close()
    whole, kept = b"".join(chunks), stream.getvalue()
    if len(whole) <= limit // 2:
        assert kept == whole
    mark = kept.find("\n… ".encode())
    if mark < 0 or kept == whole:
        assert kept == whole
    else:
        assert whole.startswith(kept[:mark])
    assert len(kept) <= limit + 40 + 60


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_secret_is_blotted_out_wherever_the_pipe_cuts_it(sizes: list[int]) -> None:
    text = b"before hunter2 between hunter2hunter2 after"
    stream = io.BytesIO()
    log = CappedLog(stream, 1000, [b"hunter2"])
    rest = text
    for size in sizes:
        log.write(rest[:size])
        rest = rest[size:]
    log.write(rest)
    log.close()
    assert stream.getvalue() == b"before *** between ****** after"


def test_a_key_of_several_lines_is_told_in_none_of_them(tmp_path: Path) -> None:
    key = "--- a key ---\nfirst-line-of-it\nsecond-line-of-it\n"
    script = "for line in KEY.splitlines(): print(line, flush=True); time.sleep(0.12)"
    told: list[str] = []
    run_logged(
        [sys.executable, "-c", f"import time; KEY = {key!r}\n{script}"],
        cwd=tmp_path, env=clean_env(), log=tmp_path / "log", on_line=told.append, secrets=[key],
    )  # fmt: skip
    assert set(told) == {"***"}
    assert (tmp_path / "log").read_text() == "***\n***\n***\n"


def test_a_secret_that_another_begins_with_leaves_nothing_of_it() -> None:
    assert blotted(["abc", "abcdef", "", '{\n"password": "x"\n}']) == [
        b'{\n"password": "x"\n}', b'"password": "x"', b"abcdef", b"abc",
    ]  # fmt: skip


def test_the_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = clean_env({"MODE": "y"})
    assert "GITHUB_TOKEN" not in found
    assert found["CUDA_VISIBLE_DEVICES"] == "1" and found["MODE"] == "y" and found["PATH"] == os.environ["PATH"]


def test_the_tail_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail_lines(log) == []
    log.write_text("\n".join(map(str, range(50))) + "\n\n")
    assert tail_lines(log, 2) == ["48", "49"]


def test_a_program_that_does_not_exist_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_logged([str(tmp_path / "nothing")], cwd=tmp_path, env={}, log=tmp_path / "log")
