"""Trees of ai.onnx.ml: thresholds become ranks, leaves become fixed-point votes.

A feature is asked only whether it is at most one of the thresholds it has in this model. How many of them are smaller than it,
its rank, answers each such question exactly, so trees lose nothing on the way to whole numbers but the last bits of their votes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import onnx_ends
from .graph import Array, Refused, Source, Step, Tail, Tensor, Trees
from .onnx_values import Ended, Raw, Reader, Value, attributes

_POINT = 30
"""Bits behind the point of a vote, at most: as many as leave the sum of all below 2**30."""
_MODES = {
    b"BRANCH_LEQ": (False, False),
    b"BRANCH_LT": (True, False),
    b"BRANCH_GT": (False, True),
    b"BRANCH_GTE": (True, True),
}
"""Whether the threshold itself is outside, and whether the branches change sides."""
_POST: dict[bytes, Tail] = {b"NONE": "none", b"SOFTMAX": "softmax", b"LOGISTIC": "sigmoid"}


def read(reader: Reader, node: Any, given: list[Value]) -> list[Value]:
    """What a node of ai.onnx.ml gives."""
    kind, first = node.op_type, given[0]
    if kind in ("TreeEnsembleClassifier", "TreeEnsembleRegressor"):
        if not isinstance(first, Raw):
            raise Refused("asks something else than the model's input")
        return _trees(reader, node, first)
    if kind == "Scaler" and isinstance(first, Raw):
        known = attributes(node)
        steps = [(op, known[key]) for op, key in (("sub", "offset"), ("mul", "scale")) if key in known]
        return [Raw((*first.steps, *(Step(op, np.array(value, np.float32)) for op, value in steps)), first.shape)]  # type: ignore[arg-type]
    if kind == "ArrayFeatureExtractor":
        return [onnx_ends.labelled(given)]
    if kind == "ZipMap" and isinstance(first, Ended):
        return [first]
    raise Refused(f"operator ai.onnx.ml::{kind} has no form in whole numbers here")


def _trees(reader: Reader, node: Any, first: Raw) -> list[Value]:
    known = attributes(node)
    for name in known:
        if name.endswith("_as_tensor"):
            raise Refused("its numbers are of double precision; export it with float32")
    if any(known.get("nodes_missing_value_tracks_true", ())):
        raise Refused("sends missing values to the branch of yes")
    classifies = node.op_type == "TreeEnsembleClassifier"
    part = "class" if classifies else "target"
    labels = tuple(known.get("classlabels_int64s") or [name.decode() for name in known.get("classlabels_strings", ())])
    ids, weights = (np.array(known[f"{part}_{key}"]) for key in ("ids", "weights"))
    count = len(labels) if classifies else int(known.get("n_targets", 1))
    factor = 1.0
    roots = len(set(known["nodes_treeids"]))
    if known.get("aggregate_function", b"SUM") == b"AVERAGE":
        factor = 1 / roots
    elif known.get("aggregate_function", b"SUM") != b"SUM":
        raise Refused("takes the least or the largest vote of its trees")
    base = np.array(known.get("base_values", [0.0] * count), np.float64)
    tail = _POST.get(known.get("post_transform", b"NONE"))
    if tail is None:
        raise Refused(f"ends in {known['post_transform'].decode()}")
    # One score for two classes: ONNX Runtime's rule depends on whether every vote is positive.
    pair = classifies and count == 2 and len(set(ids.tolist())) == 1
    if pair:
        positive = bool((weights >= 0).all())
        if len(base) > 1 and base.any():
            raise Refused("has base values for two classes and votes for one")
        cut = 0.5 if positive else 0.0
        tail = "complement" if positive else "sigmoid-pair" if tail == "sigmoid" else "sign-pair"
        ids, base = np.ones_like(ids), np.array([cut, base.sum()])
    if len(base) != count or ids.min(initial=0) < 0 or ids.max(initial=0) >= count:
        raise Refused(f"its votes and base values are not those of {count} classes")
    nodes = _Nodes(known, part)
    ranks = nodes.ranks(first.shape or reader.input_shape)
    name = node.output[-1]
    dtype = "uint8" if max((len(column) for column in ranks), default=0) < 256 else "uint16"
    source = Tensor(reader.input, (len(ranks),), dtype, 1.0, 0)  # type: ignore[arg-type]
    if reader.source is not None:
        raise Refused("reads the input beside another node; one group of trees is known")
    reader.source = Source(reader.input, source.name, first.steps, ranks)
    scale, votes, whole_base = _fixed_votes(nodes, weights * factor, base, ids)
    reader.tensors[source.name] = source
    reader.tensors[name] = Tensor(name, (count,), "int32", scale, 0)
    reader.ops.append(nodes.laid_out(reader.node, source.name, name, ranks, ids, votes, whole_base))
    scores = Ended(name, tail)
    return [Ended(name, "argmax", labels), scores] if classifies else [scores]


class _Nodes:
    """The nodes of all trees in the order of the model, found by tree and number."""

    def __init__(self, known: dict[str, Any], part: str) -> None:
        self.place = {
            key: at for at, key in enumerate(zip(known["nodes_treeids"], known["nodes_nodeids"], strict=True))
        }
        self.trees = np.array(known["nodes_treeids"])
        self.feature = np.array(known["nodes_featureids"])
        self.modes = list(known["nodes_modes"])
        self.value = np.array(known["nodes_values"], np.float32)
        self.yes, self.no = (np.array(known[f"nodes_{key}nodeids"]) for key in ("true", "false"))
        # Which leaf a vote belongs to.
        self.leaf = [self._at(*key) for key in zip(known[f"{part}_treeids"], known[f"{part}_nodeids"], strict=True)]
        for at, mode in enumerate(self.modes):
            if mode == b"LEAF":
                continue
            if mode not in _MODES:
                raise Refused(f"branches by {mode.decode()}")
            if _MODES[mode][0]:  # x < t is x <= the number before t
                self.value[at] = np.nextafter(self.value[at], np.float32(-np.inf))
        if np.isnan(self.value).any():
            raise Refused("a threshold is NaN")

    def _at(self, tree: int, number: int) -> int:
        try:
            return self.place[tree, number]
        except KeyError:
            raise Refused(f"tree {tree} has no node {number}") from None

    def ranks(self, shape: tuple[int, ...]) -> tuple[Array, ...]:
        """The thresholds of each feature, ascending."""
        features = int(np.prod(shape))
        inner = np.array([mode != b"LEAF" for mode in self.modes])
        if self.feature[inner].max(initial=-1) >= features or self.feature[inner].min(initial=0) < 0:
            raise Refused(f"asks a feature that the input of {features} does not have")
        return tuple(np.unique(self.value[inner & (self.feature == number)]) for number in range(features))

    def laid_out(
        self, title: str, source: str, output: str, ranks: tuple[Array, ...], ids: Array, votes: Array, base: Array
    ) -> Trees:
        """The same trees in arrays."""
        count = len(self.modes)
        feature, threshold, left, right = (np.zeros(count, np.int32) for _ in range(4))
        order = np.argsort(np.array(self.leaf, np.int64), kind="stable")
        sorted_leaf = np.array(self.leaf, np.int64)[order]
        children: set[int] = set()
        for at, mode in enumerate(self.modes):
            if mode == b"LEAF":
                feature[at] = -1
                left[at], right[at] = (
                    np.searchsorted(sorted_leaf, at, "left"),
                    np.searchsorted(sorted_leaf, at, "right"),
                )
                continue
            feature[at] = self.feature[at]
            threshold[at] = np.searchsorted(ranks[self.feature[at]], self.value[at])
            ways = [self._at(self.trees[at], way[at]) for way in (self.yes, self.no)]
            if children & set(ways) or len(set(ways)) < 2:
                raise Refused(f"node {at} leads to a node that another one leads to: it is no tree")
            children.update(ways)
            left[at], right[at] = ways[::-1] if _MODES[mode][1] else ways
        roots = np.array([at for at in range(count) if at not in children], np.int32)
        if len(roots) != len(set(self.trees.tolist())):
            raise Refused("a tree has not exactly one root")
        return Trees(
            title,
            source,
            output,
            feature,
            threshold,
            left,
            right,
            roots,
            ids[order].astype(np.int32),
            votes[order],
            base,
        )


def _fixed_votes(nodes: _Nodes, weights: Array, base: Array, ids: Array) -> tuple[float, Array, Array]:
    """Votes and base in whole numbers of one scale, so that no sum leaves 2**30."""
    most: dict[tuple[int, int], float] = {}
    leaves: dict[tuple[int, int], float] = {}
    for leaf, number, weight in zip(nodes.leaf, ids.tolist(), weights.tolist(), strict=True):
        leaves[leaf, number] = leaves.get((leaf, number), 0.0) + abs(weight)
    for (leaf, number), weight in leaves.items():
        key = int(nodes.trees[leaf]), number
        most[key] = max(most.get(key, 0.0), weight)
    totals = np.abs(base).astype(np.float64)
    for (_, number), weight in most.items():
        totals[number] += weight
    reach = float(totals.max(initial=0.0))
    if not np.isfinite(reach):
        raise Refused("its votes are not finite")
    point = _POINT - max(int(np.ceil(np.log2(reach))), 0) if reach > 1 else _POINT
    scale = 2.0**-point
    return scale, np.rint(weights / scale).astype(np.int32), np.rint(base / scale).astype(np.int32)
