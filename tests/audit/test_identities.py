"""Entries by an identity, from signing in a CI job to a fresh clone that verifies them offline; and forged ones."""

from __future__ import annotations

import json
import os
import socket
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.keyless_signer import IdentitySigner, _exactly
from mlopsctl.adapters.sigstore_trust import trust_source
from mlopsctl.audit.anchors import add_tokens
from mlopsctl.audit.changes import countersign, propose, put
from mlopsctl.audit.checkpoints import write_checkpoint
from mlopsctl.audit.dsse import encode, pae
from mlopsctl.audit.entry import read_line
from mlopsctl.audit.statement import MEMBER, statement
from mlopsctl.audit.trail import now
from mlopsctl.cli.anchors import witnesses
from mlopsctl.errors import EvidenceError
from mlopsctl.types import Entry
from tests.sigstore.local import ADA, LocalSigstore

from .clone import Clone, line_id, payload_of, result, run

CI = "https://github.com/example/digits/.github/workflows/train.yml@refs/heads/main"
GITHUB = "https://token.actions.githubusercontent.com"
CLAIMS = {"iss": GITHUB, "sub": "repo:example/digits:ref:refs/heads/main", "job_workflow_ref": CI[19:]}


@pytest.fixture(autouse=True)
def _trusted(sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(sigstore.trust()))
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.folder / "token"))


@pytest.fixture
def job(sigstore: LocalSigstore) -> Callable[..., IdentitySigner]:
    """A signer with a token of its own; without claims that of the workflow which the policy lists as ``ci``."""

    def start(rekor: str = "v2", **claims: Any) -> IdentitySigner:
        sigstore.token(**(claims or CLAIMS))
        signer = IdentitySigner("", trust_source(sigstore.trust(rekor)))
        _ = signer.key  # fetched now: the next token is somebody else's
        return signer

    return start


def admit(clone: Clone, **rule: Any) -> None:
    """The owner of the root key lets an identity in, by an entry of the trail."""
    policy = clone.trail.ledger.policy_in_force() or pytest.fail("there is no policy")
    signers = {**policy.content["signers"], "ci": {"identity": CI, "issuer": GITHUB, "roles": ["train"], **rule}}
    trail = clone.trail
    proposal = propose(trail, {**policy.content, "signers": signers}, clone.signer, "", clone.commit())
    put(trail, countersign(trail, proposal, clone.signer))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone.start(tmp_path / "repo")
    clone.train("first")
    admit(clone)
    return clone


def trained(clone: Clone, signer: Any, name: str = "model") -> Entry:
    """A result of training that the signer attests, in the notes."""
    trail = clone.trail
    trail.signer = lambda: signer
    entry = trail.append("result", **{**result(name), "commit": clone.commit()})
    trail.flush()
    return entry


def sealed(payload: bytes, signer: Any, hint: str = "") -> bytes:
    """The line of a payload by somebody, under a key id of their choice."""
    signature, material = signer.seal(pae(payload))
    return encode(payload, [(hint or signer.key_id, signature)], material)


def next_payload(clone: Clone, after: Entry, **changes: Any) -> bytes:
    """What an entry that follows ``after`` says, well-formed in every way."""
    fields = payload_of(clone.line(after.id))["predicate"][MEMBER]
    return statement({**fields, "parents": [after.id], "seq": after.seq + 1, **changes}, after.commit)


def slip_in(clone: Clone, commit: str, *lines: bytes) -> None:
    clone.tamper(lambda notes: notes[commit].extend(lines))


def rewrite(line: bytes, change: Callable[[Any], Any]) -> bytes:
    outer = json.loads(line)
    change(outer)
    return json.dumps(outer, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@pytest.mark.parametrize("rekor", ["v1", "v2"])
def test_an_entry_by_an_identity_counts_in_a_fresh_clone_without_a_network(
    clone: Clone, job: Callable[..., IdentitySigner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rekor: str
) -> None:
    entry = trained(clone, job(rekor))
    assert entry.signer == "ci" and entry.trusted

    fresh = clone.again(tmp_path / "fresh")
    run(fresh.folder, "fetch", "-q", "origin", "refs/notes/mlops:refs/notes/mlops")

    def refused(*_: object) -> None:
        raise AssertionError("verification wants the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    verdict = fresh.verdict(full=True)
    assert verdict.ok and verdict.entries == 4, verdict.findings
    found = fresh.trail.result(entry.made_from)
    assert found is not None and found.id == entry.id and found.trusted


def test_its_line_carries_the_payload_once_and_the_proof_beside_it(
    clone: Clone, job: Callable[..., IdentitySigner]
) -> None:
    outer = json.loads(clone.line(trained(clone, job()).id))
    assert outer.keys() == {"v", "dsse", "material"} and outer["material"].keys() == {"sigstore"}
    assert "dsseEnvelope" not in outer["material"]["sigstore"]


def test_whoever_does_not_trust_this_sigstore_does_not_believe_the_entry(
    clone: Clone, job: Callable[..., IdentitySigner], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = trained(clone, job())
    assert clone.verdict().ok
    trust = os.environ["MLOPS_SIGSTORE_TRUST"]
    monkeypatch.delenv("MLOPS_SIGSTORE_TRUST")
    assert ("MLO7011", entry.id) in clone.codes(), "what was verified under another trust root is verified anew"
    assert clone.trail.result(entry.made_from) is None
    assert any("MLOPS_SIGSTORE_TRUST" in one.message for one in clone.verdict().findings)
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", trust)
    assert clone.verdict().ok
    assert clone.trail.result(entry.made_from), "and what was refused is not refused for ever"


@pytest.mark.parametrize(
    "claims",
    [
        {**CLAIMS, "job_workflow_ref": CI[19:].replace("refs/heads/main", "refs/heads/other")},
        {**CLAIMS, "iss": "https://issuer.example"},
        {"sub": ADA},
    ],
    ids=["another branch", "another issuer", "a person"],
)
def test_another_identity_under_the_name_of_ci_is_found(
    clone: Clone, job: Callable[..., IdentitySigner], claims: dict[str, Any]
) -> None:
    entry, stranger = trained(clone, job()), job(**claims)
    ci = read_line(clone.line(entry.id)).signatures[0][0]
    honest = sealed(next_payload(clone, entry, status="better"), stranger)
    disguised = sealed(next_payload(clone, entry, status="best"), stranger, hint=ci)
    slip_in(clone, entry.commit, honest, disguised)
    assert clone.codes() == {("MLO7012", line_id(honest)), ("MLO7011", line_id(disguised))}
    words = [one.message for one in clone.verdict().findings if one.code == "MLO7011"]
    assert any("ci" in text for text in words)


def test_a_key_under_the_name_of_an_identity_is_found(clone: Clone, job: Callable[..., IdentitySigner]) -> None:
    entry = trained(clone, job())
    ci = read_line(clone.line(entry.id)).signatures[0][0]
    line = sealed(next_payload(clone, entry, status="better"), clone.signer, hint=ci)
    slip_in(clone, entry.commit, line)
    assert clone.codes() == {("MLO7011", line_id(line))}


def test_a_bundle_moved_to_another_payload_is_found(clone: Clone, job: Callable[..., IdentitySigner]) -> None:
    entry = trained(clone, job())
    outer = json.loads(clone.line(entry.id))
    payload = next_payload(clone, entry, status="better")
    signature = read_line(clone.line(entry.id)).signatures[0]
    moved = encode(payload, [signature], outer["material"])
    slip_in(clone, entry.commit, moved)
    assert clone.codes() == {("MLO7011", line_id(moved))}


def test_material_swapped_between_two_lines_is_found_on_both(clone: Clone, job: Callable[..., IdentitySigner]) -> None:
    signer = job()
    one, two = trained(clone, signer, "one"), trained(clone, signer, "two")
    first, second = json.loads(clone.line(one.id)), json.loads(clone.line(two.id))
    for entry, other in ((one, second), (two, first)):
        swapped = {**json.loads(clone.line(entry.id)), "material": other["material"]}
        clone.replace(entry.id, json.dumps(swapped, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode())
    found = clone.codes()
    assert ("MLO7011", one.id) in found
    assert ("MLO7024", two.id) in found, "it builds on the first"
    clone.replace(one.id, json.dumps(first, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode())
    assert ("MLO7011", two.id) in clone.codes(full=True)


def _log(outer: Any) -> Any:
    return outer["material"]["sigstore"]["verificationMaterial"]["tlogEntries"]


@pytest.mark.parametrize("rekor", ["v1", "v2"])
@pytest.mark.parametrize(
    "change",
    [
        lambda outer: _log(outer)[0].update(logIndex="9"),
        lambda outer: _log(outer).clear(),
        lambda outer: _log(outer)[0].pop("inclusionProof"),
        lambda outer: outer["material"]["sigstore"].pop("verificationMaterial"),
        lambda outer: outer.pop("material"),
    ],
    ids=["log index", "log entry", "inclusion proof", "verification material", "all of it"],
)
def test_material_that_was_tampered_with_is_found(
    clone: Clone, job: Callable[..., IdentitySigner], rekor: str, change: Callable[[Any], Any]
) -> None:
    entry = trained(clone, job(rekor))
    assert clone.replace(entry.id, rewrite(clone.line(entry.id), change)) == entry.id
    assert ("MLO7011", entry.id) in clone.codes(full=True)
    assert clone.trail.result(entry.made_from) is None


def test_an_entry_logged_outside_of_its_certificates_time_is_found(
    clone: Clone, job: Callable[..., IdentitySigner]
) -> None:
    """Who steals the key of a certificate that expired signs with it in vain: the log dates it."""
    entry, thief = trained(clone, job()), job("late", **CLAIMS)
    payload = next_payload(clone, entry, status="better")
    bundle = json.loads(thief._certified().sign_dsse(_exactly(payload)).to_json())
    envelope = bundle.pop("dsseEnvelope")
    ci = read_line(clone.line(entry.id)).signatures[0][0]
    line = encode(payload, [(ci, b64decode(envelope["signatures"][0]["sig"]))], {"sigstore": bundle})
    slip_in(clone, entry.commit, line)
    assert clone.codes() == {("MLO7011", line_id(line))}


def test_an_identity_outside_of_its_role_is_found(clone: Clone, job: Callable[..., IdentitySigner]) -> None:
    signer = job()
    entry = trained(clone, signer)
    line = sealed(
        next_payload(clone, entry, kind="resume", address="", outputs={}, ingredients={}, made_from=""), signer
    )
    slip_in(clone, entry.commit, line)
    assert clone.codes() == {("MLO7013", line_id(line))}


def test_material_added_to_an_entry_by_a_key_takes_nothing_from_the_line_that_was(
    clone: Clone, job: Callable[..., IdentitySigner]
) -> None:
    entry, by_key = trained(clone, job()), clone.train("keyed")
    material = json.loads(clone.line(entry.id))["material"]
    bad = rewrite(clone.line(by_key.id), lambda outer: outer.update(material=material))
    clone.tamper(lambda notes: notes[by_key.commit].append(bad))
    assert clone.verdict(full=True).ok, "an entry is valid if any line that carries it verifies"


# --- Signing -----------------------------------------------------------------------------------------------------


def test_where_sigstore_does_not_answer_nothing_is_written(
    clone: Clone, job: Callable[..., IdentitySigner], sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    signer = job()
    trail = clone.trail
    trail.signer = lambda: signer
    before, tip = trail.tips(), run(clone.folder, "rev-parse", "refs/notes/mlops")
    sigstore.fail(3)
    with pytest.raises(EvidenceError) as caught:
        trail.append("result", **result("model"), commit=clone.commit())
    assert caught.value.code == "MLO7154"
    assert trail.ledger.journal.stamp() == (0, 0)
    trail.flush()
    assert (clone.trail.tips(), run(clone.folder, "rev-parse", "refs/notes/mlops")) == (before, tip)
    assert trained(clone, signer).trusted, "the lock was given back, and the next one goes"
    assert clone.verdict(full=True).ok


def test_an_identity_that_the_policy_does_not_list_logs_nothing_anywhere(
    clone: Clone, job: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    """A key without the role keeps its result on this machine; an identity's would stand in a public log for ever."""
    stranger = job(sub=ADA)
    before = sigstore.counts()["entries"]
    with pytest.raises(EvidenceError, match="is not in the trust policy") as caught:
        trained(clone, stranger)
    assert caught.value.code == "MLO7105" and "identity" in caught.value.message
    assert sigstore.counts()["entries"] == before
    assert clone.verdict().ok


@pytest.mark.parametrize("rekor", ["v1", "v2"])
def test_a_checkpoint_by_an_identity_has_the_time_that_others_witnessed(
    tmp_path: Path, job: Callable[..., IdentitySigner], rekor: str
) -> None:
    clone = Clone.start(tmp_path / "repo")
    old = clone.train("first")
    admit(clone, roles=["govern"])
    trail = clone.trail
    signer = job(rekor)
    trail.signer = lambda: signer
    checkpoint = write_checkpoint(trail, "nightly")
    trail.flush()
    later = clone.train("later")
    found = witnesses(clone.trail).assurance(old)
    assert (found.strength, found.by, found.through) == ("self-held key", "Sigstore", checkpoint.id)
    assert old.at <= found.not_after <= now()
    assert witnesses(clone.trail).assurance(checkpoint).signature == "identity + transparency log"
    assert witnesses(clone.trail).assurance(later).not_after == ""
    add_tokens(clone.trail, checkpoint.id, [b"a token"])
    assert clone.verdict(full=True).ok
    assert witnesses(clone.trail).assurance(old) == found, "the line with a time stamp carries the bundle too"
