"""Places boxes by rank: what goes in stands above what is made of it, and no arrow runs through a box.

After Sugiyama, Tagawa and Toda (1981): ranks by longest path, a stand-in wherever an arrow passes a rank, order by
the mean place of the neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

GAP_X, GAP_Y = 28, 64
_STAND_IN = 16
_ROUNDS = 6


class Placed(NamedTuple):
    """Corners of the boxes, the bends of each arrow from source to target, and the size of it all; pixels."""

    boxes: Mapping[str, tuple[float, float]]
    arrows: Sequence[tuple[tuple[float, float], ...]]
    width: float
    height: float


def place(sizes: Mapping[str, tuple[float, float]], arrows: Sequence[tuple[str, str]]) -> Placed:
    """Lays out boxes of these sizes; arrows are pairs of names without a cycle."""
    ranks = _ranks(list(sizes), arrows)
    rows: list[list[str]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for name in sizes:
        rows[ranks[name]].append(name)
    paths = [_path(number, source, target, ranks, rows) for number, (source, target) in enumerate(arrows)]
    links = [pair for path in paths for pair in pairwise(path)]
    _order(rows, links)
    widths = {name: sizes[name][0] if name in sizes else _STAND_IN for row in rows for name in row}
    total = max((sum(widths[name] for name in row) + GAP_X * (len(row) - 1) for row in rows), default=0)
    above: dict[str, list[str]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
    corners: dict[str, tuple[float, float]] = {}
    heights: dict[str, float] = {}
    top = 0.0
    for row in rows:
        height = max((sizes[name][1] for name in row if name in sizes), default=0)
        left = _left(row, above, corners, widths, total)
        for name in row:
            corners[name] = (left, top)
            heights[name] = sizes[name][1] if name in sizes else height
            left += widths[name] + GAP_X
        top += height + GAP_Y
    bends = _bends(paths, corners, widths, heights)
    return Placed({name: corners[name] for name in sizes}, bends, total, top - GAP_Y if rows else 0)


def _ranks(names: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each box from one that nothing goes into."""
    ranks = dict.fromkeys(names, 0)
    for _ in names:
        changed = False
        for source, target in arrows:
            if ranks[target] <= ranks[source]:
                ranks[target], changed = ranks[source] + 1, True
        if not changed:
            break
    return ranks


def _path(number: int, source: str, target: str, ranks: Mapping[str, int], rows: list[list[str]]) -> list[str]:
    """The names that an arrow goes through: stand-ins are added to the rows between."""
    path = [source]
    for rank in range(ranks[source] + 1, ranks[target]):
        path.append(f"\0{number}:{rank}")
        rows[rank].append(path[-1])
    return [*path, target]


def _order(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Sorts each row by the mean place of its neighbours in the row before, down and up again."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    at = {name: place for row in rows for name, place in _places(row).items()}
    for turn in range(_ROUNDS):
        near = below if turn % 2 else above
        for row in reversed(rows) if turn % 2 else rows:
            row.sort(key=lambda name: _mean([at[one] for one in near.get(name, ())], at[name]))
            at.update(_places(row))


def _places(row: Sequence[str]) -> dict[str, float]:
    return {name: (index + 0.5) / len(row) for index, name in enumerate(row)}


def _mean(places: Sequence[float], otherwise: float) -> float:
    return sum(places) / len(places) if places else otherwise


def _left(
    row: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    corners: Mapping[str, tuple[float, float]],
    widths: Mapping[str, float],
    total: float,
) -> float:
    """Where a row begins: with its middle below the middle of what leads to it, as far as there is room."""
    width = sum(widths[name] for name in row) + GAP_X * (len(row) - 1)
    above = [corners[source][0] + widths[source] / 2 for name in row for source in sources.get(name, ())]
    return min(max(_mean(above, total / 2) - width / 2, 0), total - width)


def _bends(
    paths: Sequence[Sequence[str]],
    corners: Mapping[str, tuple[float, float]],
    widths: Mapping[str, float],
    heights: Mapping[str, float],
) -> list[tuple[tuple[float, float], ...]]:
    """The points of each arrow; arrows that share a side of a box are spread along it."""
    leaving: dict[str, list[tuple[float, int]]] = {}
    coming: dict[str, list[tuple[float, int]]] = {}
    for number, path in enumerate(paths):
        leaving.setdefault(path[0], []).append((corners[path[1]][0] + widths[path[1]] / 2, number))
        coming.setdefault(path[-1], []).append((corners[path[-2]][0] + widths[path[-2]] / 2, number))
    found = []
    for number, path in enumerate(paths):
        points = [_port(path[0], number, leaving, corners, widths, heights[path[0]])]
        for name in path[1:-1]:
            x, y = corners[name]
            points += [(x + widths[name] / 2, y), (x + widths[name] / 2, y + heights[name])]
        points.append(_port(path[-1], number, coming, corners, widths, 0))
        found.append(tuple(points))
    return found


def _port(
    name: str,
    number: int,
    sides: Mapping[str, list[tuple[float, int]]],
    corners: Mapping[str, tuple[float, float]],
    widths: Mapping[str, float],
    down: float,
) -> tuple[float, float]:
    order = [one for _, one in sorted(sides[name])]
    x, y = corners[name]
    return x + widths[name] * (order.index(number) + 1) / (len(order) + 1), y + down
