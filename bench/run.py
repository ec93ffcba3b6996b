"""Every figure that docs/performance.md promises, as a ratio measured side by side in one run: ``make bench``.

Timings are the least of many runs in turns, so that a busy moment of the machine hits both sides. Exit code 1 when a
figure is missed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ROUNDS = 20
CHANGED = "mlopsctl validate, changed manifest"
REMEMBERED, WORKED_OUT = "mlopsctl plan, nothing to do, remembered", "mlopsctl plan, nothing to do, worked out"
# Benchmarks of their own, which print their ratios themselves.
OTHERS = ("targets.py", "hardware.py", "server.py", "trail.py", "queries.py", "plan.py", "scheduler.py")


@dataclass(frozen=True)
class Figure:
    """One promise: ``what`` takes at most ``limit`` times as long as ``against``."""

    what: str
    against: str
    limit: float


FIGURES = (
    Figure("mlopsctl --version", "python -c pass", 7),
    Figure("mlopsctl --version", "dvc --version", 0.6),
    Figure(REMEMBERED, "python -c pass", 4),
    Figure(WORKED_OUT, "python -c pass", 14),
    Figure(WORKED_OUT, "dvc status, same data", 0.45),
    Figure(CHANGED, "python -c pass", 10),
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        project = quickstart(Path(scratch))
        try:
            seconds = measure(contenders(project, dvc_twin(project, Path(scratch))), project)
        finally:
            call("mlopsctl", "destroy", "--all", "-y", folder=project)
    missed = report(seconds)
    for name in OTHERS:
        if (ROOT / "bench" / name).is_file():
            print(f"\n{name}", flush=True)
            missed += subprocess.run([sys.executable, ROOT / "bench" / name], cwd=ROOT, check=False).returncode != 0
    return 1 if missed else 0


def call(*argv: str, folder: Path, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a program of this environment in a folder."""
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    # An installed package has its bytecode; a checkout keeps it from the first run on.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"$ {' '.join(argv)}\n{done.stdout}{done.stderr}exit {done.returncode}")
    return done


def quickstart(scratch: Path) -> Path:
    """The quickstart, applied once, with a key of its own."""
    os.environ["XDG_CONFIG_HOME"], os.environ["XDG_STATE_HOME"] = str(scratch / "config"), str(scratch / "state")
    for role in ("AUTHOR", "COMMITTER"):
        os.environ[f"GIT_{role}_NAME"], os.environ[f"GIT_{role}_EMAIL"] = "Bench", "bench@example.com"
    project = scratch / "digits"
    call("git", "init", "-q", str(project), folder=scratch, check=True)
    call("mlopsctl", "init", "--template", "quickstart", str(project), folder=scratch, check=True)
    if not (project / ".git").is_dir():
        raise SystemExit("the project has no repository of its own")
    call("git", "add", "-A", folder=project, check=True)
    call("git", "commit", "-q", "-m", "Start", folder=project, check=True)
    print("applying the quickstart once", flush=True)
    call("mlopsctl", "apply", "-y", folder=project, check=True)
    return project


def dvc_twin(project: Path, scratch: Path) -> Path:
    """The same data, tracked by DVC in a repository of its own."""
    twin = scratch / "dvc"
    (twin / "data").mkdir(parents=True)
    shutil.copy(project / "data" / "digits.csv", twin / "data")
    for argv in (("git", "init", "-q"), ("dvc", "init", "-q"), ("dvc", "add", "-q", "data/digits.csv")):
        call(*argv, folder=twin, check=True)
    return twin


def contenders(project: Path, twin: Path) -> Mapping[str, Sequence[str]]:
    """The commands to measure, by name; all run in folders with the same data."""
    return {
        "python -c pass": (sys.executable, "-c", "pass"),
        "mlopsctl --version": ("mlopsctl", "--version"),
        "dvc --version": ("dvc", "--version"),
        # In CI nothing is remembered.
        REMEMBERED: ("env", "-u", "CI", "mlopsctl", "-C", str(project), "plan", "--detailed-exitcode"),
        WORKED_OUT: ("env", "CI=true", "mlopsctl", "-C", str(project), "plan", "--detailed-exitcode"),
        "dvc status, same data": ("dvc", "--cd", str(twin), "status", "-q"),
        CHANGED: ("mlopsctl", "-C", str(project), "validate", "changed.yaml"),
    }


def measure(named: Mapping[str, Sequence[str]], project: Path) -> dict[str, float]:
    """The least seconds of each, all in turns; the first round only warms caches."""
    original = (project / "mlops.yaml").read_text(encoding="utf-8")
    least = dict.fromkeys(named, float("inf"))
    for number in range(ROUNDS + 1):
        changed = original.replace("min: 0.93", f"min: 0.9{number:03d}")
        (project / "changed.yaml").write_text(changed, encoding="utf-8")
        for name, argv in named.items():
            begun = time.perf_counter()
            call(*argv, folder=project, check=True)
            took = time.perf_counter() - begun
            if number:
                least[name] = min(least[name], took)
    return least


def report(seconds: Mapping[str, float]) -> int:
    """Prints each ratio with its limit and returns how many were missed."""
    print(f"\nleast of {ROUNDS} runs, in turns")
    for name, least in seconds.items():
        print(f"  {name:<42} {least * 1000:7.1f} ms")
    print("\nratio  limit")
    missed = 0
    for figure in FIGURES:
        ratio = seconds[figure.what] / seconds[figure.against]
        good = ratio <= figure.limit
        missed += not good
        print(f"{ratio:5.2f}  {figure.limit:5.2f}  {'ok  ' if good else 'MISS'}  {figure.what} / {figure.against}")
    return missed


if __name__ == "__main__":
    sys.exit(main())
