"""``plan --why``: all that a step is made from, old and new, and what is told beside it and never is a reason."""

from __future__ import annotations

from mlopsctl.manifest import load_manifest
from mlopsctl.types import Change, Digest, Entry, Fact, Input, Observed, Resource, TreeFile
from mlopsctl.whys import facts

MANIFEST = """
apiVersion: mlopsctl/v1
project: {name: small}
data:
  rows: {path: rows.csv}
train:
  model: {run: "python train.py {data.rows}", params: {lr: 2}}
"""
NOW = {"train.py": TreeFile("100644", "b" * 40), "helper.py": TreeFile("100644", "c" * 40)}
BEFORE = {
    "provider": "train/local",
    "version": 1,
    "spec": {"run": "python train.py {data:0}", "params": {"lr": 1}, "seed": 7},
    "inputs": {"data": ["sha256:old"]},
    "tree": "gitoid:" + "0" * 40,
}


def wanted() -> Resource:
    return load_manifest(MANIFEST.encode()).resources[1]


def entry(made_with: dict[str, str]) -> Entry:
    return Entry("1" * 64, 1, (), "", "me", "result", "train.model", ingredients=BEFORE, made_with=made_with)


def told(digest: str | None, changed: tuple[Change, ...] = (), here: dict[str, str] | None = None) -> list[Fact]:
    want = wanted()
    seen = Observed(Digest(""), {"train": Digest(digest)}) if digest else None
    before = entry({"python": "3.11", "numpy": "1.26"})
    return list(facts(want, (Input(want.needs[0], seen),), NOW, before, changed, here or {}))


def test_every_input_is_listed_whether_it_changed_or_not() -> None:
    change = Change("train.py", "a" * 40, "b" * 40)
    assert told("sha256:new", (change,)) == [
        Fact("spec", "params", {"lr": 1}, {"lr": 2}),
        Fact("spec", "run", "python train.py {data:0}", "python train.py {data:0}"),
        Fact("spec", "seed", 7, None),
        Fact("input", "data: train of data.rows", "sha256:old", "sha256:new"),
        Fact("file", "helper.py", "c" * 40, "c" * 40),
        Fact("file", "train.py", "a" * 40, "b" * 40),
        Fact("provider", "provider", "train/local", "train/local"),
        Fact("provider", "version", 1, 1),
    ]


def test_what_is_not_made_yet_is_unknown() -> None:
    assert Fact("input", "data: train of data.rows", "sha256:old", {"unknown": True}) in told(None)


def test_versions_are_told_where_they_differ_only() -> None:
    found = told("sha256:new", here={"python": "3.12", "numpy": "1.26", "torch": "2"})
    assert [fact for fact in found if fact.kind == "made_with"] == [Fact("made_with", "python", "3.11", "3.12")]


def test_without_an_earlier_result_everything_is_new() -> None:
    want = wanted()
    found = facts(want, (Input(want.needs[0], None),), NOW, None, (), {"python": "3.12"})
    assert {fact.old for fact in found} == {None}
    assert {fact.name for fact in found if fact.kind == "file"} == {"train.py", "helper.py"}
