"""What a step costs beyond its own process: 500 steps of ``touch``, two at a time, signed and recorded.

``python bench/scheduler.py [STEPS]`` prints milliseconds a step, those of the same processes started by a bare loop with
as many at a time, the processor time of mlopsctl and of the processes that it starts, and where it goes. Exit code 1 where a
step costs more than the limit.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlopsctl.types import Address

STEPS = 500
JOBS = 2
LIMIT = 15.0
BIN = Path(sys.executable).parent


def main() -> int:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        folder = Path(scratch) / "project"
        make(folder, steps)
        own = bare(folder, steps)
        whole, nothing = apply(folder), apply(folder)
    cost = 1000 * (whole.wall - nothing.wall - own) / steps
    print(
        f"{steps} steps, --jobs {JOBS}: {1000 * whole.wall / steps:.1f} ms a step; the processes alone {1000 * own / steps:.1f} ms"
    )
    print(
        f"processor time a step: mlopsctl itself {1000 * (whole.own - nothing.own) / steps:.1f} ms, what it starts "
        f"{1000 * (whole.started - nothing.started) / steps:.1f} ms; load before: {os.getloadavg()[0]:.1f} on "
        f"{len(os.sched_getaffinity(0))} cores"
    )
    verdict = "ok" if cost <= LIMIT else "MISS"
    print(f"{verdict}: beyond its own process a step takes {cost:.1f} ms, at most {LIMIT:.0f}")
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        where(Path(scratch) / "project", min(steps, 100))
    return 0 if cost <= LIMIT else 1


class Times(NamedTuple):
    """Seconds of one apply: wall clock, processor time of mlopsctl itself, and of all processes that it started."""

    wall: float
    own: float
    started: float


_APPLY = """
import os, sys
from mlopsctl.cli.main import run
code = run(sys.argv[1:])
from mlopsctl.adapters import spawner
spawner.close()
print(*os.times()[:4], file=sys.stderr)
sys.exit(code)
"""


def apply(folder: Path) -> Times:
    begun = time.perf_counter()
    words = [sys.executable, "-c", _APPLY, "apply", "-y", "--offline", "--jobs", str(JOBS)]
    done = subprocess.run(
        words, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - begun
    user, system, started, system_started = map(float, done.stderr.splitlines()[-1].split())
    return Times(wall, user + system, started + system_started)


def make(folder: Path, steps: int) -> None:
    """A project of so many steps that need nothing."""
    folder.mkdir()
    lines = ["apiVersion: mlopsctl/v1", "project: {name: scheduler}", "train:"]
    lines += [f'  s{n}: {{run: "touch {{out}}/x", seed: {n}, produces: files}}' for n in range(steps)]
    (folder / "mlops.yaml").write_text("\n".join(lines) + "\n")
    call("git", "init", "-q", folder=folder)
    call("mlopsctl", "init", "--ci", "none", folder=folder)
    call("git", "add", "-A", folder=folder)
    call("git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-qm", "x", folder=folder)


def bare(folder: Path, steps: int) -> float:
    """Seconds of the same processes, as many at a time, started by a loop."""
    place = folder.with_name("bare")
    place.mkdir()
    begun = time.perf_counter()
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(lambda n: subprocess.run(["touch", place / str(n)], check=True), range(steps)))
    return time.perf_counter() - begun


def where(folder: Path, steps: int) -> None:
    """Where the processor time of both kinds of threads goes, under a profiler, which makes everything slower."""
    from mlopsctl import crew
    from mlopsctl.cli.main import run

    make(folder, steps)
    profiles: list[cProfile.Profile] = []
    begin = crew.Crew._run

    def profiled(self: crew.Crew, address: Address, work: Callable[[], Any]) -> None:
        profile = cProfile.Profile(time.thread_time)
        profile.runcall(begin, self, address, work)
        profiles.append(profile)

    crew.Crew._run = profiled  # type: ignore[method-assign]
    here, stdout = os.getcwd(), os.dup(1)
    os.chdir(folder)
    main_profile = cProfile.Profile(time.thread_time)
    try:
        with open(os.devnull, "w") as nowhere:
            sys.stdout.flush()
            os.dup2(nowhere.fileno(), 1)
            sys.stderr = nowhere
            main_profile.runcall(run, ["apply", "-y", "--offline", "--jobs", str(JOBS)])
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        sys.stderr = sys.__stderr__
        os.chdir(here)
        crew.Crew._run = begin  # type: ignore[method-assign]
    for title, found in (
        ("the thread that orders and records", [main_profile]),
        ("the threads that make steps", profiles),
    ):
        print(f"\n{title}, milliseconds of processor time a step:")
        stats = pstats.Stats(found[0])
        for more in found[1:]:
            stats.add(more)
        shown = sorted(stats.stats.items(), key=lambda item: -item[1][3])  # type: ignore[attr-defined]
        ours = [item for item in shown if item[1][3] > 0.0003 * steps][:45]
        for (file, _, name), (_, calls, own, cumulative, _) in ours:
            print(
                f"  {1000 * cumulative / steps:7.2f} of which own {1000 * own / steps:6.2f}  {calls / steps:6.1f} calls  "
                f"{Path(file).stem}.{name}"
            )


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "CI": "true"}


def call(*argv: str, folder: Path) -> None:
    subprocess.run(
        argv, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
