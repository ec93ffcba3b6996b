"""A project in a real git repository, in which a training step can be run through the real provider."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.git import Repo, WorkTree, find_repo
from mlopsctl.adapters.store import LocalStore
from mlopsctl.errors import ProviderError
from mlopsctl.provider import Context
from mlopsctl.providers.train import local
from mlopsctl.types import Address, Digest, Input, Observed, Outcome, Resource

TEMPLATE = Path(__file__).parents[3] / "templates" / "quickstart"
TRAIN_ROWS = "a,b,label\n1,2,0\n3,4,1\n5,6,0\n7,8,1\n"
ALL_ROWS = TRAIN_ROWS + "9,10,secret-test-row\n"

ONNX_SCRIPT = """
import os
from onnx import TensorProto, helper, save_model
graph = helper.make_graph(
    [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)], "g",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])])
save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10),
    os.environ["MLOPS_OUT"] + "/model.onnx")
"""
"""Writes a model that fits the two feature columns."""


@dataclass
class Project:
    root: Path
    told: list[str] = field(default_factory=list)
    attempts: int = 0

    @property
    def repo(self) -> Repo:
        return find_repo(self.root)

    @property
    def tree(self) -> WorkTree:
        return WorkTree(self.repo, self.root)

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.root / ".git" / "mlops" / "store")

    @property
    def log(self) -> Path:
        return self.root / ".git" / "mlops" / "logs" / "train.m.log"

    def write(self, name: str, text: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    def resource(self, **keys: Any) -> Resource:
        spec = local.Spec(**keys)
        needs = local.needs(spec, {"data": {"rows": object()}, "train": {"m": spec}})
        return Resource(Address("train", "m"), "train/local", spec, needs)

    def context(self) -> Context:
        self.attempts += 1
        state = self.root / ".git" / "mlops"
        scratch = state / "work" / str(self.attempts)
        scratch.mkdir(parents=True)
        return Context(
            self.root,
            state,
            scratch,
            self.tree,
            self.store,
            None,  # type: ignore[arg-type]
            "demo",
            self.told.append,
            self.log,
        )

    def inputs(self, want: Resource, **facts: Any) -> list[Input]:
        view = self.root.parent / "view.csv"
        view.write_text(facts.pop("train", TRAIN_ROWS))
        digest = self.store.put(view)
        seen = {"path": "data/rows.csv", "format": "csv", "label": "label", "features": ["a", "b"], **facts}
        observed = Observed(Digest("sha256:0"), {"train": digest, "val": digest}, seen)
        return [Input(need, observed) for need in want.needs]

    def train(self, inputs: list[Input] | None = None, **keys: Any) -> Outcome:
        """Runs the step with a dataset whose training view lacks the last row of the file in the repository."""
        want = self.resource(**{"run": "python train.py", **keys})
        return local.apply(want, self.inputs(want) if inputs is None else inputs, self.context())

    def made_from(self, **keys: Any) -> set[str]:
        """The files that count as code."""
        return set(local.sources(self.resource(**keys), self.tree))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    made = Project(root)
    made.write("data/rows.csv", ALL_ROWS)
    made.write("mlops.yaml", "")
    return made


@pytest.fixture
def quickstart(tmp_path: Path) -> Project:
    """The quickstart as ``init`` writes it, with every fifth row kept out of the training view."""
    import shutil

    root = tmp_path / "project"
    shutil.copytree(TEMPLATE, root)
    subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
    return Project(root)


def script(project: Project, body: str, name: str = "train.py") -> None:
    project.write(name, "import os, sys\nout = os.environ['MLOPS_OUT']\n" + body)


def failure(project: Project, **keys: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        project.train(**keys)
    return caught.value
