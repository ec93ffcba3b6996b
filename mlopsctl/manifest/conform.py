"""Turns YAML values into Spec dataclasses, by the types and the metadata of their fields.

Understood are str, int, float, bool, None, Literal, unions, ``tuple[X, ...]``, ``Mapping[str, X]``, dataclasses and Any.
What JSON Schema can say about a value is said in ``schema.py`` in the same terms; tests hold the two together.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from .findings import Findings, did_you_mean
from .yaml_positions import Node, Place

Strange: TypeAlias = Callable[[str], tuple[str, str, str] | None]
"""Answers (code, message, hint) for an unknown key (dotted where it is nested) or word (``key=word``), or None."""

DURATION = r"^((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(ms|s|m|h|d|w|mo|y)$"
SIZE = r"^((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(B|KiB|MiB|GiB|TiB)$"
FREQUENCY = r"^((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(Hz|kHz|MHz|GHz)$"
PATTERNS: Mapping[str, str] = {"duration": DURATION, "size": SIZE, "frequency": FREQUENCY}
EXAMPLES: Mapping[str, str] = {
    "duration": "30s, 10m, 2h or 1d",
    "size": "512KiB, 20MiB or 4GiB",
    "frequency": "32kHz, 50MHz or 1GHz",
}

_UNITS: Mapping[str, float] = {
    "ms": 0.001,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "mo": 30 * 86400,
    "y": 365 * 86400,
    "Hz": 1,
    "kHz": 10**3,
    "MHz": 10**6,
    "GHz": 10**9,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_BAD: Any = object()

MAPPINGS = (dict, Mapping)
"""The origins that a mapping with text keys is written as."""


def key_of(item: dataclasses.Field[Any]) -> str:
    """The manifest key of a Spec field: its name, without the underscore that keeps it off Python's keywords."""
    return item.name.rstrip("_")


def spec_fields(spec: type) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a Spec that a manifest can set."""
    return (item for item in dataclasses.fields(spec) if item.init)


@cache
def fields_of(spec: type) -> Mapping[str, dataclasses.Field[Any]]:
    """The same by manifest key, found out once for all entries."""
    return {key_of(item): item for item in spec_fields(spec)}


@cache
def type_of(spec: type, name: str) -> Any:
    """The resolved type of one field; one field alone, because resolving all of them is felt at start-up."""
    for owner in spec.__mro__:
        text = vars(owner).get("__annotations__", {}).get(name)
        if text is not None:
            holder = SimpleNamespace(__annotations__={name: text})
            return get_type_hints(holder, vars(sys.modules[owner.__module__]))[name]
    raise KeyError(name)


def required(item: dataclasses.Field[Any]) -> bool:
    """Whether the manifest must set the field."""
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def quantity(text: str, kind: str) -> float | int | None:
    """Seconds of a duration, bytes of a size or hertz of a frequency, with their unit written out; None where the text is neither."""
    found = re.fullmatch(PATTERNS[kind], text)
    if found is None:
        return None
    number = float(found[1]) * _UNITS[found[2]]
    return int(number) if number.is_integer() else number


def conform(
    node: Node, spec: type, findings: Findings, strange: Strange = lambda key: None, at: Place | None = None
) -> Any:
    """An instance of ``spec`` made of a YAML mapping, or None where something was wrong (see ``findings``).

    ``at`` is the place to name when a key is missing, for example that of the entry's name.
    """
    value = _Conform(findings, strange).dataclass(node, spec, "", at or node.at)
    return None if value is _BAD else value


class _Conform:
    def __init__(self, findings: Findings, strange: Strange) -> None:
        self._findings = findings
        self._strange = strange

    def dataclass(self, node: Node, spec: type, path: str, at: Place) -> Any:
        if node.value is not None and not isinstance(node.value, dict):
            return self._wrong(node, path, "a mapping of keys")
        items: dict[str, Node] = node.value or {}
        fields = fields_of(spec)
        given: dict[str, Any] = {}
        for key, child in items.items():
            inner = f"{path}.{key}" if path else key
            if key not in fields:
                self._unknown(key, inner, node.keys[key], fields)
                given[key] = _BAD
                continue
            item = fields[key]
            given[item.name] = self.value(child, type_of(spec, item.name), inner, item.metadata)
        for key, item in fields.items():
            if required(item) and key not in items:
                hint = f"add '{key}:' — {item.metadata['doc']}" if item.metadata.get("doc") else ""
                self._findings.add("MLO3015", f"the key '{key}' is missing{_inside(path)}", at, hint=hint)
                given[item.name] = _BAD
        if any(value is _BAD for value in given.values()):
            return _BAD
        return spec(**given)

    def _unknown(self, key: str, path: str, at: Place, known: Mapping[str, Any]) -> None:
        answer = self._strange(path)
        if answer is None:
            inside = path.rpartition(".")[0]
            answer = ("MLO3013", f"unknown key '{key}'{_inside(inside)}", did_you_mean(key, known))
        code, message, hint = answer
        self._findings.add(code, message, at, hint=hint)

    def value(self, node: Node, kind: Any, path: str, rules: Mapping[str, Any]) -> Any:
        """``node`` as a value of the type ``kind``; _BAD, and a finding, where it is none."""
        members = union_members(kind)
        if node.value is None and NoneType in members:
            return None
        measure = rules.get("quantity")
        if measure:
            return self._quantity(node, measure, path, float in members)
        fitting = [member for member in members if _fits(node, member)]
        if not fitting:
            wanted = " or ".join(describe(member) for member in members if member is not NoneType)
            return self._wrong(node, path, wanted, next((kind for kind in members if _form(kind)[1]), None))
        chosen = _closest(node, fitting)
        origin, is_dataclass = _form(chosen)
        if is_dataclass:
            return self.dataclass(node, chosen, path, node.at)
        if origin is tuple:
            return self._tuple(node, get_args(chosen)[0], path, rules)
        if origin in MAPPINGS:
            return self._mapping(node, get_args(chosen)[1], path, rules)
        if origin is Literal:
            return self._literal(node, fitting, path)
        if chosen is Any:
            return node.plain()
        return self._bounded(node, chosen, path, rules)

    def _tuple(self, node: Node, kind: Any, path: str, rules: Mapping[str, Any]) -> Any:
        found = tuple(self.value(item, kind, path, rules) for item in node.value)
        return _BAD if any(item is _BAD for item in found) else found

    def _mapping(self, node: Node, kind: Any, path: str, rules: Mapping[str, Any]) -> Any:
        items = (node.value or {}).items()
        found = {key: self.value(item, kind, f"{path}.{key}", rules) for key, item in items}
        return _BAD if any(item is _BAD for item in found.values()) else found

    def _literal(self, node: Node, members: list[Any], path: str) -> Any:
        words = [word for member in members if get_origin(member) is Literal for word in get_args(member)]
        for word in words:
            if word == node.value and type(word) is type(node.value):
                return word
        if str in members:
            return node.value
        known = [str(word) for word in words]
        answer = self._strange(f"{path}={node.value}")
        if answer is None:
            message = f"'{path}' is '{node.value}', which it cannot be"
            answer = ("MLO3017", message, did_you_mean(str(node.value), known))
        self._findings.add(answer[0], answer[1], node.at, hint=answer[2])
        return _BAD

    def _bounded(self, node: Node, kind: type, path: str, rules: Mapping[str, Any]) -> Any:
        value = node.value
        if kind is float:
            value = float(value)
        if kind is int:
            value = int(value)
        if kind in (int, float):
            problem = out_of_bounds(value, rules)
        else:
            pattern = rules.get("pattern") if kind is str else None
            problem = "" if pattern is None or matches(pattern, value) else f"it must match {pattern}"
        if problem:
            hint = " ".join(filter(None, ("write another value:", rules.get("doc", ""))))
            self._findings.add("MLO3017", f"'{path}' is {node.value}, but {problem}", node.at, hint=hint)
            return _BAD
        return value

    def _quantity(self, node: Node, kind: str, path: str, fractions: bool) -> Any:
        found = quantity(node.value, kind) if isinstance(node.value, str) else None
        if isinstance(found, float) and not fractions:
            whole = {"duration": "seconds", "size": "bytes", "frequency": "hertz"}[kind]
            self._findings.add(
                "MLO3018",
                f"'{path}' must come to whole {whole}, not '{node.value}'",
                node.at,
                hint=f"write {EXAMPLES[kind]}",
            )
            return _BAD
        if found is None:
            message = f"'{path}' needs a {kind} with its unit, not '{_short(node)}'"
            self._findings.add("MLO3018", message, node.at, hint=f"write {EXAMPLES[kind]}")
            return _BAD
        return float(found) if fractions else found

    def _wrong(self, node: Node, path: str, wanted: str, keys_of: type | None = None) -> Any:
        code, hint = "MLO3016", f"write {wanted} here"
        if keys_of is not None:
            key = path.rpartition(".")[2]
            hint = f"write {key}: {{…}} with " + " or ".join(f"{name}:" for name in fields_of(keys_of))
        braces = isinstance(node.value, dict) and node.flow and node.value
        if braces and wanted.startswith("text") and all(item.value is None for item in node.value.values()):
            code, hint = "MLO3005", 'a placeholder in braces needs quotes: "{…}"'
        elif wanted.startswith("text") and node.kind in ("number", "boolean"):
            hint = "put it in quotes"
        what = f"'{path}' must be" if path else "this must be"
        self._findings.add(code, f"{what} {wanted}, not {_article(node)}", node.at, hint=hint)
        return _BAD


@cache
def union_members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, or the one type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@cache
def _form(kind: Any) -> tuple[Any, bool]:
    """The origin of a type, and whether it is a dataclass."""
    return get_origin(kind), dataclasses.is_dataclass(kind)


def _fits(node: Node, kind: Any) -> bool:
    """Whether the YAML type of the node is one that ``kind`` is written as."""
    value = node.value
    if kind is str:
        return isinstance(value, str)
    origin, is_dataclass = _form(kind)
    if kind is Any:
        return True
    if origin is Literal:
        return any(type(word) is type(value) for word in get_args(kind))
    if origin is tuple:
        return isinstance(value, list)
    if is_dataclass or origin is not None:
        return value is None or isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and not isinstance(value, bool)
    return isinstance(value, kind)


def describe(kind: Any) -> str:
    """A type in words for people."""
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(str(word) for word in get_args(kind))
    if origin is tuple:
        return "a list"
    if dataclasses.is_dataclass(kind) or origin is not None:
        return "a mapping of keys"
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a value")


def matches(pattern: str, text: str) -> bool:
    """Whether ``pattern`` is found in the text, as in JSON Schema; ``^…$`` is the whole text, without a last newline."""
    if pattern.startswith("^") and pattern.endswith("$"):
        return re.fullmatch(pattern[1:-1], text) is not None
    return re.search(pattern, text) is not None


def out_of_bounds(value: float, rules: Mapping[str, Any]) -> str:
    """What bound the number breaks, in words; empty where it breaks none."""
    if "minimum" in rules and value < rules["minimum"]:
        return f"the least is {rules['minimum']}"
    if "maximum" in rules and value > rules["maximum"]:
        return f"the most is {rules['maximum']}"
    if "exclusive_minimum" in rules and value <= rules["exclusive_minimum"]:
        return f"it must be more than {rules['exclusive_minimum']}"
    if "exclusive_maximum" in rules and value >= rules["exclusive_maximum"]:
        return f"it must be less than {rules['exclusive_maximum']}"
    return ""


def _closest(node: Node, fitting: list[Any]) -> Any:
    """The member of a union that is meant: of several dataclasses the one that the keys fit best."""
    if len(fitting) == 1:
        return fitting[0]
    keys = set(node.value) if isinstance(node.value, dict) else set()
    choices = [member for member in fitting if dataclasses.is_dataclass(member)]

    def misfit(member: Any) -> tuple[int, int]:
        fields = fields_of(member)
        return len(keys - set(fields)), sum(required(item) and key not in keys for key, item in fields.items())

    return min(choices, key=misfit) if len(choices) > 1 else fitting[0]


def _inside(path: str) -> str:
    return f" in '{path}'" if path else ""


def _short(node: Node) -> str:
    return node.kind if isinstance(node.value, dict | list) else str(node.value)


def _article(node: Node) -> str:
    return "empty" if node.value is None else "text" if node.kind == "text" else f"a {node.kind}"
