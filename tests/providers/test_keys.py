"""Keys of a Spec reach what they steer: what a provider does with a key, not only the function that could."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mlopsctl.adapters.git import WorkTree, find_repo
from mlopsctl.adapters.keys import new_key
from mlopsctl.adapters.store import LocalStore
from mlopsctl.adapters.table import read_table
from mlopsctl.budgets import Resources
from mlopsctl.errors import ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import Context, Trail, Tree
from mlopsctl.providers.data import command as data_command
from mlopsctl.providers.data import dvc
from mlopsctl.providers.data.split import Split
from mlopsctl.providers.deployments import command as deployment_command
from mlopsctl.providers.gates import command as gate_command
from mlopsctl.providers.gates import scan
from mlopsctl.providers.targets import command as target_command
from mlopsctl.providers.train import command as train_command
from mlopsctl.registry import provider
from mlopsctl.types import Address, Digest, Need, Observed, Outcome, Resource, Status
from tests.adapters.onnx_models import linear
from tests.adapters.test_inference import endless

from .gates.test_metric import Room, rows
from .test_command import ARTIFACT, MODEL, ROWS, TEST, Bench, make_artifact, make_model, make_rows

PIN: dict[str, Any] = {"program": "p", "digest": "sha256:" + "0" * 64}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path)
    found.signer = new_key(tmp_path / "keys" / "ada.pem")
    return found


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


# --- use: command, in every section ------------------------------------------------------------------------

SECTIONS = [
    ("data.more", data_command, (), {"path": "more.csv"}),
    ("train.classifier", train_command, (ROWS,), {}),
    ("gates.odd", gate_command, (MODEL, TEST), {"metric": "odd", "min": 0.1}),
    ("targets.shelf", target_command, (MODEL, TEST), {}),
    ("deployments.shelf", deployment_command, (ARTIFACT,), {"target": "shelf"}),
]


def prepare(bench: Bench, needs: tuple[Need, ...]) -> None:
    """Makes what a step needs, and no more."""
    for given, make in (
        ((ROWS, MODEL, ARTIFACT), make_rows),
        ((MODEL, ARTIFACT), make_model),
        ((ARTIFACT,), make_artifact),
    ):
        if set(needs) & set(given):
            make(bench)


@pytest.mark.parametrize(("address", "module", "needs", "spec"), SECTIONS, ids=[row[0] for row in SECTIONS])
def test_arguments_and_settings_reach_the_program(
    bench: Bench, address: str, module: Any, needs: Any, spec: dict[str, Any]
) -> None:
    prepare(bench, needs)
    echo = bench.program(
        "import json, sys; spec = json.load(sys.stdin)['spec']\n"
        "print(json.dumps({'error': {'message': json.dumps([sys.argv[1:], spec['params']])}}))"
    )
    with pytest.raises(ProviderError) as error:
        bench.make(address, module, *needs, **echo, **spec, args=("--fast", "two words"), params={"k": 3})
    assert json.loads(error.value.message.partition("): ")[2]) == [["--fast", "two words"], {"k": 3}]


@pytest.mark.parametrize(("address", "module", "needs", "spec"), SECTIONS, ids=[row[0] for row in SECTIONS])
def test_a_program_gets_as_long_as_its_timeout(
    bench: Bench, address: str, module: Any, needs: Any, spec: dict[str, Any]
) -> None:
    prepare(bench, needs)
    with pytest.raises(ProviderError, match=r"no answer within 0\.3 s") as error:
        bench.make(address, module, *needs, **bench.program("import time; time.sleep(60)"), **spec, timeout=0.3)
    assert error.value.code == "MLO1061"


@pytest.mark.parametrize(("address", "module", "needs", "spec"), SECTIONS[1:4], ids=[row[0] for row in SECTIONS[1:4]])
def test_a_program_gets_its_share_of_the_machine(
    bench: Bench, address: str, module: Any, needs: Any, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(bench, needs)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    said = "len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], os.environ['CUDA_VISIBLE_DEVICES'], full"
    program = bench.program(
        "import json, os\ntry: bytearray(400 << 20); full = False\nexcept MemoryError: full = True\n"
        f"print(json.dumps({{'error': {{'message': json.dumps([{said}])}}}}))"
    )
    share = Resources(cpu=1, memory=300 << 20, gpu=0)
    with pytest.raises(ProviderError) as error:
        bench.make(address, module, *needs, **program, **spec, resources=share)
    assert json.loads(error.value.message.partition("): ")[2]) == [1, "1", "", True]


# --- data ----------------------------------------------------------------------------------------------------

TABLE = "id,g,y\n" + "".join(f"{n},{n % 9},{n % 2}\n" for n in range(120))


def by_dvc(root: Path, **spec: Any) -> tuple[Outcome, LocalStore]:
    repo = root / "repo"
    if not repo.exists():
        subprocess.run(["git", "init", "-q", str(repo)], check=True)
        (repo / "t.csv").write_text(TABLE)
        subprocess.run(["git", "add", "t.csv"], cwd=repo, check=True)
    scratch = Path(tempfile.mkdtemp(dir=root))
    store, tree, trail = LocalStore(root / "store"), WorkTree(find_repo(repo), repo), cast(Trail, None)
    ctx = Context(repo, root / "state", scratch, cast(Tree, tree), store, trail, "p", lambda line: None)
    want = Resource(Address("data", "t"), "data/dvc", dvc.Spec("t.csv", label="y", **spec))
    return dvc.apply(want, (), ctx), store


def by_command(root: Path, **spec: Any) -> tuple[Outcome, LocalStore]:
    bench = Bench(Path(tempfile.mkdtemp(dir=root)))
    program = bench.program(
        f"import json, sys\nopen(json.load(sys.stdin)['out'] + '/t.csv', 'w').write({TABLE!r})\n"
        "print(json.dumps({'outputs': {'all': 't.csv'}}))"
    )
    return bench.make("data.t", data_command, **program, path="t.csv", label="y", **spec), bench.store


def view(made: Outcome, name: str) -> dict[str, list[Any]]:
    table = read_table(cast(Path, made.outputs[name]), "csv")
    return {column: values.tolist() for column, values in table.columns.items()}


@pytest.mark.parametrize("make", [by_dvc, by_command], ids=["dvc", "command"])
def test_every_key_of_a_split_moves_rows(tmp_path: Path, make: Any) -> None:
    plain = make(tmp_path)[0].facts["rows"]
    assert set(plain) == {"all", "train", "test"}
    assert make(tmp_path, split="none")[0].facts["rows"] == {"all": 120, "train": 120}
    larger = make(tmp_path, split=Split(test=0.6))[0].facts["rows"]
    assert larger["test"] > 2 * plain["test"] > 0
    assert make(tmp_path, split=Split(val=0.3))[0].facts["rows"]["val"] > 0
    grouped, _ = make(tmp_path, split=Split(test=0.5, by="g"))
    assert not set(view(grouped, "train")["g"]) & set(view(grouped, "test")["g"])
    named, _ = make(tmp_path, split=Split(test=0.5, key="id"))
    other, _ = make(tmp_path, split=Split(test=0.5, key="id", seed=1))
    unnamed, _ = make(tmp_path, split=Split(test=0.5))
    sides = [view(made, "test")["id"] for made in (named, other, unnamed)]
    assert sides[0] != sides[1] and sides[0] != sides[2]


def test_the_path_of_fetched_data_is_where_training_finds_it(bench: Bench) -> None:
    made = make_rows(bench)
    assert (made.facts["path"], made.facts["format"], made.facts["label"]) == ("data/rows.csv", "csv", "label")
    assert made.facts["rows"]["all"] == 200 != make_rows(bench, 150).facts["rows"]["all"]


@pytest.mark.parametrize("use", ["run: a", "use: command, program: p, digest: 'sha256:" + "0" * 64 + "'"])
def test_a_training_step_gets_the_data_it_names(use: str) -> None:
    text = "apiVersion: mlopsctl/v1\nproject: {name: two}\ndata: {one: {path: one.csv, label: y}, two: {path: two.csv, label: y}}\n"
    for name in ("one", "two"):
        *_, want, _ = load_manifest(f"{text}train: {{it: {{{use}, data: {name}}}}}\n".encode()).resources
        assert [(str(need.address), need.output) for need in want.needs] == [(f"data.{name}", "train")]


# --- gates ---------------------------------------------------------------------------------------------------

FACTS = {"metric": "accuracy", "value": "0.9", "ci": ["0.85", "0.95"], "n": 200, "view": "test", "confidence": "0.95"}
GATES = [("gates/metric", {"metric": "accuracy"}), ("gates/command", {"metric": "accuracy", **PIN})]


@pytest.mark.parametrize(("name", "spec"), GATES, ids=[row[0] for row in GATES])
@pytest.mark.parametrize(
    ("bars", "status", "blocks"),
    [
        ({"min": 0.8}, Status.PASSED, False),
        ({"min": 0.99}, Status.FAILED, True),
        ({"max": 0.99}, Status.PASSED, False),
        ({"max": 0.8}, Status.FAILED, True),
        ({"min": 0.9}, Status.INCONCLUSIVE, True),
        ({"min": 0.9, "inconclusive": "warn"}, Status.INCONCLUSIVE, False),
    ],
    ids=str,
)
def test_bars_decide_the_verdict(
    name: str, spec: dict[str, Any], bars: dict[str, Any], status: Status, blocks: bool
) -> None:
    gate = provider(name)
    want = Resource(Address("gates", "g"), name, gate.Spec(**spec, **bars))
    found = gate.judge(want, Observed(Digest("sha256:0"), {}, FACTS), ())
    assert (found.status, found.blocks) == (status, blocks)


def test_metric_confidence_and_positive_class_change_the_figures(room: Room, tmp_path: Path) -> None:
    x, y = rows(300)
    linear(tmp_path / "m", np.eye(3), softmax=True)
    model, data = room.model(tmp_path / "m"), room.data(x, y)

    def width(**spec: Any) -> tuple[float, str]:
        facts, _ = room.gate(model, data, **spec)
        return float(facts["ci"][1]) - float(facts["ci"][0]), facts["value"]

    assert width(metric="accuracy", min=0.1, confidence=0.99)[0] > 1.2 * width(metric="accuracy", min=0.1)[0]
    assert width(metric="accuracy", min=0.1)[1] != width(metric="log_loss", max=9)[1]
    assert width(metric="f1", min=0.1, positive=0)[1] != width(metric="f1", min=0.1, positive=1)[1]


def test_a_gates_model_is_held_to_its_time_and_memory(room: Room, tmp_path: Path) -> None:
    x, y = rows(20)
    linear(tmp_path / "m", np.eye(3))
    model, data = room.model(tmp_path / "m"), room.data(x, y)
    for limit in ({"timeout": 0.01}, {"memory": 50 * 2**20}):
        with pytest.raises(ProviderError) as error:
            room.gate(model, data, metric="accuracy", min=0.1, **limit)
        assert error.value.code in ("MLO1304", "MLO1306"), error.value.message


def test_a_scan_is_held_to_its_time_and_memory(room: Room, tmp_path: Path) -> None:
    plain, never = tmp_path / "plain", tmp_path / "never"
    for folder in (plain, never):
        folder.mkdir()
    linear(plain, np.eye(3))
    endless(never)

    def findings(folder: Path, **spec: Any) -> Any:
        want = Resource(Address("gates", "scan"), "gates/scan", scan.Spec(**spec))
        scratch, trail = Path(tempfile.mkdtemp(dir=tmp_path)), cast(Trail, None)
        ctx = Context(tmp_path, tmp_path, scratch, cast(Tree, None), room.store, trail, "p", lambda line: None)
        return scan.apply(want, (room.model(folder),), ctx).facts["findings"]

    assert findings(plain) == []
    assert len(findings(plain, memory=50 * 2**20)) == 1
    # On a busy machine twice the seconds of wall clock pass before one of processor time does.
    assert re.search(r"1 s|2 seconds", str(findings(never, timeout=1.0)))


# --- targets -------------------------------------------------------------------------------------------------

TARGETS = [("onnxruntime", {}), ("openvino", {}), ("tvm", {}), ("web", {}), ("program", {}), ("command", PIN)]
COMPARED = {"n": 60, "agreement": "0.9", "max_abs_diff": "0.002", "max_scaled_diff": "0.002", "proof": "device-run"}


@pytest.mark.parametrize(("use", "spec"), TARGETS, ids=[row[0] for row in TARGETS])
def test_a_recorded_comparison_is_judged_by_todays_bars(use: str, spec: dict[str, Any]) -> None:
    target = provider(f"targets/{use}")

    def status(**bars: float) -> Status:
        want = Resource(Address("targets", "cpu"), f"targets/{use}", target.Spec(**spec, **bars))
        return target.judge(want, Observed(Digest("sha256:0"), {}, COMPARED), ()).status

    assert status(tolerance=0.01, min_agreement=0.5) is Status.PASSED
    assert status(tolerance=0.01, min_agreement=0.95) is Status.FAILED
    assert status(tolerance=0.001, min_agreement=0.5) is Status.FAILED


# --- deployments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["", "use: command, program: p, digest: 'sha256:" + "0" * 64 + "', "])
def test_a_deployment_serves_the_target_it_names(use: str) -> None:
    text = (
        "apiVersion: mlopsctl/v1\nproject: {name: two}\ndata: {one: {path: one.csv, label: y}}\n"
        "train: {m: {run: a}}\ntargets: {a: {}, b: {}}\n"
    )
    for name in ("a", "b"):
        *_, want = load_manifest(f"{text}deployments: {{d: {{{use}target: {name}}}}}\n".encode()).resources
        assert [str(need.address) for need in want.needs if need.role == "artifact"] == [f"targets.{name}"]
