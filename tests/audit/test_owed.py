"""Signatures that are owed: nothing forged is ever answered with, and whoever verifies finds all of it."""

from __future__ import annotations

import gc
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlopsctl.adapters.signatures import verify_digest, verify_signature
from mlopsctl.audit import dsse
from mlopsctl.audit.entry import Record
from mlopsctl.audit.sharing import pull_trail
from mlopsctl.audit.trail import TrailLog
from mlopsctl.types import Digest, Entry

from .clone import Clone, Notes, forged, line_id, result


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Three results, one commit each."""
    clone = Clone.start(tmp_path / "repo")
    for name in ("first", "middle", "last"):
        clone.train(name)
    return clone


@pytest.fixture
def entries(clone: Clone) -> list[Entry]:
    return clone.trail.entries()


def with_foreign_signature(clone: Clone, entry: str, other: str) -> bytes:
    """The line of ``entry`` under the signature of ``other``: well-formed, its key id right, and forged."""
    line, outer = json.loads(clone.line(entry)), json.loads(clone.line(other))
    line["dsse"]["signatures"] = outer["dsse"]["signatures"]
    return json.dumps(line, separators=(",", ":"), sort_keys=True).encode()


def unsigned(clone: Clone, like: Entry, **changes: object) -> bytes:
    """A new entry on top of the trail, under the signature of another one."""
    line = json.loads(forged(clone.line(like.id), clone.signer, **changes))
    line["dsse"]["signatures"] = json.loads(clone.line(like.id))["dsse"]["signatures"]
    return json.dumps(line, separators=(",", ":"), sort_keys=True).encode()


def checks_of(clone: Clone) -> tuple[list[str], TrailLog]:
    """A freshly opened trail and the signatures it checks, by the key that they are checked with."""
    trail = clone.trail
    checked: list[str] = []

    def check(key: str, message: bytes, signature: bytes) -> bool:
        checked.append(key)
        return verify_signature(key, message, signature)

    def check_digest(key: str, digest: bytes, signature: bytes) -> bool | None:
        checked.append(key)
        return verify_digest(key, digest, signature)

    trail.ledger.check, trail.ledger.check_digest = check, check_digest
    return checked, trail


def test_a_forged_result_is_never_answered_with_in_a_fresh_clone(clone: Clone, entries: list[Entry]) -> None:
    clone.replace(entries[3].id, with_foreign_signature(clone, entries[3].id, entries[2].id))
    clone.forget()
    trail = clone.trail
    assert trail.result(entries[3].made_from) is None
    assert trail.latest(entries[3].address) is None
    assert [one.id for one in trail.entries()] == [one.id for one in entries[:3]]
    assert trail.tips() == [entries[2].id]
    assert any(line.startswith("MLO7011") for line in trail.problems())


def test_the_answer_after_a_forged_one_is_the_next_best(clone: Clone, entries: list[Entry]) -> None:
    newer = unsigned(clone, entries[1], parents=[entries[3].id], seq=5, status="better")
    clone.tamper(lambda notes: notes[entries[1].commit].append(newer))
    clone.forget()
    latest = clone.trail.latest(entries[1].address)
    assert latest is not None and latest.id == entries[1].id


def test_a_forged_entry_nobody_asks_for_stops_no_question_and_verify_names_it(
    clone: Clone, entries: list[Entry]
) -> None:
    clone.replace(entries[3].id, with_foreign_signature(clone, entries[3].id, entries[2].id))
    clone.forget()
    trail = clone.trail
    found = trail.result(entries[1].made_from)
    assert found is not None and found.id == entries[1].id and not trail.problems()
    assert ("MLO7011", entries[3].id) in clone.codes()


def test_a_forged_supersedes_hides_nothing(clone: Clone, entries: list[Entry]) -> None:
    replacing = unsigned(
        clone, entries[1], parents=[entries[3].id], seq=5, made_from="", supersedes=[entries[1].id], ingredients={}
    )
    clone.tamper(lambda notes: notes[entries[1].commit].append(replacing))
    clone.forget()
    found = clone.trail.result(entries[1].made_from)
    assert found is not None and found.id == entries[1].id
    assert ("MLO7011", line_id(replacing)) in clone.codes()


def test_a_question_checks_only_what_it_answers_with_and_once(clone: Clone, entries: list[Entry]) -> None:
    clone.forget()
    checked, trail = checks_of(clone)
    assert trail.result(entries[2].made_from)
    assert len(checked) == 2, "the root, which steers, and the result"
    checked, trail = checks_of(clone)
    assert trail.result(entries[2].made_from)
    assert not checked
    assert trail.result(entries[1].made_from)
    assert len(checked) == 1


def test_a_payload_that_was_changed_in_the_index_is_read_again(clone: Clone, entries: list[Entry]) -> None:
    clone.forget()
    clone.trail.sync()
    with closing(sqlite3.connect(clone.folder / ".git/mlops/index.db")) as index, index:
        for row, payload in index.execute("SELECT n, payload FROM payloads").fetchall():
            changed = payload.replace(b'"opset":17', b'"opset":18')
            assert changed != payload or b'"kind":"root"' in payload
            index.execute("UPDATE payloads SET payload = ? WHERE n = ?", (changed, row))
    assert [clone.trail.result(one.made_from) for one in entries[1:]] == entries[1:]
    assert clone.verdict().ok


def test_nobody_builds_on_a_signature_that_was_not_checked(clone: Clone, entries: list[Entry]) -> None:
    clone.replace(entries[3].id, with_foreign_signature(clone, entries[3].id, entries[2].id))
    clone.forget()
    added = clone.trail.append("result", **result("added"))
    assert added.parents == (entries[2].id,)


def test_the_anchor_rises_only_over_what_was_checked(clone: Clone, entries: list[Entry]) -> None:
    clone.forget()
    assert clone.trail.result(entries[1].made_from)
    assert clone.trail.ledger.anchor.read() is None
    assert clone.verdict().ok
    seen = clone.trail.ledger.anchor.read()
    assert seen is not None and seen["tips"] == [entries[3].id]


def test_what_holds_is_not_checked_again_when_all_is_judged_anew(clone: Clone, entries: list[Entry]) -> None:
    assert clone.verdict(full=True).ok
    clone.tamper(lambda notes: drop_last(notes, entries[3]))
    checked, trail = checks_of(clone)
    trail.settle()
    assert len(checked) == 1, "only the root: it steers"


def test_what_a_first_load_owes_is_checked_once_though_it_is_not_read_back(
    clone: Clone, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.forget()
    checked, trail = checks_of(clone)
    monkeypatch.setattr(trail.ledger.index, "owed", lambda: pytest.fail("it is still at hand"))
    monkeypatch.setattr(trail.ledger.index, "owes", lambda: True)
    trail.settle()
    assert len(checked) == len(entries)


def test_what_came_in_after_a_first_load_is_checked_too(clone: Clone, entries: list[Entry]) -> None:
    clone.forget()
    trail = clone.trail
    trail.sync()
    newer = unsigned(clone, entries[1], parents=[entries[3].id], seq=5, status="better")
    clone.tamper(lambda notes: notes[entries[1].commit].append(newer))
    clone.trail.sync()
    trail.settle()
    assert any(line.startswith("MLO7011") for line in trail.problems())
    assert len(trail.entries()) == len(entries)


def edges_of(clone: Clone) -> int:
    """The rows that the index has about inputs and outputs."""
    with closing(sqlite3.connect(clone.folder / ".git/mlops/index.db")) as index:
        return sum(index.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("inputs", "outputs"))


def test_outputs_are_looked_up_by_the_first_who_asks_and_kept_up_from_then_on(
    clone: Clone, entries: list[Entry]
) -> None:
    clone.forget()
    assert clone.verdict().ok
    assert edges_of(clone) == 0, "verifying asks for none"
    output = next(iter(entries[2].outputs.values()))
    found = clone.trail.with_output(output)
    assert found is not None and found.outputs == entries[2].outputs
    before = edges_of(clone)
    assert before >= len(entries) - 1
    added = clone.trail.append("result", **result("added"))
    assert edges_of(clone) > before, "an own entry is taken in at once"
    again = clone.trail.with_output(next(iter(added.outputs.values())))
    assert again is not None


def test_what_a_forged_entry_says_it_made_is_not_found(clone: Clone, entries: list[Entry]) -> None:
    made = {"model": "dirhash:" + "7" * 64}
    newer = unsigned(clone, entries[1], parents=[entries[3].id], seq=5, outputs=made)
    clone.tamper(lambda notes: notes[entries[1].commit].append(newer))
    clone.forget()
    assert clone.trail.with_output(Digest(made["model"])) is None
    assert not clone.verdict().ok
    assert clone.trail.with_output(Digest(made["model"])) is None


@pytest.fixture
def fresh(clone: Clone, tmp_path: Path) -> Clone:
    """A clone of it that has not fetched the trail."""
    return clone.again(tmp_path / "fresh")


def test_a_first_fetch_for_reading_leaves_signatures_owed(clone: Clone, entries: list[Entry], fresh: Clone) -> None:
    checked, trail = checks_of(fresh)
    assert pull_trail(trail, "origin", only_reading=True).refused == ()
    assert len(checked) == 1, "only the root: it steers"
    assert trail.result(entries[3].made_from)
    assert fresh.verdict().ok


def test_a_first_fetch_for_reading_keeps_what_is_malformed_outside(
    clone: Clone, entries: list[Entry], fresh: Clone
) -> None:
    bad = forged(clone.line(entries[3].id), clone.signer, parents=[entries[3].id], seq=9)
    clone.tamper(lambda notes: notes[entries[3].commit].append(bad))
    pulled = pull_trail(fresh.trail, "origin", only_reading=True)
    assert [(one.code, one.entry) for one in pulled.refused] == [("MLO7023", line_id(bad))]
    assert line_id(bad) not in {line_id(line) for lines in fresh.notes().values() for line in lines}
    assert fresh.trail.result(entries[3].made_from) and fresh.verdict().ok


def test_a_forged_result_of_a_first_fetch_is_never_answered_with(
    clone: Clone, entries: list[Entry], fresh: Clone
) -> None:
    clone.replace(entries[3].id, with_foreign_signature(clone, entries[3].id, entries[2].id))
    trail = fresh.trail
    pull_trail(trail, "origin", only_reading=True)
    assert trail.result(entries[3].made_from) is None
    assert ("MLO7011", entries[3].id) in fresh.codes()


def drop_last(notes: Notes, entry: Entry) -> None:
    notes[entry.commit] = [line for line in notes[entry.commit] if line_id(line) != entry.id]


@pytest.mark.parametrize(
    "number", ["9007199254740991", "9007199254740992", "-9007199254740992", "1.5", "1e3", "18446744073709551616"]
)
def test_both_parsers_agree_about_numbers(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (f'{{"a":{number}}}', f'{{"a":[{number}]}}', f'[1,{number},"x"]', f'{{"a":":{number},"}}'):
        found = []
        for seen in (0, 1000):
            monkeypatch.setattr(dsse, "_seen", seen)
            try:
                found.append(dsse.strict_json(data.encode()))
            except ValueError:
                found.append(ValueError)
        assert found[0] == found[1], data
        plain = number == "9007199254740991" or '":' in data[4:]
        assert (found[0] is not ValueError) == plain, data


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\/"}',
        b'{"a":1}\n',
        b"\xff",
        b"NaN",
    ],
)
def test_the_fast_parser_takes_no_second_spelling(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsse, "_seen", 1000)
    with pytest.raises(ValueError):
        dsse.strict_json(data)


def test_what_was_read_is_gone_before_the_collector_may_walk_it(
    clone: Clone, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    clone.forget()
    held: list[int] = []
    enable = gc.enable

    def counted() -> None:
        held.append(sum(isinstance(one, Record) for one in gc.get_objects()))
        enable()

    monkeypatch.setattr(gc, "enable", counted)
    before = sum(isinstance(one, Record) for one in gc.get_objects())
    clone.trail.sync()
    assert held == [before] and entries
