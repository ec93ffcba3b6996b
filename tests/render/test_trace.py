"""A trace drawn: every box once, no box over another, no arrow through a box, and text that cannot break out."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from typing import Any
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.audit.trace import Node
from mlopsctl.render.layout import place
from mlopsctl.render.text import printable
from mlopsctl.render.trace import trace_text
from mlopsctl.render.trace_graph import graph, mermaid
from mlopsctl.render.trace_svg import svg
from mlopsctl.types import Digest, Entry

EVIL = ']"--><script>alert(1)</script>\x1b[31m\u202e&#;|`</style>'


def entry(address: str, number: int, **more: Any) -> Entry:
    outputs = {"out": Digest(f"sha256:{number:064x}")}
    given = {"status": "done", "outputs": outputs, "commit": "ab" * 20, **more}
    return Entry(f"{number:064x}", number, (), "2026-11-25T10:00:00Z", "alice", "result", address, **given)


def pipeline() -> Node:
    """data -> train -> target -> deployment; the target also reads the data, and one gate failed."""
    data = Node("data", "sha256:1", entry("data.digits", 1, facts={"rows": {"all": 1797}}))
    train = entry("train.m", 2, ingredients={"spec": {"run": "python train.py", "params": {"lr": {"float": "0.1"}}}})
    gate = entry("gates.accuracy", 3, status="failed", facts={"value": "0.912345678"})
    model = Node("model", "sha256:2", train, (data,), (gate,))
    target = Node(
        "artifact", "sha256:4", entry("targets.cpu", 4), (data, model, Node("extra", "sha256:" + "9" * 64, None))
    )
    return Node("", "", entry("deployments.local", 5), (target,))


def plain(text: str, colour: str) -> str:
    return text


def test_the_text_says_what_an_auditor_asks() -> None:
    text = "\n".join(trace_text(pipeline(), plain))
    for words in ("command: python train.py", "params: lr 0.1", "value 0.912345678", "gates.accuracy  failed",
                  "rows all 1797", "signed by alice at 2026-11-25T10:00:00Z", "commit abababababab",
                  "was made by no valid entry"):  # fmt: skip
        assert words in text
    assert text.count("rows all 1797") == 1 and "as above" in text


def test_every_entry_is_one_box() -> None:
    found = graph(pipeline())
    assert [box.kind for box in found.boxes].count("data") == 1 and len(found.boxes) == 6
    assert {(arrow.label) for arrow in found.arrows} == {"data", "model", "artifact", "measured", "extra"}
    assert "value 0.9123" in next(box for box in found.boxes if box.kind == "gates").lines


def boxes_of(lines: list[str]) -> list[tuple[float, float, float, float]]:
    root = ElementTree.fromstring("\n".join(lines))
    found = []
    for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
        if rect.get("class", "").startswith("box"):
            x, y, width, height = (float(rect.get(name, "0")) for name in ("x", "y", "width", "height"))
            found.append((x, y, x + width, y + height))
    return found


def test_the_picture_is_well_formed_and_no_box_lies_on_another() -> None:
    lines = svg(graph(pipeline()), "a title")
    found = boxes_of(lines)
    assert len(found) == 6
    for (a, b, c, d), (e, f, g, h) in combinations(found, 2):
        assert c <= e or g <= a or d <= f or h <= b
    text = "\n".join(lines)
    assert "prefers-color-scheme:dark" in text and "href" not in text and "url(#to)" in text and "http" in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#to"}


def hostile() -> Node:
    spec = {"spec": {"run": EVIL, "params": {EVIL: EVIL}}}
    return Node(EVIL, "sha256:1", entry("train.m", 1, ingredients=spec, status=EVIL, made_with={EVIL: EVIL}))


def test_hostile_text_stays_text_in_the_picture() -> None:
    text = "\n".join(svg(graph(hostile()), EVIL))
    root = ElementTree.fromstring(text)
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text


def test_hostile_text_stays_text_in_mermaid() -> None:
    lines = mermaid(graph(hostile()))
    label = re.fullmatch(r'  n0\["(.*)"\]:::train', lines[1])
    assert label is not None
    inside = re.sub(r"</?b>|<br/>|#\d+;", "", label[1])
    assert not set(inside) & set('<>"#;`|&\x1b\u202e')


def test_hostile_text_moves_no_cursor() -> None:
    text = "\n".join(trace_text(hostile(), plain))
    assert "\\x1b[31m" in text and "\x1b" not in text and "\u202e" not in text


@given(st.text())
def test_what_is_printable_holds_no_control_characters(text: str) -> None:
    assert all(letter.isprintable() or letter in "\n\t " or letter.isspace() for letter in printable(text))


@given(st.integers(1, 12), st.data())
def test_arrows_go_down_and_through_no_box(count: int, data: st.DataObject) -> None:
    names = [f"n{number}" for number in range(count)]
    pairs = [(a, b) for a, b in combinations(names, 2)]
    arrows = data.draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    sizes = {name: (float(data.draw(st.integers(40, 300))), float(data.draw(st.integers(20, 120)))) for name in names}
    placed = place(sizes, arrows)
    rects = {name: (x, y, x + sizes[name][0], y + sizes[name][1]) for name, (x, y) in placed.boxes.items()}
    for (a, b, c, d), (e, f, g, h) in combinations(rects.values(), 2):
        assert c <= e or g <= a or d <= f or h <= b
    for (source, target), points in zip(arrows, placed.arrows, strict=True):
        assert points[0][1] == rects[source][3] and points[-1][1] == rects[target][1]
        assert all(one[1] <= two[1] for one, two in pairwise(points))
        for x, y in points[1:-1]:
            assert not any(a < x < c and b < y < d for a, b, c, d in rects.values())
    assert all(a >= 0 and c <= placed.width + 0.01 and d <= placed.height + 0.01 for a, _, c, d in rects.values())
