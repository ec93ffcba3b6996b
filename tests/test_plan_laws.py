"""Laws of planning and applying, over random graphs and random edits of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.planned import digest, pending
from mlopsctl.types import Action, Resource
from tests.simulator import PROVIDERS, Simulator, need, resource


@pytest.fixture(autouse=True)
def _simple_providers() -> Iterator[None]:
    from mlopsctl import provider as seam

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seam, "PROVIDERS", PROVIDERS)
        seam.provider.cache_clear()
        yield
    seam.provider.cache_clear()


class Node(NamedTuple):
    """A step: what it writes (blanks around it do not), whether it hands its inputs on, and which earlier steps it needs."""

    text: str
    echo: bool
    needs: tuple[int, ...]


_TEXTS = st.text(st.sampled_from("ab "), max_size=3)


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for number in range(draw(st.integers(1, 8))):
        earlier = st.lists(st.integers(0, number - 1), unique=True, max_size=3) if number else st.just([])
        nodes.append(Node(draw(_TEXTS), draw(st.booleans()), tuple(draw(earlier))))
    return nodes


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Node], list[Node]]:
    """A graph, and the same with other texts, edges or both in some steps."""
    before = draw(graphs())
    after = list(before)
    for number in draw(st.lists(st.integers(0, len(before) - 1), max_size=3)):
        fewer = (
            tuple(draw(st.lists(st.sampled_from(before[number].needs), unique=True))) if before[number].needs else ()
        )
        after[number] = Node(draw(_TEXTS), draw(st.booleans()), fewer)
    return before, after


def resources(nodes: Sequence[Node]) -> list[Resource]:
    return [
        resource(
            f"train.s{number}", *(need("base", f"train.s{one}") for one in node.needs), text=node.text, echo=node.echo
        )
        for number, node in enumerate(nodes)
    ]


def outputs(nodes: Sequence[Node]) -> list[tuple[object, ...]]:
    """What each step writes, by value."""
    found: list[tuple[object, ...]] = []
    for node in nodes:
        found.append((node.text.strip(), *(found[one] for one in node.needs if node.echo)))
    return found


def made_from(nodes: Sequence[Node]) -> list[tuple[object, ...]]:
    """What each step is made from, by value: its own fields and the bytes that it is given."""
    made = outputs(nodes)
    return [(node.text, node.echo, *(made[one] for one in node.needs)) for node in nodes]


@settings(max_examples=60, deadline=None)
@given(edited())
def test_an_edit_runs_what_it_reaches_and_nothing_else(edit: tuple[list[Node], list[Node]]) -> None:
    """Exactly the steps with other ingredients run, so that equal bytes stop a change; then there is nothing to do."""
    before, after = edit
    with tempfile.TemporaryDirectory() as folder:
        project = Simulator(Path(folder))
        project.apply(*resources(before))
        assert pending(project.plan(*resources(before))) == ()
        planned = {str(step.address) for step in pending(project.plan(*resources(after)))}
        known = set(made_from(before))
        reached = []
        for number, parts in enumerate(made_from(after)):
            if parts not in known:
                known.add(parts)  # a second step of the same ingredients finds the first one's result
                reached.append(f"train.s{number}")
        project.apply(*resources(after))
        assert project.applied == reached
        assert set(project.applied) <= planned, "apply does nothing that was not planned"
        assert {step.action for step in project.plan(*resources(after)).steps} == {Action.NOOP}
        project.apply(*resources(before))
        assert project.applied == [], "what was made once is found again"


@settings(max_examples=40, deadline=None)
@given(edited())
def test_a_plan_is_a_function_of_what_it_sees(edit: tuple[list[Node], list[Node]]) -> None:
    before, after = edit
    with tempfile.TemporaryDirectory() as folder:
        project = Simulator(Path(folder))
        project.apply(*resources(before))
        seen = list(project.entries)
        first, second = (project.plan(*resources(after)) for _ in range(2))
        assert first == second and digest(first) == digest(second)
        assert project.entries == seen
