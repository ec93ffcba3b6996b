"""Compiles the C of several graphs for this machine, with every check of undefined behaviour, and calls it."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlopsctl.integer.c.program import write
from mlopsctl.integer.graph import Array, Graph

FLAGS = ("-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")  # fmt: skip


class Built:
    """The programs of graphs in one library, each under a prefix of its own."""

    def __init__(self, graphs: Sequence[Graph], folder: Path) -> None:
        self.graphs = graphs
        sources = []
        for number, graph in enumerate(graphs):
            place = folder / f"g{number}"
            place.mkdir()
            for name, text in write(graph, f"g{number}").files.items():
                (place / name).write_text(text, encoding="utf-8")
            sources.append(str(place / "model.c"))
        subprocess.run(["gcc", "-shared", "-fPIC", *FLAGS, *sources, "-o", str(folder / "all.so")], check=True)
        self.library = ctypes.CDLL(str(folder / "all.so"))

    def quantise(self, number: int, row: Array) -> Array | None:
        """A float row as the first tensor's numbers; None where the program refuses it."""
        tensor = self.graphs[number].tensors[self.graphs[number].source.tensor]
        floats, found = np.ascontiguousarray(row, np.float32), np.zeros(tensor.size, tensor.dtype)
        refused = self.library[f"g{number}_quantise"](_at(floats), _at(found))
        return None if refused else found

    def run(self, number: int, whole: Array) -> tuple[Array, int]:
        """The last tensor's numbers for one row, and the place that is answered."""
        result = self.graphs[number].result
        given, found = np.ascontiguousarray(whole), np.zeros(result.size, result.dtype)
        self.library[f"g{number}_run"](_at(given), _at(found))
        return found, int(self.library[f"g{number}_answer"](_at(found)))


def _at(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
