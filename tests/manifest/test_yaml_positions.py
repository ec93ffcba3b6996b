"""YAML 1.2 with places: what is read, and how everything else is refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.errors import ManifestError
from mlopsctl.manifest.yaml_positions import decode, read_yaml


def read(text: str | bytes) -> Any:
    data = text.encode() if isinstance(text, str) else text
    source, findings = decode(data, "mlops.yaml")
    node = read_yaml(source, findings)
    findings.close()
    return node.plain()


def refused(text: str | bytes) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        read(text)
    assert caught.value.exit_code == 3
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-7", -7),
        ("0o17", 15),
        ("017", 17),
        ("0xff", 255),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("12:30", "12:30"),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("'null'", "null"),
        ('"1"', "1"),
        ("<", "<"),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: Any) -> None:
    found = read(f"key: {text}\n")["key"]
    assert found == value and type(found) is type(value)


_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="\ufeff"), max_size=20)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(_TEXT.filter(lambda key: key != "<<"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_every_json_document_is_read_as_itself(value: Any) -> None:
    assert read(json.dumps(value, ensure_ascii=False)) == value


def test_every_value_knows_its_place() -> None:
    source, findings = decode(b"a:\n  b: [x, 'y z']\n", "f")
    root = read_yaml(source, findings)
    inner = root.value["a"]
    assert root.keys["a"] == (1, 1)
    assert inner.keys["b"] == (2, 3)
    assert [(item.at, item.end, item.quoted) for item in inner.value["b"].value] == [
        ((2, 7), (2, 8), False),
        ((2, 10), (2, 15), True),
    ]


def test_a_byte_order_mark_and_windows_line_ends_are_allowed() -> None:
    assert read(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a:\n\tb: 1\n", "MLO3004", 2, 1),
        ("a: 1\nb: 2\na: 3\n", "MLO3011", 3, 1),
        ("a: 1\n---\nb: 1\n", "MLO3006", 2, 1),
        ("", "MLO3009", 1, 1),
        ("# only a comment\n", "MLO3009", 1, 1),
        ("a: {run: x {out}}\n", "MLO3005", 1, 12),
        ("run: {out} x\n", "MLO3005", 1, 12),
        ("a: [1, 2\nb: 3\n", "MLO3003", 2, 2),
        ("a: 'open\n", "MLO3003", 2, 1),
        ("a: b: c\n", "MLO3003", 1, 5),
        ("a: !!python/object:os.system x\n", "MLO3008", 1, 4),
        ("a: !!str 1\n", "MLO3008", 1, 4),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", "MLO3008", 3, 3),
        ("a: *missing\n", "MLO3007", 1, 4),
        ("a: &a [*a]\n", "MLO3007", 1, 8),
        ("a: .inf\n", "MLO3010", 1, 4),
        ("a: -.Inf\n", "MLO3010", 1, 4),
        ("a: .nan\n", "MLO3010", 1, 4),
        ("a: 1e999\n", "MLO3010", 1, 4),
        ("a: 9007199254740993\n", "MLO3010", 1, 4),
        (f"a: {'9' * 50_000}\n", "MLO3010", 1, 4),
        (f"a: 0x{'f' * 20_000}\n", "MLO3010", 1, 4),
        ("1: a\n", "MLO3012", 1, 1),
        ("? [a, b]\n: c\n", "MLO3012", 1, 3),
        ("a: \x00\n", "MLO3003", 1, 1),
        ("a: " + "[" * 100 + "]" * 100, "MLO3007", 1, 68),
    ],
)
def test_what_is_refused_says_where(text: str, code: str, line: int, column: int) -> None:
    error = refused(text)
    assert error.code == code
    assert error.where is not None and (error.where.line, error.where.column) == (line, column)


def test_bytes_that_are_no_utf8_are_placed() -> None:
    error = refused("a: 1\nb: ä".encode("latin-1"))
    assert error.code == "MLO3001"
    assert str(error.where) == "mlops.yaml:2:4"
    assert "UTF-16" in refused("a: 1".encode("utf-16")).hint


def test_ten_megabytes_are_refused_at_once() -> None:
    start = time.perf_counter()
    error = refused(b"a: 1\n" * 2_000_000)
    assert error.code == "MLO3002" and "larger than 1 MB" in error.message
    assert time.perf_counter() - start < 1


def test_an_alias_bomb_is_counted_before_it_explodes() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for number in range(1, 40):
        names = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"a{number}: &a{number} [{names}]")
    error = refused("\n".join(lines))
    assert error.code == "MLO3007" and "50,000" in error.message


def test_a_chain_of_aliases_goes_no_deeper_than_brackets() -> None:
    lines = ["a0: &a0 [x]", *(f"a{number}: &a{number} [*a{number - 1}]" for number in range(1, 300))]
    error = refused("\n".join(lines))
    assert error.code == "MLO3007" and "64 deep" in error.message


def test_aliases_of_honest_size_are_values() -> None:
    assert read("x-a: &a {b: 1}\nc: *a\n") == {"x-a": {"b": 1}, "c": {"b": 1}}


def test_all_findings_of_a_document_come_together() -> None:
    error = refused("a: 1\na: 2\nb: .nan\n1: x\n")
    assert [item.code for item in (error, *error.others)] == ["MLO3011", "MLO3010", "MLO3012"]
    assert error.line == "a: 2"
