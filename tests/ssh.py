"""OpenSSH's own programs: keys, signatures and an agent that ends with the test."""

from __future__ import annotations

import hashlib
import os
import re
import socketserver
import subprocess
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mlopsctl.adapters.keys import Signer
from mlopsctl.adapters.ssh_key import opened
from mlopsctl.crypto.sshsig import signed_bytes, wrap
from mlopsctl.verifiers import mpint, pack, public_key, unpack

KINDS = {
    "ed25519": ("-t", "ed25519"),
    "nistp256": ("-t", "ecdsa", "-b", "256"),
    "nistp384": ("-t", "ecdsa", "-b", "384"),
    "nistp521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "3072"),
}


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", words: tuple[str, ...] = ()) -> str:
    """A key pair by ``ssh-keygen`` at ``path`` and ``path.pub``; the public half as policies spell it."""
    # A second one beside it has to be another one.
    if kind == "rsa" and not words and not any("ssh-rsa" in other.read_text() for other in path.parent.glob("*.pub")):
        _copy_rsa(path, passphrase)
    else:
        _keygen(path, words or KINDS[kind], passphrase)
    return public_key(path.with_name(path.name + ".pub").read_text())


def _keygen(path: Path, words: tuple[str, ...], passphrase: str) -> None:
    argv = ["ssh-keygen", "-q", *words, "-N", passphrase, "-C", "ada@laptop", "-f", str(path)]
    subprocess.run(argv, check=True, capture_output=True)


@cache
def _rsa() -> tuple[str, str]:
    """One RSA key for all tests of a run: finding its primes takes a second or more."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "id"
        _keygen(path, KINDS["rsa"], "")
        return path.read_text(), path.with_name("id.pub").read_text()


def _copy_rsa(path: Path, passphrase: str) -> None:
    private, public = _rsa()
    path.write_text(private)
    path.chmod(0o600)
    path.with_name(path.name + ".pub").write_text(public)
    if passphrase:
        words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", passphrase, "-f", str(path)]
        subprocess.run(words, check=True, capture_output=True)


def signer_of(name: str, path: Path, key: str) -> Signer:
    """Who signs with the OpenSSH key at ``path``."""
    return Signer(name, path, key, "OpenSSH key", lambda: opened(str(path), key))


def armoured(signature: bytes) -> bytes:
    """As ``ssh-keygen`` reads and writes signatures."""
    text = b64encode(signature).decode()
    lines = "\n".join(text[start : start + 70] for start in range(0, len(text), 70))
    return f"-----BEGIN SSH SIGNATURE-----\n{lines}\n-----END SSH SIGNATURE-----\n".encode()


def keygen_sign(path: Path, message: bytes, *words: str, namespace: str = "mlopsctl") -> bytes:
    """The SSHSIG that ``ssh-keygen -Y sign`` makes, without its armour."""
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", path, "-n", namespace, *words],
        input=message,
        check=True,
        capture_output=True,
    )
    body = re.sub(rb"-----[A-Z ]+-----|\n", b"", done.stdout)
    return b64decode(body)


def keygen_verify(folder: Path, key: str, message: bytes, signature: bytes, namespace: str = "mlopsctl") -> bool:
    """Whether ``ssh-keygen -Y verify`` takes the signature as the key's."""
    (folder / "allowed").write_text(f"ada {key}\n")
    (folder / "signature").write_bytes(armoured(signature))
    words: list[str | Path] = ["-f", folder / "allowed", "-I", "ada", "-n", namespace, "-s", folder / "signature"]
    argv: list[str | Path] = ["ssh-keygen", "-Y", "verify", *words]
    return subprocess.run(argv, input=message, capture_output=True, check=False).returncode == 0


def keygen_checks(folder: Path, message: bytes, signature: bytes, namespace: str = "mlopsctl") -> bool:
    """Whether ``ssh-keygen -Y check-novalidate`` finds the signature well-formed and right, whoever made it."""
    (folder / "signature").write_bytes(armoured(signature))
    words: list[str | Path] = ["-n", namespace, "-s", folder / "signature"]
    argv: list[str | Path] = ["ssh-keygen", "-Y", "check-novalidate", *words]
    return subprocess.run(argv, input=message, capture_output=True, check=False).returncode == 0


@contextmanager
def agent(folder: Path) -> Iterator[dict[str, str]]:
    """A real ``ssh-agent``: the environment to reach it; ended by its process id."""
    place = folder / "agent.sock"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", place], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it says where it listens, once it does
        yield {**os.environ, "SSH_AUTH_SOCK": str(place)}
    finally:
        process.terminate()
        process.communicate(timeout=10)


def add(path: Path, environment: dict[str, str], passphrase: str = "") -> None:
    """``ssh-add``, which asks a program for the passphrase as it would ask a person."""
    asker = path.with_name("asker")
    asker.write_text(f"#!/bin/sh\necho '{passphrase}'\n")
    asker.chmod(0o700)
    asked = {**environment, "SSH_ASKPASS": str(asker), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", path], env=asked, check=True, capture_output=True, stdin=subprocess.DEVNULL)


class HardwareKey:
    """What a FIDO security key does, in software: it signs the application's hash, flags and a counter with the data.

    Source: PROTOCOL.u2f of OpenSSH. ``ssh-keygen`` takes its signatures for those of a real one.
    """

    def __init__(self, kind: str, application: bytes = b"ssh:"):
        self.application, self.counter = application, 0
        self.kind = f"sk-{kind}@openssh.com".encode()
        if kind == "ssh-ed25519":
            self.ed25519 = ed25519.Ed25519PrivateKey.generate()
            fields = [self.ed25519.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)]
        else:
            self.ecdsa = ec.generate_private_key(ec.SECP256R1())
            point = self.ecdsa.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            fields = [b"nistp256", point]
        self.blob = pack(self.kind, *fields, application)
        self.key = public_key(f"{self.kind.decode()} {b64encode(self.blob).decode()}")

    def sign(self, message: bytes, flags: int = 1) -> bytes:
        return wrap(self.blob, self.raw(signed_bytes(message), flags))

    def raw(self, asked: bytes, flags: int = 1) -> bytes:
        """The signature as an agent passes it on."""
        self.counter += 1
        tail = bytes([flags]) + self.counter.to_bytes(4, "big")
        data = hashlib.sha256(self.application).digest() + tail + hashlib.sha256(asked).digest()
        if b"ed25519" in self.kind:
            raw = self.ed25519.sign(data)
        else:
            r, s = decode_dss_signature(self.ecdsa.sign(data, ec.ECDSA(hashes.SHA256())))
            raw = pack(mpint(r), mpint(s))
        return pack(self.kind, raw) + tail


@contextmanager
def simulated_agent(folder: Path, blob: bytes, sign: Callable[[bytes], bytes]) -> Iterator[Path]:
    """An agent that holds one key, for keys that the real one needs hardware for; the socket to reach it by."""
    place = folder / "simulated.sock"

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            size = int.from_bytes(self.rfile.read(4), "big")
            request = self.rfile.read(size)
            if request[0] == 11:
                answer = bytes([12]) + (1).to_bytes(4, "big") + pack(blob, b"comment")
            else:
                answer = bytes([14]) + pack(sign(unpack(request[1:-4], 2)[1]))
            self.wfile.write(pack(answer))

    with socketserver.UnixStreamServer(str(place), Conversation) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield place
        finally:
            server.shutdown()
            thread.join()
