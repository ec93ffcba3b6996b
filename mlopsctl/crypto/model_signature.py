"""OpenSSF model signatures: built so that any of its tools can check them, read so that nothing is waved through.

Source: https://github.com/sigstore/model-transparency (model_signing 1.1), a Sigstore bundle v0.3 around a DSSE envelope
around an in-toto statement that lists every file. By an OpenSSH key the signature bytes are an SSHSIG, a form of ours
that other tools do not know. Refused here, where the library is lenient: paths ignored by the signer, weaker hashes, links,
the forms before 1.0, several or no signatures, and files that are not listed.
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..verifiers import is_ssh, key_id, pem
from .keys import holds

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
ONE_FILE = "."
"""The name of the file where a single file is signed and not a folder."""

Files = Mapping[str, str]
"""Path below the folder -> sha256 in hex."""


class Unacceptable(ValueError):
    """A model signature that proves nothing here; ``code`` is the stable code of the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Signed(NamedTuple):
    """A well-formed signature, of which nothing is verified yet; ``material`` is the bundle's verificationMaterial."""

    payload: bytes
    signature: bytes
    material: Mapping[str, Any]
    files: Files
    ignored: tuple[str, ...]

    @property
    def message(self) -> bytes:
        """The bytes that are signed: DSSE's encoding of type and payload."""
        return pae(self.payload)


def pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding. Source: secure-systems-lab/dsse, protocol.md."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def statement(name: str, files: Files) -> bytes:
    """The payload for a model of this name: every file in the order of paths, and the digest over all of them."""
    listed = sorted(files, key=lambda path: path.split("/"))
    whole = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": _root([files[path] for path in listed])}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": _SERIALIZATION,
            "resources": [{"name": path, "algorithm": "sha256", "digest": files[path]} for path in listed],
        },
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()


def _root(digests: list[str]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def sign(name: str, files: Files, key: str, signing: Callable[[bytes], bytes]) -> bytes:
    """The bundle for these files; ``signing`` signs bytes by ``key``."""
    payload = statement(name, files)
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint(key)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": b64encode(signing(pae(payload))).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def hint(key: str) -> str:
    """What a bundle names its key by: OpenSSF's digest of the PEM text, or the id of an OpenSSH key."""
    return key_id(key) if is_ssh(key) else hashlib.sha256(pem(key).encode()).hexdigest()


def read(data: bytes) -> Signed:
    """Reads a bundle strictly; no signature is verified. Raises Unacceptable (MLO7111, MLO7113)."""
    try:
        bundle = json.loads(data)
        envelope, material = bundle["dsseEnvelope"], bundle["verificationMaterial"]
        (signature,) = envelope["signatures"]
        raw = b64decode(signature["sig"], validate=True)
        payload = b64decode(envelope["payload"], validate=True)
        found = json.loads(payload)
        (subject,) = found["subject"]
        types = bundle["mediaType"], envelope["payloadType"], found["_type"], found["predicateType"]
        serialization, resources = dict(found["predicate"]["serialization"]), found["predicate"]["resources"]
        files = {_text(item["name"]): _text(item["digest"]) for item in resources}
        root = subject["digest"]["sha256"]
        ignored = tuple(_text(path) for path in serialization.pop("ignore_paths", ()))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise Unacceptable("MLO7111", "this is no model signature, or one with several signatures or none") from None
    if types != (MEDIA_TYPE, PAYLOAD_TYPE, _STATEMENT, _PREDICATE) or not isinstance(material, dict):
        raise Unacceptable("MLO7111", "the signature has another form than OpenSSF model signing 1.0")
    weak = serialization != _SERIALIZATION or any(item.get("algorithm") != "sha256" for item in resources)
    if weak or not all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in files.values()):
        raise Unacceptable("MLO7113", f"the signature hashes files in another way: {serialization}")
    if len(files) != len(resources) or _root(list(files.values())) != root:
        raise Unacceptable(
            "MLO7111", "the signature contradicts itself: a file twice, or another digest over all files"
        )
    return Signed(payload, raw, material, files, ignored)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def check(data: bytes, files: Files, key: str) -> None:
    """The whole verification: the bundle is by this key, and lists exactly these files. Raises Unacceptable."""
    signed = read(data)
    check_key(signed, key)
    check_files(signed, files)


def check_key(signed: Signed, key: str) -> None:
    """Raises Unacceptable where the signature is not by this EC or OpenSSH key, over DSSE's encoding and no older one."""
    named = signed.material.get("publicKey")
    if not isinstance(named, dict) or not isinstance(named.get("hint"), str) or not named["hint"]:
        raise Unacceptable("MLO7111", "the signature names no key that it was made with")
    if named["hint"] != hint(key) or not holds(key, signed.message, signed.signature):
        raise Unacceptable("MLO7110", "the signature is not by this key, or was changed")


def check_files(signed: Signed, files: Files) -> None:
    """Raises Unacceptable where the signed list and the files that are there differ, or the signer left files out."""
    for left_out in signed.ignored:
        inside = sorted(path for path in files if path == left_out or path.startswith(left_out.rstrip("/") + "/"))
        if inside or left_out.strip("/") in ("", "."):
            raise Unacceptable(
                "MLO7113", f"the signer left out {_shown([left_out])}, and it is there: {_shown(inside)}"
            )
    kinds = {
        "changed": [path for path in signed.files if path in files and files[path] != signed.files[path]],
        "missing": [path for path in signed.files if path not in files],
        "not signed": [path for path in files if path not in signed.files],
    }
    words = "; ".join(f"{kind}: {_shown(sorted(paths))}" for kind, paths in kinds.items() if paths)
    if words:
        raise Unacceptable("MLO7110", f"it is not as it was signed: {words}")


def _shown(paths: list[str]) -> str:
    """The first few; what a stranger wrote must not move the cursor of a terminal."""
    return ", ".join(path if path.isprintable() else ascii(path) for path in paths[:5])
