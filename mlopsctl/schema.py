"""The JSON Schema (2020-12) of mlops.yaml, made from the providers' Spec dataclasses.

``python -m mlopsctl.schema`` prints it; ``schemas/mlops.schema.json`` is its output and a test keeps it so.
It says what a document may look like; that names exist and commands make sense, only ``validate`` can say.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from .manifest.conform import EXAMPLES, MAPPINGS, PATTERNS, key_of, required, spec_fields, type_of, union_members
from .manifest.load import API_VERSION, NAME, ProjectSpec
from .registry import DEFAULT_USE, PROVIDERS, USE_BY_KEY, USE_BY_WORD, provider
from .types import SECTIONS, Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TITLES: Mapping[str, str] = {
    "data": "Datasets, each split into views that training and gates are given.",
    "train": "Commands that make a model.",
    "gates": "A metric and a bar, measured on rows that training was never shown.",
    "targets": "What a model is compiled for.",
    "deployments": "Where an artifact is served.",
}


def document() -> dict[str, Json]:
    """The whole schema, ready for ``json.dumps``."""
    definitions = {name.replace("/", "."): _spec(provider(name).Spec, {"use": _use(name)}) for name in PROVIDERS}
    definitions |= {name.replace("/", ".") + ".each": _spec_of_instances(name) for name in PROVIDERS}
    definitions["each"] = _each()
    sections: dict[str, Json] = {section: _section(section) for section in SECTIONS}
    return {
        "$schema": DIALECT,
        "title": "mlops.yaml",
        "description": "What should exist, from data to a served model. See `mlopsctl validate`.",
        "type": "object",
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": "The version of this grammar."},
            "requires": {
                "type": "string",
                "pattern": r"^\s*(>=|<)\s*[0-9]+(\.[0-9]+)*\s*(,\s*(>=|<)\s*[0-9]+(\.[0-9]+)*\s*)*$",
                "description": "The versions of mlopsctl that may read this manifest.",
            },
            "project": _spec(ProjectSpec, {}),
            "store": {"type": ["string", "null"], "description": "A folder that outputs are mirrored to."},
            **sections,
            "moved": {
                "type": ["array", "null"],
                "description": "Resources that have another name now: nothing is made again for it.",
                "items": {
                    "type": "object",
                    "properties": {
                        "from": {"type": "string", "description": "The address that it had."},
                        "to": {"type": "string", "description": "The address that it has now."},
                    },
                    "required": ["from", "to"],
                    "additionalProperties": False,
                },
            },
        },
        "patternProperties": {"^x-": {}},
        "required": ["apiVersion", "project"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _section(section: str) -> dict[str, Json]:
    default = DEFAULT_USE[section]
    uses = [name.partition("/")[2] for name in PROVIDERS if name.startswith(section + "/")]
    choices: list[Json] = []
    for use in uses:
        whole = {"$ref": f"#/$defs/{section}.{use}"}
        repeated = {"if": _REPEATED, "then": {"$ref": f"#/$defs/{section}.{use}.each"}, "else": whole}
        choices.append({"if": _when(section, use), "then": repeated})
    # An entry left empty is {} for the default provider, which is valid where that one requires nothing.
    empty = not any(required(item) for item in spec_fields(provider(f"{section}/{default}").Spec))
    return {
        "type": ["object", "null"],
        "description": TITLES[section],
        "propertyNames": {"pattern": NAME},
        "additionalProperties": {
            "type": ["object", "null"] if empty else "object",
            "properties": {"use": {"enum": uses}},
            "allOf": choices,
        },
    }


_REPEATED: Mapping[str, Json] = {"type": "object", "required": ["each"]}


def _each() -> dict[str, Json]:
    """What a resource is repeated over."""
    scalar = {"type": ["string", "number", "boolean"]}
    row = {"type": "object", "additionalProperties": scalar}
    values = {"anyOf": [{"type": "string"}, {"type": "array", "items": scalar, "minItems": 1}]}
    return {
        "description": "One instance a combination of values, or a row; {each.NAME} stands for its value in any text.",
        "anyOf": [
            {"type": "object", "additionalProperties": values, "minProperties": 1},
            {"type": "array", "items": row, "minItems": 1},
            {"type": "string"},
        ],
    }


def _spec_of_instances(name: str) -> dict[str, Json]:
    """The keys of a repeated entry; what their values must be is said of each instance, by ``validate``."""
    spec = provider(name).Spec
    fields = list(spec_fields(spec))
    docs = {key_of(item): {"description": item.metadata.get("doc", "")} for item in fields}
    return {
        "type": "object",
        "properties": {"use": _use(name), "each": {"$ref": "#/$defs/each"}, **docs},
        "additionalProperties": False,
        "required": ["each", *(key_of(item) for item in fields if required(item))],
    }


def _when(section: str, use: str) -> dict[str, Json]:
    """The condition under which an entry is of this provider: named, implied by a key, or left out."""
    named: dict[str, Json] = {"properties": {"use": {"const": use}}}
    said: dict[str, list[Json]] = {
        word: [] for word in (use, *USE_BY_KEY.get(section, {}).values(), *USE_BY_WORD.get(section, {}).values())
    }
    for key, word in USE_BY_KEY.get(section, {}).items():
        said[word].append({"required": [key]})
    for (key, value), word in USE_BY_WORD.get(section, {}).items():
        said[word].append({"required": [key], "properties": {key: {"const": value}}})
    if use == DEFAULT_USE[section]:
        others = [item for word, items in said.items() if word != use for item in items]
        return {**named, "anyOf": [{"required": ["use"]}, {"not": {"anyOf": others}}]} if others else named
    if not said[use]:
        return {**named, "type": "object", "required": ["use"]}
    implied = {"not": {"required": ["use"]}, "anyOf": said[use]}
    return {"type": "object", "anyOf": [{**named, "required": ["use"]}, implied]}


def _use(name: str) -> dict[str, Json]:
    section, _, use = name.partition("/")
    note = " (the default)" if DEFAULT_USE[section] == use else ""
    return {"const": use, "description": f"The provider{note}."}


def _spec(spec: type, extra: Mapping[str, Json]) -> dict[str, Json]:
    """A dataclass as a closed object."""
    fields = list(spec_fields(spec))
    found: dict[str, Json] = {
        "type": "object" if any(required(item) for item in fields) else ["object", "null"],
        "properties": {**extra, **{key_of(item): _field(spec, item) for item in fields}},
        "additionalProperties": False,
    }
    text = (spec.__doc__ or "").strip().split("\n\n")[0]
    # dataclass writes the signature where there is no docstring
    if text and not text.startswith(spec.__name__ + "("):
        found["description"] = " ".join(text.split())
    needed = [key_of(item) for item in fields if required(item)]
    if needed:
        found["required"] = needed
    return found


def _field(spec: type, item: dataclasses.Field[Any]) -> dict[str, Json]:
    found = _type(type_of(spec, item.name), item.metadata)
    doc = item.metadata.get("doc")
    if doc:
        found["description"] = doc
    default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
    if isinstance(default, bool | int | str) and default != "" and "quantity" not in item.metadata:
        found["default"] = default
    return found


def _type(kind: Any, rules: Mapping[str, Any]) -> dict[str, Json]:
    """The schema of a type; ``rules`` are the bounds in the field's metadata and hold for every scalar inside."""
    measure = rules.get("quantity")
    members = union_members(kind)
    if measure:
        text: dict[str, Json] = {
            "type": "string",
            "pattern": PATTERNS[measure],
            "examples": EXAMPLES[measure].split(", "),
        }
        return {"anyOf": [text, {"type": "null"}]} if NoneType in members else text
    schemas = [_member(member, rules) for member in members]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _member(kind: Any, rules: Mapping[str, Any]) -> dict[str, Json]:
    origin = get_origin(kind)
    if kind is Any:
        return {}
    if kind is NoneType:
        return {"type": "null"}
    if origin is Literal:
        return {"enum": list(get_args(kind))}
    if origin is tuple:
        return {"type": "array", "items": _type(get_args(kind)[0], rules)}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _spec(kind, {})
    if origin in MAPPINGS:
        return {"type": ["object", "null"], "additionalProperties": _type(get_args(kind)[1], rules)}
    return _scalar(kind, rules)


def _scalar(kind: type, rules: Mapping[str, Any]) -> dict[str, Json]:
    if kind is bool:
        return {"type": "boolean"}
    if kind is str:
        return {"type": "string", **({"pattern": rules["pattern"]} if "pattern" in rules else {})}
    if kind not in (int, float):
        raise TypeError(f"a Spec field cannot be {kind!r}: see mlopsctl.manifest.conform")
    names = {
        "minimum": "minimum",
        "maximum": "maximum",
        "exclusive_minimum": "exclusiveMinimum",
        "exclusive_maximum": "exclusiveMaximum",
    }
    bounds = {word: rules[name] for name, word in names.items() if name in rules}
    return {"type": "integer" if kind is int else "number", **bounds}


def text() -> str:
    """The schema as it stands in ``schemas/mlops.schema.json``."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
