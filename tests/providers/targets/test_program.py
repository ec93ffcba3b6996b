from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.store import hash_folder
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import program as target
from mlopsctl.types import Address, Digest, Observed, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described

STEADY = """
import json, sys
threshold = json.load(open(sys.argv[1] + "/weights.json"))
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"label": int(row["a"] > threshold), "score": row["a"] - threshold}))
"""
RESTLESS = """
import json, random, sys
for line in sys.stdin:
    print(json.dumps(random.random() > 0.5))
"""


def write_model(folder: Path, code: str) -> dict[str, object]:
    (folder / "answer.py").write_text(code, encoding="utf-8")
    (folder / "weights.json").write_text("0.25", encoding="utf-8")
    return {"kind": "opaque", "predict": [sys.executable, "answer.py", "{model}"]}


def test_the_packed_program_answers_as_the_original_on_every_row(bench: Bench, folder: Path) -> None:
    made = bench.make(target, folder, write_model(folder, STEADY))
    assert (made.facts["n"], made.facts["agreement"], made.facts["max_abs_diff"]) == (ROWS, "1", "0")
    assert made.facts["figures"]["deterministic"] is True
    found = described(made.outputs["artifact"])
    assert (found["runtime"], found["model"], found["predict"][1:]) == ("program", ".", ["answer.py", "{model}"])
    assert found["inputs"][0] == {"name": "a", "dtype": "float64", "shape": [None]}
    assert found["outputs"] == [
        {"name": "label", "dtype": "int64", "shape": [None]},
        {"name": "score", "dtype": "float64", "shape": [None]},
    ]


def test_a_program_that_answers_with_the_label_has_a_metric(bench: Bench, folder: Path) -> None:
    plain = "import json, sys\nfor line in sys.stdin: print(int(json.loads(line)['a'] > 0))\n"
    metrics = bench.make(target, folder, write_model(folder, plain)).facts["metrics"]
    assert (metrics["metric"], metrics["n"]) == ("accuracy", ROWS)
    assert metrics["artifact"] == metrics["original"]


def test_a_program_whose_answers_no_metric_can_read_says_so(bench: Bench, folder: Path) -> None:
    metrics = bench.make(target, folder, write_model(folder, STEADY)).facts["metrics"]
    assert metrics["metric"] is None
    assert "MLO1310" in metrics["reason"]


def test_the_artifact_holds_the_model_and_nothing_that_running_it_left(bench: Bench, folder: Path) -> None:
    code = f"""{STEADY}
try:
    open(sys.argv[1] + '/leftover', 'w').close()
except PermissionError:
    print("the sandbox forbids it", file=sys.stderr)
"""
    artifact = bench.make(target, folder, write_model(folder, code)).outputs["artifact"]
    assert {path.name for path in artifact.iterdir()} == {"answer.py", "weights.json", "artifact.json"}


def test_another_time_and_place_give_the_same_artifact(tmp_path: Path) -> None:
    found = set()
    for name in ("here", "there"):
        (tmp_path / name / "model").mkdir(parents=True)
        facts = write_model(tmp_path / name / "model", STEADY)
        found.add(
            hash_folder(Bench(tmp_path / name).make(target, tmp_path / name / "model", facts).outputs["artifact"])
        )
    assert len(found) == 1


def test_a_program_that_rolls_dice_is_reported_as_such(bench: Bench, folder: Path) -> None:
    facts = write_model(folder, RESTLESS)
    made = bench.make(target, folder, facts)
    assert made.facts["figures"]["deterministic"] is False
    assert 0 < float(made.facts["agreement"]) < 1
    seen = Observed(Digest("sha256:0"), {}, made.facts)
    strict, lenient = (
        target.judge(Resource(Address("targets", "chat"), "targets/program", spec), seen, ())
        for spec in (target.Spec(), target.Spec(min_agreement=0.0, tolerance=1.0))
    )
    assert strict.blocks and "from run to run" in strict.hint and "two runs of the original agree on 0." in strict.text
    assert lenient.status is Status.PASSED


@pytest.mark.parametrize(
    ("facts", "code"),
    [({"kind": "onnx"}, "MLO1414"), ({"kind": "opaque", "predict": None}, "MLO1414")],
    ids=["an ONNX model", "no predict:"],
)
def test_a_model_without_a_program_belongs_to_another_target(
    bench: Bench, folder: Path, facts: dict[str, object], code: str
) -> None:
    (folder / "weights.json").write_text("1", encoding="utf-8")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, facts)
    assert error.value.code == code


def test_the_name_of_the_description_is_taken(bench: Bench, folder: Path) -> None:
    facts = write_model(folder, STEADY)
    (folder / "artifact.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, facts)
    assert error.value.code == "MLO1415"
