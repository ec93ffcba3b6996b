"""A time-stamping authority of the test's own: a loopback HTTP server around ``openssl ts -reply``."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

POLICY = "1.2.3.4.1"

_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = ignored
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[stamping]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[careless]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = timeStamping
[tsa]
default_tsa = here
[here]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.crt
signer_key = {folder}/tsa.key
certs = {folder}/ca.crt
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
"""


class Authority:
    """Its files below ``folder``; what it answers can be spoiled by ``spoil``."""

    def __init__(self, folder: Path, extensions: str = "stamping"):
        folder.mkdir(parents=True)
        self.folder = folder
        self.url = ""
        self.last = b""
        self.replay = False
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")
        self._certificate("ca", "Test Root", "ca")
        self._certificate("tsa", "Test Clock", extensions, "ca")

    def _openssl(self, *args: str, data: bytes = b"") -> bytes:
        done = subprocess.run(["openssl", *args], input=data, capture_output=True, check=False, cwd=self.folder)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def _certificate(self, name: str, common: str, extensions: str, by: str = "") -> None:
        signed = ["-CA", f"{by}.crt", "-CAkey", f"{by}.key"] if by else []
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={common}", "-config", "openssl.cnf",
            "-extensions", extensions, *signed,
        )  # fmt: skip

    @property
    def certificates(self) -> str:
        """What its users put into their configuration."""
        return (self.folder / "ca.crt").read_text()

    def answer(self, query: bytes) -> bytes:
        """The response to a request; with ``replay`` the one before."""
        if self.replay:
            return self.last
        (self.folder / "query").write_bytes(query)
        self._openssl(
            "ts", "-reply", "-config", "openssl.cnf", "-section", "here", "-queryfile", "query", "-out", "out"
        )
        self.last = (self.folder / "out").read_bytes()
        return self.last


@contextmanager
def serving(authority: Authority) -> Iterator[str]:
    """The authority's URL while it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
