"""YAML values become Specs, and JSON Schema agrees about which of them may."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlopsctl.errors import ManifestError
from mlopsctl.manifest.conform import conform, quantity
from mlopsctl.manifest.yaml_positions import decode, read_yaml
from mlopsctl.provider import policy, result
from mlopsctl.provider import run as running
from mlopsctl.schema import _spec


@dataclass(frozen=True)
class Split:
    """By share of rows."""

    test: float = result(0.2, doc="The share of rows kept for tests.", exclusive_minimum=0, exclusive_maximum=1)
    by: str | None = result(None, doc="The column whose equal values stay together.")


@dataclass(frozen=True)
class TimeSplit:
    """By time."""

    time: str = result(doc="The column that holds the time.")
    test: str = result(doc="How much of the end.", quantity="duration")


@dataclass(frozen=True)
class Spec:
    """Every type a Spec may use."""

    name: str = result(doc="A name.", pattern="^[a-z]+$")
    import_: str | None = result(None, doc="A key that Python keeps for itself.")
    count: int = result(1, doc="How many.", minimum=0, maximum=10)
    rate: float = result(0.5, doc="How much.", minimum=0)
    quiet: bool = running(False, doc="Whether to say nothing.")
    mode: Literal["fast", "good"] = result("good", doc="Which way.")
    run: str | tuple[str, ...] = result("", doc="One command or several.")
    params: Mapping[str, Any] = result({}, doc="Anything.")
    shares: Mapping[str, float] = result({}, doc="Numbers by name.")
    split: Literal["none"] | Split | TimeSplit = result("none", doc="How rows are divided.")  # noqa: RUF009
    timeout: float = running(60.0, doc="How long.", quantity="duration")
    memory: int | None = running(None, doc="How much memory.", quantity="size")
    max: float | Literal["auto"] | None = policy(None, doc="A bar.")
    hidden: int = field(init=False, default=3)


def made(text: str) -> Any:
    source, findings = decode(text.encode(), "f")
    node = read_yaml(source, findings)
    spec = conform(node, Spec, findings)
    findings.close()
    return spec


def test_values_become_the_types_of_the_fields() -> None:
    spec = made(
        "{name: a, import: x, count: 2.0, rate: 1, run: [a, b], params: {lr: 1e-3, deep: {n: [1]}}, shares: {a: 1},"
        " split: {time: t, test: 28d}, timeout: 1.5m, memory: 4GiB, max: 1, mode: fast}"
    )
    assert spec == Spec(
        "a",
        "x",
        2,
        1.0,
        False,
        "fast",
        ("a", "b"),
        {"lr": 0.001, "deep": {"n": [1]}},
        {"a": 1.0},
        TimeSplit("t", 28 * 86400),  # type: ignore[arg-type]
        90.0,
        4 * 2**30,
        1.0,
    )
    assert type(spec.count) is int and type(spec.rate) is float and type(spec.timeout) is float


def test_what_is_left_out_has_its_default() -> None:
    assert made("name: a") == Spec("a")
    assert made("{name: a, split: {}}").split == Split()
    assert made("{name: a, split: none}").split == "none"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("{}", "MLO3015", "'name' is missing"),
        ("{name: 3}", "MLO3016", "must be text, not a number"),
        ("{name: '3'}", "MLO3017", "it must match ^[a-z]+$"),
        ('{name: "a\\n"}', "MLO3017", "it must match"),
        ("{name: a, nmae: b}", "MLO3013", "unknown key 'nmae'"),
        ("{name: a, count: 1.5}", "MLO3016", "a whole number"),
        ("{name: a, count: true}", "MLO3016", "a whole number, not a boolean"),
        ("{name: a, count: 11}", "MLO3017", "the most is 10"),
        ("{name: a, rate: -0.1}", "MLO3017", "the least is 0"),
        ("{name: a, split: {test: 1}}", "MLO3017", "less than 1"),
        ("{name: a, split: {tset: 1}}", "MLO3013", "unknown key 'tset' in 'split'"),
        ("{name: a, split: {time: t}}", "MLO3015", "'test' is missing"),
        ("{name: a, quiet: yes}", "MLO3016", "true or false, not text"),
        ("{name: a, mode: god}", "MLO3017", "'mode' is 'god'"),
        ("{name: a, run: [a, 1]}", "MLO3016", "'run' must be text"),
        ("{name: a, run: {out}}", "MLO3005", "text or a list"),
        ("{name: a, shares: {x: y}}", "MLO3016", "'shares.x' must be a number"),
        ("{name: a, timeout: 30}", "MLO3018", "a duration with its unit, not '30'"),
        ("{name: a, timeout: 30 minutes}", "MLO3018", "a duration"),
        ("{name: a, memory: 4GB}", "MLO3018", "a size"),
        ("{name: a, memory: 0.3B}", "MLO3018", "whole bytes"),
        ("{name: a, hidden: 1}", "MLO3013", "unknown key"),
        ("{name: a, import_: x}", "MLO3013", "unknown key"),
        ("[a]", "MLO3016", "this must be a mapping of keys, not a list"),
    ],
)
def test_what_does_not_fit_is_said_in_words(text: str, code: str, says: str) -> None:
    with pytest.raises(ManifestError) as caught:
        made(text)
    findings = (caught.value, *caught.value.others)
    assert any(item.code == code and says in item.message for item in findings), [item.message for item in findings]


def test_several_findings_are_told_at_once() -> None:
    with pytest.raises(ManifestError) as caught:
        made("{count: x, rate: y, mode: z}")
    assert len(caught.value.others) == 3


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("500ms", "duration", 0.5),
        ("2h", "duration", 7200),
        ("1mo", "duration", 2592000),
        ("512KiB", "size", 524288),
        ("1.5MiB", "size", 1572864),
        ("12", "size", None),
        ("1 h", "duration", None),
        ("-1s", "duration", None),
        ("01s", "duration", None),
    ],
)
def test_quantities_carry_units(text: str, kind: str, value: float | None) -> None:
    assert quantity(text, kind) == value


# --- the oracle --------------------------------------------------------------------------------------------

_WORD = st.sampled_from(["a", "fast", "none", "auto", "3", "30s", "4GiB", "1.5ms", "A", "", "0.3B"])
_SCALAR = st.none() | st.booleans() | st.integers(-2, 12) | st.sampled_from([0.5, 2.0, -0.5, 1e300]) | _WORD
_VALUE = st.recursive(
    _SCALAR,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["test", "by", "time", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_KEYS = ["import", "count", "rate", "quiet", "mode", "run", "params", "shares", "split", "timeout", "memory", "max"]
_DOCUMENT = st.builds(
    lambda name, rest: {**name, **rest},
    st.sampled_from([{"name": "a"}, {"name": "B"}, {}, {"name": None}]),
    st.dictionaries(st.sampled_from([*_KEYS, "other"]), _VALUE, max_size=3),
)
_ORACLE = Draft202012Validator(_spec(Spec, {}))


@settings(max_examples=400)
@given(_DOCUMENT)
def test_json_schema_accepts_the_same_documents(document: dict[str, Any]) -> None:
    # JSON is YAML; that a size comes to whole bytes is arithmetic, which a schema has no word for.
    found = [item for item in errors(json.dumps(document)) if "must come to whole" not in item.message]
    assert _ORACLE.is_valid(document) == (not found), found


def errors(text: str) -> tuple[ManifestError, ...]:
    try:
        made(text)
    except ManifestError as error:
        return (error, *error.others)
    return ()
