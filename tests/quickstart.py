"""A scratch project made from the quickstart, and a shell in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
SMALL = """\
apiVersion: mlopsctl/v1
project: {name: small}
data:
  digits: {path: digits.csv, label: digit}
"""


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs one shell line as a person would, with this environment's ``mlopsctl`` and ``python``; stderr goes with stdout."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CI": "true", "COLUMNS": "120"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )


def must(line: str, folder: Path) -> str:
    """The output of a shell line that has to succeed."""
    done = shell(line, folder)
    assert done.returncode == 0, f"$ {line}\n{done.stdout}\nexit {done.returncode}"
    return done.stdout


def make_quickstart(folder: Path) -> Path:
    """``init`` and the first commit, in a repository of its own."""
    must(f"git init -q {folder} && mlopsctl init --template quickstart {folder}", folder.parent)
    # Where the temporary folder lies inside a clone, `git add -A` must not reach that one.
    assert must("git rev-parse --show-toplevel", folder).strip() == str(folder.resolve())
    must('git add -A && git commit -q -m "Start with mlopsctl"', folder)
    return folder


def add_deployment(applied: Path, folder: Path) -> Path:
    """A copy of the applied project (tests/conftest.py) as the whole quickstart; only the deployment is left to make."""
    shutil.copytree(applied, folder, symlinks=True)
    must("git checkout -q HEAD~1 -- mlops.yaml && git commit -qm 'Its deployment'", folder)
    return folder


def make_small(folder: Path) -> Path:
    """A project with data only: an apply pins it, which is one entry and no training."""
    folder.mkdir()
    (folder / "mlops.yaml").write_text(SMALL)
    (folder / "digits.csv").write_text("a,digit\n" + "".join(f"{n},{n % 10}\n" for n in range(100)))
    must("git init -q && mlopsctl init --ci none && git add -A && git commit -q -m Start", folder)
    return folder


def take_down(folder: Path) -> None:
    """Stops what a project started; a test's server must not outlive it."""
    if (folder / "mlops.yaml").is_file():
        shell("mlopsctl destroy --all -y", folder)
        # A protected one goes only with approvals; without its state folder a server ends by itself.
        shutil.rmtree(folder / ".git/mlops/deployments", ignore_errors=True)
