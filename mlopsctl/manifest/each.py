"""``each:``: one declared resource becomes several instances, before anything else about it is looked at.

It works on the nodes of the document, so that whatever is wrong with an instance is found at its place in the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from ..types import SECTIONS, Address
from .findings import Findings, did_you_mean
from .references import field_nodes, named, place_inside, texts
from .yaml_positions import MAX_BYTES, MAX_NODES, Node, decode, read_yaml

MOST = 1000
"""Instances of one resource."""

MARK = "{each."
_AXIS = r"[a-z][a-z0-9_-]*"
_VALUE = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_LONGEST = 100
"""Letters of an instance: folders and logs are named by addresses."""
_LONGEST_CELL = 131_072

_HERE = r"\{\{|\}\}|\{each\.([^{}]*)\}"
_NAMED = r"\{\{|\}\}|\{(data|train)\.([a-z][a-z0-9_-]*)\}"
_ONE_WORD = r"[A-Za-z0-9._/:@%+=,-]+"

Scalar = str | int | float | bool
Read = Callable[[str, int], bytes]
"""The first bytes of a file of the project, so many of them at most. Raises FileNotFoundError."""


class Instance(NamedTuple):
    """``name`` stands in the address's brackets; ``values`` are what ``{each.x}`` stands for."""

    name: str
    values: Mapping[str, Scalar]


class Family(NamedTuple):
    """All instances of one resource. ``keys`` are the axes whose values name an instance, in their order."""

    keys: tuple[str, ...]
    instances: tuple[Instance, ...]
    named: Mapping[tuple[str, ...], str]
    """The texts of the keys' values -> the instance's name."""

    def pick(self, values: Mapping[str, Scalar]) -> str | None:
        """The instance that stands in step with these values, or None."""
        if not all(key in values for key in self.keys):
            return None
        return self.named.get(tuple(_text(values[key]) for key in self.keys))


Families = Mapping[str, Mapping[str, Family]]
"""Section -> name -> its instances; only what is repeated is in it."""


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- Files --------------------------------------------------------------------------------------------------


def read_files(root: Node, read: Read | None, findings: Findings) -> None:
    """Puts the contents of the files that ``each:`` names into the document, so that they count like the rest of it."""
    for section in SECTIONS:
        block = root.get(section)
        for entry in block.value.values() if block is not None and isinstance(block.value, dict) else ():
            each = entry.get("each")
            if each is None:
                continue
            if isinstance(each.value, str):
                entry.value["each"] = _file(each, "", read, findings)
            elif isinstance(each.value, dict):
                for axis, values in each.value.items():
                    if isinstance(values.value, str):
                        each.value[axis] = _file(values, axis, read, findings)


def _file(named: Node, axis: str, read: Read | None, findings: Findings) -> Node:
    """The values in a file, with the place at which the manifest names it; of a CSV file the column, where one is meant."""
    path: str = named.value
    hint = "name a .yaml, .json or .csv file inside the project: each: clients.csv"
    try:
        if read is None or not path.endswith((".yaml", ".yml", ".json", ".csv")):
            raise FileNotFoundError(path)
        body = read(path, MAX_BYTES + 1)
    except (OSError, ValueError):
        findings.add("MLO1056", f"'each' names '{path}', which is no readable file of values here", named.at, hint=hint)
        return Node([], named.at, named.end)
    source, inside = decode(body, path)
    if not path.endswith(".csv"):
        found = read_yaml(source, inside)
        inside.close()
        return _placed(found, named)
    try:
        rows = _rows(source)
    except ValueError as error:
        findings.add(
            "MLO1056", f"'{path}' is no table: {error}", named.at, hint="export it as plain CSV, with one header"
        )
        return Node([], named.at, named.end)
    if axis and rows and axis not in rows[0]:
        columns = "its columns are " + ", ".join(rows[0])
        findings.add("MLO1056", f"'{path}' has no column '{axis}'", named.at, hint=columns)
        return Node([], named.at, named.end)
    return _node([row[axis] for row in rows] if axis else rows, named)


def _rows(source: str) -> list[dict[str, Scalar]]:
    """The rows of a CSV file. Raises ValueError where it is none."""
    import csv
    import io

    # The limit is one for the whole process, and data is read under a larger one.
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        lines = [line for line in csv.reader(io.StringIO(source, newline=None), strict=True) if line]
    except csv.Error as error:
        raise ValueError(str(error)) from None
    finally:
        csv.field_size_limit(before)
    if not lines:
        return []
    head = [name.strip() for name in lines[0]]
    twice = next((name for name in head if head.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two columns are named '{twice}'")
    return [{name: _cell(cell.strip()) for name, cell in zip(head, line, strict=False)} for line in lines[1:]]


def _cell(text: str) -> Scalar:
    """A number where nothing of its spelling is lost: 007 and 1.10 stay text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and abs(number) < 2**53:
            return number
    return text


def _node(value: Any, at: Node) -> Node:
    if isinstance(value, list):
        return Node([_node(item, at) for item in value], at.at, at.end)
    if isinstance(value, dict):
        keys = dict.fromkeys(value, at.at)
        return Node({key: _node(item, at) for key, item in value.items()}, at.at, at.end, keys)
    return Node(value, at.at, at.end)


def _placed(found: Node, at: Node) -> Node:
    return _node(found.plain(), at)


# --- Instances ----------------------------------------------------------------------------------------------


def family(each: Node, address: Address, size: int, findings: Findings) -> Family | None:
    """The instances that ``each:`` asks for; None, and findings, where it makes no sense. ``size`` counts the entry's values."""
    before = len(findings)
    if isinstance(each.value, dict) and each.value:
        keys, rows = _product(each, findings)
    elif isinstance(each.value, list) and each.value:
        keys, rows = _table(each, findings)
    else:
        what = f"'{address}' is repeated over nothing"
        findings.add("MLO1051", what, each.at, hint="write each: {region: [eu, us]}, or name a file: each: clients.csv")
        return None
    if len(findings) > before:
        return None
    if len(rows) > MOST or len(rows) * size > MAX_NODES:
        message = f"'{address}' would become {len(rows):,} instances"
        findings.add("MLO1054", message, each.at, hint=f"the most are {MOST:,}; split it over several resources")
        return None
    found = [Instance(",".join(_text(row[key]) for key in keys), row) for row in rows]
    _check_names(keys, found, address, each, findings)
    named = {tuple(_text(row[key]) for key in keys): one.name for one, row in zip(found, rows, strict=True)}
    return Family(keys, tuple(found), named) if len(findings) == before else None


def _product(each: Node, findings: Findings) -> tuple[tuple[str, ...], list[dict[str, Scalar]]]:
    """Every combination of the axes' values, the last axis running fastest."""
    axes: dict[str, list[Scalar]] = {}
    for axis, node in each.value.items():
        _check_axis(axis, each, findings)
        if not isinstance(node.value, list) or not node.value:
            message = f"'each.{axis}' must be a list of values, not {_what(node)}"
            findings.add("MLO1051", message, node.at, hint=f"write each: {{{axis}: [eu, us]}}, or name a file")
            continue
        axes[axis] = [_scalar(item, axis, findings) for item in node.value]
    count = 1
    for values in axes.values():
        count *= len(values)
    if count > MAX_NODES:
        findings.add("MLO1054", f"these axes make {count:,} combinations", each.at, hint=f"the most are {MOST:,}")
        return tuple(axes), []
    return tuple(axes), [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _table(each: Node, findings: Findings) -> tuple[tuple[str, ...], list[dict[str, Scalar]]]:
    """One instance a row; the first key names it, so that its address stays when the others change."""
    first = next((item for item in each.value if isinstance(item.value, dict) and item.value), None)
    wanted = tuple(first.value) if first is not None else ()
    rows = []
    for item in each.value:
        if not isinstance(item.value, dict) or not wanted or set(item.value) != set(wanted):
            hint = "write rows with the same keys, the first of which names the instance: [{client: acme, port: 8081}]"
            keys = f" with {', '.join(wanted)}" if wanted else ""
            findings.add("MLO1051", f"every item of 'each' is a row{keys}; this is {_what(item)}", item.at, hint=hint)
            continue
        rows.append({key: _scalar(item.value[key], key, findings) for key in wanted})
    for axis in wanted:
        _check_axis(axis, each, findings)
    return wanted[:1], rows


def _what(node: Node) -> str:
    if isinstance(node.value, dict):
        return "one with " + ", ".join(node.value) if node.value else "an empty mapping"
    return "an empty list" if node.value == [] else "empty" if node.value is None else f"a {node.kind}"


def _check_axis(axis: str, each: Node, findings: Findings) -> None:
    if not re.fullmatch(_AXIS, axis):
        hint = "use lower-case letters, digits, '-' and '_', beginning with a letter"
        findings.add("MLO1051", f"'{axis}' is no name for an axis of 'each'", each.keys.get(axis, each.at), hint=hint)


def _scalar(node: Node, axis: str, findings: Findings) -> Scalar:
    if isinstance(node.value, str | int | float):
        return node.value
    hint = "for several values an instance write rows: each: [{client: acme, port: 8081}]"
    findings.add("MLO1051", f"a value of 'each.{axis}' must be text or a number, not {_what(node)}", node.at, hint=hint)
    return ""


def _check_names(
    keys: Sequence[str], found: Sequence[Instance], address: Address, each: Node, findings: Findings
) -> None:
    known: dict[str, str] = {}
    for one in found:
        if not all(re.fullmatch(_VALUE, _text(one.values[key])) for key in keys) or len(one.name) > _LONGEST:
            hint = f"use letters, digits, '.', '_' and '-', at most {_LONGEST} in all; other values go into a row's later keys"
            findings.add("MLO1055", f"'{one.name}' cannot name an instance of '{address}'", each.at, hint=hint)
        elif one.name.lower() in known:
            other = known[one.name.lower()]
            message = f"'{address}' has the instance '{one.name}' twice"
            if other != one.name:
                message = f"the instances '{other}' and '{one.name}' of '{address}' differ in case only"
            findings.add("MLO1053", message, each.at, hint="each instance needs a name of its own")
        known.setdefault(one.name.lower(), one.name)


# --- Values and references ----------------------------------------------------------------------------------


def filled(node: Node, spec: type, values: Mapping[str, Scalar], findings: Findings) -> Node:
    """A copy of an entry with ``{each.x}`` replaced; a text that is nothing but one takes the value's own type."""
    commands = {id(child) for item, child in field_nodes(spec, node) if item.metadata.get("placeholders")}
    return _filled(node, values, findings, command=False, commands=commands)


def _filled(
    node: Node, values: Mapping[str, Scalar], findings: Findings, *, command: bool, commands: Collection[int]
) -> Node:
    command = command or id(node) in commands
    value = node.value
    if isinstance(value, dict):
        value = {k: _filled(v, values, findings, command=command, commands=commands) for k, v in value.items()}
    elif isinstance(value, list):
        value = [_filled(item, values, findings, command=command, commands=commands) for item in value]
    elif isinstance(value, str) and MARK in value:
        value = _replaced(node, values, findings, command=command)
    return Node(value, node.at, node.end, node.keys, flow=node.flow, quoted=node.quoted, size=node.size)


def _replaced(node: Node, values: Mapping[str, Scalar], findings: Findings, *, command: bool) -> Scalar:
    text: str = node.value
    for match in _marks(text):
        at = place_inside(node, match.start())
        if match[1] not in values:
            hint = did_you_mean(match[1], values) if values else "give the resource each: {NAME: [values]}"
            findings.add("MLO1050", f"'{match[0]}' stands for nothing here", at, hint=hint)
            return text
        if command and not re.fullmatch(_ONE_WORD, _text(values[match[1]])):
            hint = f'hand it over as a parameter: params: {{{match[1]}: "{match[0]}"}} and {{params.{match[1]}}}'
            message = f"'{_text(values[match[1]])}' cannot stand in a command: it may not be one word"
            findings.add("MLO1058", message, at, hint=hint)
            return text
    whole = re.fullmatch(r"\{each\.([^{}]*)\}", text)
    if whole and not command:
        return values[whole[1]]
    return re.sub(_HERE, lambda found: found[0] if found[1] is None else _text(values[found[1]]), text)


def _marks(text: str) -> Iterator[re.Match[str]]:
    return (match for match in re.finditer(_HERE, text) if match[1] is not None)


def refuse_marks(node: Node, findings: Findings) -> None:
    """Finds ``{each.x}`` in a resource that is not repeated."""
    for text in texts(node):
        if MARK in text.value:
            _replaced(text, {}, findings, command=False)


def bind(
    spec: type, node: Node, address: Address, values: Mapping[str, Scalar], families: Families, findings: Findings
) -> None:
    """Gives every bare reference to a repeated resource the instance that is in step with this one's values."""
    for _, section, text in named(spec, node):
        if text.value in families.get(section, {}):
            picked = _picked(section, text.value, address, values, families, text, findings)
            text.value = picked or text.value
    for item, child in field_nodes(spec, node):
        for text in texts(child) if item.metadata.get("placeholders") else ():
            replaced = partial(_in_text, address=address, values=values, families=families, at=text, findings=findings)
            text.value = re.sub(_NAMED, replaced, text.value)


def _in_text(
    match: re.Match[str],
    address: Address,
    values: Mapping[str, Scalar],
    families: Families,
    at: Node,
    findings: Findings,
) -> str:
    section, name = match[1] or "", match[2] or ""
    if name not in families.get(section, {}):
        return match[0]
    picked = _picked(section, name, address, values, families, at, findings)
    return f"{{{section}.{picked}}}" if picked else match[0]


def _picked(
    section: str,
    name: str,
    address: Address,
    values: Mapping[str, Scalar],
    families: Families,
    at: Node,
    findings: Findings,
) -> str:
    """``name[instance]``, or "" and a finding that lists the instances."""
    whole = families[section][name]
    instance = whole.pick(values)
    if instance is not None:
        return f"{name}[{instance}]"
    findings.add("MLO1057", f"{address} names {section}.{name}, which is repeated", at.at, hint=choices(name, whole))
    return ""


def choices(name: str, whole: Family) -> str:
    """How to name one instance, and which there are."""
    names = [f"{name}[{one.name}]" for one in whole.instances]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    keys = ", ".join(whole.keys)
    return f'name one in quotes ("{names[0]}") or repeat this over {keys} too; there are {", ".join(names[:10])}{more}'
