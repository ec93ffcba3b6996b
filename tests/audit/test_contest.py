"""Deployments that know nothing of each other, over random graphs of entries."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.audit.contest import heads
from mlopsctl.audit.statement import MEMBER

Graph = list[list[int]]
"""For each entry, in the order in which they were written, those that it builds on."""


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 30))
    return [draw(st.lists(st.integers(0, n - 1), max_size=2, unique=True)) if n else [] for n in range(size)]


def ask(graph: Graph, deployments: set[int]) -> set[int]:
    """The deployments that ``heads`` names."""
    seq: list[int] = []
    for parents in graph:
        seq.append(1 + max((seq[parent] for parent in parents), default=0))
    payloads = [
        json.dumps({"predicate": {MEMBER: {"parents": [str(n) for n in parents]}}}).encode() for parents in graph
    ]
    ledger: Any = SimpleNamespace(
        index=SimpleNamespace(payload=lambda name: payloads[int(name)]),
        place=lambda name: SimpleNamespace(seq=seq[int(name)]),
    )
    newest: Any = sorted(
        (SimpleNamespace(id=str(n), seq=seq[n]) for n in deployments), key=lambda one: (one.seq, one.id), reverse=True
    )
    return {int(one.id) for one in heads(ledger, newest)}


def ancestors(graph: Graph, entry: int) -> set[int]:
    return {found for parent in graph[entry] for found in (parent, *ancestors(graph, parent))}


@given(graphs(), st.data())
def test_those_that_no_other_one_builds_on_are_named(graph: Graph, data: st.DataObject) -> None:
    deployments = data.draw(st.sets(st.integers(0, len(graph) - 1)))
    known = {found for one in deployments for found in ancestors(graph, one)}
    assert ask(graph, deployments) == deployments - known


def test_a_clone_that_deployed_often_does_not_hide_the_one_that_deployed_once() -> None:
    """Entry 1 is the other clone's; the chain of twenty beside it never heard of it."""
    graph = [[], [0], [0], *([n] for n in range(2, 22))]
    assert ask(graph, set(range(1, 23))) == {1, 22}
