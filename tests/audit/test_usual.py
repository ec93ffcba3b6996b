"""The fast way to read a line says what the strict one says, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mlopsctl.audit.dsse import BadLine, encode
from mlopsctl.audit.entry import Record, read_line
from mlopsctl.audit.statement import EMPTY_TREE, MEMBER, statement
from mlopsctl.audit.usual import read_usual
from mlopsctl.audit.verify import slim
from mlopsctl.canonical import canonical, digest_of

COMMIT = "ab" * 20
INGREDIENTS: dict[str, Any] = {
    "provider": "train/local", "version": 1, "inputs": {"data": ["sha256:" + "1" * 64], "more": "sha256:" + "2" * 64},
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "log": "c" * 32, "seq": 3, "parents": ["d" * 64], "at": "2026-01-02T03:04:05Z", "signer": "owner",
    "trust": "sha256:" + "e" * 64, "kind": "result", "address": "train.model", "status": "done",
    "made_from": digest_of(INGREDIENTS), "ingredients": INGREDIENTS,
    "outputs": {"model": "dirhash:" + "f" * 64, "model.sig": "sha256:" + "0" * 64},
    "facts": {"opset": 17, "words": ["a", None, True]}, "made_with": {"python": "3.11"}, "tree": "gitoid:" + "9" * 40,
}  # fmt: skip


def line_of(payload: bytes) -> bytes:
    return encode(payload, [("7" * 64, b"a signature")])


def line_with(commit: str = COMMIT, **changes: Any) -> bytes:
    """A line with these members, those that are None left out."""
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    return line_of(statement(fields, commit))


def strictly(line: bytes) -> Record | None:
    """What is kept of the line, read strictly; None where that refuses it."""
    try:
        return slim(read_line(line), 7)
    except BadLine:
        return None


def assert_agrees(line: bytes, path: str = COMMIT) -> None:
    strict, read = strictly(line), read_usual(line, path, 7)
    if read is None:
        return
    found, payload = read
    assert payload == read_line(line).payload
    assert strict is not None and strict.slim, "the strict way refuses it, or sees that it steers"
    assert found._replace(scheme=(), fields={}) == strict._replace(fields={})
    # Members that a line leaves out are empty in one and absent in the other.
    assert {name: value for name, value in found.fields.items() if value or name in strict.fields} == dict(
        strict.fields
    )


def usual(line: bytes, path: str = COMMIT) -> bool:
    assert_agrees(line, path)
    return read_usual(line, path, 7) is not None


def test_what_is_usual_is_read_the_fast_way() -> None:
    assert usual(line_with())
    assert usual(line_with(EMPTY_TREE), EMPTY_TREE)
    variants: tuple[dict[str, Any], ...] = (
        {"address": "data.digits", "made_from": None, "ingredients": None, "outputs": None},
        {"address": "gates.quality", "made_from": None},
        {"kind": "failure", "status": "crashed"},
        {"kind": "trial"},
        {"parents": ["1" * 64, "2" * 64]},
        {"parents": []},
        {"facts": {"text": 'a "quoted" \\ word'}},
        {"outputs": {'a "name"': "sha256:" + "5" * 64}},
    )
    for changes in variants:
        assert usual(line_with(**changes)), changes


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "halt"},
        {"kind": "trust", "address": ""},
        {"kind": "from a newer one"},
        {"supersedes": ["1" * 64]},
        {"made_from": "sha256:" + "0" * 64},
        {"address": "data.digits"},
        {"kind": "trial", "address": "deployments.local"},
        {"address": "not an address"},
        {"parents": ["1" * 64, "1" * 64]},
        {"parents": ["1" * 63]},
        {"at": "yesterday"},
        {"facts": {"n": 2**53 - 1, "text": "ünïcode"}},
        {"unknown": "member"},
    ],
)
def test_what_steers_or_is_odd_is_left_to_the_strict_way(changes: dict[str, Any]) -> None:
    assert not usual(line_with(**changes))


def changed(**changes: Any) -> bytes:
    value = json.loads(read_line(line_with()).payload)
    value["predicate"][MEMBER].update(changes)
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


@pytest.mark.parametrize(
    "payload",
    [
        changed(seq="3"), changed(seq=True), changed(seq=3.0), changed(parents="d" * 64), changed(facts=[]),
        changed(outputs={"model": 1}), changed(outputs={"model": "md5:1"}), changed(outputs={}),
        changed(facts={"n": 2**53}), changed(facts={"n": [-(2**53)]}), changed(facts={"n": 2**64}),
        changed(facts={"n": 0.5}), changed(at=None), changed().replace(b'"seq":3', b'"seq": 3'),
        changed().replace(b'"opset":17', b'"opset":17,"opset":17'), changed().replace(b"done", b"d\\u006fne"),
        changed().replace(b'"name":"commit"', b'"name":"another"'), changed().replace(b'"_type":"https', b'"_type":"http'),
        changed().replace(b'"status":"done"', b'"status":"d\\/ne"'), changed() + b" ", changed()[:-1], b"[]", b"",
        changed(facts={"pad": "x" * 8192}),
    ],
)  # fmt: skip
def test_a_payload_that_the_strict_way_refuses_is_not_usual(payload: bytes) -> None:
    assert strictly(line_of(payload)) is None
    assert not usual(line_of(payload))


def test_an_entry_that_hangs_on_another_commit_is_not_usual() -> None:
    assert not usual(line_with(), "cd" * 20)


@pytest.mark.parametrize(
    "change",
    [
        lambda outer: outer.update(v=2),
        lambda outer: outer.update(more=1),
        lambda outer: outer.update(material={"timestamps": []}),
        lambda outer: outer["dsse"].update(payloadType="application/json"),
        lambda outer: outer["dsse"]["signatures"].clear(),
        lambda outer: outer["dsse"]["signatures"].append(outer["dsse"]["signatures"][0]),
        lambda outer: outer["dsse"]["signatures"][0].update(alg="none"),
        lambda outer: outer["dsse"]["signatures"][0].update(sig="YQ=="[:-1]),
        lambda outer: outer["dsse"]["signatures"][0].update(sig="YR=="),
        lambda outer: outer["dsse"].update(payload=outer["dsse"]["payload"].replace("e", "-", 1)),
        lambda outer: outer["dsse"].update(payload=outer["dsse"]["payload"] + "\n"),
    ],
)
def test_an_envelope_of_another_form_is_not_usual(change: Any) -> None:
    outer = json.loads(line_with())
    change(outer)
    assert not usual(canonical(outer))


def second_spellings() -> list[bytes]:
    """The same entry in lines that a lax reader takes for it."""
    line = line_with(status="d")
    outer = json.loads(line)
    text, keyid, sig = outer["dsse"]["payload"], "7" * 64, outer["dsse"]["signatures"][0]["sig"]
    assert text.endswith("="), "its last group has unused bits"
    last = text.rstrip("=")[-1]
    unused = text.rstrip("=")[:-1] + chr(ord(last) + 1) + "=" * (len(text) - len(text.rstrip("=")))
    spelled = {
        text: (unused, text.rstrip("="), text + "=", "\\u0065" + text[1:], text + '","payload":"' + text),
        keyid: ("\\u0037" + keyid[1:], keyid + '","keyid":"' + keyid),
        sig: (sig.rstrip("=") if sig.endswith("=") else sig + "=", "\\u0059" + sig[1:]),
    }
    found = [line.replace(old.encode(), new.encode()) for old, several in spelled.items() for new in several]
    return [*found, line + b" ", b" " + line, line.replace(b'"v":1', b'"v":1,"v":1'), line.replace(b'":{', b'": {', 1)]


@pytest.mark.parametrize("line", second_spellings())
def test_a_line_in_a_second_spelling_is_not_usual(line: bytes) -> None:
    assert read_usual(line_with(status="d"), COMMIT, 7) is not None
    assert strictly(line) is None
    assert read_usual(line, COMMIT, 7) is None


@pytest.mark.parametrize("depth", range(1, 9))
@pytest.mark.parametrize("number", [2**53 - 1, 2**53, -(2**53)])
def test_large_numbers_are_found_at_any_depth(depth: int, number: int) -> None:
    nested: Any = number
    for level in range(depth):
        nested = [nested] if level % 2 else {"n": nested}
    line = line_of(changed(facts={"n": nested}))
    assert (strictly(line) is not None) == (number == 2**53 - 1)
    assert usual(line) == (number == 2**53 - 1 and depth < 5), "what is nested deeper is left to the strict way"


def test_both_ways_agree_about_lines_with_a_byte_changed() -> None:
    rng = random.Random(7)
    line, payload = line_with(), read_line(line_with()).payload
    both = 0
    for _ in range(3000):
        whole = rng.random() < 0.3
        data = bytearray(line if whole else payload)
        for _ in range(rng.choice((1, 1, 2))):
            place = rng.randrange(len(data))
            data[place : place + rng.choice((0, 1, 1))] = rng.choice(
                (b"", b'"', b"0", b"a", b"{", b",", b"\\", b"\xc3")
            )
        text = bytes(data) if whole else line_of(bytes(data))
        assert_agrees(text)
        both += strictly(text) is not None
    assert both > 100, "most changes break the form, but not all"


def test_members_in_another_order_are_not_usual() -> None:
    value = json.loads(read_line(line_with()).payload)
    value["predicate"] = dict(reversed(value["predicate"].items()))
    assert not usual(line_of(json.dumps(value, separators=(",", ":")).encode()))


ODD: tuple[Any, ...] = (
    None, True, 0, -1, "", "x", "é", 'a"b', "\x1f", [], {}, [None], {"a": 1}, 2**53, 10**15, "halt", "trial",
    "deployments.local", "train.model", "gates.q", ["d" * 64] * 2, "sha256:" + "0" * 64,
)  # fmt: skip


def test_both_ways_agree_about_members_that_are_gone_odd_or_too_many() -> None:
    rng = random.Random(11)
    both = 0
    for _ in range(3000):
        value = json.loads(read_line(line_with()).payload)
        for _ in range(rng.choice((1, 1, 2))):
            place = rng.choice((value, value["subject"], value["predicate"], value["predicate"].get(MEMBER, value)))
            if not isinstance(place, dict) or not place:
                continue
            name = rng.choice((*place, "supersedes", "alg", "é"))
            if rng.random() < 0.3:
                place.pop(name, None)
            else:
                place[name] = rng.choice(ODD)
            if not isinstance(value.get("subject"), list) or not isinstance(value.get("predicate"), dict):
                break
        line = line_of(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
        for path in (COMMIT, EMPTY_TREE):
            if read_usual(line, path, 7) is not None and strictly(line) is not None:
                assert path == strictly(line).commit  # type: ignore[union-attr]
                both += 1
        assert_agrees(line)
    assert both > 100
