"""Fingerprints never change by themselves: those of every release are kept and computed anew.

A release adds its own with ``python -m tests.test_fingerprints``; lines of older releases are never edited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from mlopsctl import __version__
from mlopsctl.gitobjects import object_id
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import fingerprint, ingredients, provider
from mlopsctl.types import Digest, Input, Observed, Resource, TreeFile

GOLDEN = Path(__file__).parent / "golden"
RELEASES: dict[str, dict[str, str]] = json.loads((GOLDEN / "fingerprints.json").read_text())


class Files:
    """The repository that the golden manifest belongs to."""

    bodies = {
        "data/plain.csv": b"x,y\n1,0\n",
        "data/grouped.csv": b"customer,x,y\n1,1,0\n",
        "train.py": b"import helper\n",
        "helper.py": b"X = 1\n",
        "tool.sh": b"#!/bin/sh\n",
    }

    def files(self) -> Sequence[str]:
        return sorted(self.bodies)

    def tracked(self, path: str) -> bool:
        return path in self.bodies

    def file(self, path: str) -> TreeFile | None:
        return TreeFile("100644", object_id("blob", self.bodies[path])) if path in self.bodies else None

    def read(self, path: str) -> bytes:
        if path not in self.bodies:
            raise FileNotFoundError(path)
        return self.bodies[path]

    def open_path(self, path: str) -> Path:
        raise AssertionError("a fingerprint needs no file on disk")


def made(address: object, output: str) -> Digest:
    """A made-up digest for an upstream output."""
    return Digest("sha256:" + hashlib.sha256(f"{address} {output}".encode()).hexdigest())


def of(want: Resource) -> str:
    """The fingerprint of one resource whose upstream outputs are the made-up ones."""
    sources = provider(want.provider).sources(want, Files())
    inputs = [
        Input(need, Observed(Digest(""), {need.output: made(need.address, need.output)})) for need in want.needs
    ]
    parts = ingredients(want, sources, inputs)
    assert parts is not None
    return fingerprint(parts)


def current() -> dict[str, str]:
    manifest = load_manifest((GOLDEN / "mlops.yaml").read_bytes())
    return {str(want.address): of(want) for want in manifest.resources}


@pytest.mark.parametrize("release", RELEASES)
def test_the_fingerprints_of_every_release_still_hold(release: str) -> None:
    assert current() == RELEASES[release]


def test_this_release_is_in_the_list() -> None:
    assert __version__ in RELEASES


def test_every_provider_is_in_the_golden_manifest() -> None:
    from mlopsctl.provider import PROVIDERS

    manifest = load_manifest((GOLDEN / "mlops.yaml").read_bytes())
    assert {want.provider for want in manifest.resources} == set(PROVIDERS)


if __name__ == "__main__":
    RELEASES.setdefault(__version__, current())
    (GOLDEN / "fingerprints.json").write_text(json.dumps(RELEASES, indent=2) + "\n")
