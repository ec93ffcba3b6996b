"""Reads YAML 1.2 (core schema) with the place of every value, from the events of libyaml's parser.

Nothing is constructed but null, bool, int, float, text, lists and mappings with text keys; anchors are counted
before they are expanded, so that a small file cannot become a large document.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from .findings import Findings

MAX_BYTES = 1_000_000
MAX_NODES = 50_000
"""Values after the expansion of aliases."""
MAX_DEPTH = 64

Place: TypeAlias = tuple[int, int]
"""Line and column, counted from 1."""


class Node:
    """A value and its place. ``value`` holds Nodes where it is a list or a mapping.

    A plain class, because making a dataclass is felt at start-up.
    """

    __slots__ = ("at", "end", "flow", "keys", "quoted", "size", "value")

    def __init__(
        self,
        value: Any,
        at: Place,
        end: Place,
        keys: dict[str, Place] | None = None,
        *,
        flow: bool = False,
        quoted: bool = False,
        size: int = 1,
    ) -> None:
        self.value = value
        self.at = at
        self.end = end
        self.keys = keys or {}
        self.flow = flow
        self.quoted = quoted
        self.size = size

    @property
    def kind(self) -> str:
        """The YAML word for the type of the value."""
        if self.value is None:
            return "null"
        return {dict: "mapping", list: "list", bool: "boolean", int: "number", float: "number"}.get(
            type(self.value), "text"
        )

    def get(self, key: str) -> Node | None:
        """The value under ``key``, where this is a mapping that has it."""
        return self.value.get(key) if isinstance(self.value, dict) else None

    def plain(self) -> Any:
        """The value without places, as JSON could hold it."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


# YAML 1.2.2, section 10.3.2: the core schema. Numbers, of which those of digits alone are whole.
_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_OCTAL = r"0o[0-7]+"
_HEX = r"0x[0-9a-fA-F]+"
_NOT_FINITE = r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class _NotNumber(ValueError):
    """A number that JSON cannot hold."""


def scalar(text: str) -> Any:
    """The value of an unquoted YAML scalar under the core schema.

    Raises ValueError for numbers that are not finite or whose size JSON cannot hold exactly.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "-+.0123456789":
        return text
    if re.fullmatch(_NUMBER, text):
        if text.lstrip("-+").isdigit():
            return _exact(int(text) if len(text) < 20 else 2**63)
        number = float(text)
        if number in (float("inf"), float("-inf")):
            raise _NotNumber("the number is too large")
        return number
    if text.startswith(("0o", "0x")) and re.fullmatch(_OCTAL if text[1] == "o" else _HEX, text):
        return _exact(int(text, 0))
    if re.fullmatch(_NOT_FINITE, text):
        raise _NotNumber("numbers must be finite")
    return text


def _exact(number: int) -> int:
    if abs(number) > 2**53 - 1:
        raise _NotNumber("the whole number is too large to be kept exactly")
    return number


def decode(data: bytes, path: str) -> tuple[str, Findings]:
    """The text of a manifest and an empty list of findings. Raises ManifestError for size and encoding."""
    if len(data) > MAX_BYTES:
        found = Findings(path, "")
        found.add("MLO3002", "the manifest is larger than 1 MB", (1, 1), hint="keep data in files of their own")
        found.close()
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        found = Findings(path, data.decode("utf-8", "replace"))
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode("utf-8", "replace")) + 1
        hint = "save the file as UTF-8" + (" (it looks like UTF-16)" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "")
        found.add("MLO3001", "the manifest is not UTF-8 text", (line, column), hint=hint)
        found.close()
        raise
    return text, Findings(path, text)


def read_yaml(text: str, findings: Findings) -> Node:
    """The document in ``text``. Raises ManifestError where there is none or it cannot be read further."""
    from yaml import YAMLError

    try:
        return _Reader(text, findings).document()
    except YAMLError as error:
        _explain(error, findings)
        findings.close()
        raise


def _height(node: Node) -> int:
    """How many levels a value has."""
    children = (
        node.value.values() if isinstance(node.value, dict) else node.value if isinstance(node.value, list) else ()
    )
    return 1 + max((_height(child) for child in children), default=0)


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


def _explain(error: Any, findings: Findings) -> None:
    """Says in plain words what the parser stumbled over."""
    mark = getattr(error, "problem_mark", None)
    at = _place(mark) if mark else (1, 1)
    problem = str(getattr(error, "problem", "") or error).strip()
    line = findings.line(at[0])
    if conflict := next((number for number in range(1, at[0] + 1) if findings.line(number)[:8] == "<<<<<<< "), 0):
        message = "a merge left both sides of a conflict here"
        hint = "keep what shall count and take the lines <<<<<<<, ======= and >>>>>>> away, then git add it"
        findings.add("MLO3003", message, (conflict, 1), hint=hint)
        return
    if "\t" in line[: at[1]] and line[: at[1]].strip(" \t") == "":
        findings.add("MLO3004", "a tab indents this line; YAML allows spaces only", at, hint="write two spaces instead")
        return
    if re.search(r"[{\w.]\}", line) and ("expected ',' or" in problem or "expected key" in problem):
        findings.add(
            "MLO3005",
            "a placeholder like {out} stands unquoted where YAML reads '{' as the start of a mapping",
            at,
            hint='put the whole command in quotes: run: "python train.py {out}"',
        )
        return
    hint = {
        "mapping values are not allowed in this context": "quote the text if it holds ': ', or check the indentation",
        "found character that cannot start any token": "quote the text: it starts with a character YAML reserves",
        "could not find expected ':'": "write 'key: value', with a space after the colon",
    }.get(problem, "check indentation, quotes and brackets at this place")
    findings.add("MLO3003", f"this is no YAML: {problem}", at, hint=hint)


class _Reader:
    """Composes Nodes from parser events; one use."""

    def __init__(self, text: str, findings: Findings) -> None:
        from yaml._yaml import CParser

        self._parser: Any = CParser(text)
        self._findings = findings
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def document(self) -> Node:
        """The one document of the stream."""
        self._next("StreamStartEvent")
        if self._name() == "StreamEndEvent":
            self._stop("MLO3009", "the manifest is empty", (1, 1), "`mlopsctl init` writes one to start from")
        self._next("DocumentStartEvent")
        node = self._node(0)
        self._next("DocumentEndEvent")
        if self._name() != "StreamEndEvent":
            at = _place(self._parser.peek_event().start_mark)
            self._stop("MLO3006", "a second document begins here; a manifest is one document", at, "remove the '---'")
        return node

    def _name(self) -> str:
        return type(self._parser.peek_event()).__name__

    def _next(self, name: str) -> Any:
        event = self._parser.get_event()
        if type(event).__name__ != name:
            self._stop("MLO3003", "this is no YAML document", _place(event.start_mark), "")
        return event

    def _stop(self, code: str, message: str, at: Place, hint: str) -> None:
        self._findings.add(code, message, at, hint=hint)
        self._findings.close()

    def _count(self, amount: int, at: Place) -> None:
        self._nodes += amount
        if self._nodes > MAX_NODES:
            self._stop(
                "MLO3007",
                f"the manifest grows to more than {MAX_NODES:,} values",
                at,
                "repeat less with aliases (*name)",
            )

    def _node(self, depth: int) -> Node:
        event = self._parser.get_event()
        name = type(event).__name__
        at = _place(event.start_mark)
        if depth > MAX_DEPTH:
            self._stop("MLO3007", f"values are nested more than {MAX_DEPTH} deep", at, "")
        if name == "AliasEvent":
            return self._alias(event.anchor, at, depth)
        if event.tag is not None and not (name == "ScalarEvent" and event.tag == "!" and event.style):
            hint = "remove the tag; quote the value if it shall be text"
            self._findings.add("MLO3008", f"YAML tags such as '{event.tag}' are not read", at, hint=hint)
        self._count(1, at)
        if name == "ScalarEvent":
            node = self._scalar(event, at)
        elif name == "SequenceStartEvent":
            node = self._list(event, at, depth)
        else:
            node = self._mapping(event, at, depth)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, anchor: str, at: Place, depth: int) -> Node:
        known = self._anchors.get(anchor)
        if known is None:
            self._stop(
                "MLO3007", f"the alias *{anchor} refers to nothing finished above it", at, f"define &{anchor} first"
            )
            raise AssertionError
        self._count(known.size, at)
        if depth + _height(known) > MAX_DEPTH:
            self._stop("MLO3007", f"values are nested more than {MAX_DEPTH} deep", at, "")
        return Node(known.value, at, (at[0], at[1] + len(anchor) + 1), known.keys, flow=known.flow, size=known.size)

    def _scalar(self, event: Any, at: Place) -> Node:
        value: Any = event.value
        if event.implicit[0]:
            try:
                value = scalar(event.value)
            except ValueError as error:
                self._findings.add("MLO3010", str(error), at, hint="quote it if it shall be text")
        return Node(value, at, _place(event.end_mark), quoted=event.style in ("'", '"'))

    def _list(self, event: Any, at: Place, depth: int) -> Node:
        items: list[Node] = []
        while self._name() != "SequenceEndEvent":
            items.append(self._node(depth + 1))
        end = _place(self._parser.get_event().end_mark)
        if not event.flow_style and items:
            end = items[-1].end
        return Node(items, at, end, flow=event.flow_style, size=1 + sum(item.size for item in items))

    def _mapping(self, event: Any, at: Place, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        size = 1
        while self._name() != "MappingEndEvent":
            key = self._key(depth)
            node = self._node(depth + 1)
            size += 1 + node.size
            if key is None:
                continue
            name, place = key
            if name in keys:
                first = f"{keys[name][0]}:{keys[name][1]}"
                self._findings.add(
                    "MLO3011", f"the key '{name}' stands twice; the first is at {first}", place, hint="keep one of them"
                )
                continue
            items[name], keys[name] = node, place
        end = _place(self._parser.get_event().end_mark)
        if not event.flow_style and items:
            end = node.end
        return Node(items, at, end, keys, flow=event.flow_style, size=size)

    def _key(self, depth: int) -> tuple[str, Place] | None:
        node = self._node(depth + 1)
        if node.value == "<<":
            hint = "repeat the keys, or use an alias for the whole value"
            self._findings.add("MLO3008", "merge keys (<<) are not part of YAML 1.2", node.at, hint=hint)
            return None
        if not isinstance(node.value, str):
            self._findings.add("MLO3012", f"a key must be text, not a {node.kind}", node.at, hint="quote the key")
            return None
        return node.value, node.at
