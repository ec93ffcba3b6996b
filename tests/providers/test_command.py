"""Every section's ``use: command`` with programs in Python and C++, run as apply runs them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from mlopsctl.adapters.keys import Signer, new_key
from mlopsctl.adapters.model_signature import sign_folder
from mlopsctl.adapters.store import LocalStore
from mlopsctl.canonical import canonical
from mlopsctl.errors import EvidenceError, ManifestError, ProviderError
from mlopsctl.provider import Context, Trail, Tree, with_meaning
from mlopsctl.providers.data import command as data
from mlopsctl.providers.deployments import command as deployment
from mlopsctl.providers.gates import command as gate
from mlopsctl.providers.targets import command as target
from mlopsctl.providers.train import command as train
from mlopsctl.types import Address, Digest, Entry, Input, Need, Observed, Outcome, Resource, Status

PROGRAMS = Path(__file__).parent / "programs"


class Folder:
    """The repository's files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, path: str, most: int | None = None) -> bytes:
        return (self.root / path).read_bytes()


class Entries:
    """A trail that holds the entries it is given."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def latest(self, address: Address, kinds: Any = ("result",)) -> Entry | None:
        found = [entry for entry in self.entries if entry.address == str(address) and entry.kind in kinds]
        return found[-1] if found else None


class Bench:
    """One project in a folder; ``make`` runs an apply and remembers its outputs as apply.py would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = root / "repo"
        self.store = LocalStore(root / "store")
        self.trail = Entries()
        self.told: list[str] = []
        self.made: dict[str, Observed] = {}
        self.signer: Signer | None = None
        self.repo.mkdir()
        (root / "state").mkdir()
        self._steps = 0

    def program(self, text: str, name: str = "program") -> dict[str, Any]:
        """Writes a program into the repository; returns the keys that pin it."""
        code = f"#!{sys.executable}\n{text}".encode()
        (self.repo / name).write_bytes(code)
        return {"program": name, "digest": "sha256:" + hashlib.sha256(code).hexdigest()}

    def python(self, name: str) -> dict[str, Any]:
        return self.program((PROGRAMS / f"{name}.py").read_text(encoding="utf-8"), name)

    def context(self) -> Context:
        self._steps += 1
        scratch = self.root / f"scratch{self._steps}"
        scratch.mkdir()
        tree, trail = cast(Tree, Folder(self.repo)), cast(Trail, self.trail)
        key = self.signer.public_key_pem if self.signer else ""
        tell = self.told.append
        log = self.root / f"log{self._steps}"
        return Context(self.repo, self.root / "state", scratch, tree, self.store, trail, "demo", tell, log, key)

    def make(self, address: str, module: Any, *needs: Need, **spec: Any) -> Outcome:
        want = Resource(Address.parse(address), f"{Address.parse(address).section}/command", module.Spec(**spec), needs)
        inputs = with_meaning([Input(need, self.made.get(str(need.address))) for need in needs], self.store)
        outcome = cast(Outcome, module.apply(want, inputs, self.context()))
        assert len(canonical(outcome.facts)) < 6000
        outputs = {name: self.store.put(cast(Path, path)) for name, path in outcome.outputs.items()}
        if self.signer:
            for name, path in outcome.outputs.items():
                if cast(Path, path).is_dir():
                    signature = self.root / f"{address}.sig"
                    sign_folder(cast(Path, path), self.signer, signature)
                    outputs[f"{name}.sig"] = self.store.put(signature)
        self.made[address] = Observed(Digest("sha256:" + "0" * 64), outputs, outcome.facts)
        self.trail.entries.append(
            Entry("e", len(self.trail.entries), (), "", "ada", "result", address, outputs=outputs, facts=outcome.facts)
        )
        return outcome


def meaning(made: Outcome) -> dict[str, Any]:
    """What the rows mean, which no entry says."""
    words: dict[str, Any] = json.loads(cast(Path, made.outputs["meaning"]).read_bytes())
    return words


ROWS = Need("data", Address("data", "rows"), "train")
TEST = Need("data", Address("data", "rows"), "test")
MODEL = Need("model", Address("train", "classifier"), "model")
ARTIFACT = Need("artifact", Address("targets", "shelf"), "artifact")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def centroids(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The C++ program, compiled; named by its absolute path."""
    binary = tmp_path_factory.mktemp("cpp") / "centroids"
    subprocess.run(["g++", "-std=c++17", "-O1", str(PROGRAMS / "centroids.cpp"), "-o", str(binary)], check=True)
    return {"program": str(binary), "digest": "sha256:" + hashlib.sha256(binary.read_bytes()).hexdigest()}


def make_rows(bench: Bench, rows: int = 200) -> Outcome:
    spec = bench.python("rows")
    return bench.make("data.rows", data, **spec, path="data/rows.csv", label="label", params={"rows": rows})


def make_model(bench: Bench) -> Outcome:
    return bench.make("train.classifier", train, ROWS, **bench.python("export"), params={"bias": 3.5})


def make_artifact(bench: Bench, **params: Any) -> Outcome:
    return bench.make("targets.shelf", target, MODEL, TEST, **bench.python("repack"), params=params)


# --- Each section -----------------------------------------------------------------------------------------


def test_data_is_fetched_by_the_program_and_shared_out_by_us(bench: Bench) -> None:
    made = make_rows(bench)
    assert set(made.outputs) == {"all", "train", "test", "meaning"}
    rows = made.facts["rows"]
    assert rows["all"] == 200 == rows["train"] + rows["test"]
    said = meaning(made)
    assert (said["features"], said["classes"]) == (["id", "x"], [0, 1])
    assert made.facts["claimed"] == {"source": "drawn"}
    assert "drawing rows" in bench.told


def test_a_python_program_trains_an_onnx_model(bench: Bench) -> None:
    rows = make_rows(bench).facts["rows"]
    made = make_model(bench)
    assert (made.facts["kind"], made.facts["opset"]) == ("onnx", 17)
    assert made.facts["inputs"] == [{"name": "features", "dtype": "float32", "shape": [None, 2]}]
    assert made.facts["claimed"] == {"rows": rows["train"]}
    assert made.facts["isolation"] in ("landlock", "namespaces", "export")
    assert float(made.facts["usage"]["seconds"]) > 0


def test_a_cpp_program_trains_packs_itself_and_answers(bench: Bench, centroids: dict[str, str]) -> None:
    from mlopsctl.providers.targets import program

    make_rows(bench)
    predict = "{model}/centroids answer {model}"
    assert bench.make("train.classifier", train, ROWS, **centroids, predict=predict).facts["kind"] == "opaque"
    packed = bench.make("targets.shelf", program, MODEL, TEST)
    assert packed.facts["agreement"] == "1"
    assert packed.facts["n"] == bench.made["data.rows"].facts["rows"]["test"]


def test_a_cpp_gate_measures_and_we_judge(bench: Bench, centroids: dict[str, str]) -> None:
    make_rows(bench)
    make_model(bench)
    bar: dict[str, Any] = {"metric": "positives", "args": ("measure",), **centroids}
    made = bench.make("gates.positives", gate, MODEL, TEST, **bar, max=0.9)
    assert made.facts["evidence"] == "external"
    assert made.facts["n"] == bench.made["data.rows"].facts["rows"]["test"]
    seen = bench.made["gates.positives"]
    verdicts = []
    for limit in (0.9, 0.05):
        want = Resource(Address("gates", "positives"), "gates/command", gate.Spec(**bar, max=limit))
        verdicts.append(gate.judge(want, seen, ()))
    assert [verdict.status for verdict in verdicts] == [Status.PASSED, Status.FAILED]
    assert verdicts[1].blocks
    assert "external" in verdicts[0].text


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"value": 0.5, "ci": [0.6, 0.7], "n": 10}, "outside its interval"),
        ({"value": 0.5, "ci": [0.4, 0.6], "n": 0}, "a count of rows"),
        ({"ci": [0.4, 0.6], "n": 3}, "facts.value is missing"),
    ],
)
def test_what_is_no_measurement_is_no_result(bench: Bench, facts: Mapping[str, Any], words: str) -> None:
    make_rows(bench)
    make_model(bench)
    spec = bench.program(f"print({json.dumps({'facts': facts})!r})")
    with pytest.raises(ProviderError, match=words):
        bench.make("gates.odd", gate, MODEL, TEST, **spec, metric="odd", min=0.1)


def test_a_gate_without_a_bar_is_an_error_of_the_manifest() -> None:
    with pytest.raises(ManifestError, match="neither min nor max"):
        gate.needs(gate.Spec("p", "sha256:" + "0" * 64, "odd"), {})


def test_an_onnx_artifact_is_compared_here(bench: Bench) -> None:
    make_rows(bench)
    make_model(bench)
    made = make_artifact(bench)
    assert (made.facts["agreement"], made.facts["proof"]) == ("1", "device-run")
    assert made.facts["figures"] == {"cells": 12, "mhz": "55.8"}
    shifted = make_artifact(bench, shift=1.0)
    want = Resource(Address("targets", "shelf"), "targets/command", target.Spec("p", "sha256:" + "0" * 64))
    assert float(shifted.facts["max_abs_diff"]) > 0.5
    assert target.judge(want, bench.made["targets.shelf"], ()).blocks, "kept, and no good"


def test_what_only_the_program_can_run_is_called_emitted_and_no_more(bench: Bench) -> None:
    make_rows(bench)
    make_model(bench)
    made = make_artifact(bench, runtime="abacus")
    assert (made.facts["proof"], made.facts["agreement"], made.facts["evidence"]) == ("emitted", None, "external")
    want = Resource(Address("targets", "shelf"), "targets/command", target.Spec("p", "sha256:" + "0" * 64))
    assert target.judge(want, bench.made["targets.shelf"], ()).status is Status.NOT_ASSESSED


def test_a_deployment_is_made_halted_resumed_and_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELF_TOKEN", "very-secret")
    bench.signer = new_key(bench.root / "keys" / "ada.pem")
    make_rows(bench)
    make_model(bench)
    make_artifact(bench)
    shelf = bench.root / "shelf"
    shelf.mkdir()
    spec = {
        **bench.python("shelf"),
        "target": "shelf",
        "to": str(shelf),
        "paths": (str(shelf),),
        "env": ("SHELF_TOKEN",),
    }
    made = bench.make("deployments.shelf", deployment, ARTIFACT, **spec)
    address = Address("deployments", "shelf")
    assert (shelf / "current" / "artifact.json").is_file()
    assert made.facts["endpoint"] == f"shelf:{shelf}"
    assert "very-secret" not in "".join(log.read_text() for log in bench.root.glob("log*"))
    assert deployment.probe(address, bench.context()).state == "serving"

    # A halt needs neither the repository nor the trail.
    (bench.repo / "shelf").unlink()
    entries, bench.trail.entries = bench.trail.entries, []
    deployment.halt(address, "wrong prices", bench.context())
    found = deployment.probe(address, bench.context())
    assert (found.state, found.text) == ("halted", "wrong prices")
    bench.trail.entries = entries
    spec |= bench.python("shelf")
    again = bench.make("deployments.shelf", deployment, ARTIFACT, **spec)
    assert again.facts["claimed"]["halted"] is True
    # Another clone has no state folder; the trail names the program and the store holds it.
    shutil.rmtree(bench.root / "state" / "deployments")
    deployment.resume(address, bench.context())
    assert deployment.probe(address, bench.context()).state == "serving"

    deployment.remove(bench.made["deployments.shelf"], bench.context())
    assert not (shelf / "current").exists()


def test_a_kept_program_that_was_exchanged_is_not_run(bench: Bench) -> None:
    bench.signer = new_key(bench.root / "keys" / "ada.pem")
    make_rows(bench)
    make_model(bench)
    make_artifact(bench)
    bench.make(
        "deployments.shelf",
        deployment,
        ARTIFACT,
        **bench.program("""print('{"facts": {"state": "serving"}}')"""),
        target="shelf",
    )
    address = Address("deployments", "shelf")
    (bench.root / "state" / "deployments" / str(address) / "program").write_text("#!/bin/sh\n", encoding="utf-8")
    with pytest.raises(EvidenceError) as error:
        deployment.halt(address, "now", bench.context())
    assert error.value.code == "MLO7301"


def test_an_artifact_whose_signature_does_not_hold_is_not_deployed(bench: Bench) -> None:
    bench.signer = new_key(bench.root / "keys" / "ada.pem")
    make_rows(bench)
    make_model(bench)
    make_artifact(bench)
    bench.signer = new_key(bench.root / "keys" / "eve.pem")
    with pytest.raises(EvidenceError):
        bench.make("deployments.shelf", deployment, ARTIFACT, **bench.python("shelf"), target="shelf", to="/nowhere")
    unsigned = bench.made["targets.shelf"]
    bench.made["targets.shelf"] = unsigned._replace(outputs={"artifact": unsigned.outputs["artifact"]})
    with pytest.raises(EvidenceError, match="not signed"):
        bench.make("deployments.shelf", deployment, ARTIFACT, **bench.python("shelf"), target="shelf", to="/nowhere")


def test_the_positive_label_must_be_one_of_the_labels(bench: Bench) -> None:
    spec = {**bench.python("rows"), "path": "data/rows.csv", "label": "label", "params": {"rows": 100}}
    assert meaning(bench.make("data.rows", data, **spec, positive=1))["positive"] == 1
    with pytest.raises(ProviderError, match="positive"):
        bench.make("data.rows", data, **spec, positive=2)


@pytest.mark.parametrize(
    ("address", "module", "needs", "spec", "sent"),
    [
        ("train.classifier", train, (ROWS,), {"seed": 7, "params": {"lr": 0.1}}, {"seed": 7, "params": {"lr": 0.1}}),
        (
            "gates.odd", gate, (MODEL, TEST), {"metric": "odd", "confidence": 0.9, "params": {"k": 3}},
            {"metric": "odd", "confidence": 0.9, "params": {"k": 3}, "view": "test"},
        ),
        ("deployments.shelf", deployment, (ARTIFACT,), {"target": "shelf", "params": {"n": 2}}, {"params": {"n": 2}}),
    ],
    ids=["train", "gates", "deployments"],
)  # fmt: skip
def test_what_the_manifest_says_reaches_the_program(
    bench: Bench, address: str, module: Any, needs: tuple[Need, ...], spec: dict[str, Any], sent: dict[str, Any]
) -> None:
    bench.signer = new_key(bench.root / "keys" / "ada.pem")
    make_rows(bench)
    make_model(bench)
    make_artifact(bench)
    echo = bench.program(
        "import json, sys; print(json.dumps({'error': {'message': json.dumps(json.load(sys.stdin)['spec'])}}))"
    )
    with pytest.raises(ProviderError) as error:
        bench.make(address, module, *needs, **echo, **spec)
    said = json.loads(error.value.message.partition("): ")[2])
    assert said.items() >= sent.items()


# --- The protocol -----------------------------------------------------------------------------------------


def ask_data(bench: Bench, text: str, **spec: Any) -> Outcome:
    return bench.make("data.rows", data, **{**bench.program(text), "path": "rows.csv", **spec})


def test_a_program_that_was_changed_is_not_run(bench: Bench) -> None:
    spec = bench.program("open('/tmp/ran', 'w')")
    (bench.repo / "program").write_text("another", encoding="utf-8")
    with pytest.raises(EvidenceError) as error:
        bench.make("data.rows", data, **spec, path="rows.csv")
    assert error.value.exit_code == 7
    assert "sha256:" + hashlib.sha256(b"another").hexdigest() in error.value.hint


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("print('hello')", "MLO1063", "not one JSON object"),
        ("print('{} {}')", "MLO1063", "not one JSON object"),
        ("print('[]')", "MLO1063", "not one JSON object"),
        ("""print('{"facts": {"x": NaN}}')""", "MLO1063", "NaN"),
        ("""print('{"results": {}}')""", "MLO1063", "unknown keys results"),
        ("""print('{"outputs": {"all": "../../escape"}}')""", "MLO1121", "escape"),
        ("""print('{"outputs": {"all": "missing.csv"}}')""", "MLO1063", "no file or folder below out"),
        ("print('{\"facts\": {\"x\": \"' + 'y' * 9000 + '\"}}')", "MLO1063", "4096 are the most"),
        ("print('{}')", "MLO1063", "no output 'all'"),
        ("""print('{"error": {"message": "the lake is dry", "hint": "fill it"}}')""", "MLO1062", "the lake is dry"),
        ("import sys; sys.exit('no network today')", "MLO1062", "no network today"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "MLO1062", "status -11"),
    ],
)
def test_an_answer_that_is_none_is_one_clear_error(bench: Bench, text: str, code: str, words: str) -> None:
    with pytest.raises(ProviderError) as error:
        ask_data(bench, text)
    assert error.value.code == code
    assert words in error.value.message + error.value.hint


def test_what_a_failed_program_printed_is_shown_and_never_part_of_the_kept_message(bench: Bench) -> None:
    with pytest.raises(ProviderError) as error:
        ask_data(bench, "import sys; sys.exit('bad row: Ada Lovelace')")
    assert "Ada" not in error.value.message
    assert "it last said: bad row: Ada Lovelace" in error.value.hint


def test_a_program_that_hangs_is_ended_with_its_children(bench: Bench) -> None:
    with pytest.raises(ProviderError) as error:
        ask_data(bench, "import subprocess, time; subprocess.Popen(['sleep', '60']); time.sleep(60)", timeout=0.5)
    assert error.value.code == "MLO1061"


def test_a_program_sees_neither_the_project_nor_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlopsctl.adapters.sandbox import strongest_mode

    if strongest_mode() == "export":
        pytest.skip("this kernel offers neither Landlock nor user namespaces")
    monkeypatch.setenv("API_TOKEN", "secret")
    (bench.repo / "other.txt").write_text("private", encoding="utf-8")
    text = f"""
import json, os, sys
request = json.load(sys.stdin)
def opens(path):
    try:
        open(path).close()
        return True
    except OSError:
        return False
seen = [opens({str(bench.repo / "other.txt")!r}), "API_TOKEN" in os.environ]
open(request["out"] + "/t.csv", "w").write("a\\n1\\n")
print(json.dumps({{"outputs": {{"all": "t.csv"}}, "facts": {{"seen": seen}}}}))
"""
    assert ask_data(bench, text).facts["claimed"] == {"seen": [False, False]}
