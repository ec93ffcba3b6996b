"""The ratchet: which controls guard a deployment, and what of them another manifest would loosen. Pure.

A control is a policy field, everything that a gate measures by, and what a field's ``looser`` names as one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .canonical import plain
from .provider import declared_fields
from .registry import provider
from .types import GUARD, Address, Json, Need, Resource

VERSION = 1
NOTHING_MOVED: Mapping[str, str] = {}
Controls = Mapping[str, Json]
"""``{"version", "deployment", "guards": [ADDRESS], "of": {ADDRESS: {"provider", "needs"?, "fields"}}}``, defaults left out."""


def controls(want: Resource, resources: Sequence[Resource]) -> Controls:
    """The controls of one deployment: its own, those of its gates, and those of everything that it is made from."""
    declared = {one.address: one for one in resources}
    behind: dict[Address, Resource] = {}
    waiting = [want]
    while waiting:
        one = waiting.pop()
        # What comes first has controls of its own, which its own people govern.
        if one.address not in behind and (one is want or one.address.section != "deployments"):
            behind[one.address] = one
            waiting += [declared[need.address] for need in one.needs if need.address in declared]
    return {
        "version": VERSION,
        "deployment": str(want.address),
        "guards": sorted(str(need.address) for need in want.needs if need.role == GUARD and _is_gate(need)),
        "of": {str(address): _controls_of(one) for address, one in sorted(behind.items())},
    }


def _is_gate(need: Need) -> bool:
    """Whether a guard is no deployment that comes first: that one is compared as the key ``after``."""
    return need.address.section == "gates"


def _controls_of(one: Resource) -> Json:
    names = {item.name.rstrip("_") for item in control_fields(type(one.spec), one.address.section)}
    fields = {name: value for name, value in declared_fields(one.spec).items() if name in names}
    found: dict[str, Json] = {"provider": one.provider, "fields": fields}
    if one.address.section == "gates":
        found["needs"] = [[need.role, str(need.address), need.output] for need in one.needs]
    return found


def control_fields(spec: type, section: str) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a Spec that are controls; how a gate measures is one, because what it says rests on it."""
    for item in dataclasses.fields(spec):
        kind = item.metadata.get("kind")
        if kind == "policy" or "looser" in item.metadata or (section == "gates" and kind == "result"):
            yield item


def as_in_force(found: Controls, address: str, today: Resource | None) -> Resource | None:
    """A resource with the controls that these give it, whatever the manifest says now; None where they give it none.

    What is no control is as it is ``today``, or empty: no judgement rests on it.
    """
    kept = found["of"].get(address)
    if kept is None:
        return None
    spec, where = provider(kept["provider"]).Spec, Address.parse(address)
    names = {item.name for item in control_fields(spec, where.section)}
    same = today.spec if today is not None and today.provider == kept["provider"] else None
    values = {}
    for item in dataclasses.fields(spec):
        key = item.name.rstrip("_")
        if item.name in names and key in kept["fields"]:
            values[item.name] = _read_value(item, kept["fields"][key])
        elif item.name not in names and same is not None:
            values[item.name] = getattr(same, item.name)
        elif item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING:
            values[item.name] = ""
    return Resource(where, kept["provider"], spec(**values), today.needs if today is not None else ())


def _read_value(item: dataclasses.Field[Any], said: Json) -> Any:
    """What ``plain`` was given."""
    inner = item.metadata.get("looser")
    value = _unplain(said)
    if isinstance(inner, type) and isinstance(value, dict):
        return inner(
            **{one.name: value[key] for one in dataclasses.fields(inner) if (key := one.name.rstrip("_")) in value}
        )
    return value


def _unplain(said: Json) -> Any:
    if isinstance(said, list):
        return tuple(_unplain(item) for item in said)
    if isinstance(said, dict):
        return float(said["float"]) if set(said) == {"float"} else {key: _unplain(item) for key, item in said.items()}
    return said


def deployment_fields(found: Controls | None) -> Mapping[str, Json]:
    """The deployment's own controls among these."""
    own: Mapping[str, Json] = found["of"].get(found["deployment"], {}).get("fields", {}) if found else {}
    return own


def weakenings(old: Controls, new: Controls, names: Mapping[str, str] = NOTHING_MOVED) -> tuple[str, ...]:
    """One line for each control of ``old`` that ``new`` loosens; what it cannot compare counts as loosened.

    ``names`` are addresses of ``old``, and what ``moved:`` calls them now.
    """
    moved = _renamed(old, new, names)
    lines = [
        f"{gate} no longer guards {new['deployment']}"
        for gate in old["guards"]
        if moved.get(gate, gate) not in new["guards"]
    ]
    for address, before in old["of"].items():
        after = new["of"].get(moved.get(address, address))
        if after is not None:
            lines += _weaker(moved.get(address, address), _with_names(before, names), after)
        elif address not in old["guards"] and (before["fields"] or address.startswith("targets.")):
            lines.append(f"{address} is gone, and with it what it was held to")
    return tuple(dict.fromkeys(lines))


def _renamed(old: Controls, new: Controls, names: Mapping[str, str]) -> dict[str, str]:
    """What has another name now: what ``moved:`` says, gates that measure the same by the same settings, and of each other
    section the one resource that went where one came. Their controls are compared."""
    found = {one: now for one, now in names.items() if one in old["of"] and one not in new["of"] and now in new["of"]}
    gone = [gate for gate in old["guards"] if gate not in new["guards"] and gate not in found]
    fresh = [gate for gate in new["guards"] if gate not in old["guards"] and gate not in found.values()]
    for gate in gone:
        before = _measures(_with_names(old["of"][gate], names))
        same = [one for one in fresh if _measures(new["of"][one]) == before]
        if same:
            found[gate] = same[0]
            fresh.remove(same[0])
    for section in ("data.", "train.", "targets.", "deployments."):
        gone = [one for one in old["of"] if one.startswith(section) and one not in new["of"] and one not in found]
        fresh = [one for one in new["of"] if one.startswith(section) and one not in {*old["of"], *found.values()}]
        if len(gone) == len(fresh) == 1:
            found[gone[0]] = fresh[0]
    return found


def _with_names(one: Json, names: Mapping[str, str]) -> Json:
    """The controls of one resource with what a gate measures, and what a deployment comes after, as that is called now."""
    after = one["fields"].get("after")
    if names and isinstance(after, dict):
        now = names.get(f"deployments.{after.get('deployment')}", "").partition(".")[2]
        one = {**one, "fields": {**one["fields"], "after": {**after, "deployment": now or after.get("deployment")}}}
    if not names or "needs" not in one:
        return one
    needs = [[role, names.get(address, address), output] for role, address, output in one["needs"]]
    return {**one, "needs": needs}


def _measures(gate: Json) -> Json:
    """What a gate measures, whatever its bars."""
    policies = {i.name for i in dataclasses.fields(provider(gate["provider"]).Spec) if i.metadata["kind"] == "policy"}
    fields = {name: value for name, value in gate["fields"].items() if name not in policies}
    return [gate["provider"], gate.get("needs"), fields]


def _weaker(address: str, before: Json, after: Json) -> Iterator[str]:
    if before["provider"] != after["provider"]:
        yield f"{address} is checked by {after['provider']} and no longer by {before['provider']}"
        return
    spec = provider(after["provider"]).Spec
    for item in control_fields(spec, address.partition(".")[0]):
        yield from _looser(f"{address} {item.name.rstrip('_')}", item, before["fields"], after["fields"])
    if before.get("needs") != after.get("needs"):
        yield f"{address} measures {_read(after.get('needs'))} and no longer {_read(before.get('needs'))}"


def _read(needs: Json) -> str:
    return " on ".join(f"{address} {output}".strip() for _, address, output in needs or ())


def _looser(
    what: str, item: dataclasses.Field[Any], before: Mapping[str, Json], after: Mapping[str, Json]
) -> Iterator[str]:
    name = item.name.rstrip("_")
    default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
    usual = None if default is dataclasses.MISSING else plain(default)
    old, new = before.get(name, usual), after.get(name, usual)
    if old == new:
        return
    inner = item.metadata.get("looser")
    if isinstance(inner, type) and isinstance(old, dict) and isinstance(new, dict):
        for one in dataclasses.fields(inner):
            yield from _looser(f"{what} {one.name.rstrip('_')}", one, old, new)
    elif isinstance(inner, type):
        yield from [f"{what} is switched off"] if new is None else []
    elif is_looser(inner, old, new):
        yield f"{what} {_shown(old)} -> {_shown(new)}"


def is_looser(direction: Any, old: Json, new: Json) -> bool:
    """Whether a change loosens a control; without a direction every change does.

    ``lower`` and ``higher`` are numbers, None the loosest; ``others`` is a list that admits, the empty one everybody;
    ``named`` is a name that may be added, and neither be changed nor go;
    ``added`` and ``removed`` are lists of exceptions and of duties; a tuple holds words from the strictest on.
    """
    if direction in ("lower", "higher") and old is not None and new is not None:
        before, after = _number(old), _number(new)
        return after < before if direction == "lower" else after > before
    if direction in ("lower", "higher"):
        return new is None
    if direction == "named":
        return bool(old)
    if direction == "others":
        return bool(old) and (not new or not set(new) <= set(old))
    if direction == "added":
        return not set(new or ()) <= set(old or ())
    if direction == "removed":
        return not set(old or ()) <= set(new or ())
    if isinstance(direction, tuple) and old in direction and new in direction:
        return direction.index(new) > direction.index(old)
    return True


def _number(value: Json) -> float:
    return float(value["float"] if isinstance(value, dict) else value)


def _shown(value: Json) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
        return str(value["float"]) if set(value) == {"float"} else inside or "(set)"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return "(none)" if value in (None, "") else str(value)
