"""The form of a model signature: what is built is read again, and nothing else than our own error comes of garbage."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.crypto.model_signature import Unacceptable, check, pae, read, sign, statement
from mlopsctl.verifiers import public_key

PRIVATE = ec.generate_private_key(ec.SECP256R1())
KEY = public_key(
    PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
)
FILES = {"model.onnx": "11" * 32, "sub/labels.json": "22" * 32}


def by_key(message: bytes) -> bytes:
    return PRIVATE.sign(message, ec.ECDSA(hashes.SHA256()))


names = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=1, max_size=3)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
listings = st.dictionaries(names.map("/".join), digests, max_size=6)


@given(files=listings, name=st.text(st.characters(codec="utf-8")))
def test_what_is_signed_checks_and_every_other_listing_does_not(files: dict[str, str], name: str) -> None:
    made = sign(name, files, KEY, by_key)
    check(made, files, KEY)
    assert read(made).files == files
    for other in ({**files, "another": "33" * 32}, dict(list(files.items())[1:]) if files else {"x": "33" * 32}):
        with pytest.raises(Unacceptable):
            check(made, other, KEY)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(int("1" * 64)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@given(data=st.data(), new=anything)
def test_a_statement_changed_and_signed_anew_still_lists_exactly_the_files(data: st.DataObject, new: Any) -> None:
    whole = json.loads(statement("model", FILES))
    payload = json.dumps(changed(whole, data.draw(st.sampled_from(places(whole))), new)).encode()
    bundle = json.loads(sign("model", FILES, KEY, by_key))
    bundle["dsseEnvelope"]["payload"] = b64encode(payload).decode()
    body = json.dumps(bundle).encode()
    if json.loads(payload) != whole:
        with pytest.raises(Unacceptable):
            check(body, FILES, KEY)
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = b64encode(by_key(pae(payload))).decode()
    body = json.dumps(bundle).encode()
    with suppress(Unacceptable):
        check(body, FILES, KEY)
        assert read(body).files == FILES


@given(data=st.data(), new=anything)
def test_any_change_of_the_bundle_is_an_answer(data: st.DataObject, new: Any) -> None:
    whole = json.loads(sign("model", FILES, KEY, by_key))
    path = data.draw(st.sampled_from(places(whole)))
    with suppress(Unacceptable):
        check(json.dumps(changed(whole, path, new)).encode(), FILES, KEY)


@given(garbage=st.binary(max_size=200))
def test_garbage_is_no_signature(garbage: bytes) -> None:
    with pytest.raises(Unacceptable):
        read(garbage)
