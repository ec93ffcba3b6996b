"""A Sigstore on this machine, whole: started for the tests that need it, ended by its process id."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
ADA = "https://people.example/ada"


class LocalSigstore:
    """``server.mjs`` as a process of its own; use it as a context manager. Its identities are those that tests make up."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", str(HERE / "server.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the local Sigstore did not start"
        for name in ("v1", "v2", "late"):
            (self.folder / f"{name}.json").write_text(self._ask(f"/trust?rekor={name}"))
        return self

    def __exit__(self, *failure: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.terminate()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _ask(self, path: str, data: bytes | None = None) -> str:
        with urllib.request.urlopen(self.url + path, data=data) as answer:
            return str(answer.read().decode())

    def trust(self, name: str = "v2") -> Path:
        """The client trust config that logs to Rekor ``v1``, ``v2``, or ``late``: one whose clock is an hour ahead."""
        return self.folder / f"{name}.json"

    def token(self, **claims: Any) -> Path:
        """A file with a fresh token; without claims it is Ada's, by the local issuer."""
        path = self.folder / "token"
        path.write_text(self._ask("/mint", json.dumps(claims).encode()))
        return path

    def counts(self) -> dict[str, int]:
        """How often certificates, the issuer's configuration and log entries were asked for."""
        found: dict[str, int] = json.loads(self._ask("/counts"))
        return found

    def fail(self, times: int) -> None:
        """Lets the next requests fail with HTTP 503."""
        self._ask(f"/fail?times={times}", b"")

    def key(self, name: str = ADA, issuer: str = "") -> str:
        """The identity in the spelling of trust policies."""
        return f"sigstore:{issuer or self.url}#{name}"


def require_node() -> None:
    """Skips the test where node or the service's packages are missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the local Sigstore runs on it")
    if not (HERE / "node_modules" / "@sigstore" / "mock").is_dir():
        pytest.skip("the local Sigstore's packages are not installed: .ci/local-sigstore")
