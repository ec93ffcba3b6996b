"""``moved:``: resources that have another name now; their results, history and reasons go with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..types import Address, Resource
from .findings import Findings, did_you_mean
from .yaml_positions import Node

EXAMPLE = "write moved: [{from: train.old, to: train.new}]"


def moved(root: Node, resources: Sequence[Resource], findings: Findings) -> Mapping[Address, Address]:
    """New address -> old one. Of a repeated resource every instance is moved with it."""
    block = root.get("moved")
    if block is None or block.value is None:
        return {}
    if not isinstance(block.value, list):
        findings.add("MLO3016", f"'moved' must be a list, not a {block.kind}", block.at, hint=EXAMPLE)
        return {}
    declared = {want.address for want in resources}
    found: dict[Address, Address] = {}
    for item in block.value:
        pair = _pair(item, findings)
        if pair is not None and _fits(*pair, declared, found, item, findings):
            found |= {new: pair[0]._replace(instance=new.instance) for new in _instances(pair[1], declared)}
    return found


def _pair(item: Node, findings: Findings) -> tuple[Address, Address] | None:
    """What one item says, as addresses (from, to)."""
    if not isinstance(item.value, dict) or set(item.value) != {"from", "to"}:
        findings.add("MLO1040", "each item of 'moved' has 'from' and 'to', and nothing else", item.at, hint=EXAMPLE)
        return None
    pair = []
    for key in ("from", "to"):
        node = item.value[key]
        try:
            pair.append(Address.parse(str(node.value)))
        except ValueError as error:
            findings.add("MLO1040", str(error), node.at, hint=EXAMPLE)
            return None
    return pair[0], pair[1]


def _fits(
    old: Address,
    new: Address,
    declared: set[Address],
    found: Mapping[Address, Address],
    item: Node,
    findings: Findings,
) -> bool:
    """Whether this can have happened: one step, from a name that is free now to one that is taken."""
    olds = {one._replace(instance="") for one in found.values()} | set(found.values())
    if old.section != new.section:
        what, hint = f"{old} and {new} are of two sections", "a resource keeps its section: declare a new one instead"
    elif old == new:
        what, hint = f"{old} moves to itself", "take the line out"
    elif old in found or new in olds:
        what, hint = f"{old} → {new} continues another move", "write one line from the oldest name to today's"
    elif old in olds or set(_instances(new, declared)) & set(found):
        what, hint = f"{old} → {new} says again what another line says of one of them", "keep one of the lines"
    elif _instances(old, declared):
        what, hint = f"{old} is still declared", "take its block out, or this line"
    elif not _instances(new, declared):
        what = f"{new} is not declared"
        hint = did_you_mean(str(new), [str(one) for one in declared if one.section == new.section])
    else:
        return True
    findings.add("MLO1041", what, item.at, hint=hint)
    return False


def _instances(address: Address, declared: set[Address]) -> list[Address]:
    """The declared address, or every instance of it where it is repeated."""
    if address in declared or address.instance:
        return [address] if address in declared else []
    return [one for one in declared if one._replace(instance="") == address]
