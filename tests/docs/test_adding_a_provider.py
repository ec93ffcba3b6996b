"""The provider that docs/adding-a-provider.md shows is a provider: it goes from the manifest through plan to a verdict."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

import pytest

from mlopsctl import provider
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import Context, Provider
from mlopsctl.types import Action, Digest, Input, Observed, Status

from .blocks import blocks

NAME = "mlopsctl.providers.gates.rows"
MANIFEST = b"""\
apiVersion: mlopsctl/v1
project: {name: rows}
data:
  digits: {path: digits.csv}
gates:
  enough: {use: rows, data: digits, min: 100}
"""


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """The module that the document shows, registered by one line."""
    (block,) = [block for block in blocks("docs/adding-a-provider.md") if block.info == "python"]
    module = ModuleType(NAME)
    module.__package__ = "mlopsctl.providers.gates"
    monkeypatch.setitem(sys.modules, NAME, module)
    exec(compile(block.body, str(block), "exec", dont_inherit=True), module.__dict__)
    monkeypatch.setattr(provider, "PROVIDERS", {**provider.PROVIDERS, "gates/rows": NAME})
    monkeypatch.setattr("mlopsctl.manifest.PROVIDERS", provider.PROVIDERS)
    monkeypatch.setattr(provider, "provider", provider.provider.__wrapped__)
    return cast(Provider, module)


def test_it_has_every_name_of_the_seam(rows: Provider) -> None:
    names = [name for name in vars(Provider) if not name.startswith("_")]
    assert [name for name in names if not hasattr(rows, name)] == []


def test_it_goes_from_the_manifest_to_a_verdict(rows: Provider) -> None:
    manifest = load_manifest(MANIFEST)
    (want,) = [found for found in manifest.resources if found.provider == "gates/rows"]
    (need,) = want.needs
    data = Observed(Digest("sha256:" + "0" * 64), {"all": Digest("sha256:" + "1" * 64)}, {"rows": {"all": 1797}})
    inputs = [Input(need, data)]

    assert rows.diff(want, inputs, None)[0] is Action.CREATE
    outcome = rows.apply(want, inputs, cast(Context, None))
    assert outcome.facts == {"rows": 1797}
    assert rows.judge(want, Observed(data.made_from, {}, outcome.facts), inputs).status is Status.PASSED
    few = rows.judge(want, Observed(data.made_from, {}, {"rows": 99}), inputs)
    assert (few.status, few.blocks) == (Status.FAILED, True)
