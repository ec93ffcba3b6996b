from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.integer import reference
from mlopsctl.integer.from_onnx import read
from mlopsctl.integer.graph import Array, Graph, Linear, Refused, Rescale
from tests.integer.models import Net, answers, cnn, mlp, quantised


def images(count: int, shape: tuple[int, ...], seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype(np.float32)


def computed(graph: Graph, rows: Array) -> dict[str, Array]:
    return reference.finish(graph, reference.run(graph, reference.quantise(graph, rows)))


@pytest.mark.parametrize("symmetric", [True, False], ids=["symmetric", "zero points"])
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
@pytest.mark.parametrize("kind", [mlp, cnn])
def test_a_quantised_net_answers_as_onnxruntime_but_for_single_units(
    tmp_path: Path, kind: Callable[[], Any], symmetric: bool, per_channel: bool
) -> None:
    model = kind()
    rows = images(200, tuple(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    quant = quantised(model, rows, tmp_path, symmetric=symmetric, per_channel=per_channel)
    graph = read(quant)
    (name, found), (_, wanted) = *computed(graph, rows).items(), *answers(quant, rows).items()
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    # Fixed point differs from float32 only where a sum lies next to a half: by one unit there, by few at the end.
    unit = graph.result.scale if graph.sinks[0].tail == "none" else 0.02
    assert np.abs(found - wanted).max() <= 4.001 * unit, name
    assert (np.abs(found - wanted) > 0.2 * unit).mean() < 0.02
    assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.99


def test_relu_goes_into_the_layer_before_it(tmp_path: Path) -> None:
    for symmetric in (True, False):
        graph = read(quantised(mlp(), images(50, (6,)), tmp_path, symmetric=symmetric))
        assert [type(op) for op in graph.ops] == [Linear] * 3
        hidden = graph.ops[0]
        assert isinstance(hidden, Linear) and hidden.requant.low == graph.tensors[hidden.output].zero_point


def test_a_relu_that_others_pass_by_stays_alone(tmp_path: Path) -> None:
    net = Net((4,))
    first = net.gemm("x", 4, 4)
    model = net.model((net.gemm(net.node("Add", first, net.node("Relu", first)), 4, 2), (2,)))
    rows = images(80, (4,))
    quant = quantised(model, rows, tmp_path)
    graph = read(quant)
    assert any(isinstance(op, Rescale) for op in graph.ops)
    assert np.abs(computed(graph, rows)["v3"] - answers(quant, rows)["v3"]).max() <= 2 * graph.result.scale


def test_scaling_of_the_input_stays_with_the_host() -> None:
    graph = read(_by_hand(before=[("Sub", np.float32(8)), ("Div", np.float32(4))]))
    assert [step.op for step in graph.source.steps] == ["sub", "div"]
    rows = np.array([[0, 8], [16, 24]], np.float32)
    wanted = answers(_by_hand(before=[("Sub", np.float32(8)), ("Div", np.float32(4))]), rows)["y"]
    assert np.allclose(computed(graph, rows)["y"], wanted)


def _by_hand(
    *,
    kind: str = "MatMul",
    before: list[tuple[str, Any]] | None = None,
    scale: float = 0.25,
    point: Any = None,
    weight: Any = None,
    behind: list[Any] | None = None,
) -> Any:
    """input → Q → DQ → MatMul with int8 weights → Q → DQ → output, written without a quantiser."""
    point = np.int8(0) if point is None else point
    weight = np.array([[1, -2], [3, 4]], np.int8) if weight is None else weight
    constants = {
        "s": np.float32(scale),
        "z": point,
        "w": weight,
        "ws": np.float32(0.5),
        "wz": np.int8(0),
        "os": np.float32(0.5),
    }
    nodes, name = [], "x"
    for at, (step, value) in enumerate(before or []):
        constants[f"b{at}"] = value
        nodes.append(helper.make_node(step, [name, f"b{at}"], [f"x{at}"]))
        name = f"x{at}"
    nodes += [
        helper.make_node("QuantizeLinear", [name, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node(kind, ["d", "wd"], ["sum"], "the layer"),
        helper.make_node("QuantizeLinear", ["sum", "os", "z"], ["oq"]),
        helper.make_node("DequantizeLinear", ["oq", "os", "z"], ["last" if behind else "y"]),
        *(behind or []),
    ]
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", weight.shape[-1]])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_uint8_is_int8_with_another_zero_point() -> None:
    model = _by_hand(point=np.uint8(100))
    rows = np.array([[1, 2], [-3, 4], [100, -100]], np.float32)
    assert np.allclose(computed(read(model), rows)["y"], answers(model, rows)["y"])


@pytest.mark.parametrize(
    ("change", "node", "text"),
    [
        ({"kind": "Mul"}, "the layer", "Mul"),
        ({"scale": float("nan")}, "", "NaN"),
        ({"weight": np.array([[1.0, np.nan]], np.float32)}, "", "NaN"),
        ({"weight": np.ones((2, 2), np.uint8)}, "the layer", "uint8"),
        ({"point": np.int32(0)}, "q", "int32"),
        ({"behind": [helper.make_node("Tanh", ["last"], ["y"], "squash")]}, "squash", "Tanh"),
        ({"weight": np.ones((3, 2), np.int8)}, "the layer", "takes 3 numbers where 2 come"),
    ],
)
def test_what_has_no_whole_numbers_is_refused_with_its_node(change: dict[str, Any], node: str, text: str) -> None:
    with pytest.raises(Refused) as refused:
        read(_by_hand(**change))
    assert text in str(refused.value)
    assert node in refused.value.node


def test_models_that_no_device_can_take_are_refused() -> None:
    with pytest.raises(Refused, match="no int8 constants|never quantised|float input"):
        read(mlp())
    free = _by_hand()
    free.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "M"
    with pytest.raises(Refused, match="free axis"):
        read(free)
    old = _by_hand()
    old.opset_import[0].version = 9
    with pytest.raises(Refused, match="opset 9"):
        read(old)
    outside = _by_hand()
    tensor = outside.graph.initializer[2]
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(Refused, match=f"'{tensor.name}' lies in another file"):
        read(outside)
    huge = _by_hand()
    huge.graph.initializer[2].dims[0] = 1 << 30
    with pytest.raises(Refused, match=f"'{tensor.name}' is too large"):
        read(huge)


def _labels(found: dict[str, Array]) -> Array:
    return next(array for array in found.values() if array.dtype.kind != "f")


@pytest.mark.parametrize("kind", ["tree", "forest", "boosted", "two classes", "names", "regressor"])
def test_trees_decide_as_onnxruntime_on_every_row(kind: str) -> None:
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)).astype(np.float32).round(1)  # rounded: many rows lie on a threshold's side exactly
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > x[:, 2])
    model = {
        "tree": DecisionTreeClassifier(random_state=0),
        "forest": RandomForestClassifier(8, random_state=0),
        "boosted": GradientBoostingClassifier(n_estimators=6, random_state=0),
        "two classes": GradientBoostingClassifier(n_estimators=6, random_state=0),
        "names": RandomForestClassifier(4, max_depth=3, random_state=0),
        "regressor": RandomForestRegressor(8, random_state=0),
    }[kind]
    target: Any = {"two classes": y > 0, "names": np.array(["low", "mid", "high"])[y]}.get(kind, y)
    model.fit(x, target)
    made = to_onnx(model, x[:1], options=None if kind == "regressor" else {"zipmap": False}, target_opset=17)
    found, wanted = computed(read(made), x), answers(made, x)
    assert set(found) == set(wanted)
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        if array.dtype.kind == "f":
            assert np.abs(found[name] - array).max() < 1e-5
        else:
            assert (found[name].astype(str) == array.astype(str)).all()


def test_double_trees_and_missing_values_are_refused() -> None:
    from skl2onnx import to_onnx
    from sklearn.tree import DecisionTreeClassifier

    x = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    model = to_onnx(DecisionTreeClassifier().fit(x, x[:, 0] > 0), x[:1], options={"zipmap": False})
    tree = next(node for node in model.graph.node if node.op_type.startswith("Tree"))
    missing = onnx.ModelProto()
    missing.CopyFrom(model)
    node = next(node for node in missing.graph.node if node.op_type.startswith("Tree"))
    attribute = next(item for item in node.attribute if item.name == "nodes_missing_value_tracks_true")
    attribute.ints[0] = 1
    with pytest.raises(Refused, match="missing") as refused:
        read(missing)
    assert tree.op_type in refused.value.node
