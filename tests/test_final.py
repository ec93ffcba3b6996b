"""Rows that are final judge one model a release; a deployment of that model begins the next one."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlopsctl.cli.world import ProjectWorld
from mlopsctl.errors import GateError
from mlopsctl.looks import Look, Release, final_rows, refuse_looks, sealed, since_release
from mlopsctl.manifest import load_manifest
from mlopsctl.ratchet import controls, weakenings
from mlopsctl.types import Address, Digest, Input, Need, Observed, Resource

A, B, C = (Digest(f"dirhash:{name}") for name in "abc")
DATA = Address("data", "rows")
ROWS = Observed(Digest("sha256:d"), {"test": Digest("sha256:t")})
MODEL, VIEW = Need("model", Address("train", "m"), "model"), Need("data", DATA, "test")
GATE = Resource(Address("gates", "g"), "gates/metric", None, (MODEL, VIEW))


def look(model: Digest, seq: int) -> Look:
    return Look(model, "gates.g", "2026-11-30T12:00:00Z", "ann", seq)


class World:
    def __init__(self, *, final: bool = True, release: Release | None = None):
        self.final, self.known = final, release or Release(frozenset({A}), (look(A, 3),))

    def is_final(self, data: Address) -> bool:
        assert data == DATA
        return self.final

    def models_judged(self, address: Address, data: Observed) -> Release:
        assert (address, data) == (DATA, ROWS)
        return self.known


def given(model: Digest | None, rows: Observed | None = ROWS) -> tuple[Input, Input]:
    made = Observed(Digest("sha256:m"), {"model": model}) if model else None
    return Input(MODEL, made), Input(VIEW, rows)


@pytest.mark.parametrize(
    ("deployments", "since"),
    [
        ([], [A, B]),
        ([("dirhash:a", 4)], [B]),
        ([("dirhash:a", 4), ("dirhash:a", 9)], [B]),
        ([("dirhash:a", 4), ("dirhash:b", 9)], []),
        ([("dirhash:a", 2)], [A, B]),
        ([("dirhash:c", 9)], [A, B]),
    ],
    ids=["none", "the first", "again", "both", "before it was measured", "one that was never measured"],
)
def test_a_release_ends_where_a_model_goes_out_that_was_measured_in_it(
    deployments: list[tuple[str, int]], since: list[Digest]
) -> None:
    found = since_release((look(A, 3), look(B, 6)), deployments)
    assert [one.model for one in found.since] == since
    assert found.ever == {A, B}


def test_another_model_is_told_which_one_was_measured_when_and_by_whom() -> None:
    for model in (B, None):
        (why,) = sealed(GATE, given(model), World())
        for part in ("data.rows", "dirhash:a", "gates.g", "2026-11-30T12:00:00Z", "ann", "a new test set"):
            assert part in why


def test_the_same_model_and_rows_that_are_not_final_or_not_known_or_new_bar_nothing() -> None:
    assert sealed(GATE, given(A), World()) == ()
    assert sealed(GATE, given(B), World(release=Release(frozenset({A, B}), (look(A, 3),)))) == (), "judged before"
    assert sealed(GATE, given(B), World(final=False)) == ()
    assert sealed(GATE, given(B, None), World()) == ()
    assert sealed(GATE, given(B), World(release=Release(frozenset({A})))) == ()
    assert sealed(GATE._replace(address=Address("targets", "cpu")), given(B), World()) == ()


def test_other_measurements_than_those_of_apply_are_refused() -> None:
    assert final_rows(GATE, World()) == {DATA} and final_rows(GATE, World(final=False)) == frozenset()
    with pytest.raises(GateError, match="which is final: a trial would be one more look") as caught:
        refuse_looks([GATE], World(), "a trial", "")
    assert caught.value.code == "MLO1325"
    refuse_looks([GATE], World(final=False), "a trial", "")


@pytest.mark.parametrize(
    "use", ["", "use: command, program: p, digest: 'sha256:" + "0" * 64 + "', "], ids=["dvc", "command"]
)
@pytest.mark.parametrize("final", [True, False])
def test_a_fetched_dataset_can_be_final_too(use: str, final: bool) -> None:
    said = ", final: true" if final else ""
    text = f"""\
apiVersion: mlopsctl/v1
project: {{name: small}}
data: {{rows: {{{use}path: rows.csv, label: y{said}}}}}
train: {{m: {{run: python train.py, data: rows}}}}
gates: {{accuracy: {{metric: accuracy, min: 0.7}}}}
targets: {{cpu: {{}}}}
deployments: {{live: {{target: cpu}}}}
"""
    resources = {str(one.address): one for one in load_manifest(text.encode(), "mlops.yaml").resources}
    world = object.__new__(ProjectWorld)
    world.project = cast(Any, SimpleNamespace(resources=tuple(resources.values())))
    assert final_rows(resources["gates.accuracy"], world) == ({DATA} if final else frozenset())
    live = controls(resources["deployments.live"], list(resources.values()))
    off = copy.deepcopy(dict(live))
    off["of"]["data.rows"]["fields"].pop("final", None)
    assert weakenings(live, off) == (("data.rows final True -> False",) if final else ())
    assert weakenings(off, live) == (), "narrowing needs nobody"
