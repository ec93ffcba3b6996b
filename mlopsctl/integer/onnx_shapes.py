"""Shapes without the rows, as Reshape, Flatten, Squeeze and Unsqueeze change them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import Refused, Shape
from .onnx_values import Const, Value, attributes


def axes_of(given: list[Value]) -> tuple[int, ...] | None:
    """The axes that a node's second input names; None where there is none."""
    if len(given) < 2:
        return None
    if not isinstance(given[1], Const):
        raise Refused("its axes are no constants")
    return tuple(int(axis) for axis in given[1].array.ravel())


def new_shape(node: Any, before: Shape, given: list[Value]) -> Shape:
    """The shape, without the rows, that Reshape, Flatten, Squeeze or Unsqueeze gives."""
    size = int(np.prod(before))
    if node.op_type == "Flatten":
        if attributes(node).get("axis", 1) != 1:
            raise Refused("flattens another axis than 1")
        return (size,)
    if node.op_type in ("Squeeze", "Unsqueeze"):
        axes = axes_of(given) or tuple(attributes(node).get("axes", ()))
        return _squeezed(node.op_type, before, axes)
    if len(given) < 2 or not isinstance(given[1], Const):
        raise Refused("its shape is no constant")
    wanted = [int(number) for number in given[1].array.ravel()]
    if len(wanted) < 2 or wanted[0] not in (0, -1, 1):
        raise Refused(f"reshapes to {wanted}; the first axis must stay the rows")
    rest = [before[place] if number == 0 and place < len(before) else number for place, number in enumerate(wanted[1:])]
    if rest.count(-1) == 1 and wanted[0] != -1:
        known = int(np.prod([number for number in rest if number != -1]))
        rest = [size // max(known, 1) if number == -1 else number for number in rest]
    if min(rest) < 1 or int(np.prod(rest)) != size:
        raise Refused(f"reshapes {before} to {wanted}, which are not the same numbers a row")
    return tuple(rest)


def _squeezed(kind: str, before: Shape, axes: tuple[int, ...]) -> Shape:
    whole = [0, *before]  # the rows stand first
    if kind == "Squeeze":
        places = {axis % len(whole) for axis in axes} or {at for at, number in enumerate(whole) if number == 1}
        if 0 in places or any(whole[place] != 1 for place in places):
            raise Refused("squeezes an axis that is not 1")
        return tuple(number for place, number in enumerate(whole) if place not in places)[1:]
    length = len(whole) + len(axes)
    places = {axis % length for axis in axes}
    if 0 in places:
        raise Refused("puts an axis before the rows")
    rest = iter(whole)
    return tuple(1 if place in places else next(rest) for place in range(length))[1:]
