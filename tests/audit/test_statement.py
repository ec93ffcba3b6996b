"""What other tools read: in-toto statements, SLSA provenance, test results."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.audit.dsse import BadLine, decode, encode, entry_id, pae, strict_json
from mlopsctl.audit.entry import entry_fields, read_line, to_entry
from mlopsctl.audit.statement import EMPTY_TREE, SLSA, TEST_RESULT, predicate_type, statement
from mlopsctl.canonical import canonical

COMMIT = "ab" * 20
DIGEST = "sha256:" + "1" * 64


def fields(kind: str, address: str, **more: Any) -> dict[str, Any]:
    return entry_fields(
        log="0" * 32, seq=2, parents=["f" * 64], at="2026-11-21T10:00:00Z", signer="owner", trust=DIGEST, kind=kind,
        address=address, made_from=DIGEST, outputs={"model": "dirhash:" + "2" * 64},
        ingredients={"provider": "train/local", "spec": {"run": "python train.py"}, "inputs": {"data": [DIGEST]},
                     "tree": "gitoid:" + "3" * 40}, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "address", "uri"),
    [
        ("result", "train.classifier", SLSA),
        ("result", "targets.cpu", SLSA),
        ("result", "gates.accuracy", TEST_RESULT),
        ("result", "data.digits", "urn:mlopsctl:attestation:data:v1"),
        ("result", "deployments.local", "urn:mlopsctl:attestation:deployment:v1"),
        ("failure", "train.classifier", "urn:mlopsctl:attestation:failure:v1"),
        ("halt", "deployments.local", "urn:mlopsctl:attestation:halt:v1"),
    ],
)
def test_each_kind_has_its_type(kind: str, address: str, uri: str) -> None:
    assert predicate_type(kind, address) == uri
    assert json.loads(statement(fields(kind, address), COMMIT))["predicateType"] == uri


def test_the_reference_library_accepts_the_statement_and_the_provenance() -> None:
    json_format: Any = import_module("google.protobuf.json_format")
    provenance_pb2: Any = import_module("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    reference: Any = import_module("in_toto_attestation.v1.statement").Statement
    message_type: Any = import_module("in_toto_attestation.v1.statement_pb2").Statement

    payload = statement(fields("result", "train.classifier"), COMMIT)
    message = json_format.Parse(payload, message_type())
    reference.copy_from_pb(message).validate()
    assert [dict(subject.digest) for subject in message.subject] == [{"gitCommit": COMMIT}, {"dirHash": "2" * 64}]
    predicate = json.loads(payload)["predicate"]
    provenance = json_format.ParseDict(predicate, provenance_pb2.Provenance(), ignore_unknown_fields=True)
    names = [item.name for item in provenance.build_definition.resolved_dependencies]
    assert names == ["data", "code"]
    assert provenance.run_details.builder.id == "urn:mlopsctl:builder:owner"


def test_a_gate_is_a_test_result() -> None:
    predicate = json.loads(statement(fields("result", "gates.accuracy", status="passed"), COMMIT))["predicate"]
    assert predicate["result"] == "PASSED" and predicate["passedTests"] == ["gates.accuracy"]
    failed = json.loads(statement(fields("result", "gates.accuracy", status="failed"), COMMIT))["predicate"]
    assert failed["result"] == "FAILED" and failed["failedTests"] == ["gates.accuracy"]


def test_before_the_first_commit_the_subject_is_the_empty_tree() -> None:
    record = read_line(encode(statement(fields("result", "data.x"), ""), [("0" * 64, b"sig")]))
    assert record.commit == EMPTY_TREE and to_entry(record.payload).commit == ""


def test_the_id_is_that_of_the_pae() -> None:
    assert pae(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"
    assert entry_id(b"hello") == decode(encode(b"hello", [("0" * 64, b"s")])).id


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_strict_json_reads_exactly_what_canonical_writes(value: Any) -> None:
    assert strict_json(canonical(value)) == value


@given(values, st.integers(0), st.sampled_from([b" ", b"\n", b"0", b"\\", b'"', b"1.5", b"\xff", b""]))
def test_strict_json_has_one_spelling(value: Any, at: int, put: bytes) -> None:
    body = canonical(value)
    at %= len(body) + 1
    other = body[:at] + put + body[at + 1 :]
    try:
        read = strict_json(other)
    except ValueError:
        return
    assert canonical(read) == other


@given(
    st.binary(max_size=200), st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=80)), min_size=1, max_size=3)
)
def test_a_line_is_read_as_it_was_written(payload: bytes, signatures: list[tuple[str, bytes]]) -> None:
    found = decode(encode(payload, signatures))
    assert (found.payload, found.signatures) == (payload, tuple(signatures))


@given(st.integers(0), st.integers(1, 255))
def test_any_changed_byte_of_a_line_changes_the_entry_or_is_refused(at: int, by: int) -> None:
    line = bytearray(encode(statement(fields("result", "train.m"), COMMIT), [("0" * 64, b"\x30signature")]))
    before = decode(bytes(line))
    at %= len(line)
    line[at] = (line[at] + by) % 256
    try:
        after = decode(bytes(line))
    except BadLine:
        return
    assert after != before
