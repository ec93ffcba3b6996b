from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from mlopsctl.adapters import tools
from mlopsctl.adapters.store import hash_folder
from mlopsctl.canonical import canonical
from mlopsctl.errors import ManifestError
from mlopsctl.providers.targets import auto as target
from mlopsctl.providers.targets import onnxruntime
from mlopsctl.types import Address, Digest, Observed, Outcome, Resource, Status, Verdict
from tests.providers.targets.digits import DigitsBench, write_digits_mlp

ONNX = {"kind": "onnx"}


class Made:
    """The digits, and what ``use: auto`` makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bench = DigitsBench(root)
        self.folder = root / "model"
        self.folder.mkdir()
        write_digits_mlp(self.folder / "model.onnx")
        with pytest.MonkeyPatch.context() as patch:
            # TVM takes longer than all others together; tests/providers/test_contract.py has it take part.
            patch.setattr(target, "find", lambda name: None if name == "tvm" else name)
            self.outcome: Outcome = self.bench.make(target, self.folder, ONNX, quantize="allowed", inconclusive="warn")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("auto"))


def test_every_candidate_is_compared_timed_and_recorded(made: Made) -> None:
    facts = made.outcome.facts
    found = facts["choice"]["candidates"]
    assert set(found) == {"onnxruntime", "int8", "dynamic", "openvino", "tvm"}
    for name in ("onnxruntime", "int8", "dynamic", "openvino"):
        assert float(found[name]["latency_us"]) > 0
        assert float(found[name]["agreement"]) > 0.98
    assert found["onnxruntime"]["share"] == "1"
    assert len(canonical(facts)) < 6000
    assert "openvino" in made.outcome.made_with


def test_the_fastest_by_its_own_record_is_what_was_kept(made: Made) -> None:
    facts = made.outcome.facts
    choice = facts["choice"]
    shares = {name: float(one["share"]) for name, one in choice["candidates"].items() if "share" in one}
    least = min(shares, key=lambda name: shares[name])
    assert choice["use"] == (least if shares[least] < target.LEAD else "onnxruntime")
    assert facts["runtime"] == {"openvino": "openvino", "tvm": "tvm"}.get(choice["use"], "onnxruntime")
    assert choice["use"] in choice["why"] or "plain ONNX Runtime" in choice["why"]


def choose(shares: dict[str, float], *sound: str) -> str:
    return target.choose(shares, sound=sound)


def test_a_challenger_wins_by_more_than_five_per_cent_only() -> None:
    assert choose({"onnxruntime": 1.0, "int8": 0.96}, "onnxruntime", "int8") == "onnxruntime"
    assert choose({"onnxruntime": 1.0, "int8": 0.94}, "onnxruntime", "int8") == "int8"
    assert choose({"onnxruntime": 1.0, "int8": 0.6, "openvino": 0.5}, "onnxruntime", "int8", "openvino") == "openvino"
    assert choose({"onnxruntime": 1.0, "tvm": 7.0}, "onnxruntime", "tvm") == "onnxruntime"


def test_what_misses_its_bars_is_not_chosen_however_fast() -> None:
    assert choose({"onnxruntime": 1.0}, "onnxruntime") == "onnxruntime"
    assert choose({"onnxruntime": 1.0, "openvino": 1.2}, "openvino") == "openvino"


def fake(monkeypatch: pytest.MonkeyPatch, folder: Path, rounds: dict[str, list[float]], **status: Status) -> list[str]:
    """Candidates that cost nothing, and turns that took as long as ``rounds`` says; returns who was timed."""
    timed: list[str] = []

    def candidate(name: str, want: Any, inputs: Any, ctx: Any) -> target.Candidate:
        found = status.get(name, Status.PASSED)
        facts = {"runtime": "onnxruntime", "size": 1, "agreement": "1", "max_abs_diff": "0", "proof": "device-run"}
        verdict = Verdict(found, "", "", blocks=found is not Status.PASSED)
        return target.Candidate(name, Outcome({"artifact": folder / name}, facts, {}), verdict)

    def times(folders: Any, *rest: Any) -> dict[str, list[float]]:
        timed.extend(folders)
        return {name: rounds[name] for name in folders}

    monkeypatch.setattr(target, "_candidate", candidate)
    monkeypatch.setattr(target, "_timed", times)
    return timed


def run(**spec: Any) -> Outcome:
    want = Resource(Address("targets", "cpu"), "targets/auto", target.Spec(**spec))
    return target.apply(want, (), cast(Any, None))


ROUNDS = {"onnxruntime": [1.0, 2.0, 1.0], "int8": [0.3, 0.6, 0.3], "dynamic": [0.9] * 3, "openvino": [0.5, 1.0, 0.5], "tvm": [9.0]}  # fmt: skip


def test_the_median_of_turns_side_by_side_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, ROUNDS)
    found = run(quantize="allowed", batch=32)
    assert found.outputs == {"artifact": tmp_path / "int8"}
    choice = found.facts["choice"]
    assert (choice["use"], choice["batch"]) == ("int8", 32)
    assert choice["candidates"]["openvino"]["share"] == "0.5"
    assert choice["candidates"]["tvm"]["share"] == "9"
    assert choice["why"].startswith("int8 took 0.30 of plain ONNX Runtime's time at batch 32 (")


def test_a_busy_machine_flatters_no_challenger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, tmp_path, {**ROUNDS, "onnxruntime": [5.0, 5.0, 1.0], "openvino": [1.1, 1.1, 1.1]})
    found = run()
    assert found.facts["choice"]["use"] == "onnxruntime"
    assert found.facts["choice"]["candidates"]["openvino"]["share"] == "1.1"
    assert (
        "nothing that keeps to the bars is more than 5 % faster (openvino 1.10, tvm 9.00)"
        in found.facts["choice"]["why"]
    )


def test_eight_bits_take_part_only_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timed = fake(monkeypatch, tmp_path, ROUNDS)
    assert run().facts["choice"]["use"] == "openvino"
    assert set(timed) == {"onnxruntime", "openvino", "tvm"}


def test_what_fails_its_bars_is_recorded_and_not_timed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    timed = fake(monkeypatch, tmp_path, ROUNDS, int8=Status.FAILED, openvino=Status.INCONCLUSIVE)
    choice = run(quantize="allowed").facts["choice"]
    assert choice["use"] == "dynamic"
    assert "int8" not in timed and "openvino" not in timed
    assert choice["candidates"]["int8"]["verdict"] == "failed"


def test_the_recorded_choice_is_judged_by_todays_bar_and_stays(made: Made) -> None:
    drop = {"value": "0.02", "ci": ["0.01", "0.03"]}
    side = {"value": "0.9", "ci": None}
    metrics = {"metric": "accuracy", "original": side, "artifact": side, "drop": drop}
    facts = {**made.outcome.facts, "choice": {"use": "int8", "why": "int8 took half"}, "metrics": metrics}
    seen = Observed(Digest("sha256:0"), {}, facts)

    def verdict(**bars: Any) -> Verdict:
        spec = target.Spec(quantize="allowed", **bars)
        return target.judge(Resource(Address("targets", "cpu"), "targets/auto", spec), seen, ())

    assert verdict(max_accuracy_drop=0.05).status is Status.PASSED
    assert verdict(max_accuracy_drop=0.005).status is Status.FAILED
    assert verdict(max_accuracy_drop=0.02).blocks
    assert not verdict(max_accuracy_drop=0.02, inconclusive="warn").blocks
    assert verdict(max_accuracy_drop=0.05).text.startswith("int8 took half; drop 0.02 ")


def test_the_keys_of_the_candidates_reach_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    diff = {"agreement": "0.98", "max_abs_diff": "0.01", "max_scaled_diff": "0.01", "n": 50, "proof": "device-run"}
    facts: dict[str, Any] = {**diff, "metrics": {"metric": None, "reason": "no label"}}

    def make(want: Any, inputs: Any, ctx: Any) -> Outcome:
        asked.append((want.spec.quantize, want.spec.calibration, want.spec.view))
        return Outcome({}, facts, {})

    monkeypatch.setattr(onnxruntime, "apply", make)
    ctx = DigitsBench(tmp_path).context()
    want = Resource(
        Address("targets", "cpu"), "targets/auto", target.Spec(quantize="allowed", calibration=7, view="val")
    )
    for name in ("onnxruntime", "int8", "dynamic"):
        assert target._candidate(name, want, (), ctx).verdict is not None
    assert asked == [("none", 512, "val"), ("int8", 7, "val"), ("dynamic", 7, "val")]
    for bars, status in (({}, Status.FAILED), ({"tolerance": 0.1, "min_agreement": 0.9}, Status.PASSED)):
        assert target._judge(target.Spec(**cast(Any, bars)), "openvino", facts).status is status
    assert target._judge(target.Spec(tolerance=0.1), "openvino", facts).status is Status.FAILED


def test_bars_of_eight_bits_need_eight_bits() -> None:
    with pytest.raises(ManifestError) as error:
        target.needs(target.Spec(max_accuracy_drop=0.05), {})
    assert error.value.code == "MLO1432"


def test_without_other_runtimes_plain_onnx_runtime_is_kept(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "find", lambda name: None)
    bench = DigitsBench(tmp_path)
    found = bench.make(target, made.folder, ONNX, batch=2)
    assert found.facts["choice"]["use"] == "onnxruntime"
    assert found.facts["choice"]["candidates"]["openvino"] == {
        "why_not": f"not here: {tools.TOOLS['openvino'].install}"
    }
    plain = bench.make(onnxruntime, made.folder, ONNX, "plain")
    assert hash_folder(found.outputs["artifact"]) == hash_folder(plain.outputs["artifact"])


def test_the_compilers_are_held_to_their_time(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlopsctl.errors import ProviderError

    with pytest.raises(ProviderError) as error:
        made.bench.make(target, made.folder, ONNX, "slow", timeout=0.01)
    assert error.value.code == "MLO1402"
    with pytest.raises(ProviderError) as error:
        made.bench.make(target, made.folder, ONNX, "small", memory=60 * 2**20)
    assert error.value.code in ("MLO1401", "MLO1410")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ProviderError) as error:
        made.bench.make(target, made.folder, ONNX, "elsewhere")
    assert error.value.code == "MLO1405"
