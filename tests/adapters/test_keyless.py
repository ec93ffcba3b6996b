"""Signatures by identities, made with the local Sigstore, and what strangers may do to them."""

from __future__ import annotations

import copy
import json
import os
import socket
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters import keyless
from mlopsctl.adapters.keyless import verify_identity, witnessed_at
from mlopsctl.adapters.keyless_signer import IdentitySigner, identity_signer
from mlopsctl.adapters.signatures import verify_signature
from mlopsctl.adapters.sigstore_trust import trust_source
from mlopsctl.audit.dsse import pae
from mlopsctl.audit.statement import statement
from mlopsctl.canonical import canonical
from mlopsctl.errors import EvidenceError
from mlopsctl.verifiers import strength
from tests.sigstore.local import ADA, RECORDED, LocalSigstore

FIELDS = {"log": "0" * 32, "seq": 1, "parents": [], "at": "2026-01-01T00:00:00Z", "signer": "ada", "trust": "",
          "kind": "halt"}  # fmt: skip
MESSAGE = pae(statement(FIELDS, "a" * 40))
NOW = "%Y-%m-%dT%H:%M:%SZ"


@pytest.fixture(params=["v1", "v2"])
def rekor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def use(sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., IdentitySigner]:
    """A signer of its own, against the given Rekor, with a token of the given claims."""

    def choose(rekor: str = "v2", wanted: str = "", **claims: Any) -> IdentitySigner:
        monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(sigstore.trust(rekor)))
        monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token(**claims)))
        return IdentitySigner(wanted, trust_source())

    return choose


def proof(sealed: tuple[bytes, dict[str, Any]]) -> bytes:
    """As ``audit.entry.proofs`` composes it."""
    signature, material = sealed
    return canonical({"bundle": material["sigstore"], "sig": b64encode(signature).decode()})


def changed(sealed: tuple[bytes, dict[str, Any]], change: Callable[[Any], None]) -> bytes:
    """The proof after somebody laid hands on its bundle."""
    material = copy.deepcopy(sealed[1])
    change(material["sigstore"])
    return proof((sealed[0], material))


def test_what_an_identity_signs_verifies_and_says_who_and_when(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, rekor: str
) -> None:
    signer = use(rekor)
    before = datetime.now(UTC).replace(microsecond=0)
    sealed = signer.seal(MESSAGE)
    assert signer.key == sigstore.key(ADA) and signer.name == ADA
    assert verify_signature(signer.key, MESSAGE, proof(sealed))
    at = datetime.strptime(witnessed_at(signer.key, MESSAGE, proof(sealed)), NOW).replace(tzinfo=UTC)
    assert before <= at <= datetime.now(UTC) + timedelta(seconds=1)
    assert strength(signer.key) == "identity + transparency log"


def test_the_material_holds_no_second_copy_of_the_payload(use: Callable[..., IdentitySigner], rekor: str) -> None:
    _, material = use(rekor).seal(MESSAGE)
    assert material["sigstore"].keys() == {"mediaType", "verificationMaterial"}
    assert len(canonical(material)) < 8192


def test_one_certificate_serves_a_process_and_the_issuer_is_not_asked(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    before = sigstore.counts()
    signer = use()
    for number in range(3):
        message = pae(statement({**FIELDS, "seq": number}, "a" * 40))
        assert verify_identity(signer.key, message, proof(signer.seal(message)))
    after = sigstore.counts()
    assert after["certificates"] - before["certificates"] == 1
    assert after["entries"] - before["entries"] == 3
    assert after["discoveries"] == before["discoveries"]


def test_a_certificate_is_renewed_before_it_expires(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    signer = use()
    signer.seal(MESSAGE)
    before = sigstore.counts()["certificates"]
    signer._until = datetime.now(UTC) + timedelta(seconds=10)
    assert verify_identity(signer.key, MESSAGE, proof(signer.seal(MESSAGE)))
    assert sigstore.counts()["certificates"] == before + 1


def test_a_renewed_certificate_for_somebody_else_is_refused(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    signer = use()
    signer.seal(MESSAGE)
    signer._until = datetime.now(UTC)
    sigstore.token(sub="https://people.example/eve")
    with pytest.raises(EvidenceError) as caught:
        signer.seal(MESSAGE)
    assert caught.value.code == "MLO7152"


def test_a_named_identity_is_the_only_one_that_signs(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    assert use(wanted=sigstore.key(ADA)).key == sigstore.key(ADA)
    with pytest.raises(EvidenceError) as caught:
        _ = use(wanted=sigstore.key("https://people.example/bob")).key
    assert caught.value.code == "MLO7152"
    assert ADA in caught.value.message


def test_one_signer_serves_the_whole_process(use: Callable[..., IdentitySigner]) -> None:
    use()
    assert identity_signer("sigstore") is identity_signer("sigstore")
    with pytest.raises(EvidenceError) as caught:
        identity_signer("sigstore:nowhere")
    assert caught.value.code == "MLO7152"


@pytest.mark.parametrize(
    ("name", "issuer"),
    [("https://people.example/eve", ""), (ADA, "https://issuer.example"), ("", ""), (ADA.upper(), "")],
    ids=["another identity", "another issuer", "nobody", "another spelling"],
)
def test_it_proves_nothing_of_anybody_else(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, rekor: str, name: str, issuer: str
) -> None:
    sealed = use(rekor).seal(MESSAGE)
    assert not verify_identity(sigstore.key(name, issuer), MESSAGE, proof(sealed))


def test_it_proves_nothing_of_another_message(use: Callable[..., IdentitySigner], rekor: str) -> None:
    signer = use(rekor)
    sealed, other = signer.seal(MESSAGE), pae(statement({**FIELDS, "kind": "resume"}, "a" * 40))
    assert not verify_identity(signer.key, other, proof(sealed))
    assert not verify_identity(signer.key, b"x" + MESSAGE, proof(sealed))
    assert not verify_identity(signer.key, MESSAGE.removeprefix(b"DSSEv1 "), proof(sealed))
    swapped = signer.seal(other)
    assert not verify_identity(signer.key, MESSAGE, proof((sealed[0], swapped[1])))
    assert not verify_identity(signer.key, MESSAGE, proof((swapped[0], sealed[1])))


def _entry(bundle: Any) -> Any:
    return bundle["verificationMaterial"]["tlogEntries"][0]


TAMPERED: dict[str, Callable[[Any], Any]] = {
    "the outer log index": lambda bundle: _entry(bundle).update(logIndex="7"),
    "the log entry is stripped": lambda bundle: bundle["verificationMaterial"].update(tlogEntries=[]),
    "the log entry stands twice": lambda bundle: bundle["verificationMaterial"]["tlogEntries"].append(_entry(bundle)),
    "the inclusion proof is stripped": lambda bundle: _entry(bundle).pop("inclusionProof"),
    "the root hash": lambda bundle: _entry(bundle)["inclusionProof"].update(rootHash=b64encode(bytes(32)).decode()),
    "the checkpoint": lambda bundle: _entry(bundle)["inclusionProof"]["checkpoint"].update(envelope="x\n1\n\n"),
    "the certificate": lambda bundle: bundle["verificationMaterial"].update(certificate={"rawBytes": "AAAA"}),
    "no certificate": lambda bundle: bundle["verificationMaterial"].pop("certificate"),
    "an envelope of its own": lambda bundle: bundle.update(dsseEnvelope={"payload": ""}),
    "a message signature": lambda bundle: bundle.update(messageSignature={"signature": "AAAA"}),
    "another version": lambda bundle: bundle.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2"),
    "no material": lambda bundle: bundle.clear(),
    "a huge time": lambda bundle: _entry(bundle).update(integratedTime="9" * 18, inclusionPromise={
        "signedEntryTimestamp": "AAAA"}),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_a_bundle_that_was_tampered_with_proves_nothing(
    use: Callable[..., IdentitySigner], rekor: str, what: str
) -> None:
    signer = use(rekor)
    assert not verify_identity(signer.key, MESSAGE, changed(signer.seal(MESSAGE), TAMPERED[what]))


@pytest.mark.parametrize(
    ("rekor_of", "strip"),
    [
        ("v1", lambda bundle: _entry(bundle).pop("inclusionPromise")),
        ("v1", lambda bundle: _entry(bundle).update(integratedTime="1")),
        ("v2", lambda bundle: bundle["verificationMaterial"].pop("timestampVerificationData")),
        ("v2", lambda bundle: _entry(bundle).update(integratedTime="1")),
    ],
    ids=["v1 promise", "v1 time", "v2 timestamps", "v2 time of its own"],
)
def test_without_a_witnessed_time_or_with_an_invented_one_nothing_is_proved_of_it(
    use: Callable[..., IdentitySigner], rekor_of: str, strip: Callable[[Any], Any]
) -> None:
    signer = use(rekor_of)
    sealed = signer.seal(MESSAGE)
    at = witnessed_at(signer.key, MESSAGE, changed(sealed, strip))
    # A time that nobody signed changes nothing: Rekor v2's bundle is dated by the time-stamping authority alone.
    assert at in ("", witnessed_at(signer.key, MESSAGE, proof(sealed)))
    assert not at.startswith("1970")


@pytest.mark.parametrize("junk", [b"", b"{}", b"[]", b"\x30\x45", b'{"bundle":{},"sig":1}', b"[" * 100_000])
def test_junk_is_no_proof(use: Callable[..., IdentitySigner], sigstore: LocalSigstore, junk: bytes) -> None:
    use()
    assert not verify_identity(sigstore.key(), MESSAGE, junk)


def test_an_entry_logged_when_the_certificate_had_expired_is_refused(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore
) -> None:
    """The key of a certificate that expired is worth nothing, however it was got; the log's clock says when it was used."""
    with pytest.raises(EvidenceError) as caught:
        use("late").seal(MESSAGE)
    assert caught.value.code == "MLO7155"
    signer = use("late")
    statement = keyless.payload_of(MESSAGE)
    from mlopsctl.adapters.keyless_signer import _exactly

    bundle = json.loads(signer._certified().sign_dsse(_exactly(statement)).to_json())
    signature = b64decode(bundle.pop("dsseEnvelope")["signatures"][0]["sig"])
    assert not verify_identity(sigstore.key(), MESSAGE, proof((signature, {"sigstore": bundle})))


def test_another_sigstore_proves_nothing_here(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can run one, and certify whom he likes."""
    with LocalSigstore(tmp_path) as strange:
        monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(strange.trust()))
        monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(strange.token(iss=sigstore.url)))
        signer = IdentitySigner("", trust_source())
        sealed = signer.seal(MESSAGE)
        assert signer.key == sigstore.key() and verify_identity(signer.key, MESSAGE, proof(sealed))
    use()
    assert not verify_identity(sigstore.key(), MESSAGE, proof(sealed))
    monkeypatch.delenv("MLOPS_SIGSTORE_TRUST")
    assert not verify_identity(sigstore.key(), MESSAGE, proof(sealed)), "the public Sigstore does not know it either"


def test_verifying_opens_no_connection(use: Callable[..., IdentitySigner], monkeypatch: pytest.MonkeyPatch) -> None:
    signer = use()
    key, sealed = signer.key, signer.seal(MESSAGE)
    keyless.verifier.cache_clear()

    def refused(*_: object) -> None:
        raise AssertionError("verification wants the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    assert verify_identity(key, MESSAGE, proof(sealed))
    monkeypatch.delenv("MLOPS_SIGSTORE_TRUST")
    assert not verify_identity(key, MESSAGE, proof(sealed))


# --- The trust config --------------------------------------------------------------------------------------------


def test_the_trust_config_lies_in_the_users_own_folder(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = use()
    sealed = signer.seal(MESSAGE)
    monkeypatch.delenv("MLOPS_SIGSTORE_TRUST")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert not verify_identity(sigstore.key(), MESSAGE, proof(sealed))
    (tmp_path / "mlops").mkdir()
    (tmp_path / "mlops" / "sigstore.json").write_bytes(sigstore.trust().read_bytes())
    assert verify_identity(sigstore.key(), MESSAGE, proof(sealed))


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"], ids=["missing", "empty", "no config", "no text"])
def test_a_trust_config_that_cannot_be_read_is_an_error_and_no_verdict(
    sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    path = tmp_path / "trust.json"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", str(path))
    with pytest.raises(EvidenceError) as caught:
        verify_identity(sigstore.key(), MESSAGE, b"{}")
    assert caught.value.code == "MLO7153"


def test_a_repository_cannot_name_the_trust_config(
    sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trust.json").write_bytes(sigstore.trust().read_bytes())
    monkeypatch.setenv("MLOPS_SIGSTORE_TRUST", "trust.json")
    with pytest.raises(EvidenceError) as caught:
        verify_identity(sigstore.key(), MESSAGE, b"{}")
    assert caught.value.code == "MLO7153"


# --- When Sigstore does not answer -------------------------------------------------------------------------------


def test_a_short_failure_is_waited_for(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    signer = use()
    sigstore.fail(2)
    assert verify_identity(signer.key, MESSAGE, proof(signer.seal(MESSAGE)))
    sigstore.fail(2)
    assert verify_identity(signer.key, MESSAGE, proof(signer.seal(MESSAGE)))


def test_a_failure_that_lasts_is_a_clear_error(
    use: Callable[..., IdentitySigner], sigstore: LocalSigstore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    signer = use()
    _ = signer.key
    sigstore.fail(3)
    with pytest.raises(EvidenceError, match="Sigstore could not sign") as caught:
        signer.seal(MESSAGE)
    assert caught.value.code == "MLO7154"
    assert verify_identity(signer.key, MESSAGE, proof(signer.seal(MESSAGE))), "and the next one goes"


def test_a_service_that_is_gone(sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    path = tmp_path / "trust.json"
    path.write_text(sigstore.trust().read_text().replace(sigstore.url, f"http://127.0.0.1:{port}"))
    monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token()))
    with pytest.raises(EvidenceError, match="give a certificate") as caught:
        _ = IdentitySigner("", trust_source(path)).key
    assert caught.value.code == "MLO7154"


def test_a_service_that_never_answers_is_not_waited_for_without_end(
    sigstore: LocalSigstore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("mlopsctl.adapters.keyless_signer.TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        path = tmp_path / "trust.json"
        port = mute.getsockname()[1]
        path.write_text(sigstore.trust().read_text().replace(sigstore.url, f"http://127.0.0.1:{port}"))
        monkeypatch.setenv("MLOPS_ID_TOKEN_FILE", str(sigstore.token()))
        with pytest.raises(EvidenceError) as caught:
            _ = IdentitySigner("", trust_source(path)).key
    assert caught.value.code == "MLO7154"


# --- The real one, as recorded -----------------------------------------------------------------------------------


IDENTITIES = {
    "github": ("https://token.actions.githubusercontent.com",
               "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"),
    "gitlab": ("https://gitlab.com",
               "https://gitlab.com/facutuesca/gitlab-oidc-project//.gitlab-ci.yml@refs/heads/main"),
    "circleci": ("https://oidc.circleci.com",
                 ("https://circleci.com/api/v2/projects/fdd9283f-e619-46af-8f9c-851f7d3e8b2b/pipeline-definitions/"
                 "8e4f8ab2-8d7c-4827-9f15-de076d6d647f")),
    "google": ("https://accounts.google.com", "919436158236-compute@developer.gserviceaccount.com"),
}  # fmt: skip


def recorded(name: str) -> tuple[bytes, bytes, dict[str, Any]]:
    """Message, proof and bundle of a record, in our form."""
    bundle = json.loads((RECORDED / f"{name}.json").read_bytes())
    envelope = bundle.pop("dsseEnvelope")
    found = canonical({"bundle": bundle, "sig": envelope["signatures"][0]["sig"]})
    return pae(b64decode(envelope["payload"])), found, bundle


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_recorded_bundle_of_the_public_sigstore_verifies(name: str) -> None:
    assert "MLOPS_SIGSTORE_TRUST" not in os.environ
    issuer, identity = IDENTITIES[name]
    message, found, bundle = recorded(name)
    key = f"sigstore:{issuer}#{identity}"
    at = int(_entry(bundle)["integratedTime"])
    assert witnessed_at(key, message, found) == datetime.fromtimestamp(at, UTC).strftime(NOW)
    assert _entry(bundle)["logIndex"] != _entry(bundle)["inclusionProof"]["logIndex"], "Rekor v1 counts two ways"


@pytest.mark.parametrize("name", IDENTITIES)
def test_a_recorded_bundle_holds_for_its_identity_and_payload_only(name: str) -> None:
    issuer, identity = IDENTITIES[name]
    message, found, _ = recorded(name)
    key = f"sigstore:{issuer}#{identity}"
    assert not verify_identity(key + "x", message, found)
    assert not verify_identity(f"sigstore:https://issuer.example#{identity}", message, found)
    assert not verify_identity(key, pae(b"{}"), found)
    other = next(one for one in IDENTITIES if one != name)
    assert not verify_identity(key, recorded(other)[0], recorded(other)[1])


@pytest.mark.parametrize("what", TAMPERED)
def test_a_recorded_bundle_that_was_tampered_with_proves_nothing(what: str) -> None:
    issuer, identity = IDENTITIES["gitlab"]
    message, found, bundle = recorded("gitlab")
    TAMPERED[what](bundle)
    tampered = canonical({"bundle": bundle, "sig": json.loads(found)["sig"]})
    assert not verify_identity(f"sigstore:{issuer}#{identity}", message, tampered)
