"""A control may be narrowed; whatever loosens one has a line. Every key that is a control knows which way is looser."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mlopsctl.canonical import plain
from mlopsctl.provider import declared_fields
from mlopsctl.ratchet import Controls, as_in_force, control_fields, controls, is_looser, weakenings
from mlopsctl.registry import PROVIDERS, provider
from mlopsctl.types import GUARD, Address, Need, Resource

DEPLOYMENT, GATE = Address("deployments", "live"), Address("gates", "g")


def _fields(spec: type, section: str) -> Iterator[tuple[tuple[str, ...], dataclasses.Field[Any]]]:
    """Every control of a Spec with its path, those inside of a key too."""
    for item in control_fields(spec, section):
        inner = item.metadata.get("looser")
        if isinstance(inner, type):
            yield from (((item.name, one.name), one) for one in dataclasses.fields(inner))
        yield (item.name,), item


CONTROLS = [
    pytest.param(name, path, item, id=f"{name} {'.'.join(path)}")
    for name in PROVIDERS
    for path, item in _fields(provider(name).Spec, name.partition("/")[0])
]


def document(name: str, fields: dict[str, Any]) -> Controls:
    """The controls of a deployment that rests on one resource of this provider."""
    section = name.partition("/")[0]
    address = {"deployments": DEPLOYMENT, "gates": GATE}.get(section, Address(section, "x"))
    of = {str(DEPLOYMENT): {"provider": "deployments/local", "fields": {}}}
    of[str(address)] = {"provider": name, "fields": fields}
    guards = [str(GATE)] if section == "gates" else []
    return {"version": 1, "deployment": str(DEPLOYMENT), "guards": guards, "of": of}


def strict_and_loose(item: dataclasses.Field[Any]) -> tuple[Any, Any]:
    """A value of the control and a looser one, by its direction."""
    direction = item.metadata.get("looser")
    if isinstance(direction, type):
        return {}, None
    if isinstance(direction, tuple):
        return direction[0], direction[-1]
    pairs = {
        "lower": (plain(0.9), plain(0.8)), "higher": (plain(0.8), plain(0.9)), "others": (["ann"], ["ann", "ben"]),
        "added": (["safetensors"], ["safetensors", "pkl"]), "removed": (["a", "b"], ["a"]), "any": ("x", "y"), "named": ("x", "y"),
        None: ("x", "y"),
    }  # fmt: skip
    return pairs[direction]


def nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name.rstrip("_"): value}
    return dict(value)


@pytest.mark.parametrize(("name", "path", "item"), CONTROLS)
def test_a_mutation_that_loosens_a_control_has_a_line(name: str, path: tuple[str, ...], item: Any) -> None:
    strict, loose = strict_and_loose(item)
    before, after = document(name, nested(path, strict)), document(name, nested(path, loose))
    assert len(weakenings(before, after)) == 1, weakenings(before, after)
    assert weakenings(before, before) == ()
    if item.metadata.get("looser") not in (None, "any", "named"):
        assert weakenings(after, before) == (), "narrowing needs nobody"


@pytest.mark.parametrize(("name", "path", "item"), CONTROLS)
def test_a_resource_gets_back_the_controls_that_are_in_force(name: str, path: tuple[str, ...], item: Any) -> None:
    """Whatever an older artifact is judged by, it is judged by a Spec as it was approved."""
    strict, loose = strict_and_loose(item)
    # What is the default anyway is not written down.
    fields = nested(path, loose if strict == item.default else strict)
    if path[0] == "after":
        fields = {"after": {"deployment": "staging", "for": plain(60.0)}}
    section = name.partition("/")[0]
    address = str({"deployments": DEPLOYMENT, "gates": GATE}.get(section, Address(section, "x")))
    found = document(name, fields)
    approved = as_in_force(found, address, None)
    assert approved is not None and approved.provider == name
    names = {one.name.rstrip("_") for one in control_fields(type(approved.spec), section)}
    kept = {key: value for key, value in declared_fields(approved.spec).items() if key in names and value != ""}
    assert kept == fields
    assert as_in_force(found, "gates.other", None) is None


@pytest.mark.parametrize(("name", "path", "item"), CONTROLS)
def test_a_control_that_goes_away_has_a_line(name: str, path: tuple[str, ...], item: Any) -> None:
    """Except where the default is the strictest of all, such as no exceptions."""
    strict, _ = strict_and_loose(item)
    strictest = item.metadata.get("looser") == "added" or isinstance(item.metadata.get("looser"), tuple)
    usual = None if item.default is dataclasses.MISSING else plain(item.default)
    expected = 0 if strictest or not is_looser(item.metadata.get("looser"), strict, usual) else 1
    assert len(weakenings(document(name, nested(path, strict)), document(name, nested(path[:-1], {})))) >= expected
    if name == "gates/metric" and path == ("min",):
        assert expected == 1


@pytest.mark.parametrize(("name", "path", "item"), CONTROLS)
def test_every_policy_says_which_way_is_looser(name: str, path: tuple[str, ...], item: Any) -> None:
    """A new policy key needs ``looser=``; what a gate measures by has no direction, and any change of it counts."""
    assert item.metadata["kind"] == "result" or "looser" in item.metadata, f"{name}: give {'.'.join(path)} a looser="


def resource(address: str, name: str, *needs: Need, **spec: Any) -> Resource:
    return Resource(Address.parse(address), name, provider(name).Spec(**spec), needs)


def pipeline(
    *, bar: float = 0.9, gate: str = "accuracy", guards: bool = True, view: str = "test", **deployment: Any
) -> Controls:
    data = resource("data.rows", "data/dvc", path="rows.csv", label="y")
    model = resource("train.m", "train/local", Need("data", data.address, "train"), run="python t.py")
    needs = (Need("model", model.address, "model"), Need("data", data.address, view))
    measured = resource(f"gates.{gate}", "gates/metric", *needs, metric="accuracy", min=bar, view=view)
    target = resource("targets.cpu", "targets/onnxruntime", Need("model", model.address, "model"), arch="x86-64")
    guard = (Need(GUARD, measured.address),) if guards else ()
    want = resource(
        "deployments.live", "deployments/local", Need("artifact", target.address, "artifact"), *guard, target="cpu", **deployment
    )  # fmt: skip
    return controls(want, [data, model, measured, target, want])


def test_the_controls_of_a_pipeline_and_their_loosening_in_words() -> None:
    before = pipeline()
    assert before["guards"] == ["gates.accuracy"] and "data.rows" in before["of"]
    assert weakenings(before, pipeline(bar=0.8)) == ("gates.accuracy min 0.9 -> 0.8",)
    assert weakenings(before, pipeline(guards=False)) == ("gates.accuracy no longer guards deployments.live",)
    assert weakenings(before, pipeline(bar=0.95)) == ()
    assert "gates.accuracy view test -> val" in weakenings(before, pipeline(view="val"))


def test_a_gate_under_another_name_is_the_same_gate_and_its_bar_is_compared() -> None:
    assert weakenings(pipeline(), pipeline(gate="precision")) == ()
    assert weakenings(pipeline(), pipeline(gate="precision", bar=0.5)) == ("gates.precision min 0.9 -> 0.5",)


def test_what_comes_first_that_goes_away_or_gets_less_time() -> None:
    after = provider("deployments/local").Spec.__dataclass_fields__["after"].metadata["looser"]
    day = pipeline(after=after("staging", 86400.0))
    assert weakenings(day, pipeline(after=after("staging", 3600.0))) == (
        "deployments.live after for 86400.0 -> 3600.0",
    )
    assert weakenings(day, pipeline(after="staging")) == ("deployments.live after for 86400.0 -> 0.0",)
    assert weakenings(day, pipeline(after=after("other", 86400.0))) == (
        "deployments.live after deployment staging -> other",
    )
    assert weakenings(day, pipeline()) == ("deployments.live after is switched off",)
    assert weakenings(pipeline(), day) == weakenings(pipeline(after="staging"), day) == ()


def renamed(found: Controls, **names: str) -> Controls:
    """The same controls under other addresses."""
    text = json.dumps(found)
    for old, new in names.items():
        for section in ("data", "train", "targets", "gates"):
            text = text.replace(f'"{section}.{old}"', f'"{section}.{new}"')
    return dict(json.loads(text))


def test_what_moved_has_lost_nothing_and_what_it_was_held_to_is_compared() -> None:
    before = pipeline()
    after = renamed(before, rows="lines", m="scorer", accuracy="right", cpu="server")
    names = {
        "data.rows": "data.lines",
        "train.m": "train.scorer",
        "gates.accuracy": "gates.right",
        "targets.cpu": "targets.server",
    }
    assert weakenings(before, after, names) == ()
    assert weakenings(before, after), "without moved: nobody says that it is the same data"
    after["of"]["targets.server"]["fields"]["tolerance"] = {"float": "0.5"}
    after["of"]["data.lines"]["fields"]["split"] = {"test": {"float": "0.01"}}
    after["of"]["gates.right"]["fields"]["min"] = {"float": "0.1"}
    found = weakenings(before, after, names)
    assert len(found) == 3 and {line.split()[0] for line in found} == {"targets.server", "data.lines", "gates.right"}


def test_what_comes_first_may_have_another_name() -> None:
    after = provider("deployments/local").Spec.__dataclass_fields__["after"].metadata["looser"]
    before, now = pipeline(after=after("staging", 3600.0)), pipeline(after=after("rehearsal", 3600.0))
    names = {"deployments.staging": "deployments.rehearsal"}
    assert weakenings(before, now, names) == ()
    assert weakenings(before, pipeline(after=after("other", 3600.0)), names) == (
        "deployments.live after deployment rehearsal -> other",
    )
    assert weakenings(before, pipeline(after=after("rehearsal", 60.0)), names) == (
        "deployments.live after for 3600.0 -> 60.0",
    )
    assert weakenings(before, pipeline(after=after("staging", 3600.0))) == ()


def test_another_target_does_not_hide_what_the_old_one_was_held_to() -> None:
    before = pipeline()
    looser = renamed(before, cpu="other")
    assert weakenings(before, looser) == ()
    looser["of"]["targets.other"]["fields"]["tolerance"] = {"float": "0.5"}
    assert [line.split()[:2] for line in weakenings(before, looser)] == [["targets.other", "tolerance"]]
    del looser["of"]["targets.other"]
    assert weakenings(before, looser) == ("targets.cpu is gone, and with it what it was held to",)


def test_approvals_that_are_taken_off() -> None:
    approvals = provider("deployments/local").Spec.__dataclass_fields__["approvals"].metadata["looser"]
    two = pipeline(approvals=approvals(2))
    assert weakenings(two, pipeline(approvals=approvals(1))) == ("deployments.live approvals count 2 -> 1",)
    assert weakenings(two, pipeline()) == ("deployments.live approvals is switched off",)
    assert weakenings(pipeline(), two) == ()
