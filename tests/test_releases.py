"""Releases are counted along the graph of entries, and a number that was signed stays."""

from __future__ import annotations

from typing import Any

import pytest

from mlopsctl.cli import versions
from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest
from mlopsctl.releases import following, numbered
from mlopsctl.types import Address, Digest, Entry, Need, Resource


def entry(name: str, seq: int, release: Any = None, artifact: str = "") -> Entry:
    inputs = {"artifact": [artifact]} if artifact else {}
    return Entry(
        id=name * 64,
        seq=seq,
        parents=(),
        at="",
        signer="",
        kind="result",
        address="deployments.d",
        facts={} if release is None else {"release": release},
        ingredients={"inputs": inputs},
    )


def test_what_was_not_counted_is_counted_in_the_order_of_the_trail() -> None:
    assert list(numbered([entry("a", 1), entry("b", 4)]).values()) == [1, 2]
    assert list(numbered([entry("a", 1), entry("b", 4), entry("c", 9, 3)]).values()) == [1, 2, 3]
    assert following(()) == 1 and following([1, 2, 7]) == 8


@pytest.mark.parametrize("strange", ["3", True, 0, -1, None])
def test_what_is_no_number_does_not_count(strange: Any) -> None:
    assert list(numbered([entry("a", 1, 1), entry("b", 2, strange)]).values()) == [1, 2]


def test_a_merge_gives_no_release_another_number() -> None:
    ours = [entry("a", 1, 1), entry("b", 20, 2), entry("c", 30, 3)]
    theirs = entry("d", 15, 2)
    merged = numbered(sorted([*ours, theirs], key=lambda one: (one.seq, one.id)))
    assert {one: merged[one] for one in numbered(ours)} == numbered(ours)
    assert merged[theirs.id] == 2


class Project:
    """As much of one as a version asks for."""

    def __init__(self, *entries: Entry) -> None:
        self.trail = self
        self._entries = entries

    def remembered(self, question: str, ask: Any) -> Any:
        return ask()

    def entries(self, address: str, kinds: tuple[str, ...]) -> list[Entry]:
        return list(self._entries)

    def select(self, where: str, values: tuple[str, ...]) -> list[Entry]:
        return [one for one in self._entries if one.id.startswith(values[0].rstrip("*"))]

    def with_output(self, digest: Digest, section: str = "") -> Entry:
        return replace_address(entry("e", 1), digest)


def replace_address(made: Entry, digest: Digest) -> Entry:
    return made._replace(address="targets.t", outputs={"artifact": digest})


@pytest.mark.parametrize(("other", "said"), [("sha256:one", ""), ("sha256:two", "aaaaaaaaaaaa and bbbbbbbbbbbb")])
def test_a_number_that_two_clones_signed_names_what_both_put_out_or_nothing(other: str, said: str) -> None:
    project: Any = Project(entry("a", 4, 2, "sha256:one"), entry("b", 5, 2, other), entry("c", 6, 3, "sha256:x"))
    want = Resource(Address("deployments", "d"), "deployments/local", None)
    found = versions._by_number(project, 2, want, Need("artifact", Address("targets", "t"), "artifact"))
    if said:
        assert isinstance(found, str) and said in found and "did not know of each other" in found
    else:
        assert not isinstance(found, str) and found[1] == "sha256:one"


def load(version: str) -> None:
    load_manifest(
        "apiVersion: mlopsctl/v1\nproject: {name: p}\ndata: {d: {path: d.csv, label: y}}\ntrain: {m: {run: a}}\n"
        f"targets: {{t: {{}}}}\ndeployments: {{x: {{target: t, version: {version}}}}}\n".encode()
    )


def test_a_version_is_a_number_or_the_beginning_of_an_id() -> None:
    for good in ("3", '"3"', "3f9a1c2b", '"12345678"', "dirhash:12345678"):
        load(good)
    for bad in ("0", "-1", "12345678", "3f9a", "true", "1.5"):
        with pytest.raises(ManifestError):
            load(bad)
