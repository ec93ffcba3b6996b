"""What every refusal has to look like, and what it has to leave behind: nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from mlopsctl.types import SECTIONS
from tests.quickstart import BIN, must, shell

ERROR = re.compile(r"^error\[(MLO\d{4})\] (.+)$", re.MULTILINE)
FIX = re.compile(r"^  fix: \S", re.MULTILINE)


def refuse(line: str, folder: Path, code: str, exit: int, *says: str) -> str:
    """Runs a line that has to be refused: one message with code, reason and fix, and a project as it was before."""
    before = files_of(folder)
    done = shell(line, folder)
    shown = f"$ {line}\n{done.stdout}\nexit {done.returncode}"
    assert done.returncode == exit, shown
    check_message(done.stdout, code, *says)
    assert files_of(folder) == before, f"files of the person changed\n{shown}"
    check_left(folder)
    return done.stdout


def check_message(text: str, code: str, *says: str) -> None:
    """One message with this code, and what mends it; a traceback only inside the shown log of a trainer."""
    assert [found for found, _ in ERROR.findall(text)] == [code], text
    assert FIX.search(text), text
    for word in says:
        assert word in text, text
    ours = [line for line in text.splitlines() if not re.match(r"  \| |    train\.\w+: ", line)]
    assert not any("Traceback" in line or line.startswith('  File "') for line in ours), text


def check_left(folder: Path) -> None:
    """Nothing is half-written, and the trail holds."""
    assert scraps(folder) == [], scraps(folder)
    assert "ok:" in must("mlopsctl audit verify", folder)


def scraps(folder: Path) -> list[str]:
    """Temporary files and torn lines below ``.git/mlops``."""
    state = folder / ".git" / "mlops"
    found = [str(path.relative_to(state)) for name in ("work", "store/tmp") for path in (state / name).glob("*")]
    # The lock of a deployment's place is a file that stays; only who holds it counts.
    found += [str(path.relative_to(state)) for path in state.rglob(".*") if path.suffix != ".lock"]
    for path in (state / "journal").glob("*.jsonl"):
        body = path.read_bytes()
        if body and not body.endswith(b"\n"):
            found.append(f"torn line in {path.name}")
    return found


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file outside ``.git``: what is the person's own."""
    paths = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def events(folder: Path, line: str = "mlopsctl apply -y --format json") -> list[dict[str, Any]]:
    """What an apply told, whatever its exit code."""
    return [json.loads(text) for text in shell(line, folder).stdout.splitlines() if text.startswith("{")]


def done(told: list[dict[str, Any]]) -> list[str]:
    """The addresses that were made, section by section: what runs at the same time ends in any order."""
    made = [str(event["address"]) for event in told if event["event"] == "done"]
    return sorted(made, key=lambda address: (SECTIONS.index(address.partition(".")[0]), address))


def start(line: str, folder: Path) -> subprocess.Popen[str]:
    """Starts a command and returns at once; use it as a context manager. Stderr goes with stdout."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CI": "true"}
    return subprocess.Popen(
        line.split(),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], pattern: str) -> str:
    """Reads what the process prints up to a line that has ``pattern``: all of it so far."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if re.search(pattern, line):
            return said
    raise AssertionError(f"{pattern} never came:\n{said}")


def another_row(folder: Path) -> None:
    """Makes the data new, so that everything has to be made again."""
    data = folder / "data" / "digits.csv"
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines, lines[1]]) + "\n")


def edit(path: Path, old: str, new: str) -> None:
    """Replaces the first ``old``, which has to be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
