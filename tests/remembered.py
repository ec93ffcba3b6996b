"""Runs a verb as a person does at a terminal of their own, and says whether its answer was a remembered one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_RUN = """
import json, sys
from mlopsctl.adapters import memo
report, grain, *words = sys.argv[1:]
if memo.GRAIN_NS != int(grain):
    from mlopsctl.adapters import statcache
    memo.GRAIN_NS = statcache.GRAIN_NS = int(grain)
keep, why = memo.keep, []
memo.keep = lambda watch: why.append(keep(watch))
sys.argv = ["mlopsctl", *words]
from mlopsctl.__main__ import main
try:
    main()
    code = 0
except SystemExit as end:
    code = end.code or 0
with open(report, "w") as out:
    json.dump({"code": code, "modules": sorted(sys.modules), "why": "".join(why)}, out)
"""

GRAIN_NS = 2_000_000_000


class Answer(NamedTuple):
    """What was printed on stdout, the exit code, what was imported, and stderr."""

    text: str
    code: int
    modules: frozenset[str]
    noted: str
    why: str
    """Why it was not kept, where it was looked at for that."""

    @property
    def remembered(self) -> bool:
        """Whether nothing was planned."""
        return "mlopsctl.plan" not in self.modules

    @property
    def said(self) -> tuple[str, int]:
        """What has to be the same with and without a memo."""
        return self.text, self.code


def ask(
    folder: Path, *argv: str, variables: Mapping[str, str] | None = None, grain: int = 0, memo: bool = True
) -> Answer:
    """A verb in ``folder``. With a grain of 0 a file may have changed just now, so that no test waits for two seconds."""
    report = folder.parent / f"{folder.name}-{os.getpid()}.report"
    environment = {**os.environ, **(variables or {})}
    environment.pop("CI", None)
    if not memo:
        environment["CI"] = "true"
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(report), str(grain), *argv],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    found = json.loads(report.read_text(encoding="utf-8"))
    report.unlink()
    return Answer(done.stdout, found["code"], frozenset(found["modules"]), done.stderr, found["why"])


def plainly(folder: Path, *argv: str) -> Answer:
    """The same without any memo."""
    found = ask(folder, *argv, memo=False)
    assert not found.remembered
    return found


def remember(folder: Path, *argv: str) -> Answer:
    """Asks until the answer is a remembered one; it has to be the plain one, and soon."""
    found = [ask(folder, *argv) for _ in range(2)]
    while not found[-1].remembered and len(found) < 4:
        found.append(ask(folder, *argv))
    assert found[-1].remembered, [one._replace(modules=frozenset()) for one in found]
    assert found[-1].said == plainly(folder, *argv).said
    return found[-1]


def memos() -> list[Path]:
    """The memos of this user."""
    folder = Path(os.environ["XDG_STATE_HOME"]) / "mlops" / "memos"
    return sorted(folder.iterdir()) if folder.is_dir() else []
