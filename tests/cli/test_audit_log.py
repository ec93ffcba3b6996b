"""``audit log``: filters, pages, and a pager where a person reads."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.cli.main import run as mlopsctl
from mlopsctl.types import Digest
from tests.audit.clone import Clone, result
from tests.cli.contract import follows
from tests.quickstart import BIN


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A month of work: one entry a day, the third one failed, the last ones on instances of a target."""
    clone = Clone.start(tmp_path / "repo")
    trail = clone.trail
    for day in range(1, 11):
        trail.clock = lambda day=day: f"2099-01-{day:02}T12:00:00Z"  # type: ignore[misc]
        if day == 3:
            trail.append("failure", address="train.three", status="failed", facts={"code": "MLO1211"})
        else:
            trail.append("result", **result(f"m{day}"))
    for name in ("fpga[one]", "fpga[two]"):
        more: dict[str, Any] = {
            "outputs": {"artifact": Digest("sha256:" + "1" * 64)},
            "made_from": "",
            "ingredients": {},
        }
        trail.append("result", **{**result("t"), **more, "address": f"targets.{name}"})
    trail.flush()
    monkeypatch.chdir(clone.folder)
    return clone


def rows(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[list[str]]:
    capsys.readouterr()
    assert mlopsctl(["audit", "log", *words]) == code
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def days(found: list[list[str]]) -> list[int]:
    return [int(row[1][8:10]) for row in found]


def test_days_and_moments(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    since_until = ("--since", "2099-01-04", "--until", "2099-01-06")
    assert days(rows(capsys, "train.*", *since_until)) == [6, 5, 4]
    assert days(rows(capsys, "train.*", "--until", "2099-01-02T11:59:59Z", "--since", "2099-01-01T12:00:00Z")) == [1]


@pytest.mark.parametrize("words", [("--since", "2099-13-01"), ("--until", "tomorrow"), ("--since", "2099-01-01T12:00"),
                                   ("--kind", "results"), ("--format", "yaml"), ("--root", "0" * 64)])  # fmt: skip
def test_what_is_no_filter_is_said(clone: Clone, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert rows(capsys, *words, code=64) == []


def test_addresses_status_kind_and_signer(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    assert [row[4] for row in rows(capsys, "targets.fpga[*]")] == ["targets.fpga[two]", "targets.fpga[one]"]
    assert [row[4] for row in rows(capsys, "targets.fpga[one]")] == ["targets.fpga[one]"]
    assert [row[4] for row in rows(capsys, "targets.????[t*")] == ["targets.fpga[two]"]
    assert [row[3] for row in rows(capsys, "--status", "failed")] == ["failure"]
    assert len(rows(capsys, "--kind", "failure", "--kind", "root")) == 2
    assert rows(capsys, "--signer", "mallory") == [] and len(rows(capsys, "--signer", "owner")) == 13


def test_pages_by_entry(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    everything = rows(capsys)
    first = rows(capsys, "-n", "5")
    second = rows(capsys, "-n", "5", "--before", first[-1][0])
    assert first + second == everything[:10] and len(everything) == 13


def test_more_than_a_page_is_said_on_stderr(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    trail = clone.trail
    for number in range(60):
        trail.append("result", **result(f"more{number}"))
    capsys.readouterr()
    assert mlopsctl(["audit", "log"]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert len(lines) == 50 and f"--before {lines[-1][:12]}" in shown.err
    assert len(rows(capsys, "-n", "-1")) == 73
    capsys.readouterr()
    mlopsctl(["audit", "log", "--format", "json"])
    assert len(follows("audit-log", capsys.readouterr().out)["entries"]) == 73


def test_columns_are_aligned(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    mlopsctl(["audit", "log"])
    lines = capsys.readouterr().out.splitlines()
    assert len({line.index(word) for line in lines for word in ("done", "failed") if word in line}) == 1


def test_json_is_one_document_and_may_be_empty(clone: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("-n", "2"), ("nothing.here",)):
        capsys.readouterr()
        mlopsctl(["audit", "log", *words, "--format", "json"])
        follows("audit-log", capsys.readouterr().out)


def on_a_terminal(folder: Path, *words: str, **settings: str) -> str:
    """What a person sees: stdout is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", **settings}
    process = subprocess.Popen(
        [BIN / "mlopsctl", "audit", "log", *words],
        cwd=folder,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # the terminal's other end was closed
    assert process.wait() == 0, shown
    os.close(ours)
    return shown.decode()


def test_a_terminal_gets_a_pager(clone: Clone, tmp_path: Path) -> None:
    pager = tmp_path / "my pager"
    pager.write_text("#!/bin/sh\necho PAGED $1 $LESS\ncat\n")
    pager.chmod(0o755)
    shown = on_a_terminal(clone.folder, PAGER=f"'{pager}' --flag")
    assert shown.startswith("PAGED --flag FRX") and "\x1b[31mfailed" in shown and shown.count("\n") == 14
    for settings in ({"PAGER": "cat"}, {"PAGER": ""}, {"CI": "true", "PAGER": str(pager)}, {"PAGER": "no-such-pager"}):
        assert "PAGED" not in on_a_terminal(clone.folder, **settings)
    assert "PAGED" not in on_a_terminal(clone.folder, "--no-pager", PAGER=f"'{pager}'")


def test_whoever_leaves_the_pager_has_seen_enough(clone: Clone, tmp_path: Path) -> None:
    pager = tmp_path / "short"
    pager.write_text("#!/bin/sh\nhead -n 1\n")
    pager.chmod(0o755)
    trail = clone.trail
    for number in range(300):
        trail.append("result", **result(f"many{number}"))
    assert on_a_terminal(clone.folder, PAGER=str(pager)).count("done") == 1


def test_no_pager_is_given_to_a_shell(clone: Clone, tmp_path: Path) -> None:
    on_a_terminal(clone.folder, PAGER=f"cat; touch {tmp_path}/made")
    assert not (tmp_path / "made").exists()


def test_pipes_are_plain(clone: Clone) -> None:
    done = subprocess.run(
        [BIN / "mlopsctl", "audit", "log"], cwd=clone.folder, env={**os.environ, "TERM": "xterm", "PAGER": "false"},
        capture_output=True, check=True,
    )  # fmt: skip
    assert b"\x1b" not in done.stdout and done.stdout.count(b"\n") == 13


def test_an_exported_trail_is_logged_too(clone: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mlopsctl(["audit", "export", "--folder", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert mlopsctl(["audit", "log", "--offline", str(tmp_path / "out"), "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["entries"]) == 13
