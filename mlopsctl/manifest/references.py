"""What the text inside a manifest refers to: names, placeholders, commands, variables and, by mistake, secrets."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from ..adapters.argv import in_quotes, split_words
from .conform import fields_of, key_of, type_of, union_members
from .findings import Findings, did_you_mean, holds_secret
from .yaml_positions import Node, Place

PLACEHOLDER = r"\{\{|\}\}|\{([^{}]*)\}|[{}]"
WORDS = ("in", "out", "model", "seed")
_GIVEN = ("data", "train", "params")
"""The sections that a command's placeholders may name; ``params`` are its own."""
_VIEWS = ("test", "val", "all", "train")
_VARIABLE = r"\$\{env:(MLOPS_VAR_[A-Z0-9_]+)(?::-([^}]*))?\}"
_SECRET_KEYS = (
    "password",
    "passwd",
    "token",
    "secret",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credentials",
)

Names = Mapping[str, Collection[str]]
"""Section -> the names declared in it."""


def field_nodes(spec: type, node: Node) -> Iterator[tuple[dataclasses.Field[Any], Node]]:
    """The fields of a Spec that a mapping sets, with what it sets them to."""
    for key, item in fields_of(spec).items():
        child = node.get(key)
        if child is not None:
            yield item, child


def named(spec: type, node: Node) -> Iterator[tuple[str, str, Node]]:
    """The texts of an entry that name a resource of a fixed section: key, section and text, those inside of keys too."""
    for item, child in field_nodes(spec, node):
        section = item.metadata.get("ref")
        if section and isinstance(child.value, dict):
            for inner in union_members(type_of(spec, item.name)):
                if isinstance(inner, type) and dataclasses.is_dataclass(inner):
                    yield from named(inner, child)
        elif section:
            for text in texts(child):
                yield key_of(item), section, text


def texts(node: Node) -> Iterator[Node]:
    """Every text inside a value, keys aside."""
    if isinstance(node.value, str):
        yield node
    elif isinstance(node.value, dict | list):
        children = node.value.values() if isinstance(node.value, dict) else node.value
        for child in children:
            yield from texts(child)


def check_entry(spec: type, node: Node, names: Names, findings: Findings) -> None:
    """Checks the names, placeholders and commands of one entry."""
    for key, section, text in named(spec, node):
        _check_name(text, key, section, names, findings)
    for item, child in field_nodes(spec, node):
        allowed = item.metadata.get("placeholders")
        if allowed:
            params = node.get("params")
            own = params.value if params and isinstance(params.value, dict) else {}
            words = WORDS if allowed is True else tuple(allowed)
            shell = node.get("shell") if "shell" in fields_of(spec) and key_of(item) == "run" else None
            for text in texts(child):
                _check_placeholders(text, words, {**names, "params": own}, findings)
                if shell is not None and shell.value is True:
                    _check_script(text, findings)
                elif item.metadata.get("command", key_of(item) in ("run", "predict", "score")):
                    with_shell = "shell" in fields_of(spec) and key_of(item) == "run"
                    _check_command(text, findings, "; or add shell: true" if with_shell else "")


def _check_name(node: Node, key: str, section: str, names: Names, findings: Findings) -> None:
    name = node.value
    known = names.get(section, ())
    if name in known:
        return
    if name.startswith(section + ".") and name.removeprefix(section + ".") in known:
        findings.add("MLO3020", f"'{key}' takes a bare name", node.at, hint=f"write {key}: {name.partition('.')[2]}")
        return
    hint = did_you_mean(name, known) or f"the section '{section}' is empty"
    findings.add("MLO3020", f"'{key}' names '{name}', which is not in '{section}'", node.at, hint=hint)


def _check_placeholders(node: Node, words: Collection[str], names: Names, findings: Findings) -> None:
    for match in re.finditer(PLACEHOLDER, node.value) if "{" in node.value or "}" in node.value else ():
        text = match[0]
        if text in ("{{", "}}"):
            continue
        at = place_inside(node, match.start())
        if match[1] is None:
            findings.add(
                "MLO3021", f"a single '{text}' is no placeholder", at, hint="write {{ or }} for a brace itself"
            )
            continue
        first, dot, rest = match[1].partition(".")
        known = names.get(first, ()) if dot and first in _GIVEN else ()
        if (not dot and first in words) or (dot and rest in known):
            continue
        if kept := _kept_back(first, rest, names):
            findings.add("MLO3038", f"the placeholder '{text}' stands for what a command is not given", at, hint=kept)
            continue
        choices = [*words, *(f"{part}.{name}" for part in _GIVEN for name in names.get(part, ()))]
        message = f"the placeholder '{text}' stands for nothing here"
        # What no name can hold is meant for the program, as in awk, or for the shell.
        meant = re.search(r"[\s$;]", text) or node.value[: match.start()].endswith("$")
        brace = f"write {{{text}}} for the braces themselves" if meant else ""
        findings.add("MLO3021", message, at, hint=brace or did_you_mean(match[1], choices))


def _kept_back(section: str, rest: str, names: Names) -> str:
    """How to write what a placeholder wants of the rows or verdicts that judge a model; "" where it wants none."""
    name, _, view = re.sub(r"[:\[]", ".", rest, count=1).partition(".")
    if section == "data" and view.rstrip("]") in _VIEWS and name in names.get("data", ()):
        return f"write {{data.{name}}}: it is the training view, and the others are for gates"
    if section in ("gates", "targets", "deployments") and rest in names.get(section, ()):
        return "what judges a model, or is made of it, comes after it: take the placeholder away"
    return ""


_BARE: Mapping[str, str] = {
    "&&": 'write a list, it runs in order: run: ["first", "second"]',
    "||": "put the alternative into a script and run that",
    ";": 'write a list, it runs in order: run: ["first", "second"]',
    "&": "a step ends with its command; remove the '&'",
    "|": "put the pipeline into a script and run that",
    "<": "give the file's name to the program",
}


def _check_script(node: Node, findings: Findings) -> None:
    """Under ``shell: true`` a placeholder is one word by itself; in quotation marks or a here-document it is not."""
    for match in re.finditer(PLACEHOLDER, node.value) if "{" in node.value else ():
        if match[1] is not None and in_quotes(node.value, match.start()):
            message = f"the placeholder '{match[0]}' stands in quotation marks, after a backslash or in a here-document"
            hint = "let it stand by itself: in a shell it is one word whatever it holds, also as {out}/model.onnx"
            findings.add("MLO3036", message, place_inside(node, match.start()), hint=hint)
            return
    if not node.value.strip():
        findings.add("MLO3022", "the command is empty", node.at, hint="write run: python train.py")


def _check_command(node: Node, findings: Findings, other_way: str = "") -> None:
    """A command is split into words and run without a shell: what only a shell understands is an error."""
    try:
        words = split_words(node.value, posix=False)
    except ValueError as error:
        message = f"the command cannot be split into words: {str(error).lower()}"
        findings.add("MLO3022", message, node.at, hint="close the quotation, or double the quotes inside")
        return
    if not words:
        findings.add("MLO3022", "the command is empty", node.at, hint="write run: python train.py")
    for word in words:
        hint = _shell_word(word)
        if hint:
            message = f"'{word}' needs a shell, and commands run without one"
            at = place_inside(node, max(node.value.find(word), 0))
            findings.add("MLO3022", message, at, hint=hint + other_way)
            return


def _shell_word(word: str) -> str:
    """How to write without a shell what ``word`` wants; empty where no shell is wanted."""
    if not any(mark in word for mark in "&|;<>*$`"):
        return ""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", word)
    if bare in _BARE:
        return _BARE[bare]
    if bare.endswith(";"):
        return _BARE[";"]
    if re.match(r"[0-9]?>|&>", bare):
        return "let the program write into {out}; what it prints is kept anyway"
    if "*" in bare:
        return "name the files, or quote the word if the program shall get the '*' itself"
    if "$MLOPS_OUT" in bare:
        return "write {out}"
    if re.search(r"\$[A-Za-z_({]|`", bare):
        return "use a placeholder such as {out} or {params.x}, or quote the word in single quotes"
    return ""


def place_inside(node: Node, offset: int) -> Place:
    """The place of a character of a one-line text; the start of any other."""
    line, column = node.at
    if node.end[0] != line or node.end[1] - column != len(node.value) + (2 if node.quoted else 0):
        return node.at
    return line, column + offset + (1 if node.quoted else 0)


def interpolate(node: Node, findings: Findings) -> None:
    """Replaces ``${env:MLOPS_VAR_NAME:-default}`` in the texts of ``node``."""
    for text in texts(node):
        if "${" not in text.value:
            continue
        if "${" in re.sub(_VARIABLE, "", text.value):
            message = "only ${env:MLOPS_VAR_NAME} and ${env:MLOPS_VAR_NAME:-default} are replaced here"
            findings.add("MLO3023", message, text.at, hint="rename the variable so that it begins with MLOPS_VAR_")
            continue
        text.value = re.sub(_VARIABLE, partial(_variable, at=text.at, findings=findings), text.value)


def _variable(match: re.Match[str], at: Place, findings: Findings) -> str:
    value: str | None = os.environ.get(match[1], match[2])
    if value is None:
        hint = f"set it, or write ${{env:{match[1]}:-default}}"
        findings.add("MLO3024", f"the variable {match[1]} is not set", at, hint=hint)
        return ""
    return value


def check_texts(node: Node, findings: Findings, path: tuple[str, ...] = ()) -> None:
    """Finds literal secrets, and variables where none are replaced, in the whole document."""
    if isinstance(node.value, list):
        for item in node.value:
            check_texts(item, findings, path)
    elif isinstance(node.value, dict):
        for key, item in node.value.items():
            check_texts(item, findings, (*path, key))
    elif isinstance(node.value, str):
        _check_secret(node, path, findings)
        replaced = path[:1] == ("store",) or (len(path) >= 3 and path[0] == "deployments" and path[2] == "to")
        if ("${env:" in node.value or "${git:" in node.value) and not replaced and not path[0].startswith("x-"):
            hint = "remove it; a stranger's manifest must not read your environment"
            findings.add("MLO3023", "variables are replaced only in 'store' and 'deployments.*.to'", node.at, hint=hint)


def _check_secret(node: Node, path: tuple[str, ...], findings: Findings) -> None:
    text: str = node.value
    word = path[-1].lower().replace("_", "").replace("-", "") if path else ""
    named = word.endswith(_SECRET_KEYS) and "params" not in path
    reference = text.startswith(("env:", "file:"))
    if holds_secret(text) or (named and text and not reference):
        for number in range(node.at[0], node.end[0] + 1):
            findings.hide(number)
        message = f"'{'.'.join(path)}' holds a secret in clear text"
        hint = f'write {path[-1]}: "env:NAME" or "file:PATH", and make a new secret: this one is known now'
        findings.add("MLO3025", message, node.at, hint=hint)
