"""Files are written whole or not at all, and devices are not replaced by files."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from mlopsctl.adapters.files import left_behind, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write_atomically(path, b"one", 0o600)
    write_atomically(path, b"two", 0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_atomically(pipe, b"rows")
    reader.join(5)
    assert read == [b"rows"] and pipe.is_fifo()


def test_what_a_shell_led_into_a_file_is_added_to_and_not_replaced(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as stream:
        stream.write(b"before\n")
        stream.flush()
        write_atomically(Path(f"/proc/self/fd/{stream.fileno()}"), b"plan\n")
    assert (tmp_path / "log").read_bytes() == b"before\nplan\n"


def test_what_somebody_may_still_write_is_kept_whatever_our_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, old = tmp_path / "fresh", tmp_path / "old"
    for path in (fresh, old):
        path.touch()
    os.utime(old, (1, 1))
    assert not left_behind(fresh) and left_behind(old)
    now = time.time()
    for wrong in (now + 10 * 86_400, now - 10 * 86_400):
        monkeypatch.setattr("time.time", lambda wrong=wrong: wrong)
        assert not left_behind(fresh)
    assert {path.name for path in tmp_path.iterdir()} == {"fresh", "old"}
