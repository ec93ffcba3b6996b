"""A place changes only from what was seen there; the local deployment's state folder stands for all."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from mlopsctl.errors import StaleError
from mlopsctl.provider import NO_SCRATCH, Context
from mlopsctl.providers.deployments.local_home import Home
from mlopsctl.serving.files import read_json, write_json
from mlopsctl.swap import swapping
from mlopsctl.types import Address, Digest, Entry, Mark, Observed, Resource

LIVE = Address("deployments", "live")
WANT = Resource(LIVE, "deployments/local", None)
RACER = """
import sys, time
from pathlib import Path
from tests.test_swap import WANT, context, seen, take
print("ready", flush=True)
sys.stdin.readline()
print(take(context(Path(sys.argv[1])), seen("before"), sys.argv[2]), flush=True)
"""


class Trail:
    """Knows these entries."""

    def __init__(self, *entries: Entry):
        self.entries = entries

    def entry(self, entry_id: str) -> Entry | None:
        return next((one for one in self.entries if one.id == entry_id), None)

    def latest(self, address: Address, kinds: Any) -> Entry | None:
        return next((one for one in reversed(self.entries) if one.kind in kinds), None)


def context(state: Path, *entries: Entry) -> Context:
    nothing: Any = None
    trail: Any = Trail(*entries)
    return Context(state, state, NO_SCRATCH, nothing, nothing, trail, "test", lambda line: None)


def seen(entry: str, artifact: str = "dirhash:1") -> Observed:
    return Observed(Digest("sha256:0"), {}, mark=Mark(entry, artifact))


def runs(state: Path, entry: str, artifact: str = "dirhash:1") -> None:
    folder = Home.of(state, LIVE).folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", {"entry": entry, "artifact": artifact})


def take(ctx: Context, observed: Observed | None, name: str) -> str:
    """Puts something of this name there, or says which error kept it away."""
    try:
        with swapping(WANT, observed, ctx):
            runs(ctx.state, name)
    except StaleError as error:
        return error.code
    return "done"


def test_what_was_seen_may_be_changed_and_nothing_else(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    assert take(ctx, None, "one") == "done"
    assert take(ctx, None, "two") == "MLO6021", "nothing was seen, and something runs"
    assert take(ctx, seen("other"), "two") == "MLO6021"
    assert take(ctx, seen("one", "dirhash:2"), "two") == "MLO6021", "the same label on other bytes"
    assert take(ctx, seen("one"), "two") == "done"
    assert take(ctx._replace(over=True), seen("other"), "three") == "done"


def test_a_later_attempt_of_this_trail_is_accounted_for(tmp_path: Path) -> None:
    """What began after the last deployment and came to no good end; an older one, or one elsewhere, says nothing."""

    def of(kind: str, seq: int, address: str = str(LIVE)) -> str:
        runs(tmp_path, "tried", "dirhash:2")
        last = Entry("one", 2, (), "", "ada", "result", str(LIVE))
        entries = sorted([last, Entry("tried", seq, (), "", "ada", kind, address)], key=lambda one: one.seq)
        return take(context(tmp_path, *entries), seen("one"), "next")

    assert of("intent", 3) == "done"
    assert of("intent", 1) == of("intent", 3, "deployments.other") == of("halt", 3) == "MLO6021"


def test_of_processes_that_race_for_one_place_one_wins(tmp_path: Path) -> None:
    runs(tmp_path, "before")
    names = [f"racer{number}" for number in range(4)]
    racers = [
        Popen([sys.executable, "-c", RACER, str(tmp_path), name], stdin=PIPE, stdout=PIPE, text=True) for name in names
    ]
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert said.count("done") == 1 and set(said) <= {"done", "MLO6001", "MLO6021"}, said
    config = read_json(Home.of(tmp_path, LIVE).folder / "config.json")
    assert config is not None and config["entry"] == names[said.index("done")]
