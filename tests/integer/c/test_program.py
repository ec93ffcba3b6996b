from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mlopsctl.integer import reference
from mlopsctl.integer.c.program import write
from mlopsctl.integer.from_onnx import read
from mlopsctl.integer.graph import Graph, Refused, Reshape, Sink, Source, Step, Tensor
from tests.integer.c.build import Built
from tests.integer.graphs import random_graph, random_rows, random_trees
from tests.integer.models import cnn, mlp, quantised

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making a failure smaller: every try compiles."""


def same(graphs: list[Graph], rows: list[np.ndarray]) -> None:
    """Every row of each graph, on the device's side and in numpy."""
    with tempfile.TemporaryDirectory() as folder:
        built = Built(graphs, Path(folder))
        for number, (graph, whole) in enumerate(zip(graphs, rows, strict=True)):
            expected = reference.run(graph, whole)[graph.result.name].reshape(len(whole), -1)
            for row, wanted in zip(whole, expected, strict=True):
                found, answer = built.run(number, row)
                assert found.tolist() == wanted.tolist()
                assert answer == int(wanted.argmax())


@settings(deadline=None, max_examples=4, phases=PHASES)
@given(st.lists(st.integers(0, 10**6), min_size=16, max_size=16))
def test_random_graphs_give_the_numbers_of_the_reference(seeds: list[int]) -> None:
    graphs = [random_graph(seed) for seed in seeds]
    same(graphs, [random_rows(graph, 5, seed) for graph, seed in zip(graphs, seeds, strict=True)])


@settings(deadline=None, max_examples=3, phases=PHASES)
@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=12))
def test_random_trees_give_the_votes_of_the_reference(seeds: list[int]) -> None:
    graphs = [random_trees(seed) for seed in seeds]
    ranks = [
        np.random.default_rng(seed).integers(0, 21, (9, graph.tensors["x"].size)).astype(np.uint8)
        for graph, seed in zip(graphs, seeds, strict=True)
    ]
    same(graphs, ranks)


@pytest.mark.parametrize(("model", "shape"), [(mlp, (6,)), (cnn, (2, 8, 8))])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_quantised_model_is_the_same_from_float_row_to_answer(
    model: Callable[[], onnx.ModelProto], shape: tuple[int, ...], per_channel: bool, tmp_path: Path
) -> None:
    rows = np.random.default_rng(1).normal(size=(40, *shape)).astype(np.float32)
    graph = read(quantised(model(), rows, tmp_path, symmetric=False, per_channel=per_channel))
    (tmp_path / "c").mkdir()
    built = Built([graph], tmp_path / "c")
    whole = reference.quantise(graph, 3 * rows).reshape(len(rows), -1)
    expected = reference.run(graph, whole.reshape(len(rows), *shape))[graph.result.name].reshape(len(rows), -1)
    for row, between, wanted in zip(3 * rows, whole, expected, strict=True):
        found = built.quantise(0, row.ravel())
        assert found is not None and found.tolist() == between.tolist()
        assert built.run(0, found)[0].tolist() == wanted.tolist()


def alone(source: Source, tensor: Tensor) -> Graph:
    """A graph whose input matters, before one layer that does not."""
    rest = random_trees(0) if source.ranks else random_graph(0)
    return rest._replace(source=source, tensors={**rest.tensors, tensor.name: tensor})


def test_rows_become_whole_numbers_as_on_the_host_at_every_edge(tmp_path: Path) -> None:
    base = random_graph(0)
    tensor = base.tensors[base.source.tensor]._replace(scale=0.25, zero_point=-3)
    steps = (Step("sub", np.array([0.5], np.float32)), Step("div", np.full(tensor.size, 0.3, np.float32)))
    graph = alone(base.source._replace(steps=steps), tensor)
    built = Built([graph], tmp_path)
    values = [0.0, 0.125, -0.125, 0.375, 0.6125, 31.9, -33.0, 1e30, -1e30, np.inf, -np.inf, 65536.0, 16384.125, 1e-40]
    for value in values:
        row = np.full(tensor.size, value, np.float32)
        found = built.quantise(0, row)
        assert found is not None
        assert found.tolist() == reference.quantise(graph, row[None]).ravel().tolist(), value
    assert built.quantise(0, np.full(tensor.size, np.nan, np.float32)) is None


def test_ranks_are_those_of_the_host_at_and_between_the_thresholds(tmp_path: Path) -> None:
    base = random_trees(1)
    known = np.array([-2.5, -1e-30, 0.0, 1.0, 1.0000001, 7e20], np.float32)
    ranks = tuple(known[:count] for count in (6, 0, 3, 1))[: base.tensors["x"].size]
    graph = base._replace(source=base.source._replace(ranks=ranks))
    built = Built([graph], tmp_path)
    for value in (*known.tolist(), -np.inf, np.inf, 0.5, -0.0, 1.00000005):
        row = np.full(base.tensors["x"].size, value, np.float32)
        found = built.quantise(0, row)
        assert found is not None
        assert found.tolist() == reference.quantise(graph, row[None]).ravel().tolist(), value


def test_the_files_are_the_same_every_time_and_hold_no_name_that_ends_a_comment() -> None:
    graph = random_graph(7)
    ops = tuple(op._replace(name="a */ int x; /* b\n\\") if not isinstance(op, Reshape) else op for op in graph.ops)
    text = write(graph._replace(ops=ops), "model").files
    assert text == write(graph._replace(ops=ops), "model").files
    assert "*/ int x" not in text["model.c"]


def test_class_names_of_strangers_stay_in_their_comment() -> None:
    graph = random_trees(2)
    sink = Sink("y", "y", "argmax", ("good", "*/ int x; /*"), ())
    header = write(graph._replace(sinks=(sink,)), "model").files["model.h"]
    assert "/* In order: good, ?? int x? ?? */" in header


def test_a_model_that_computes_nothing_is_refused() -> None:
    tensor = Tensor("x", (4,), "int8", 1.0, 0)
    empty = Graph({"x": tensor}, (), Source("x", "x", (), ()), (Sink("y", "x", "none", (), (4,)),))
    with pytest.raises(Refused, match="computes nothing"):
        write(empty, "model")
