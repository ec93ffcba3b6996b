"""``each:`` writes a resource once and means several: the same as if every instance had been written by hand."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.errors import ManifestError
from mlopsctl.manifest import Manifest, load_manifest
from mlopsctl.provider import result_fields
from mlopsctl.types import GUARD, Address, Digest, Input, Need, Observed, Resource
from tests.test_fingerprints import made

HEAD = "apiVersion: mlopsctl/v1\nproject: {name: shop}\n"
SHOP = (
    HEAD
    + """\
data:
  sales:
    each: {region: [eu, us]}
    path: data/{each.region}.csv
    label: bought
train:
  scorer:
    each: {region: [eu, us]}
    run: python train.py --data {data.sales} --region {each.region}
gates:
  accuracy:
    each: {region: [eu, us]}
    metric: accuracy
    min: 0.9
targets:
  cpu: {each: {region: [eu, us]}}
deployments:
  production:
    each: {region: [eu, us]}
    target: cpu
"""
)


def load(text: str, files: dict[str, str] | None = None) -> Manifest:
    def read(path: str, most: int) -> bytes:
        if path not in (files or {}):
            raise FileNotFoundError(path)
        return (files or {})[path].encode()

    return load_manifest(text.encode(), read=read)


def only(text: str, files: dict[str, str] | None = None) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        load(text, files)
    assert caught.value.others == ()
    return caught.value


def one(manifest: Manifest, address: str) -> Resource:
    return next(want for want in manifest.resources if str(want.address) == address)


def deployments(each: str, more: str = "", files: dict[str, str] | None = None) -> dict[str, Any]:
    """Instance -> Spec of one repeated deployment."""
    text = SHOP.replace("each: {region: [eu, us]}\n    target: cpu\n", f'each: {each}\n    target: "cpu[eu]"\n{more}')
    found = [want for want in load(text, files).resources if want.address.section == "deployments"]
    return {want.address.instance: want.spec for want in found}


# --- What stands in step ------------------------------------------------------------------------------------


def test_every_value_is_an_instance_and_references_stand_in_step() -> None:
    manifest = load(SHOP)
    assert [str(want.address) for want in manifest.resources if want.address.instance == "us"] == [
        "data.sales[us]", "train.scorer[us]", "gates.accuracy[us]", "targets.cpu[us]", "deployments.production[us]"
    ]  # fmt: skip
    assert one(manifest, "data.sales[us]").spec.path == "data/us.csv"
    assert one(manifest, "train.scorer[us]").needs == (Need("data", Address("data", "sales", "us"), "train"),)
    guards = [need.address for need in one(manifest, "deployments.production[us]").needs if need.role == GUARD]
    assert guards == [Address("gates", "accuracy", "us"), Address("gates", "scan", "scorer,us")]


def test_a_resource_with_more_axes_takes_the_instance_of_those_it_shares() -> None:
    text = SHOP.replace("each: {region: [eu, us]}\n    target", "each: {client: [a, b], region: [eu, us]}\n    target")
    manifest = load(text)
    artifact = Need("artifact", Address("targets", "cpu", "us"), "artifact")
    assert artifact in one(manifest, "deployments.production[b,us]").needs
    assert len([want for want in manifest.resources if want.address.section == "deployments"]) == 4


def test_one_that_is_not_repeated_names_an_instance() -> None:
    text = SHOP.replace("each: {region: [eu, us]}\n    target: cpu", 'target: "cpu[us]"')
    artifact = Need("artifact", Address("targets", "cpu", "us"), "artifact")
    assert artifact in one(load(text), "deployments.production").needs


def test_all_repeated_gates_of_a_model_guard_its_deployment() -> None:
    text = (
        HEAD
        + """\
data: {d: {path: d.csv, label: y}}
train: {t: {run: python t.py}}
gates:
  f:
    each: {bar: [0.7, 0.8]}
    metric: f1
    min: "{each.bar}"
targets: {cpu: {}}
deployments: {local: {target: cpu}}
"""
    )
    manifest = load(text)
    assert [one(manifest, f"gates.f[{bar}]").spec.min for bar in ("0.7", "0.8")] == [0.7, 0.8]
    guards = {str(need.address) for need in one(manifest, "deployments.local").needs if need.role == GUARD}
    assert guards == {"gates.f[0.7]", "gates.f[0.8]", "gates.scan"}


# --- Where values come from ---------------------------------------------------------------------------------


def test_a_row_is_named_by_its_first_key_and_keeps_its_address_when_others_change() -> None:
    found = deployments("[{client: acme, port: 8081}, {client: beta, port: 8082}]", '    to: "127.0.0.1:{each.port}"\n')
    assert {name: spec.to for name, spec in found.items()} == {"acme": "127.0.0.1:8081", "beta": "127.0.0.1:8082"}


@pytest.mark.parametrize(
    ("each", "file", "body"),
    [
        ("clients.csv", "clients.csv", "client,port\nacme,8081\nbeta,8082\n"),
        ("clients.yaml", "clients.yaml", "- {client: acme, port: 8081}\n- {client: beta, port: 8082}\n"),
        ("conf/clients.json", "conf/clients.json", '[{"client": "acme", "port": 8081}, {"client": "beta", "port": 8082}]'),
    ],
)  # fmt: skip
def test_a_file_counts_like_what_stands_in_the_manifest(each: str, file: str, body: str) -> None:
    to = '    to: "127.0.0.1:{each.port}"\n'
    rows = "[{client: acme, port: 8081}, {client: beta, port: 8082}]"
    assert deployments(each, to, {file: body}) == deployments(rows, to)


def test_the_values_of_a_file_are_part_of_the_manifests_digest() -> None:
    text = SHOP.replace("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: regions.yaml}}")
    there = load(text, {"regions.yaml": "[eu, us]"})
    assert there.digest == load(SHOP).digest
    assert load(text, {"regions.yaml": "# all of them\n- eu\n- us\n"}).digest == there.digest
    assert load(text, {"regions.yaml": "[us, eu]"}).digest != there.digest


def test_an_axis_takes_its_column_of_a_table() -> None:
    text = SHOP.replace("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: regions.csv}}")
    assert load(text, {"regions.csv": "code,region\n1,eu\n2,us\n"}).digest == load(SHOP).digest


def test_what_a_spelling_says_survives_a_table() -> None:
    found = deployments(
        "v.csv", "    model: scorer[eu]\n    timeout: '{each.t}'\n", {"v.csv": "v,t\n007,1m\n1.10,2m\n3,3m\n"}
    )
    assert {name: spec.timeout for name, spec in found.items()} == {"007": 60, "1.10": 120, "3": 180}


def test_braces_that_are_doubled_stay() -> None:
    text = SHOP.replace(
        "--region {each.region}", "--note {{each.region}} --bar {params.bar}\n    params: {bar: '{each.region}'}"
    )
    spec = one(load(text), "train.scorer[eu]").spec
    assert "--note {{each.region}}" in spec.run
    assert spec.params == {"bar": "eu"}


# --- What is said about one that makes no sense -------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "place", "says"),
    [
        ("{each.region}.csv", "{each.regoin}.csv", "MLO1050", "6:16", "did you mean 'region'"),
        ("    each: {region: [eu, us]}\n    metric", "    metric", "MLO3030", "13:3", "which model"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu]}}", "MLO1057", "22:13", '"cpu[eu]"'),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: []}}", "MLO1051", "18:24", "[eu, us]"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: eu}", "MLO1056", "18:15", "clients.csv"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu, us, eu]}}", "MLO1053", "18:15", "of its own"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu, us, EU]}}", "MLO1053", "18:15", "of its own"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu, us, ../x]}}", "MLO1055", "18:15", "letters"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu, us, null]}}", "MLO1051", "18:33", "rows"),
        ("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: [eu, us, 'a,b']}}", "MLO1055", "18:15", "letters"),
        (
            "cpu: {each: {region: [eu, us]}}",
            "cpu: {each: [{region: eu}, {other: us}]}",
            "MLO1051",
            "18:30",
            "same keys",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(old: str, new: str, code: str, place: str, says: str) -> None:
    error = only_first(SHOP.replace(old, new, 1))
    assert (error.code, f"{error.where.line}:{error.where.column}" if error.where else "") == (code, place)
    assert says in error.message + error.hint


def only_first(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        load(text)
    return caught.value


def test_the_instances_are_listed_where_one_must_be_named() -> None:
    error = only(SHOP.replace("each: {region: [eu, us]}\n    target: cpu", "target: cpu"))
    assert (error.code, str(error.where)) == ("MLO1057", "mlops.yaml:21:13")
    assert "there are cpu[eu], cpu[us]" in error.hint


def test_a_value_of_several_words_stands_in_no_command() -> None:
    rows = "[{region: eu, city: Bern}, {region: us, city: New York}]"
    text = SHOP.replace("each: {region: [eu, us]}\n    run", f"each: {rows}\n    run").replace(
        "--region {each.region}", "{each.city}"
    )
    error = only(text)
    assert error.code == "MLO1058"
    assert 'params: {city: "{each.city}"}' in error.hint
    spec = one(load(text.replace("{each.city}", "{params.c}\n    params: {c: '{each.city}'}")), "train.scorer[us]").spec
    assert spec.params == {"c": "New York"}


def test_a_hundred_by_a_hundred_is_too_many() -> None:
    numbers = list(range(100))
    error = only_first(SHOP.replace("[eu, us]}\n    target", f"[eu, us], a: {numbers}, b: {numbers}}}\n    target"))
    assert error.code == "MLO1054"


def test_a_thousand_are_not() -> None:
    regions = str([f"r{number}" for number in range(1000)])
    manifest = load(HEAD + f"data:\n  d:\n    each: {{region: {regions}}}\n    path: '{{each.region}}.csv'\n")
    assert len(manifest.resources) == 1000


def test_a_file_outside_or_of_another_kind_is_refused() -> None:
    for name in ("../clients.csv", "/etc/passwd", "clients.txt"):
        assert (
            only_first(SHOP.replace("each: {region: [eu, us]}\n    target", f"each: {name}\n    target")).code
            == "MLO1056"
        )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("region,region\neu,us\n", "two columns are named 'region'"),
        ('region\n"eu\n', "unexpected end of data"),
        (f"region\n{'x' * 200_000}\n", "field limit"),
    ],
)
def test_a_file_that_is_no_table_is_refused(body: str, said: str, request: pytest.FixtureRequest) -> None:
    before = csv.field_size_limit(1 << 30)  # as whoever read a table before leaves it
    request.addfinalizer(lambda: csv.field_size_limit(before))
    error = only_first_of("cpu: {each: {region: r.csv}}", {"r.csv": body})
    assert error.code == "MLO1056" and said in error.message


def test_a_table_with_line_ends_of_an_old_mac_is_one() -> None:
    text = SHOP.replace("cpu: {each: {region: [eu, us]}}", "cpu: {each: {region: r.csv}}")
    assert load(text, {"r.csv": "region\reu\rus\r"}).digest == load(SHOP).digest


def test_a_broken_file_is_named_with_its_own_place() -> None:
    error = only_first_of("cpu: {each: {region: r.yaml}}", {"r.yaml": "- eu\n- [us\n"})
    assert str(error.where).startswith("r.yaml:")


def only_first_of(targets: str, files: dict[str, str]) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        load(SHOP.replace("cpu: {each: {region: [eu, us]}}", targets), files)
    return caught.value


# --- The law ------------------------------------------------------------------------------------------------

VALUES = st.lists(st.sampled_from(["eu", "us", "a-1", "x_y", "7", "0.5"]), min_size=1, max_size=3, unique=True)
REPEATED = st.sets(st.sampled_from(["data", "train", "gates", "targets", "deployments"]))


PROGRAM = {"use": "command", "program": "deploy.sh", "digest": "sha256:" + "1" * 64}


def written_once(values: list[str], repeated: set[str]) -> dict[str, Any]:
    """A pipeline of which some sections are repeated over the values; what follows something repeated is repeated too."""
    sections: dict[str, Any] = {
        "data": {"d": {"path": "data/{each.v}.csv", "label": "y", "split": {"test": 0.3, "by": "shopper"}}},
        "train": {"t": {"run": "python train.py {data.d} --v {each.v}", "params": {"v": "{each.v}"}}},
        "gates": {"g": {"metric": "accuracy", "model": "t", "min": 0.5}},
        "targets": {"c": {"model": "t"}},
        "deployments": {"l": {**PROGRAM, "target": "c", "params": {"v": "{each.v}"}}},
    }
    for section, block in sections.items():
        entry = next(iter(block.values()))
        if section in repeated:
            entry["each"] = {"v": values}
    return {"apiVersion": "mlopsctl/v1", "project": {"name": "p"}, **sections}


def by_hand(document: dict[str, Any], values: list[str]) -> dict[str, Any]:
    """The same with every instance written out under a name of its own: ``d-1`` for ``d[us]``."""
    found: dict[str, Any] = {key: document[key] for key in ("apiVersion", "project")}
    many = {name for block in document.values() for name, entry in items(block) if "each" in entry}
    for section in ("data", "train", "gates", "targets", "deployments"):
        found[section] = {}
        for name, entry in document[section].items():
            rest = {key: value for key, value in entry.items() if key != "each"}
            for number, value in enumerate(values if "each" in entry else [None]):
                text = json.dumps(rest)
                if value is not None:
                    text = text.replace("{each.v}", value)
                    for other in many:
                        text = text.replace(f'"{other}"', f'"{other}-{number}"').replace(
                            f".{other}}}", f".{other}-{number}}}"
                        )
                found[section][name if value is None else f"{name}-{number}"] = json.loads(text)
    return found


def items(block: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(key, value) for key, value in block.items() if isinstance(value, dict)] if isinstance(block, dict) else []


def described(manifest: Manifest, values: list[str], *, instances: bool) -> dict[str, Any]:
    """Address -> what its results are made from, with instances under the names that ``by_hand`` gives them."""

    def name(address: Address) -> str:
        if not instances or not address.instance:
            return str(address)
        parts = address.instance.split(",")
        number = values.index(parts[-1]) if parts[-1] in values else -1
        if address.name == "scan":
            return f"gates.scan[{parts[0]}-{number}]" if number >= 0 else str(address)
        return f"{address.section}.{address.name}-{number}"

    def text(spec: Any) -> str:
        plain = json.dumps(result_fields(spec), sort_keys=True)
        for number, value in enumerate(values if instances else []):
            plain = plain.replace(f"[{value}]", f"-{number}")
        return plain

    found = {}
    for want in manifest.resources:
        inputs = [
            Input(need, Observed(Digest(""), {need.output: made(name(need.address), need.output)}))
            for need in want.needs
        ]
        needs = [
            (need.role, name(need.address), need.output, item.digest)
            for need, item in zip(want.needs, inputs, strict=True)
        ]
        found[name(want.address)] = (want.provider, text(want.spec), sorted(needs, key=str))
    return found


@settings(max_examples=60, deadline=None)
@given(VALUES, REPEATED)
def test_it_means_what_would_be_written_by_hand(values: list[str], repeated: set[str]) -> None:
    order = ["data", "train", "gates", "targets", "deployments"]
    first = min((order.index(section) for section in repeated), default=len(order))
    # What refers to something repeated is repeated as well; gates lead to nothing that names them.
    repeated = {section for section in order[first:] if section != "gates" or first <= 2}
    once = written_once(values, repeated)
    for section in set(order) - repeated:
        text = json.dumps(once[section]).replace("{each.v}", "5")
        once[section] = json.loads(text)
    short, long = load(json.dumps(once)), load(json.dumps(by_hand(once, values)))
    assert described(short, values, instances=True) == described(long, values, instances=False)
