"""Laws of the trail: any history of appends, forks and unions verifies, and no change of a line goes unseen."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.audit.dsse import encode, entry_id, pae
from mlopsctl.audit.graph import Place
from mlopsctl.audit.statement import EMPTY_TREE, statement
from mlopsctl.audit.trust import Policy, one_signer, read_policy
from mlopsctl.audit.verify import VALID, WARNINGS, Expected, Judge, Judged, Line

from .clone import Clone, owner

LOG = "0" * 32


class Nothing:
    """A verifier that has seen nothing yet."""

    def nothing(self) -> bool:
        return True

    def place(self, entry_id: str) -> Place | None:
        return None

    def policy(self, digest: str) -> Policy | None:
        return None


class Simulator:
    """Several writers who each know only what they have seen, without any repository."""

    def __init__(self) -> None:
        self.signer = owner()
        self.policy = read_policy(one_signer("owner", self.signer.key))
        self.lines: dict[str, bytes] = {}
        self.seq: dict[str, int] = {}
        root = self._sign(kind="root", parents=[], seq=1, facts={"trust": dict(self.policy.content)})
        self.knows: list[dict[str, list[str]]] = [{root: []} for _ in range(3)]

    def _sign(self, **fields: Any) -> str:
        base = {"log": LOG, "at": "2026-11-21T10:00:00Z", "signer": "owner", "trust": self.policy.digest}
        payload = statement({**base, **fields}, "")
        name = entry_id(payload)
        self.lines[name] = encode(payload, [(self.signer.key_id, self.signer.sign(pae(payload)))])
        self.seq[name] = int(fields["seq"])
        return name

    def append(self, who: int, note: int) -> None:
        known = self.knows[who]
        tips = sorted(set(known) - {parent for parents in known.values() for parent in parents})
        seq = 1 + max(self.seq[tip] for tip in tips)
        made = self._sign(kind="failure", address="train.m", parents=tips, seq=seq, facts={"who": who, "note": note})
        known[made] = tips

    def unite(self, who: int, other: int) -> None:
        self.knows[who] |= self.knows[other]

    def judge(self, who: int, order: Any = sorted) -> tuple[list[Judged], set[str]]:
        judge = Judge(Expected(LOG), Nothing(), verify_signature)
        judged = judge.judge([Line(self.lines[name], EMPTY_TREE) for name in order(self.knows[who])])
        return judged, {finding.code for finding in judge.findings}


steps = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20)


@settings(max_examples=40, deadline=None)
@given(steps, st.randoms())
def test_any_history_verifies_in_any_order(history: list[tuple[int, int]], chance: Any) -> None:
    world = Simulator()
    for number, (who, other) in enumerate(history):
        if who == other:
            world.append(who, number)
        else:
            world.unite(who, other)
    for who in range(3):
        judged, codes = world.judge(who, lambda names: chance.sample(sorted(names), len(names)))
        assert not codes
        assert {one.record.id for one in judged if one.state == VALID} == set(world.knows[who])


@settings(max_examples=40, deadline=None)
@given(steps.filter(len), st.randoms())
def test_a_dropped_entry_that_others_build_on_is_missed(history: list[tuple[int, int]], chance: Any) -> None:
    world = Simulator()
    for number, (who, _) in enumerate(history):
        world.append(who, number)
    known = world.knows[history[0][0]]
    inner = sorted({parent for parents in known.values() for parent in parents})
    known.pop(chance.choice(inner))
    _, codes = world.judge(history[0][0])
    assert codes & {"MLO7022", "MLO7025"}


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = Clone.start(tmp_path_factory.mktemp("laws") / "repo")
    clone.train("first")
    clone.train("second")
    return clone


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2), st.integers(0), st.sampled_from(["set", "drop", "add"]))
def test_any_change_of_a_decoded_line_is_found(trail: Clone, which: int, at: int, how: str) -> None:
    """Decode a line, change one member anywhere, encode and commit it again with git's plumbing: it is found."""
    notes = trail.notes()
    note = sorted(notes)[which % len(notes)]
    outer = json.loads(notes[note][0])
    payload = json.loads(b64decode(outer["dsse"]["payload"]))
    places = list(_places(payload))
    where, key = places[at % len(places)]
    if how == "set":
        where[key] = f"{where[key]}x" if isinstance(where[key], str) else "x"
    elif how == "add" and isinstance(where, dict):
        where["added"] = "x"
    else:
        del where[key]
    outer["dsse"]["payload"] = b64encode(json.dumps(payload, separators=(",", ":"), sort_keys=True).encode()).decode()
    changed = {**notes, note: [json.dumps(outer, separators=(",", ":"), sort_keys=True).encode(), *notes[note][1:]]}
    copy = trail.folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(trail.folder, copy)
    forged = Clone(copy, trail.log)
    forged.write(changed)
    assert not forged.verdict().ok
    assert {code for code, _ in forged.codes()} - WARNINGS


def _places(value: Any) -> Any:
    """Every (container, key) inside a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2), st.integers(0), st.sampled_from(["set", "drop", "add"]))
def test_any_change_of_the_outer_members_is_found(trail: Clone, which: int, at: int, how: str) -> None:
    """The same around the payload: version, type, signatures, key ids, and material that nobody asked for."""
    notes = trail.notes()
    note = sorted(notes)[which % len(notes)]
    outer = json.loads(notes[note][0])
    places = list(_places(outer))
    where, key = places[at % len(places)]
    if how == "set":
        where[key] = f"{where[key]}x" if isinstance(where[key], str) else "x"
    elif how == "add" and isinstance(where, dict):
        where["material" if where is outer else "added"] = {"sigstore": {"added": "x"}}
    else:
        del where[key]
    changed = {**notes, note: [json.dumps(outer, separators=(",", ":"), sort_keys=True).encode(), *notes[note][1:]]}
    copy = trail.folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(trail.folder, copy)
    forged = Clone(copy, trail.log)
    forged.write(changed)
    assert {code for code, _ in forged.codes()} - WARNINGS
