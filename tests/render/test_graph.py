"""Pictures of what depends on what: states are words, big projects stay readable, one resource by itself."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import pytest

from mlopsctl.errors import UsageError
from mlopsctl.render.graph import MOST, WRITERS, grade, part
from mlopsctl.types import GUARD, Address, Need, Resource


def resource(text: str, *needs: str) -> Resource:
    roles = [Need(GUARD if one.startswith("gates") else "data", Address.parse(one)) for one in needs]
    return Resource(Address.parse(text), "x/y", None, tuple(roles))


PIPELINE = (
    resource("data.rows"),
    resource("train.m[eu.west,2]", "data.rows"),
    resource("gates.a", "train.m[eu.west,2]"),
    resource("gates.b", "data.rows"),
    resource("deployments.d", "train.m[eu.west,2]", "gates.a"),
)
STATES = {Address.parse("gates.a"): "failed", Address.parse("data.rows"): "current"}


def fan(many: int, *, instances: bool) -> tuple[Resource, ...]:
    names = [f"train.m[v{n}]" if instances else f"train.m{n}" for n in range(many)]
    return (resource("data.rows"), *(resource(name, "data.rows") for name in names), resource("train.all", *names))


@pytest.mark.parametrize("format", ["text", "dot", "mermaid", "svg"])
def test_a_state_is_a_word_in_every_format(format: str) -> None:
    said = "\n".join(WRITERS[format](PIPELINE, STATES))
    assert "failed" in said and "train.m[eu.west,2]" in said
    assert "failed" not in "\n".join(WRITERS[format](PIPELINE, {}))


def test_each_node_and_edge_of_mermaid_and_dot_is_one_that_was_declared() -> None:
    lines = WRITERS["mermaid"](PIPELINE, STATES)
    names = {match[1] for line in lines if (match := re.match(r'  (n\d+)\["[^"\]]+(\[[^"\]]+\])?"\]', line))}
    edges = [re.fullmatch(r"  (n\d+) -\.?-> (n\d+)", line) for line in lines if "->" in line]
    assert len(names) == 5 and all(edge is not None and {edge[1], edge[2]} <= names for edge in edges)
    assert sum("style=dashed" in line for line in WRITERS["dot"](PIPELINE, {})) == 1
    assert all(line.count('"') % 2 == 0 for line in WRITERS["dot"](PIPELINE, STATES))


def test_json_has_a_state_only_where_there_is_one() -> None:
    (text,) = WRITERS["json"](PIPELINE, STATES)
    assert [node.get("state") for node in json.loads(text)["nodes"]] == ["current", None, "failed", None, None]


def test_one_resource_with_what_it_is_made_from_and_what_is_made_from_it() -> None:
    found = part(PIPELINE, Address.parse("gates.a"))
    assert [str(want.address) for want in found] == ["data.rows", "train.m[eu.west,2]", "gates.a", "deployments.d"]
    for write in WRITERS.values():
        assert "gates.b" not in "\n".join(write(found, {}))


def test_thousands_of_instances_share_a_box_that_counts_their_states() -> None:
    wanted = fan(5000, instances=True)
    states = {want.address: "outdated" if want.address.instance == "v7" else "current" for want in wanted}
    said = "\n".join(WRITERS["svg"](wanted, states))
    assert ElementTree.fromstring(said).tag.endswith("svg")
    assert "train.m × 5,000" in said and "4999 current, 1 outdated" in said and said.count('class="title"') == 3


def test_a_picture_of_too_many_names_says_how_to_draw_a_part_and_other_formats_take_them_all() -> None:
    wanted = fan(MOST + 1, instances=False)
    with pytest.raises(UsageError, match="303 boxes") as refused:
        WRITERS["svg"](wanted, {})
    assert "mlopsctl graph train.all --format svg" in refused.value.hint
    assert len(WRITERS["dot"](wanted, {})) > 2 * MOST
    assert "\n".join(WRITERS["svg"](fan(MOST - 2, instances=False), {})).count('class="title"') == MOST


def test_every_state_has_a_grade() -> None:
    assert [grade(state) for state in ("", "passed", "down", "halted")] == ["", "good", "bad", "unsure"]
