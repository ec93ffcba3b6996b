"""Fingerprints never change by themselves: those of every release are kept and computed anew.

A release adds its own with ``python -m tests.test_fingerprints``; lines of older releases are never edited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from mlopsctl import __version__
from mlopsctl.gitobjects import object_id
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import changes_since, fingerprint, ingredients
from mlopsctl.registry import provider
from mlopsctl.types import Digest, Input, Json, Observed, Resource, TreeFile

GOLDEN = Path(__file__).parent / "golden"
MANIFESTS = tuple(GOLDEN / f"{name}.yaml" for name in ("mlops", "imported", "processors", "circuits", "cells"))
RELEASES: dict[str, dict[str, str]] = json.loads((GOLDEN / "fingerprints.json").read_text())


class Files:
    """The repository that the golden manifest belongs to."""

    bodies: ClassVar[dict[str, bytes]] = {
        "data/plain.csv": b"x,y\n1,0\n",
        "data/grouped.csv": b"customer,x,y\n1,1,0\n",
        "train.py": b"import helper\n",
        "helper.py": b"X = 1\n",
        "tool.sh": b"#!/bin/sh\n",
    }

    def files(self) -> Sequence[str]:
        return sorted(self.bodies)

    def names(self) -> Sequence[str]:
        return self.files()

    def tracked(self, path: str) -> bool:
        return path in self.bodies

    def file(self, path: str) -> TreeFile | None:
        return TreeFile("100644", object_id("blob", self.bodies[path])) if path in self.bodies else None

    def read(self, path: str, most: int | None = None) -> bytes:
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
    inputs = [Input(need, Observed(Digest(""), {need.output: made(need.address, need.output)})) for need in want.needs]
    parts = ingredients(want, sources, inputs)
    assert parts is not None
    return fingerprint(parts)


def current() -> dict[str, str]:
    return {address: fingerprint for path in MANIFESTS for address, fingerprint in _of_manifest(path).items()}


def _of_manifest(path: Path) -> dict[str, str]:
    """Later manifests prefix their addresses with their own name: the first one's stand as they were."""
    prefix = "" if path.stem == "mlops" else f"{path.stem}: "
    return {prefix + str(want.address): of(want) for want in load_manifest(path.read_bytes()).resources}


@pytest.mark.parametrize("release", RELEASES)
def test_the_fingerprints_of_every_release_still_hold(release: str) -> None:
    assert current() == RELEASES[release]


@pytest.mark.parametrize(
    ("address", "role", "fact", "counts"),
    [
        ("gates.accuracy", "data", {"label": "z"}, True),
        ("gates.wide", "data", {"positive": 0}, True),
        ("gates.wide", "data", {"split": {"by": "shop"}}, True),
        ("targets.cpu", "data", {"classes": [0, 1, 2]}, True),
        ("train.external", "data", {"label": "z"}, True),
        ("targets.packed", "model", {"predict": ["python", "{model}/predict.py", "--threshold", "0.7"]}, True),
        ("gates.scan[opaque]", "model", {"kind": "onnx"}, True),
        ("train.small", "data", {"label": "z"}, False),
        ("gates.accuracy", "data", {"size": 7, "rows": {"all": 3}, "columns": ["x"]}, False),
    ],
)
def test_how_the_same_bytes_are_read_counts(address: str, role: str, fact: dict[str, Json], counts: bool) -> None:
    manifest = load_manifest((GOLDEN / "mlops.yaml").read_bytes())
    want = next(want for want in manifest.resources if str(want.address) == address)
    facts: dict[str, Json] = {
        "label": "y",
        "classes": [0, 1],
        "kind": "opaque",
        "predict": ["./ask"],
        "split": {"by": None},
    }

    def parts(changed: dict[str, Json]) -> dict[str, Json]:
        found = [
            Input(
                need,
                Observed(
                    Digest(""),
                    {need.output: made(need.address, need.output)},
                    {**facts, **changed} if need.role == role else facts,
                ),
            )
            for need in want.needs
        ]
        return ingredients(want, {}, found) or {}

    before, after = parts({}), parts(fact)
    assert (fingerprint(before) != fingerprint(after)) is counts
    named = [change.field for change in changes_since(before, after)]
    assert named == ([f"{role} {'by' if 'split' in fact else next(iter(fact))}"] if counts else [])


_NAMED = """
apiVersion: mlopsctl/v1
project: {name: named}
data:
  DATA: {path: data/plain.csv}
train:
  BASE: {run: "python train.py {data.DATA} {out}", produces: files}
  last: {run: "python train.py {train.BASE} {data.DATA} {seed}"MORE}
"""


def _last(data: str = "rows", base: str = "base", more: str = "") -> str:
    text = _NAMED.replace("DATA", data).replace("BASE", base).replace("MORE", more)
    want = next(want for want in load_manifest(text.encode()).resources if want.address.name == "last")
    inputs = [Input(need, Observed(Digest(""), {need.output: made(need.role, need.output)})) for need in want.needs]
    parts = ingredients(want, provider(want.provider).sources(want, Files()), inputs)
    assert parts is not None
    return fingerprint(parts)


def test_a_name_in_a_command_is_no_ingredient() -> None:
    """Renaming is free; which input stands where in the command is not."""
    assert _last("rows", "base") == _last("digits", "older")
    assert _last() != _last(more=", seed: 1")
    swapped = _NAMED.replace("{train.BASE} {data.DATA} {seed}", "{data.DATA} {train.BASE} {seed}")
    want = next(
        want
        for want in load_manifest(
            swapped.replace("DATA", "rows").replace("BASE", "base").replace("MORE", "").encode()
        ).resources
        if want.address.name == "last"
    )
    inputs = [Input(need, Observed(Digest(""), {need.output: made(need.role, need.output)})) for need in want.needs]
    parts = ingredients(want, provider(want.provider).sources(want, Files()), inputs)
    assert parts is not None and fingerprint(parts) != _last()


def test_writing_down_what_is_found_anyway_changes_nothing() -> None:
    """The files themselves count, not how the manifest came to name them."""
    assert _last(more=", code: [train.py, helper.py]") == _last(more=", lock: ''") == _last()
    assert _last(more=", code: [train.py]") != _last()


def test_this_release_is_in_the_list() -> None:
    assert __version__ in RELEASES


def test_every_provider_is_in_the_golden_manifest() -> None:
    from mlopsctl.registry import PROVIDERS

    resources = [want for path in MANIFESTS for want in load_manifest(path.read_bytes()).resources]
    assert {want.provider for want in resources} == set(PROVIDERS)


if __name__ == "__main__":
    RELEASES.setdefault(__version__, current())
    (GOLDEN / "fingerprints.json").write_text(json.dumps(RELEASES, indent=2) + "\n")
