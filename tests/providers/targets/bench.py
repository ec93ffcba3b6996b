"""A place where one target can be made: a real store, real rows, a real model, as apply would hand them over."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from mlopsctl.adapters.store import LocalStore
from mlopsctl.provider import Context, Trail, Tree
from mlopsctl.types import Address, Input, Need, Observed, Resource

ROWS = 60
FEATURES = ("a", "b", "c", "d")


class Bench:
    """``make`` runs a target's apply on the model folder and on ``ROWS`` rows of four features and a label 0..2."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.told: list[str] = []
        self.store = LocalStore(root / "store")
        self.rows = root / "test.csv"
        rng = np.random.default_rng(3)
        with self.rows.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*FEATURES, "label"])
            for row in rng.normal(size=(ROWS, len(FEATURES))):
                writer.writerow([*(f"{value:.4f}" for value in row), int(rng.integers(3))])
        self.data_facts = {
            "format": "csv",
            "label": "label",
            "columns": [*FEATURES, "label"],
            "features": list(FEATURES),
            "classes": [0, 1, 2],
        }

    def inputs(self, folder: Path, facts: Mapping[str, Any]) -> tuple[Input, ...]:
        model, data = self.store.put(folder), self.store.put(self.rows)
        return (
            Input(Need("model", Address("train", "classifier"), "model"), Observed(model, {"model": model}, facts)),
            Input(Need("data", Address("data", "rows"), "test"), Observed(data, {"test": data}, self.data_facts)),
        )

    def context(self, name: str = "scratch") -> Context:
        scratch = self.root / name
        scratch.mkdir(parents=True)
        (self.root / "state").mkdir(exist_ok=True)
        # A target asks neither the tree nor the trail.
        tree, trail = cast(Tree, None), cast(Trail, None)
        return Context(
            self.root / "repo", self.root / "state", scratch, tree, self.store, trail, "demo", self.told.append
        )

    def make(self, module: Any, folder: Path, facts: Mapping[str, Any], name: str = "scratch", **spec: Any) -> Any:
        want = Resource(Address("targets", "cpu"), "targets/x", module.Spec(**spec))
        return module.apply(want, self.inputs(folder, facts), self.context(name))


def described(artifact: Path) -> dict[str, Any]:
    """The artifact's description."""
    found: dict[str, Any] = json.loads((artifact / "artifact.json").read_bytes())
    return found
