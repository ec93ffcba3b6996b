"""The windows of convolutions and pools: their kernel, steps and edges out of ONNX attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .graph import Refused, Shape


class Window(NamedTuple):
    """A window that moves over an image; ``size`` is (height, width) of what comes out."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    groups: int
    size: tuple[int, int]


def convolution_window(known: Mapping[str, Any], image: Shape, weight: Shape) -> Window:
    """The window of a Conv over ``image`` with weights [outputs, channels / groups, height, width]."""
    if len(image) != 3 or len(weight) != 4:
        raise Refused(f"convolves {image} a row by {weight}; images (channels, height, width) are known")
    groups = int(known.get("group", 1))
    if groups < 1 or image[0] != weight[1] * groups or weight[0] % groups:
        raise Refused(f"{image[0]} channels in {groups} groups do not fit weights {weight}")
    return _window(known, image, (weight[2], weight[3]), groups)


def pool_window(known: Mapping[str, Any], image: Shape, whole: bool) -> Window:
    """The window of a pool; ``whole`` is that of a global one."""
    if len(image) != 3:
        raise Refused(f"pools {image} a row; images (channels, height, width) are known")
    if whole:
        return Window((image[1], image[2]), (1, 1), (0, 0, 0, 0), 1, (1, 1))
    kernel = tuple(known.get("kernel_shape", ()))
    if len(kernel) != 2 or known.get("storage_order", 0):
        raise Refused("pools other than over height and width, by rows, are not known")
    return _window(known, image, (int(kernel[0]), int(kernel[1])), 1)


def average_window(
    kind: str, known: Mapping[str, Any], image: Shape, axes: tuple[int, ...] | None
) -> tuple[Window, Shape]:
    """The window of a mean, and the shape a row of what comes out."""
    if kind == "ReduceMean":
        axes = tuple(known.get("axes", ())) if axes is None else axes
        if len(image) != 3 or {axis % 4 for axis in axes} != {2, 3}:
            raise Refused("takes the mean of other axes than height and width")
        keeps = known.get("keepdims", 1)
        return pool_window({}, image, True), (image[0], 1, 1) if keeps else (image[0],)
    window = pool_window(known, image, kind == "GlobalAveragePool")
    if any(window.padding) and not known.get("count_include_pad", 0):
        raise Refused("an average over the edge divides by different counts; count_include_pad: 1 is known")
    return window, (image[0], *window.size)


def _window(known: Mapping[str, Any], image: Shape, kernel: tuple[int, int], groups: int) -> Window:
    if any(int(step) != 1 for step in known.get("dilations", ())):
        raise Refused("dilations other than 1 are not known")
    steps = [int(step) for step in known.get("strides", (1, 1))]
    padding = _padding(known, image[1:], kernel, steps)
    size = []
    for axis in range(2):
        room = image[1 + axis] + padding[axis] + padding[2 + axis] - kernel[axis]
        if room < 0:
            raise Refused(f"its window {kernel} is larger than its image {image[1:]}")
        if known.get("ceil_mode", 0) and room % steps[axis]:
            raise Refused("ceil_mode reaches over the edge; pad explicitly")
        size.append(room // steps[axis] + 1)
    return Window(kernel, (steps[0], steps[1]), padding, groups, (size[0], size[1]))


def _padding(
    known: Mapping[str, Any], image: Shape, kernel: tuple[int, int], steps: list[int]
) -> tuple[int, int, int, int]:
    auto = known.get("auto_pad", b"NOTSET")
    auto = auto.decode() if isinstance(auto, bytes) else auto
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        begin, end = [], []
        for axis in range(2):
            total = max((-(-image[axis] // steps[axis]) - 1) * steps[axis] + kernel[axis] - image[axis], 0)
            small = total // 2
            begin.append(small if auto == "SAME_UPPER" else total - small)
            end.append(total - begin[-1])
        return begin[0], begin[1], end[0], end[1]
    pads = [int(pad) for pad in known.get("pads", (0, 0, 0, 0))] if auto == "NOTSET" else [0, 0, 0, 0]
    if len(pads) != 4 or min(pads) < 0 or max(pads[0], pads[2]) >= kernel[0] or max(pads[1], pads[3]) >= kernel[1]:
        raise Refused(f"its padding {pads} reaches over a whole window {kernel}")
    return pads[0], pads[1], pads[2], pads[3]
