"""Laws of planning and applying, over random graphs and random edits of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.apply import Walk
from mlopsctl.planned import digest, pending
from mlopsctl.provider import Context, Inputs
from mlopsctl.render.plan import plan_json, read_digest, read_selection, selection_json
from mlopsctl.types import Action, Address, Entry, Resource, Selection, TreeFile
from tests.simulator import PROVIDERS, Simulator, need, resource


@pytest.fixture(autouse=True)
def _simple_providers() -> Iterator[None]:
    from mlopsctl import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "PROVIDERS", PROVIDERS)
        registry.provider.cache_clear()
        yield
    registry.provider.cache_clear()


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


_PATTERNS = st.lists(st.text(max_size=8), max_size=3).map(tuple)


@given(st.builds(Selection, _PATTERNS, _PATTERNS, _PATTERNS, *[st.booleans()] * 3, _PATTERNS))
def test_what_was_asked_is_read_back_from_a_saved_plan_as_it_was(asked: Selection) -> None:
    assert len(Selection._fields) == 7, "a new field has to be drawn here, and saved"
    assert read_selection(json.loads(json.dumps(selection_json(asked)))) == asked


@settings(max_examples=40, deadline=None)
@given(edited(), st.booleans())
def test_a_saved_plan_says_all_that_its_digest_stands_for(edit: tuple[list[Node], list[Node]], again: bool) -> None:
    """Saved and read, the steps give the same digest; and once they are done, it is stale."""
    before, after = edit
    with tempfile.TemporaryDirectory() as folder:
        project = Simulator(Path(folder))
        project.apply(*resources(before))
        made = project.plan(*resources(after), replaced=("train.s0",) if again else ())
        saved = json.loads(json.dumps(plan_json(made)))
        assert read_digest(saved) == saved["plan_digest"] == digest(made)
        asked = read_selection(saved["selection"])
        assert project.plan(*resources(after), **asked._asdict()) == made
        project.apply(*resources(after), **asked._asdict())
        now = project.plan(*resources(after), **asked._asdict())
        assert (digest(now) == saved["plan_digest"]) == (pending(made) == ()), "it is applied once"


class Restless(Simulator):
    """A world that changes while an apply runs: somebody edits files, a merge brings results, a result is withdrawn."""

    def __init__(self, folder: Path, edits: Mapping[int, Sequence[tuple[str, int]]]):
        super().__init__(folder)
        self.edits = edits
        self.begun = 0

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        for kind, number in self.edits.get(self.begun, ()):
            getattr(self, f"_{kind}")(f"s{number}", f"{self.begun:040x}")
        self.begun += 1
        return super().context(address, inputs)

    def _file(self, name: str, oid: str) -> None:
        self.files[name] = TreeFile("100644", oid)

    def _vanish(self, name: str, oid: str) -> None:
        """As where the trail of this clone is replaced by another one's."""
        gone = f"train.{name}"
        self.entries = [entry._replace(kind="gone") if entry.address == gone else entry for entry in self.entries]

    def _lose(self, name: str, oid: str) -> None:
        for entry in self.entries:
            if entry.address == f"train.{name}":
                self.bytes_here -= set(entry.outputs.values())

    def _withdraw(self, name: str, oid: str) -> None:
        roots = [f"entry:{entry.id}" for entry in self.entries if entry.address == f"train.{name}"]
        facts = {"roots": roots, "reason": "of a sudden"}
        seq = len(self.entries) + 1
        self.entries.append(Entry(f"{oid}{name}", seq, (), "2026-01-02T00:00:00Z", "grace", "withdraw", facts=facts))


_EDITS = st.dictionaries(
    st.integers(0, 8),
    st.lists(st.tuples(st.sampled_from(["file", "vanish", "lose", "withdraw"]), st.integers(0, 7)), max_size=2),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(edited(), _EDITS, st.integers(1, 3))
def test_apply_does_nothing_that_the_plan_did_not_show(
    edit: tuple[list[Node], list[Node]], edits: Mapping[int, Sequence[tuple[str, int]]], jobs: int
) -> None:
    """Whatever changes meanwhile: less is done, or the same, and never another thing under the name of what was shown."""
    before, after = ([_with_file(want) for want in resources(nodes)] for nodes in edit)
    with tempfile.TemporaryDirectory() as folder:
        project = Restless(Path(folder), {})
        for number in range(8):
            project.files[f"s{number}"] = TreeFile("100644", "f" * 40)
        project.apply(*before)
        made = project.plan(*after)
        project.edits, project.begun, known = edits, 0, {entry.id for entry in project.entries}
        events = list(Walk(made, after, project, jobs=jobs))
        shown = {str(step.address): step for step in made.steps}
        may = {str(step.address) for step in pending(made)}
        done = [event for event in events if event.event == "done"]
        assert {event.address for event in done} <= may
        assert len({event.address for event in done}) == len(done), "nothing is done twice"
        results = {
            entry.id: entry for entry in project.entries if entry.kind in ("result", "gone") and entry.id not in known
        }
        for event in done:
            planned = shown[event.address].made_from
            if event.entry in results:
                assert planned is None or results[event.entry].made_from == planned
        assert {entry.address for entry in results.values()} <= may, "and nothing is recorded besides"


def _with_file(want: Resource) -> Resource:
    return want._replace(spec=replace(want.spec, file=want.address.name))
