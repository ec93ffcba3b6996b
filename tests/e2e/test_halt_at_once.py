"""A halt in the same moment as an apply, a pull and a push: no entry is lost, and the halt wins."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.refusals import start
from tests.quickstart import must
from tests.shelf import BEFORE, block, declare, make_small, write_model

slow = pytest.mark.slow
TOKEN = "env SHELF_TOKEN=secret "


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shared deployment with a hub around it; a better model comes with each test."""
    place = tmp_path_factory.mktemp("halts")
    folder, shelf = make_small(place / "small"), place / "shelf"
    shelf.mkdir()
    declare(folder, live=block(shelf))
    must(f"{BEFORE}mlopsctl apply -y", folder)
    must(f"git clone -q --bare . {place}/hub.git && git remote add origin {place}/hub.git && git fetch -q", folder)
    must("mlopsctl push", folder)
    return folder


def entries(folder: Path) -> Counter[tuple[str, str]]:
    said = json.loads(must("mlopsctl audit log -n -1 --format json", folder))["entries"]
    return Counter((entry["kind"], entry["address"]) for entry in said)


@pytest.mark.parametrize("delay", [pytest.param(0.0, marks=slow), 0.6, pytest.param(1.2, marks=slow)])
def test_a_halt_wins_over_all_that_goes_on_beside_it(live: Path, tmp_path: Path, delay: float) -> None:
    """Whenever it comes in the apply: nothing answers afterwards, here and on every clone, and nobody's entry is lost."""
    closed = live.parent / "shelf" / "closed"
    write_model(live, 3.0 + delay)
    must("git commit -qam 'Another model' && git push -q origin HEAD", live)
    other = tmp_path / "other"
    must(f"git clone -q {live.parent}/hub.git {other} && cd {other} && mlopsctl pull --trail-only", tmp_path)
    before = entries(live)

    running = [start(f"{TOKEN}mlopsctl apply -y", live)]
    time.sleep(delay)
    lines = [
        (f"{TOKEN}mlopsctl halt live --reason now", live),
        ("mlopsctl pull --trail-only", live),
        ("mlopsctl push", live),
    ]
    running += [start(line, folder) for line, folder in lines]
    ended = [(process.communicate(timeout=300)[0], process.returncode) for process in running]
    for (said, code), allowed in zip(ended, ((0, 4, 5, 6, 8), (0, 8), (0, 6, 8), (0, 6, 8)), strict=True):
        assert code in allowed and "Traceback" not in said and "MLO1999" not in said, said
    assert closed.exists(), "the halt stands, whatever the apply did after it"

    must(f"{TOKEN}mlopsctl apply -y && mlopsctl push", live)
    assert closed.exists(), "nor does the next apply open it"
    found = entries(live) - before
    assert found[("halt", "deployments.live")] == 1
    assert [found[("result", address)] for address in ("train.m", "gates.accuracy", "targets.cpu")] == [1, 1, 1]
    must("mlopsctl pull --trail-only", other)
    for folder in (live, other):
        assert entries(folder) == before + found, "no entry is lost on the way"
        assert "halted by" in must("mlopsctl plan", folder)
        assert "ok:" in must("mlopsctl audit verify", folder)
    must(f"{TOKEN}mlopsctl resume live && {TOKEN}mlopsctl apply -y && mlopsctl push", live)
    assert not closed.exists()
    shutil.rmtree(other)
