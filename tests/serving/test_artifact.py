"""What a server checks of an artifact before it loads it, by whatever key it was attested."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing._signing.sign_sigstore_pb import pae_compat

from mlopsctl.adapters.model_signature import sign_folder
from mlopsctl.serving.artifact import ArtifactRefused, folder_digest, listing
from mlopsctl.serving.server import load_release, release_folder
from mlopsctl.verifiers import pem
from tests.ssh import keygen, signer_of

from .conftest import Deployed, Keys, artifact


def test_an_artifact_that_an_openssh_key_attested_is_served(deployed: Deployed, tmp_path: Path) -> None:
    key = keygen(tmp_path / "id")
    digest = deployed.release(artifact(tmp_path / "a"))
    home = release_folder(deployed.state, digest)
    sign_folder(home / "artifact", signer_of("ada", tmp_path / "id", key), home / "artifact.sig")
    (home / "key.pub").write_text(pem(key))
    deployed.use(digest)
    deployed.start()
    assert deployed.ask([[1, 2]]).headers["x-artifact-digest"] == digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda home, ada, eve: (home / "key.pub").write_text(eve.key), "not by this key"),
        (lambda home, ada, eve: sign_folder(home / "artifact", eve, home / "artifact.sig"), "not by this key"),
        (
            lambda home, ada, eve: sign_folder(home / "artifact" / "model.onnx", ada, home / "artifact.sig"),
            "missing: .",
        ),
        (lambda home, ada, eve: (home / "artifact.sig").write_text("{}"), "no model signature"),
        (lambda home, ada, eve: (home / "artifact.sig").unlink(), "artifact.sig is missing"),
        (lambda home, ada, eve: (home / "key.pub").write_text("nobody"), "neither PEM"),
        (lambda home, ada, eve: (home / "artifact" / ".gitignore").write_text("*"), "digest"),
    ],
)
def test_nothing_is_loaded_whose_signature_does_not_hold(tmp_path: Path, change: Any, words: str) -> None:
    signers = [signer_of(name, tmp_path / name, keygen(tmp_path / name)) for name in ("ada", "eve")]
    digest = folder_digest(listing(artifact(tmp_path / "a")))
    home = release_folder(tmp_path / "state", digest)
    shutil.copytree(tmp_path / "a", home / "artifact")
    sign_folder(home / "artifact", signers[0], home / "artifact.sig")
    (home / "key.pub").write_text(pem(signers[0].key))
    assert load_release(tmp_path / "state", digest).digest == digest
    change(home, *signers)
    with pytest.raises(ArtifactRefused, match=words):
        load_release(tmp_path / "state", digest)


def test_the_encoding_before_openssf_1_0_is_refused(tmp_path: Path, keys: Keys) -> None:
    """The library would take it; the server checks as the command line does."""
    digest = folder_digest(listing(artifact(tmp_path / "a")))
    home = release_folder(tmp_path / "state", digest)
    shutil.copytree(tmp_path / "a", home / "artifact")
    shutil.copy(keys.public, home / "key.pub")
    keys.sign(home / "artifact", home / "artifact.sig")
    bundle = json.loads((home / "artifact.sig").read_bytes())
    private = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    old = private.sign(pae_compat(b64decode(bundle["dsseEnvelope"]["payload"])), ec.ECDSA(hashes.SHA256()))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = b64encode(old).decode()
    (home / "artifact.sig").write_text(json.dumps(bundle))
    with pytest.raises(ArtifactRefused, match="not by this key"):
        load_release(tmp_path / "state", digest)
