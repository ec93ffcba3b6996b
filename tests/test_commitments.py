"""Commitments: equal under one key, worthless without it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.commitments import commitment, holds, key_of

KEYS = st.binary(min_size=32, max_size=32)
VALUES = st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9), st.lists, max_leaves=9)


@given(KEYS, KEYS, VALUES, VALUES)
def test_a_commitment_is_to_one_value_under_one_key(key: bytes, other: bytes, value: object, another: object) -> None:
    made = commitment(key, value)
    assert made == commitment(key, value) and holds(made, key, value)
    # JSON tells true from 1, Python's == does not.
    assert holds(made, key, another) == (repr(another) == repr(value))
    assert (commitment(other, value) == made) == (other == key)


def test_it_is_hmac_sha256_of_canonical_json() -> None:
    # openssl dgst -sha256 -hmac key <<< of the same bytes
    made = commitment(b"key", {"b": 1, "a": "ü"})
    import hmac

    assert made == "hmac-sha256:" + hmac.new(b"key", '{"a":"ü","b":1}'.encode(), "sha256").hexdigest()


def test_a_key_is_made_of_rows_and_told_by_no_digest_of_them(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_bytes(b"x,y\n1,2\n" * 300_000)
    key = key_of(rows, b"one purpose")
    assert len(key) == 32 and key == key_of(rows, b"one purpose")
    assert key != key_of(rows, b"another")
    assert key not in (
        hashlib.sha256(rows.read_bytes()).digest(),
        hashlib.blake2b(rows.read_bytes(), digest_size=32).digest(),
    )
    rows.write_bytes(b"x,y\n1,2\n" * 299_999)
    assert key != key_of(rows, b"one purpose")
