"""Artifacts to serve, signed by a key of the test's own, and servers that end with the test."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import onnx
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing
from onnx import TensorProto, helper, numpy_helper

from mlopsctl.serving.artifact import folder_digest, listing
from mlopsctl.serving.files import read_json, write_json
from mlopsctl.serving.processes import is_alive, stop
from mlopsctl.serving.server import release_folder


def affine(path: Path, slope: float, features: int = 2) -> None:
    """An ONNX model: ``y = slope * x`` summed to one column, over rows of ``features`` numbers."""
    weights = numpy_helper.from_array(np.full((features, 1), slope, dtype=np.float32), "W")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "affine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)


def artifact(folder: Path, slope: float = 1.0, **more: Any) -> Path:
    """An artifact folder around ``affine``."""
    folder.mkdir(parents=True)
    affine(folder / "model.onnx", slope)
    described = {
        "format": 1,
        "runtime": "onnxruntime",
        "model": "model.onnx",
        "name": "classifier",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [None, 2]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [None, 1]}],
        "classes": None,
        **more,
    }
    (folder / "artifact.json").write_text(json.dumps(described))
    return folder


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path

    def sign(self, folder: Path, signature: Path) -> Path:
        config: Any = hashing.Config()  # type: ignore[no-untyped-call]
        config.use_file_serialization().set_ignored_paths(paths=[], ignore_git_paths=False)
        signer: Any = signing.Config()  # type: ignore[no-untyped-call]
        signer.use_elliptic_key_signer(private_key=self.private).set_hashing_config(config).sign(folder, signature)
        return signature


def new_keys(folder: Path) -> Keys:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "key.pub").write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return Keys(folder / "key.pem", folder / "key.pub")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("keys"))


@dataclass
class Deployed:
    """A state folder and the server that runs in it."""

    state: Path
    keys: Keys

    def release(self, made: Path) -> str:
        """Puts an artifact into the state folder, signed; its digest."""
        digest = folder_digest(listing(made))
        home = release_folder(self.state, digest)
        shutil.copytree(made, home / "artifact")
        self.keys.sign(home / "artifact", home / "artifact.sig")
        shutil.copy(self.keys.public, home / "key.pub")
        return digest

    def use(self, digest: str, **more: Any) -> None:
        write_json(self.state / "config.json", {"artifact": digest, "request": uuid4().hex, **more})

    def start(self) -> None:
        subprocess.run(
            [sys.executable, "-I", "-m", "mlopsctl.serving.supervisor", str(self.state), "127.0.0.1", "0"],
            check=True,
            timeout=30,
        )
        self.wait(lambda: self.state_of("state") is not None)

    def state_of(self, name: str) -> dict[str, Any] | None:
        return read_json(self.state / f"{name}.json")

    def wait(self, ready: Any, seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, (self.state / "server.log").read_text()
            time.sleep(0.02)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{(self.state_of('supervisor') or {})['port']}/v2"

    def ask(self, rows: list[list[float]]) -> requests.Response:
        return requests.post(self.url + "/models/classifier/infer", json=body(rows), timeout=10)

    def processes(self) -> list[tuple[int, str]]:
        found = [self.state_of("supervisor"), self.state_of("state")]
        return [(item["pid"], item["start"]) for item in found if item]


def body(rows: list[list[float]]) -> dict[str, Any]:
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), 2], "datatype": "FP32", "data": flat}]}


@pytest.fixture
def deployed(tmp_path: Path, keys: Keys) -> Iterator[Deployed]:
    state = tmp_path / "state"
    state.mkdir()
    found = Deployed(state, keys)
    yield found
    processes = found.processes()
    for pid, mark in processes:
        stop(pid, mark, 5)
    assert not [pid for pid, mark in processes if is_alive(pid, mark)]
