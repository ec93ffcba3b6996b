"""Other values than the manifest states: typed and checked like its own, and never beside what it declares."""

from __future__ import annotations

from typing import Any

import pytest

from mlopsctl.errors import ManifestError, UsageError
from mlopsctl.manifest.overlay import load_overlaid, path_of
from mlopsctl.types import Resource

MANIFEST = b"""\
apiVersion: mlopsctl/v1
project: {name: credit}
data:
  rows: {path: rows.csv, label: y, split: {test: 0.2, key: id}}
  more: {path: more.csv, label: y, split: none}
train:
  scorer:
    run: python train.py {data.rows}
    params: &usual {lr: 0.1, name: a, layers: {wide: 3}}
  other: {run: "python other.py {data.more}", params: *usual}
  region: {each: {region: [eu, us]}, run: "python train.py {data.rows} {params.r}", params: {r: "{each.region}"}}
gates:
  good: {model: scorer, metric: accuracy, min: 0.9}
targets:
  cpu: {model: scorer}
deployments:
  local: {target: cpu}
"""


def resources(*settings: str, text: bytes = MANIFEST) -> dict[str, Resource]:
    made = load_overlaid(text, "mlops.yaml", lambda path, most: b"", settings)
    return {str(want.address): want for want in made.resources}


def spec(address: str, *settings: str) -> Any:
    return resources(*settings)[address].spec


def refused(*settings: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resources(*settings)
    assert caught.value.exit_code == 64
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.01", 0.01),
        ("1e-3", 0.001),
        ("7", 7),
        ('"7"', "7"),
        ("on", "on"),
        ("true", True),
        ("a=b", "a=b"),
        ("[1, 2]", [1, 2]),
        ("", None),
    ],
)
def test_a_value_is_typed_as_yaml_types_it(text: str, value: object) -> None:
    found = spec("train.scorer", f"train.scorer.params.lr={text}").params["lr"]
    assert (found, type(found)) == (value, type(value))


def test_nothing_else_changes_not_even_what_shares_an_alias() -> None:
    before, after = resources(), resources("train.scorer.params.layers.wide=9")
    assert after.pop("train.scorer").spec.params == {"lr": 0.1, "name": "a", "layers": {"wide": 9}}
    del before["train.scorer"]
    assert after == before


def test_keys_that_the_manifest_leaves_out_can_be_set_and_the_later_of_two_counts() -> None:
    assert spec("train.scorer", "train.scorer.seed=1", "train.scorer.seed=7").seed == 7
    assert spec("train.scorer", "train.scorer.resources.cpu=2").resources.cpu == 2
    assert spec("data.more", "data.more.split.test=0.5").split.test == 0.5
    assert spec("gates.good", "gates.good.min=0.5").min == 0.5
    assert resources("targets.cpu.use=tvm")["targets.cpu"].provider == "targets/tvm"


def test_every_instance_gets_it_and_instances_themselves_can_be_set() -> None:
    found = resources("train.region.seed=3")
    assert [found[f"train.region[{one}]"].spec.seed for one in ("eu", "us")] == [3, 3]
    assert "train.region[br]" in resources("train.region.each.region=[br]")
    assert "instance" in refused("train.region[eu].seed=3").message


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("train.scorr.seed=1", "did you mean 'train.scorer'?"),
        ("trian.scorer.seed=1", "did you mean 'train'?"),
        ("train.scorer.sede=1", "did you mean 'train.scorer.seed'?"),
        ("train.scorer.params.lrr=1", "did you mean 'train.scorer.params.lr'?"),
        ("train.scorer.resources.cpus=1", "did you mean 'train.scorer.resources.cpu'?"),
        ("train.scorer.seed.x=1", "write train.scorer.seed=VALUE"),
        ("train.scorer.params.lr.x=1", "write train.scorer.params.lr=VALUE"),
        ("train.scorer=1", "train.scorer.KEY"),
        ("train.scorer.seed", "write --set"),
        ("train..seed=1", "write --set"),
        ("project.name=x", "known are: data"),
        ("store=/tmp", "known are: data"),
    ],
)
def test_what_names_nothing_is_refused_with_the_nearest_name(setting: str, hint: str) -> None:
    error = refused(setting)
    assert (error.code, hint in error.hint) == ("MLO6420", True), error.hint


def test_a_deployment_takes_nothing_from_the_command_line() -> None:
    assert "deployment" in refused("deployments.local.to=127.0.0.1:1").message


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.scorer.seed=abc", "'seed' must be a whole number"),
        ("train.scorer.seed=-1", "the least is 0"),
        ("train.scorer.run=python train.py {data.rwos}", "stands for nothing"),
        ("train.scorer.run=python a.py && python b.py", "needs a shell"),
        ("gates.good.model=nobody", "names 'nobody'"),
        ("targets.cpu.use=nothing", "no provider"),
        ("train.scorer.seed=[1", "no YAML"),
        ("train.region.each.region=[]", "must be a list of values"),
        ("train.scorer.env={TOKEN: ghp_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", "secret"),
    ],
)
def test_what_does_not_fit_is_found_by_the_manifests_own_checks(setting: str, words: str) -> None:
    error = refused(setting)
    assert error.code == "MLO6421"
    assert words in error.message
    assert error.message.startswith(f"--set {path_of(setting)}")
    assert "ghp_" not in error.message + error.hint


def test_a_manifest_that_is_wrong_by_itself_is_not_the_command_lines_fault() -> None:
    with pytest.raises(ManifestError):
        resources("train.scorer.seed=1", text=MANIFEST.replace(b"min: 0.9", b"min: much"))


def test_the_digest_of_the_manifest_follows() -> None:
    read = [
        load_overlaid(MANIFEST, "mlops.yaml", lambda path, most: b"", one) for one in ((), ("train.scorer.seed=1",))
    ]
    assert read[0].digest != read[1].digest
