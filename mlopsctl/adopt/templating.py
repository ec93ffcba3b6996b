"""``${…}`` in dvc.yaml: looked up in the values of the parameter files, nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .proposal import NotUnderstood

REFERENCE = re.compile(r"(?<!\\)\$\{([^{}]*)\}")
_LONGEST = 2000
"""Letters that one reference stands for: a small file must not become a huge one."""
_PATH = re.compile(r"[\w-]+(?:\.[\w-]+|\[[\w-]+\])*")


def lookup(reference: str, values: Mapping[str, Any]) -> Any:
    """The value behind ``a.b[0].c``. Raises NotUnderstood where there is none."""
    text = reference.strip()
    if not _PATH.fullmatch(text):
        raise NotUnderstood(f"'${{{reference}}}' is no name of a value")
    found: Any = values
    for part in re.split(r"[.\[]", text.replace("]", "")):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise NotUnderstood(f"'${{{reference}}}' has no value in the parameter files")
    return found


def as_words(value: Any) -> str:
    """A scalar as DVC writes it into a text. Raises NotUnderstood for a list or a mapping."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | Mapping) or value is None:
        raise NotUnderstood("a list or a mapping stands where one value is meant")
    try:
        return str(value)
    except ValueError:  # Python writes no number of thousands of digits
        raise NotUnderstood("a number has too many digits") from None


def resolve(value: Any, values: Mapping[str, Any]) -> Any:
    """A value with its references replaced, in lists and mappings too; a text that is one reference keeps the type."""
    if isinstance(value, list):
        return [resolve(item, values) for item in value]
    if isinstance(value, Mapping):
        return {str(resolve(key, values)): resolve(item, values) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    whole = REFERENCE.fullmatch(value)
    if whole:
        return lookup(whole[1], values)
    return substitute(value, values, lambda reference, found: as_words(found))


def substitute(text: str, values: Mapping[str, Any], write: Callable[[str, Any], str]) -> str:
    """The text with each reference replaced by what ``write(reference, value)`` says."""

    def short(match: re.Match[str]) -> str:
        word = write(match[1].strip(), lookup(match[1], values))
        if len(word) > _LONGEST:
            raise NotUnderstood(f"'{match[0]}' stands for more than {_LONGEST:,} characters")
        return word

    found = REFERENCE.sub(short, text)
    return found.replace("\\${", "${")


def flags(value: Any) -> str:
    """A value as DVC writes it into a command: a mapping becomes options. Raises NotUnderstood for what it refuses."""
    import shlex

    if not isinstance(value, Mapping):
        return as_words(value)
    words: list[str] = []
    for key, item in _flat(value):
        if item is True:
            words.append(f"--{key}")
        elif item is False or item is None:
            continue
        else:
            items = item if isinstance(item, list) else [item]
            words += [f"--{key}", *(shlex.quote(one) if isinstance(one, str) else as_words(one) for one in items)]
    return " ".join(words)


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, item in value.items():
        found += _flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else [(f"{prefix}{key}", item)]
    return found
