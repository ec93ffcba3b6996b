"""What keeps a server running, whatever happens around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.serving import supervisor
from mlopsctl.serving.supervisor import Log


def test_the_log_keeps_the_newest_and_is_for_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "LOG_LIMIT", 1000)
    log = Log(tmp_path / "server.log")
    for number in range(1000):
        log.write(b"line %d\n" % number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["server.log", "server.log.1"]
    assert sum(file.stat().st_size for file in files) < 2100
    assert "line 999" in files[0].read_text() + files[1].read_text()
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]


def test_a_full_disk_costs_a_line_of_the_log_and_not_the_server() -> None:
    Log(Path("/dev/full")).write(b"a line")
