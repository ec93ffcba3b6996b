"""The provider that docs/adding-a-provider.md shows is a provider: it goes from the manifest through plan and apply."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest

from mlopsctl import registry
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import Provider, fingerprint, ingredients
from mlopsctl.types import Action, Digest, Outcome, Resource, Status, TreeFile
from tests.simulator import Simulator

from .blocks import blocks

SHOWN = list(blocks("docs/adding-a-provider.md"))
MODULE, LINE, BLOCK = (block for block in SHOWN if block.info in ("python", "text"))
MANIFEST = "apiVersion: mlopsctl/v1\nproject: {name: rows}\ndata:\n  digits: {path: digits.csv}\n"


@dataclass
class House(Simulator):
    """A project whose one file is a tracked dataset."""

    def tracked(self, path: str) -> bool:
        return path in self.files

    def pin(self, want: Resource, rows: int) -> None:
        """Records the dataset as it would be pinned."""
        parts = ingredients(want, self.sources(want), ())
        assert parts is not None
        outputs = {"all": Digest("sha256:" + "1" * 64)}
        self.bytes_here.update(outputs.values())
        facts = {"rows": {"all": rows}}
        self.record(
            "result", want, made_from=fingerprint(parts), parts=parts, outputs=outputs, outcome=Outcome({}, facts)
        )


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """The module that the document shows, registered by the line that it shows."""
    line: Mapping[str, str] = ast.literal_eval("{" + LINE.body + "}")
    (name,) = line.values()
    module = ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(MODULE.body, str(MODULE), "exec", dont_inherit=True), module.__dict__)
    monkeypatch.setattr(registry, "PROVIDERS", {**registry.PROVIDERS, **line})
    monkeypatch.setattr("mlopsctl.manifest.load.PROVIDERS", registry.PROVIDERS)
    yield cast(Provider, module)
    registry.provider.cache_clear()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, files={"digits.csv": TreeFile("100644", "0" * 40)})


def resources(block: str = BLOCK.body) -> tuple[Resource, ...]:
    return load_manifest((MANIFEST + block).encode()).resources


def test_it_has_every_name_of_the_seam(rows: Provider) -> None:
    names = [name for name in vars(Provider) if not name.startswith("_")]
    assert [name for name in names if not hasattr(rows, name)] == []


def test_it_goes_from_the_manifest_through_plan_and_apply_to_a_verdict(rows: Provider, house: House) -> None:
    data, gate = resources()
    house.pin(data, rows=1797)
    assert [step.action for step in house.plan(data, gate).steps] == [Action.NOOP, Action.CREATE]

    done = house.apply(data, gate)[-1]
    assert done.verdict is not None
    assert (done.event, done.verdict.status, done.verdict.text) == ("done", Status.PASSED, "1797 rows")
    assert house.entries[-1].facts["rows"] == 1797


def test_another_bar_is_judged_without_measuring_again(rows: Provider, house: House) -> None:
    data, gate = resources()
    house.pin(data, rows=1797)
    house.apply(data, gate)

    data, stricter = resources(BLOCK.body.replace("min: 100", "min: 5000"))
    step = house.plan(data, stricter).steps[-1]
    assert step.verdict is not None
    assert (step.action, step.verdict.status, step.verdict.blocks) == (Action.NOOP, Status.FAILED, True)
