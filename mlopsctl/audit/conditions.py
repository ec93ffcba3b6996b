"""Conditions on runs, such as ``params.lr<0.01``: read by a pattern, never evaluated as code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

from ..errors import UsageError
from ..types import Json
from .runs import Data, Run, figure

_CONDITION = re.compile(r"\s*(?P<field>[A-Za-z_][\w.\-]*(?:\[[\w.,\-]+\])?)\s*(?P<operator>!=|<=|>=|=|<|>|~)(?![=<>~!])(?P<value>.*)", re.DOTALL)  # fmt: skip

PLAIN: Mapping[str, Callable[[Run], Json]] = {
    "address": lambda run: run.entry.address,
    "at": lambda run: run.entry.at,
    "code": lambda run: run.code,
    "commit": lambda run: run.entry.commit,
    "cost": lambda run: run.cost,
    "entry": lambda run: run.entry.id,
    "kind": lambda run: run.entry.facts.get("kind"),
    "message": lambda run: run.entry.facts.get("message"),
    "run": lambda run: run.spec.get("run"),
    "seconds": lambda run: run.seconds,
    "seed": lambda run: run.spec.get("seed", 0),
    "signer": lambda run: run.entry.signer,
    "status": lambda run: run.entry.status,
    "trial": lambda run: run.trial,
}
GROUPS = ("params", "gates", "claimed", "made_with")
_OF_A_GATE = ("status", "n", "lo", "hi")


class Condition(NamedTuple):
    """``field`` is a name of PLAIN, ``data``, or ``GROUP.NAME``."""

    field: str
    operator: str
    value: str

    @property
    def needs_gates(self) -> bool:
        return self.field.startswith("gates.")


def read_condition(text: str) -> Condition:
    """Raises UsageError for another form or an unknown field."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"'{text}' is no condition",
            hint="FIELD OPERATOR VALUE, with one of = != < <= > >= ~: --where 'params.lr<0.01'",
            code="MLO7260",
        )
    return Condition(check_field(match["field"]), match["operator"], match["value"].strip())


def read_setting(text: str) -> Condition:
    """``NAME=VALUE`` of ``runs tried``: a bare name is a parameter. Raises UsageError."""
    match = _CONDITION.fullmatch(text)
    if match is None or match["operator"] != "=":
        raise UsageError(f"'{text}' is no setting", hint="NAME=VALUE: mlopsctl runs tried lr=0.01", code="MLO7261")
    name = match["field"]
    group, dot, _ = name.partition(".")
    known = name == "data" or name in PLAIN or (dot and group in GROUPS)
    return Condition(name if known else f"params.{name}", "=", match["value"].strip())


def check_field(name: str) -> str:
    """The name, where it is one. Raises UsageError."""
    group, dot, rest = name.partition(".")
    if name == "data" or name in PLAIN or (group in GROUPS and dot and rest):
        return name
    raise UsageError(
        f"runs have no field '{name}'",
        hint=f"params.NAME, gates.NAME (also .status, .n, .lo, .hi), claimed.NAME, data, {', '.join(PLAIN)}",
        code="MLO7262",
    )


def value_of(run: Run, name: str, data: Data) -> Json:
    """The field of a run; None where it has none. ``data`` gives all digests and addresses as one list."""
    if name in PLAIN:
        return PLAIN[name](run)
    if name == "data":
        return [text for item in data.of(run) for text in (item["digest"], item["address"]) if text]
    group, _, rest = name.partition(".")
    if group == "gates":
        return _of_gate(run, rest)
    held: Mapping[str, Mapping[str, Json]] = {
        "params": run.params,
        "claimed": run.claimed,
        "made_with": run.entry.made_with,
    }
    return _inside(held[group], rest)


def _inside(values: Mapping[str, Json], name: str) -> Json:
    """``a.b`` is the key ``a.b``, else ``b`` inside ``a``."""
    if name in values:
        return values[name]
    outer, dot, rest = name.partition(".")
    inner = values.get(outer)
    return _inside(inner, rest) if dot and isinstance(inner, dict) else None


def _of_gate(run: Run, name: str) -> Json:
    if name in run.gates:
        return figure(run.gates[name])
    gate, _, part = name.rpartition(".")
    if gate not in run.gates or part not in _OF_A_GATE:
        return None
    found = run.gates[gate]
    if part in ("lo", "hi"):
        ci = found.facts.get("ci")
        return ci[part == "hi"] if isinstance(ci, list) and len(ci) == 2 else None
    return found.status if part == "status" else found.facts.get(part)


def holds(run: Run, condition: Condition, data: Data) -> bool:
    """Whether the run fulfils it. A missing field is unequal to everything, and fulfils nothing else."""
    found = value_of(run, condition.field, data)
    values = found if isinstance(found, list) and condition.field == "data" else [found]
    if condition.operator == "!=":
        return not any(_equal(value, condition.value) for value in values)
    return any(value is not None and _compare(value, condition.operator, condition.value) for value in values)


def _compare(value: Json, operator: str, wanted: str) -> bool:
    if operator == "=":
        return _equal(value, wanted)
    if operator == "~":
        return wanted.casefold() in text_of(value).casefold()
    left, right = number(value), number(wanted)
    if left is None or right is None:
        # Times and names have an order too; a number and a word have none.
        if (left is None) != (right is None):
            return False
        order = (text_of(value) > wanted) - (text_of(value) < wanted)
    else:
        order = (left > right) - (left < right)
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator]


def _equal(value: Json, wanted: str) -> bool:
    if value is None:
        return False
    left, right = number(value), number(wanted)
    if left is not None and right is not None:
        return left == right
    text = text_of(value)
    # Ids and digests are named by how they begin, as they are shown.
    begins = len(wanted) >= 7 and bool(re.fullmatch(r"(?:\w+:)?[0-9a-f]{40,64}", text)) and text.startswith(wanted)
    return text == wanted or begins


def number(value: Json) -> Decimal | None:
    """A number, or text that is one; never infinity or what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return _decimal(str(value).strip())


@lru_cache(maxsize=1024)
def _decimal(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def text_of(value: Json) -> str:
    """A value as it is written in a condition."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sort_key(run: Run, name: str, data: Data) -> tuple[int, Decimal, str]:
    """For the largest first with ``reverse``: numbers, then text; a run without the field comes last."""
    value = value_of(run, name, data)
    if value is None:
        return 0, Decimal(0), ""
    found = number(value)
    return (2, found, "") if found is not None else (1, Decimal(0), text_of(value))


def select(runs: Sequence[Run], conditions: Sequence[Condition], data: Data) -> list[Run]:
    """The runs that fulfil every condition, in their order."""
    return [run for run in runs if all(holds(run, one, data) for one in conditions)]
