"""The scan passes plain ONNX and names what else it finds; the model is loaded only in a limited process."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from mlopsctl.providers.gates import scan
from mlopsctl.providers.gates.scan import Spec, scan_folder
from mlopsctl.types import Address, Digest, Observed, Resource, Status, Verdict
from tests.adapters.onnx_models import linear, port, save
from tests.adapters.test_inference import endless, terabytes, with_external_data


def look(folder: Path, opaque: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = scan_folder(folder, opaque=opaque, memory=2 * 2**30, seconds=60)
    return found


def verdict(facts: dict[str, Any], **spec: Any) -> Verdict:
    want = Resource(Address("gates", "scan"), "gates/scan", Spec(**spec))
    return scan.judge(want, Observed(Digest("sha256:0"), {}, facts), ())


def refused(folder: Path, said: str, opaque: bool = False, **spec: Any) -> None:
    found = verdict(look(folder, opaque), **spec)
    assert found.status is Status.FAILED
    assert found.blocks
    assert said in found.text, found.text


def test_a_plain_model_passes(tmp_path: Path) -> None:
    linear(tmp_path, np.ones((3, 2)), softmax=True)
    (tmp_path / "classes.json").write_text("[0, 1]")
    facts = look(tmp_path)
    assert (facts["files"], facts["ops"], facts["smoke"]) == (2, {"Gemm": 1, "Softmax": 1}, "ran")
    found = verdict(facts)
    assert found.status is Status.PASSED
    assert "2 operators, all of the standard" in found.text


def test_a_scikit_learn_forest_passes(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    fitted = RandomForestClassifier(3, random_state=0).fit(x, x[:, 0] > 0)
    (tmp_path / "model.onnx").write_bytes(to_onnx(fitted, x[:1], target_opset=17).SerializeToString())
    assert verdict(look(tmp_path)).status is Status.PASSED


def test_weights_beside_the_model_pass_whatever_their_first_bytes(tmp_path: Path) -> None:
    with_external_data(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04" + b"\0" * 22)
    facts = look(tmp_path)
    assert facts["suffixes"] == {"onnx": 1, "onnx weights": 1}
    assert verdict(facts).status is Status.PASSED


def test_an_empty_folder_does_not_pass(tmp_path: Path) -> None:
    refused(tmp_path, "holds no file")


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret"])
def test_weights_outside_the_folder_are_a_finding(tmp_path: Path, location: str) -> None:
    with_external_data(tmp_path, location)
    refused(tmp_path, "outside the model's folder")


def test_a_link_is_a_finding(tmp_path: Path) -> None:
    linear(tmp_path, np.ones((3, 2)))
    (tmp_path / "notes.txt").symlink_to("/etc/passwd")
    refused(tmp_path, "notes.txt is a link")


@pytest.mark.parametrize("name", ["weights.json", "model.pkl", "deep/down/readme.md"])
def test_a_pickle_under_any_name_is_a_finding(tmp_path: Path, name: str) -> None:
    linear(tmp_path, np.ones((3, 2)))
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    refused(tmp_path, f"{name} is a pickle")


def test_a_pickle_passes_only_where_its_suffix_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps([1]))
    facts = look(tmp_path, opaque=True)
    assert verdict(facts).status is Status.FAILED
    assert verdict(facts, formats=("pkl",)).status is Status.PASSED


def test_an_unknown_file_type_needs_its_name_in_formats(tmp_path: Path) -> None:
    linear(tmp_path, np.ones((3, 2)))
    (tmp_path / "plugin.so").write_bytes(b"\x7fELF")
    refused(tmp_path, "type 'so'")
    assert verdict(look(tmp_path), formats=(".so",)).status is Status.PASSED


def test_an_opaque_model_may_hold_anything_but_pickles_unless_formats_say(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    assert verdict(look(tmp_path, opaque=True)).status is Status.PASSED
    refused(tmp_path, "type 'gguf'", opaque=True, formats=("safetensors",))


def test_a_foreign_operator_is_a_finding_and_is_not_loaded(tmp_path: Path) -> None:
    node = helper.make_node("Run", ["x"], ["y"], domain="com.evil")
    save(tmp_path, [node], [port("x", ["N", 3])], [port("y", ["N", 3])], domains=(("", 17), ("com.evil", 1)))
    assert look(tmp_path)["smoke"] == ""
    refused(tmp_path, "com.evil::Run is not of the standard")


def test_a_foreign_operator_inside_a_branch_is_found(tmp_path: Path) -> None:
    def branch(name: str) -> Any:
        node = helper.make_node("Run", ["x"], ["o"], domain="com.evil")
        return helper.make_graph([node], name, [], [port("o", ["N", 3])])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    domains = (("", 17), ("com.evil", 1))
    save(tmp_path, [node], [port("x", ["N", 3])], [port("y", ["N", 3])], {"c": np.array(True)}, domains=domains)
    refused(tmp_path, "com.evil::Run")


def test_a_shape_of_terabytes_is_found_before_loading(tmp_path: Path) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["y"], name="bomb")]
    save(tmp_path, nodes, [port("x", ["N", 3])], [port("y", [None])], {"s": np.array([10**12], np.int64)})
    refused(tmp_path, "ConstantOfShape 'bomb' claims 1000000000000 elements")


def test_terabytes_that_only_running_shows_are_found_by_the_memory_limit(tmp_path: Path) -> None:
    terabytes(tmp_path)
    found = verdict(look(tmp_path))
    assert found.status is Status.FAILED


def test_a_model_that_never_ends_is_a_finding(tmp_path: Path) -> None:
    endless(tmp_path)
    found = verdict(scan_folder(tmp_path, opaque=False, memory=2 * 2**30, seconds=1))
    assert found.status is Status.FAILED


def test_a_declared_shape_beyond_all_bounds_is_a_finding(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    save(tmp_path, [node], [port("x", [10**7, 10**7])], [port("y", [10**7, 10**7])])
    refused(tmp_path, "claims 100000000000000 elements")


def test_a_broken_model_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    refused(tmp_path, "is no ONNX model")


def test_a_folder_without_model_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("later")
    refused(tmp_path, "no model.onnx")


def test_a_folder_that_is_too_large_is_a_finding(tmp_path: Path) -> None:
    linear(tmp_path, np.ones((3, 2)))
    refused(tmp_path, "at most 100 are allowed", max_size=100)


def test_a_text_input_that_refuses_zeros_is_no_finding(tmp_path: Path) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    save(tmp_path, [node], [port("a", ["N"], TensorProto.STRING)], [port("b", ["N"], TensorProto.STRING)])
    assert verdict(look(tmp_path)).status is Status.PASSED
