"""The JSON Schema is made of the Specs, is current, and says what ``validate`` says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlopsctl import schema
from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest
from mlopsctl.manifest.conform import key_of, spec_fields, type_of
from mlopsctl.registry import PROVIDERS, provider
from tests.small_house import small_house

SHIPPED = Path(__file__).parent.parent / "schemas" / "mlops.schema.json"


def test_the_shipped_schema_is_current() -> None:
    assert SHIPPED.read_text() == schema.text(), "run: python -m mlopsctl.schema > schemas/mlops.schema.json"


def test_the_schema_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(schema.document())


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_field_of_a_provider_is_documented_and_of_a_type_the_manifest_can_hold(name: str) -> None:
    spec = provider(name).Spec
    for item in spec_fields(spec):
        assert item.metadata.get("doc"), f"{name}: {item.name}"
        assert item.metadata.get("kind") in ("result", "run", "policy"), f"{name}: {item.name}"
        assert schema._field(spec, item), f"{name}: {item.name}"


@pytest.mark.parametrize("name", PROVIDERS)
def test_names_of_other_resources_enter_no_fingerprint(name: str) -> None:
    named = [item.name for item in spec_fields(provider(name).Spec) if item.metadata.get("ref")]
    kinds = {item.name: item.metadata["kind"] for item in spec_fields(provider(name).Spec)}
    assert [field for field in named if kinds[field] == "result"] == []


# --- the oracle --------------------------------------------------------------------------------------------

_SCHEMA_LEVEL = {"MLO3005", "MLO3009", "MLO3013", "MLO3014", "MLO3015", "MLO3016", "MLO3017", "MLO3018", "MLO3019", "MLO3027",
                 "MLO3028", "MLO3029"}  # fmt: skip
_WORDS = ["a", "accuracy", "cpu", "none", "local", "tvm", "metric", "scan", "x y", "A", "model", "files", 1, 0.5, True]
_SCALAR: st.SearchStrategy[Any] = st.none() | st.sampled_from(_WORDS)
ODD = st.recursive(
    _SCALAR,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["test", "by", "key", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
_KEYS = ["use", "path", "label", "split", "run", "data", "params", "produces", "metric", "min", "model", "target", "to"]
_BLOCK = _SCALAR | st.dictionaries(st.sampled_from([*_KEYS, "odd"]), ODD, max_size=4)
_SECTION = _SCALAR | st.dictionaries(st.sampled_from(["a", "b-1", "B", "1"]), _BLOCK, max_size=2)
_DOCUMENT = st.fixed_dictionaries(
    {"apiVersion": st.sampled_from(["mlopsctl/v1"] * 8 + ["v2", None])},
    optional={
        "project": st.sampled_from([{"name": "a"}] * 6 + [{"name": "A"}, {}, None, {"name": "a", "odd": 1}]),
        **dict.fromkeys(("data", "train", "gates", "targets", "deployments"), _SECTION),
        "x-any": ODD,
        "odd": ODD,
        "store": _SCALAR,
        "requires": st.sampled_from([">=0.1", "latest", "", ">=0,<9"]),
    },
)


class Oracle:
    """jsonschema's opinion; a class of its own so that hypothesis prints no schema."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.accepts = Draft202012Validator(document).is_valid


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    with small_house():
        yield Oracle(schema.document())


def schema_findings(document: Any) -> list[ManifestError]:
    """What ``validate`` finds, as far as a schema has words for it."""
    try:
        load_manifest(json.dumps(document).encode())
    except ManifestError as error:
        return [item for item in (error, *error.others) if item.code in _SCHEMA_LEVEL]
    return []


def changed(document: Any, path: tuple[str, ...], new: Any) -> Any:
    """The document with one value replaced, removed or renamed."""
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    if new in ("remove", "rename"):
        value = inner.pop(path[-1])
        inner.update({"odd": value} if new == "rename" else {})
    else:
        inner[path[-1]] = new
    return document


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(_DOCUMENT)
def test_what_one_accepts_the_other_accepts(oracle: Oracle, document: dict[str, Any]) -> None:
    found = schema_findings(document)
    assert oracle.accepts(document) == (not found), [item.message for item in found]


_VALID: dict[str, Any] = {
    "apiVersion": "mlopsctl/v1",
    "project": {"name": "a"},
    "data": {"d": {"path": "d.csv", "label": "y", "split": {"test": 0.3, "by": "c"}}},
    "train": {"t": {"run": ["python t.py"], "params": {"n": 1}, "produces": "model"}},
    "gates": {"g": {"metric": "accuracy", "min": 0.5}, "s": {"use": "scan"}},
    "targets": {"c": None, "v": {"use": "tvm", "model": "t"}},
    "deployments": {"l": {"target": "c", "to": "x"}},
}


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every path of keys in a document."""
    found = [path] if path else []
    for key, item in value.items() if isinstance(value, dict) else ():
        found += places(item, (*path, key))
    return found


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(places(_VALID)), ODD | st.just("remove") | st.just("rename"))
def test_one_change_to_a_valid_document_is_seen_by_both(oracle: Oracle, path: tuple[str, ...], new: Any) -> None:
    document = changed(json.loads(json.dumps(_VALID)), path, new)
    found = schema_findings(document)
    assert oracle.accepts(document) == (not found), [item.message for item in found]


def test_keys_python_keeps_for_itself_are_spelt_without_the_underscore() -> None:
    @dataclasses.dataclass(frozen=True)
    class Spec:
        from_: str = ""

    (item,) = spec_fields(Spec)
    assert key_of(item) == "from" and type_of(Spec, "from_") is str
