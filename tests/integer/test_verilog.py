"""Random small graphs as circuits: Verilator answers with the same bits as the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlopsctl.adapters.hardware import Workbench
from mlopsctl.adapters.simulation import TOOLS, Job, simulate
from mlopsctl.adapters.tools import missing
from mlopsctl.integer import reference
from mlopsctl.integer.graph import Graph
from mlopsctl.integer.verilog.files import circuit
from mlopsctl.workers.circuit import _bytes, _with_labels
from tests.integer.graphs import random_graph, random_rows, random_trees

pytestmark = pytest.mark.skipif(bool(missing(TOOLS)), reason="verilator, g++ or make is not installed")
ROWS = 20


def simulated(graph: Graph, lanes: int, rows: np.ndarray, folder: Path) -> None:
    """Raises ProviderError where the circuit answers otherwise than the reference."""
    bench, facts = Workbench(folder / "bench", 300, 8 << 30, folder / "log"), folder / "facts"
    bench.folder.mkdir()
    facts.mkdir()
    for name, text in circuit(graph, lanes).items():
        (bench.folder / name).write_text(text)
    found = reference.run(graph, rows)[graph.result.name]
    (facts / "rows.bin").write_bytes(_bytes(rows))
    (facts / "answers.bin").write_bytes(_with_labels(found))
    simulate(bench, "circuit", ["core.v"], Job(facts, rows[:1].nbytes, found[:1].nbytes, len(rows)))


def rows_of(graph: Graph, seed: int) -> np.ndarray:
    if graph.tensors[graph.source.tensor].dtype == "int8":
        return random_rows(graph, ROWS, seed)
    width = graph.tensors[graph.source.tensor].size
    return np.random.default_rng(seed).integers(0, 22, (ROWS, width)).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "seed", "lanes"), [(random_graph, 17, 1), (random_graph, 140, 2), (random_trees, 4, 1)]
)
def test_a_circuit_answers_as_the_reference(
    tmp_path: Path, kind: Callable[[int], Graph], seed: int, lanes: int
) -> None:
    graph = kind(seed)
    simulated(graph, lanes, rows_of(graph, seed), tmp_path)


def test_the_random_graphs_above_hold_windows_sums_and_additions() -> None:
    kinds = {type(op).__name__ for seed in (17, 140) for op in random_graph(seed).ops}
    assert kinds >= {"Conv2D", "Linear", "Add"} and kinds & {"MaxPool", "AveragePool"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_circuit_answers_as_the_reference(tmp_path: Path, seed: int) -> None:
    graph = (random_graph, random_graph, random_trees)[seed % 3](seed)
    simulated(graph, 1 + seed % 4, rows_of(graph, seed), tmp_path)
