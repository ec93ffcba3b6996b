"""The files of a circuit of trees: one walker, with nodes and votes in memories."""

from __future__ import annotations

from pathlib import Path

from ..graph import Graph, Refused, Trees
from .layout import bits

_HERE = Path(__file__).parent
_MOST = 1 << 20


def tree_files(graph: Graph, op: Trees) -> dict[str, str]:
    """The Verilog and the memories of trees. Raises Refused where they are more than a circuit can address."""
    nodes, votes = len(op.feature), max(len(op.vote_class), 1)
    features, classes = graph.tensors[op.input].size, len(op.base)
    if max(nodes, votes) > _MOST:
        raise Refused(f"its trees have {nodes} nodes and {votes} votes; at most {_MOST} are known")
    rank = 8 if graph.tensors[op.input].dtype == "uint8" else 16
    sizes = {
        "NODES": nodes,
        "VOTES": votes,
        "TREES": len(op.roots),
        "FEATURES": features,
        "CLASSES": classes,
        "RANK": rank,
        "LINK": bits(max(nodes, votes)),
        "FW": bits(features),
        "KW": bits(classes),
        "TW": bits(len(op.roots)),
    }
    link, wide = sizes["LINK"], sizes["FW"]
    sizes["NODE"] = 1 + wide + rank + 2 * link
    sizes["VOTE_BITS"] = sizes["KW"] + 32
    columns = (op.feature, op.threshold, op.left, op.right)
    words = [
        (int(feature < 0) << wide | max(int(feature), 0)) << (rank + 2 * link)
        | int(threshold) << (2 * link)
        | int(left) << link
        | int(right)
        for feature, threshold, left, right in zip(*columns, strict=True)
    ]
    ballots = [int(at) << 32 | int(value) & 0xFFFFFFFF for at, value in zip(op.vote_class, op.vote_value, strict=True)]
    head = [f"    // {len(op.roots)} trees over {features} ranks of {rank} bits, {classes} sums out."]
    return {
        "core.v": (_HERE / "trees.v").read_text(encoding="utf-8"),
        "trees.vh": "\n".join([*head, *(f"    localparam {name} = {value};" for name, value in sizes.items()), ""]),
        "nodes.hex": _hex(words, sizes["NODE"]),
        "votes.hex": _hex(ballots or [0], sizes["VOTE_BITS"]),
        "roots.hex": _hex([int(root) for root in op.roots], link),
        "base.hex": _hex([int(value) & 0xFFFFFFFF for value in op.base], 32),
    }


def _hex(words: list[int], width: int) -> str:
    digits = -(-width // 4)
    return "".join(f"{word:0{digits}x}\n" for word in words)
