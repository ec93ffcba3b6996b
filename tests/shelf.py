"""A shared deployment that needs no server: a pinned program that puts the artifact into a folder, its shelf."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

from tests.quickstart import must

_SCRIPT = Path(__file__).parent / "providers" / "programs" / "shelf.py"
PROGRAM = f"#!{sys.executable} -I\n".encode() + _SCRIPT.read_bytes()
BEFORE = "SHELF_TOKEN=secret "


MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: small}
data:
  rows: {path: rows.csv, label: y}
train:
  m: {run: "cp model.onnx {out}/model.onnx", code: [model.onnx]}
gates:
  accuracy: {metric: accuracy, min: 0.7}
targets:
  cpu: {}
"""


def make_small(folder: Path) -> Path:
    """A project whose model is copied, not trained: a step takes no longer than its process."""
    folder.mkdir()
    (folder / "mlops.yaml").write_text(MANIFEST)
    (folder / "rows.csv").write_text("x,y\n" + "".join(f"{n % 2 + n / 10000},{n % 2}\n" for n in range(400)))
    write_model(folder, 1.0)
    must("git init -q && mlopsctl init --ci none && git add -A && git commit -q -m Start", folder)
    return folder


def write_model(folder: Path, weight: float) -> None:
    """A model that tells y from x, whatever the weight; another weight is another model."""
    weights = numpy_helper.from_array(np.array([[-weight, weight]], np.float32), "w")
    bias = numpy_helper.from_array(np.array([weight / 2, -weight / 2], np.float32), "b")
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
    ]
    graph = helper.make_graph(nodes, "m", inputs, outputs, [weights, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, folder / "model.onnx")


def another_model(project: Path, weight: float = 2.0) -> None:
    """Commits a model with another weight than 1."""
    write_model(project, weight)
    must("git commit -qam 'Another model'", project)


def block(shelf: Path, keys: str = "") -> str:
    """The manifest's entry of a deployment on this shelf; ``keys`` are more lines of it."""
    digest = hashlib.sha256(PROGRAM).hexdigest()
    lines = [
        "use: command", "program: tools/shelf.py", f"digest: sha256:{digest}", "target: cpu", f"to: {shelf}",
        "env: [SHELF_TOKEN]", f"paths: [{shelf}]", *keys.splitlines(),
    ]  # fmt: skip
    return "".join(f"    {line}\n" for line in lines)


def declare(project: Path, commit: str = "Deployments", **blocks: str) -> None:
    """Gives the manifest these deployments and no other ones, and commits that."""
    program = project / "tools" / "shelf.py"
    program.parent.mkdir(exist_ok=True)
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    manifest = project / "mlops.yaml"
    text = re.sub(r"\ndeployments:\n.*", "\n", manifest.read_text(), flags=re.DOTALL).rstrip("\n")
    entries = "".join(f"  {name}:\n{body}" for name, body in blocks.items())
    manifest.write_text(text + "\n" + (f"deployments:\n{entries}" if blocks else ""))
    must(f"git add -A && git commit -qm '{commit}'", project)


def on(shelf: Path) -> str:
    """What lies on the shelf, as a digest; "" for an empty one."""
    files = sorted(path for path in (shelf / "current").rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""
