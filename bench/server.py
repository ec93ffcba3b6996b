"""Requests a second and p99 of our server and of MLServer, in turns in one run: ``python bench/server.py``.

Both serve the quickstart's digits model from ONNX Runtime with one thread and answer the same JSON request of the
Open Inference Protocol; wrk asks with 16 connections. MLServer lives in an environment of its own:
``python3 -m venv .venv-bench && .venv-bench/bin/pip install mlserver onnxruntime``. It runs without its worker pool,
without gzip, metrics and access log, which is its fastest setting for a small model.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlopsctl.serving.artifact import folder_digest, listing
from mlopsctl.serving.client import NoAnswer, ask
from mlopsctl.serving.files import read_json, write_json
from mlopsctl.serving.processes import stop
from mlopsctl.serving.server import release_folder

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16
NAME = "classifier"

RUNTIME = """
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class OnnxModel(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feeds = {i.name: np.array(i.data.root, dtype=np.float32).reshape(i.shape) for i in payload.inputs}
        values = self._session.run(self._outputs, feeds)
        outputs = [
            ResponseOutput(name=name, shape=list(value.shape), datatype="FP32", data=value.ravel().tolist())
            for name, value in zip(self._outputs, values)
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


@dataclass(frozen=True)
class Figures:
    """One run of wrk: requests a second, p99 in milliseconds, answers that were no 200."""

    rate: float
    p99: float
    errors: int


def digits_model(folder: Path) -> Path:
    """The quickstart's model, trained by its own script."""
    quickstart = ROOT / "templates" / "quickstart"
    subprocess.run(
        [sys.executable, "train.py"],
        cwd=quickstart,
        env={**os.environ, "MLOPS_OUT": str(folder)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return folder / "model.onnx"


@contextmanager
def ours(model: Path, folder: Path) -> Iterator[str]:
    """Our server as a deployment runs it, supervised and with a verified signature; its endpoint."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing import hashing, signing

    artifact, state = folder / "artifact", folder / "state"
    artifact.mkdir(parents=True)
    shutil.copy(model, artifact / "model.onnx")
    described = {"format": 1, "runtime": "onnxruntime", "model": "model.onnx", "name": NAME, "classes": list(range(10))}
    write_json(artifact / "artifact.json", described)
    digest = folder_digest(listing(artifact))
    release = release_folder(state, digest)
    shutil.copytree(artifact, release / "artifact")
    key = ec.generate_private_key(ec.SECP256R1())
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    private = folder / "key.pem"
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (release / "key.pub").write_bytes(key.public_key().public_bytes(pem, spki))
    hashes: Any = hashing.Config()  # type: ignore[no-untyped-call]
    hashes.set_ignored_paths(paths=[], ignore_git_paths=False)
    signer: Any = signing.Config()  # type: ignore[no-untyped-call]
    signer.use_elliptic_key_signer(private_key=private).set_hashing_config(hashes)
    signer.sign(release / "artifact", release / "artifact.sig")
    write_json(state / "config.json", {"artifact": digest, "request": "1"})
    command = [sys.executable, "-I", "-m", "mlopsctl.serving.supervisor", str(state), "127.0.0.1", "0"]
    subprocess.run(command, check=True)
    supervisor = wait_for(lambda: read_json(state / "supervisor.json"))
    try:
        wait_for(lambda: read_json(state / "state.json"))
        yield f"http://127.0.0.1:{supervisor['port']}"
    finally:
        stop(supervisor["pid"], supervisor["start"])


@contextmanager
def mlserver(model: Path, folder: Path, environment: Path) -> Iterator[str]:
    """MLServer with a small runtime of its own on ONNX Runtime; its endpoint."""
    folder.mkdir()
    port, grpc = free_port(), free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": grpc,
        "parallel_workers": 0,
        "gzip_enabled": False,
        "metrics_endpoint": None,
        "debug": False,
        "logging_settings": str(folder / "logging.ini"),
    }
    (folder / "logging.ini").write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=out\n[formatters]\nkeys=plain\n"
        "[logger_root]\nlevel=WARNING\nhandlers=out\n"
        "[handler_out]\nclass=StreamHandler\nformatter=plain\n[formatter_plain]\nformat=%(message)s\n"
    )
    write_json(folder / "settings.json", settings)
    implementation = {"name": NAME, "implementation": "onnx_runtime.OnnxModel", "parameters": {"uri": str(model)}}
    write_json(folder / "model-settings.json", implementation)
    (folder / "onnx_runtime.py").write_text(RUNTIME)
    with (folder / "mlserver.log").open("wb") as log:
        process = subprocess.Popen(
            [str(environment / "bin" / "mlserver"), "start", "."],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_ready(endpoint), 120)
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_ready(endpoint: str) -> bool:
    try:
        return ask(endpoint, "GET", f"/v2/models/{NAME}/ready", timeout=2).status == 200
    except NoAnswer:
        return False


def wait_for(found: Any, seconds: float = 60) -> Any:
    """What ``found`` returns once that is something. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = found()
        if value:
            return value
        time.sleep(0.1)
    raise TimeoutError(f"not ready after {seconds:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def request_body() -> str:
    """One row of the digits as an inference request."""
    line = (ROOT / "templates" / "quickstart" / "data" / "digits.csv").read_text().splitlines()[1]
    row = [float(value) for value in line.split(",")[:64]]
    return json.dumps({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": row}]})


def wrk(endpoint: str, script: Path, seconds: int) -> Figures:
    """One run of wrk. Raises CalledProcessError where wrk fails."""
    url = f"{endpoint}/v2/models/{NAME}/infer"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    p99 = re.search(r"99%\s+([0-9.]+)(us|ms|s)", text)
    if rate is None or p99 is None:
        raise ValueError(f"wrk said something else: {text}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = sum(map(int, re.findall(r"(?:connect|read|write|timeout) (\d+)", text)))
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Figures(float(rate[1]), float(p99[1]) * scale, lost + (int(bad[1]) if bad else 0))


def same_answer(endpoints: dict[str, str]) -> None:
    """Raises ValueError unless all servers give the same probabilities for the request."""
    body, first = json.loads(request_body()), None
    for name, endpoint in endpoints.items():
        answer = ask(endpoint, "POST", f"/v2/models/{NAME}/infer", body)
        values = [round(value, 5) for value in answer.body["outputs"][0]["data"]]
        if first is not None and values != first:
            raise ValueError(f"{name} answers {values}, expected {first}")
        first = values


def main() -> int:
    parser = argparse.ArgumentParser(description="mlopsctl's server beside MLServer")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv-bench", help="where MLServer is installed")
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = digits_model(folder)
        script = folder / "post.lua"
        script.write_text(
            f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = [[{request_body()}]]\n'
        )
        with ours(model, folder / "ours") as mine, mlserver(model, folder / "mlserver", options.environment) as theirs:
            endpoints = {"mlopsctl": mine, "mlserver": theirs}
            same_answer(endpoints)
            found: dict[str, list[Figures]] = {key: [] for key in endpoints}
            for endpoint in endpoints.values():
                wrk(endpoint, script, 1)
            for _ in range(options.rounds):
                for key, endpoint in endpoints.items():
                    found[key].append(wrk(endpoint, script, options.seconds))
    rates = {key: statistics.median(run.rate for run in runs) for key, runs in found.items()}
    tails = {key: statistics.median(run.p99 for run in runs) for key, runs in found.items()}
    for key, runs in found.items():
        errors = sum(run.errors for run in runs)
        print(f"{key:9} {rates[key]:8.0f} requests/s  p99 {tails[key]:7.2f} ms  {errors} errors")
    print(f"server: {rates['mlopsctl'] / rates['mlserver']:.1f}x MLServer's requests/s (wanted: at least 4x)")
    print(f"server: {tails['mlopsctl'] / tails['mlserver']:.2f}x MLServer's p99 (wanted: at most 1x)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
