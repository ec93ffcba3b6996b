"""What a server checks before it loads an artifact that an identity attested: the digest, and what was signed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from mlopsctl.crypto.model_signature import MEDIA_TYPE, PAYLOAD_TYPE, statement
from mlopsctl.serving.artifact import ArtifactRefused, folder_digest, listing, verify


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """As a deployment puts it down after it verified the identity: ``artifact/``, ``artifact.sig`` and ``key.pub``."""
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "model.onnx").write_bytes(b"weights")
    (tmp_path / "key.pub").write_text("sigstore:https://issuer.example#https://people.example/ada\n")
    sign(tmp_path, listing(tmp_path / "artifact"))
    return tmp_path


def sign(release: Path, files: dict[str, str]) -> None:
    payload = statement("artifact", files)
    envelope = {"payload": b64encode(payload).decode(), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": "AAAA"}]}
    material = {"certificate": {"rawBytes": "AAAA"}}
    bundle = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
    (release / "artifact.sig").write_text(json.dumps(bundle))


def check(release: Path, digest: str = "") -> None:
    verify(
        release / "artifact",
        release / "artifact.sig",
        release / "key.pub",
        digest or folder_digest(listing(release / "artifact")),
    )


def test_what_was_verified_is_served(release: Path) -> None:
    check(release)


def edit(release: Path) -> None:
    (release / "artifact" / "model.onnx").write_bytes(b"other weights")


def add(release: Path) -> None:
    (release / "artifact" / "extra").write_text("x")


@pytest.mark.parametrize("change", [edit, add])
def test_other_files_than_were_verified_are_refused(release: Path, change: Callable[[Path], None]) -> None:
    digest = folder_digest(listing(release / "artifact"))
    change(release)
    with pytest.raises(ArtifactRefused, match="digest"):
        check(release, digest)
    with pytest.raises(ArtifactRefused, match="not as it was signed"):
        check(release)


@pytest.mark.parametrize("name", ["artifact.sig", "key.pub"])
def test_what_is_missing_is_named(release: Path, name: str) -> None:
    (release / name).unlink()
    with pytest.raises(ArtifactRefused, match=f"{name} is missing"):
        check(release)


@pytest.mark.parametrize("junk", [b"", b"{}", b'{"dsseEnvelope": {"payload": 1}}'])
def test_a_signature_that_cannot_be_read_is_refused(release: Path, junk: bytes) -> None:
    (release / "artifact.sig").write_bytes(junk)
    with pytest.raises(ArtifactRefused, match="no model signature"):
        check(release)
