"""What a training step may learn from and choose by, and that rows for testing are neither."""

from __future__ import annotations

import pytest

from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import fingerprint, ingredients
from mlopsctl.types import Address, Digest, Input, Need, Observed, Resource

from .conftest import ONNX_SCRIPT, Project, script

HEAD = """\
apiVersion: mlopsctl/v1
project: {name: p}
data:
  a: {path: a.csv, label: y, split: {test: 0.2, val: 0.1}}
  b: {path: b.csv, label: y}
  whole: {path: whole.csv, label: y, split: none}
  kept: {path: kept.csv, label: y, split: {test: all}}
"""
PIN = 'use: command, program: p.sh, digest: "sha256:' + 64 * "0" + '"'
USES = ["run: python train.py", PIN]


def step(keys: str, head: str = HEAD) -> Resource:
    resources = load_manifest(f"{head}train: {{it: {{{keys}}}}}\n".encode()).resources
    return next(one for one in resources if one.address.section == "train")


def given(keys: str, head: str = HEAD) -> list[tuple[str, str, str]]:
    return [(need.role, need.address.bare, need.output) for need in step(keys, head).needs]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("keys", "validation"),
    [
        ("data: a", [("validation", "a", "val")]),
        ("data: a, validation: []", []),
        ("data: a, validation: whole", [("validation", "whole", "train")]),
        ("data: a, validation: [a, whole]", [("validation", "a", "val"), ("validation", "whole", "train")]),
        ("data: b", []),
        ("data: b, validation: a", [("validation", "a", "val")]),
    ],
)
def test_validation_names_the_rows_that_a_step_may_choose_by(
    use: str, keys: str, validation: list[tuple[str, str, str]]
) -> None:
    assert given(f"{use}, {keys}") == [("data", keys[6], "train"), *validation]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ("data: kept", "MLO1251", "data.kept is for testing"),
        ("data: a, validation: kept", "MLO1251", "data.kept is for testing"),
        ("data: a, validation: b", "MLO1250", "has no validation view: it has train and test"),
        ("data: whole, validation: whole", "MLO1250", "all rows of which are trained on"),
        ("data: a, validation: nobody", "MLO3020", "'validation' names 'nobody'"),
    ],
)
def test_rows_for_testing_are_for_no_training_step(use: str, keys: str, code: str, said: str) -> None:
    with pytest.raises(ManifestError, match=said) as caught:
        step(f"{use}, {keys}")
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["{data.kept}", "{data.a.test}", "{data.a:test}", "{gates.good}"])
def test_a_command_names_neither_rows_for_testing_nor_a_gate(text: str) -> None:
    gates = "gates: {good: {metric: accuracy, min: 0.5, data: a}}\n"
    with pytest.raises(ManifestError) as caught:
        step(f'run: "python train.py {text}", data: a', HEAD + gates)
    assert caught.value.code in ("MLO1251", "MLO3038")


def test_a_dataset_of_its_own_is_found_without_saying_which_one_is_trained_on() -> None:
    head = HEAD.split("  b:")[0] + "  whole: {path: whole.csv, label: y, split: none}\n"
    for use in USES:
        assert given(f"{use}, validation: whole", head) == [("data", "a", "train"), ("validation", "whole", "train")]
    named = 'run: "python train.py --val {data.whole}", validation: whole'
    assert given(named, head) == [("data", "a", "train"), ("validation", "whole", "train")]


def made_from(want: Resource, digest: str) -> Digest:
    seen = Observed(Digest(""), {"train": Digest("sha256:" + 64 * "a"), "val": Digest(digest)})
    chosen = Observed(Digest(""), {"train": Digest(digest)})
    inputs = [Input(need, chosen if need.role == "validation" else seen) for need in want.needs]
    parts = ingredients(want, {}, inputs)
    assert parts is not None
    return fingerprint(parts)


def test_rows_to_choose_by_count_and_their_names_do_not() -> None:
    def named(name: str) -> Resource:
        head = HEAD.replace("whole:", f"{name}:")
        return step(f'run: "python train.py {{data.{name}}}", data: a, validation: {name}', head)

    one, other = "sha256:" + 64 * "b", "sha256:" + 64 * "c"
    assert made_from(named("whole"), one) == made_from(named("holdout"), one)
    assert made_from(named("whole"), one) != made_from(named("whole"), other)


def test_a_placeholder_and_a_variable_lead_to_the_rows(project: Project) -> None:
    code = "print('val:', open(sys.argv[1]).read())\nassert sys.argv[1] == os.environ['MLOPS_DATA_OTHER_VAL']\n"
    script(project, code + ONNX_SCRIPT)
    inputs = project.inputs(project.resource(run="python train.py"))
    other = Input(Need("validation", Address("data", "other"), "train"), inputs[0].seen)
    project.train([*inputs, other], run="python train.py {data.other}")
    assert "val: a,b,label" in project.log.read_text()


def test_no_code_of_a_step_is_a_dataset_that_judges_models() -> None:
    from mlopsctl.cli.given import refuse_rows, set_aside

    resources = load_manifest(
        f"{HEAD}  folder: {{path: many}}\ntrain: {{it: {{run: python t.py, data: whole}}}}\n".encode()
    ).resources
    want = next(one for one in resources if one.address.section == "train")
    paths = set_aside(resources)
    assert set(paths) == {"a.csv", "b.csv", "kept.csv"}, "where no rows are set aside, all may be seen"
    refuse_rows(want, ["train.py", "whole.csv", "many/a.txt"], paths)
    for file in ("a.csv", "kept.csv"):
        with pytest.raises(ProviderError, match=rf"{file} counts as code of train\.it") as caught:
            refuse_rows(want, ["train.py", file], paths)
        assert caught.value.code == "MLO1210"
    with pytest.raises(ProviderError):
        refuse_rows(want, ["a.csv/part"], paths)
