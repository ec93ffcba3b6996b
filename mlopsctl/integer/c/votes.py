"""Trees in C: their nodes as tables, and the loop that walks them."""

from __future__ import annotations

from ..graph import Trees
from .tables import smallest, table


def tables(op: Trees, ranks: str) -> list[str]:
    """Tables and the function ``votes`` of the only trees of a model; ``ranks`` is the C type of what they ask."""
    columns = {
        "feature": op.feature,
        "threshold": op.threshold,
        "left": op.left,
        "right": op.right,
        "root": op.roots,
        "vote_class": op.vote_class,
        "vote_value": op.vote_value,
        "base": op.base,
    }
    lines = []
    for name, array in columns.items():
        numbers = array.tolist()
        # Votes are added to int32_t whatever they are kept in.
        lines += [*table(smallest(numbers), f"tree_{name}", numbers), ""]
    return [*lines, *_WALK.format(ranks=ranks, classes=len(op.base), trees=len(op.roots)).splitlines(), ""]


_WALK = """\
/* Each tree is walked from its root; at the leaf its votes are added. */
static void votes(const {ranks} *x, int32_t *y)
{{
    for (int i = 0; i < {classes}; i++)
        y[i] = tree_base[i];
    for (int t = 0; t < {trees}; t++) {{
        int32_t at = tree_root[t];
        while (tree_feature[at] >= 0)
            at = x[tree_feature[at]] <= tree_threshold[at] ? tree_left[at] : tree_right[at];
        for (int32_t v = tree_left[at]; v < (int32_t)tree_right[at]; v++)
            y[tree_vote_class[v]] += tree_vote_value[v];
    }}
}}
"""
