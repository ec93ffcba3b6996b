"""The server's answers over one loaded model, which is exchanged by one pointer assignment."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import sys
import traceback
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from . import protocol
from .artifact import Artifact, Port
from .files import read_json
from .http import Request, Response
from .models import Model
from .protocol import Arrays, ModelFailed, Rejected

MAX_BODY = 64 * 1024 * 1024
INLINE_BODY = 256 * 1024
"""A larger request may hold so many rows that even a quick model would keep the others waiting."""


class Loaded:
    """One artifact, verified and loaded; ``requests`` counts those that wait for its model right now."""

    def __init__(self, artifact: Artifact, model: Model, digest: str) -> None:
        self.artifact = artifact
        self.model = model
        self.digest = digest
        self.version = digest.partition(":")[2][:12]
        """The start of the digest, short enough for a URL."""
        self.header = f"x-artifact-digest: {digest}\r\n".encode()
        self.requests = 0


class Job(NamedTuple):
    """One inference: the request, its tensors as arrays, the outputs to answer with."""

    request: protocol.InferRequest
    feeds: Arrays
    wanted: list[str]


class App:
    """Answers requests with ``current``; whoever changes ``current`` changes every later answer and no earlier one.

    While ``halt_file`` exists every inference is refused (503) with the reason in it: the file is looked up at each
    request, so a halt needs nothing of this process but that it answers.
    """

    def __init__(self, current: Loaded, halt_file: Path | None = None, max_body: int = MAX_BODY) -> None:
        self.current = current
        self.max_body = max_body
        self._halt_file = os.fspath(halt_file) if halt_file else ""
        # One at a time, in order: a model that is too slow for the event loop uses all cores by itself.
        self._pool = ThreadPoolExecutor(1, "model")
        self._decisions = itertools.count(1)
        self._process = secrets.token_hex(8)

    def halted(self) -> str:
        """Why no inference is answered; empty where it is. An unreadable file halts as well."""
        if not self._halt_file or not os.access(self._halt_file, os.F_OK):
            return ""
        return str((read_json(Path(self._halt_file)) or {}).get("reason") or "no reason given")

    def answer(self, request: Request) -> Response | Coroutine[None, None, Response]:
        """The answer; a coroutine where that takes too long for the event loop. Never raises."""
        loaded = self.current
        decision = f"{self._process}-{next(self._decisions):x}"
        try:
            job = self._inference(loaded, request)
            if job is None:
                status, body = self._look(loaded, request)
            elif loaded.model.inline and len(request.body) <= INLINE_BODY:
                status, body = 200, self._finish(loaded, decision, job, _run(loaded, job))
            else:
                return self._slowly(loaded, decision, job)
        except Exception as error:  # noqa: BLE001 - see _failure
            status, body = _failure(decision, error)
        return _response(loaded, decision, status, body)

    def refusal(self, status: int, why: str) -> Response:
        """The answer to what never became a request."""
        decision = f"{self._process}-{next(self._decisions):x}"
        return _response(self.current, decision, status, protocol.encode({"error": why}))

    def _look(self, loaded: Loaded, request: Request) -> tuple[int, bytes]:
        """Everything but inference."""
        parts = _parts(request)
        _method(request, "GET")
        if parts == ["v2"]:
            return 200, protocol.encode({"name": "mlopsctl", "version": "2", "extensions": []})
        if parts == ["v2", "health", "live"]:
            return 200, protocol.encode({"live": True})
        if parts == ["v2", "health", "ready"]:
            return self._ready({"ready": True})
        if parts[1] != "models":
            raise Rejected(404, f"there is nothing at {request.path}")
        if parts[-1] == "ready" and len(parts) > 3:
            _model(loaded, parts[2:-1])
            return self._ready({"name": loaded.artifact.name, "ready": True})
        _model(loaded, parts[2:])
        return 200, protocol.encode(_metadata(loaded))

    def _ready(self, answer: dict[str, Any]) -> tuple[int, bytes]:
        reason = self.halted()
        if reason:
            return 503, protocol.encode({**answer, "ready": False, "error": f"halted: {reason}"})
        return 200, protocol.encode(answer)

    def _inference(self, loaded: Loaded, request: Request) -> Job | None:
        """What the model is asked; None where the request is no inference. Raises Rejected."""
        parts = _parts(request)
        if parts[-1] != "infer" or parts[1:2] != ["models"]:
            return None
        _model(loaded, parts[2:-1])
        _method(request, "POST")
        if b"inference-header-content-length" in request.headers:
            raise Rejected(400, "the binary tensor data extension is not supported; send data as JSON")
        encoding = request.headers.get(b"content-encoding", b"identity")
        if encoding != b"identity":
            raise Rejected(415, f"content-encoding {encoding.decode('latin-1')} is not supported")
        if reason := self.halted():
            raise Rejected(503, f"halted: {reason}")
        asked = protocol.decode_request(request.body)
        model = loaded.model
        feeds = protocol.feeds(asked, model.inputs) if model.inputs else protocol.columns(asked)
        return Job(asked, feeds, protocol.wanted_outputs(asked, model.outputs))

    async def _slowly(self, loaded: Loaded, decision: str, job: Job) -> Response:
        loaded.requests += 1
        try:
            outputs = await asyncio.get_running_loop().run_in_executor(self._pool, self._in_turn, loaded, job)
            if reason := self.halted():  # while the model was at work
                raise Rejected(503, f"halted: {reason}")
            status, body = 200, self._finish(loaded, decision, job, outputs)
        except Exception as error:  # noqa: BLE001 - see _failure
            status, body = _failure(decision, error)
        finally:
            loaded.requests -= 1
        return _response(loaded, decision, status, body)

    def _in_turn(self, loaded: Loaded, job: Job) -> Arrays:
        if reason := self.halted():  # while others were in the model
            raise Rejected(503, f"halted: {reason}")
        return _run(loaded, job)

    def _finish(self, loaded: Loaded, decision: str, job: Job, outputs: Arrays) -> bytes:
        parameters = {"decision_id": decision, "artifact": loaded.digest}
        return protocol.encode_answer(loaded.artifact.name, loaded.version, job.request, outputs, parameters)


def _run(loaded: Loaded, job: Job) -> Arrays:
    return loaded.model.run(job.feeds, job.wanted)


def _failure(decision: str, error: Exception) -> tuple[int, bytes]:
    """What is the client's or the model's fault is said; a failure of ours is logged whole and answered without details."""
    if isinstance(error, Rejected):
        return error.status, protocol.encode({"error": error.message})
    if isinstance(error, ModelFailed):
        return 500, protocol.encode({"error": f"the model failed: {error}"})
    sys.stderr.write(f"decision {decision}: {''.join(traceback.format_exception(error))}")
    return 500, protocol.encode({"error": "internal error; the server's log has the decision id"})


def _response(loaded: Loaded, decision: str, status: int, body: bytes) -> Response:
    return Response(status, body, loaded.header + b"x-decision-id: %b\r\n" % decision.encode())


def _parts(request: Request) -> list[str]:
    parts = request.path.strip("/").split("/")
    if parts[0] != "v2":
        raise Rejected(404, "this server answers under /v2 (Open Inference Protocol)")
    return parts


def _method(request: Request, method: str) -> None:
    if request.method != method and not (method == "GET" and request.method == "HEAD"):
        raise Rejected(405, f"use {method} here")


def _model(loaded: Loaded, parts: list[str]) -> None:
    """Checks NAME or NAME/versions/VERSION. Raises Rejected (404)."""
    name = loaded.artifact.name
    if parts[:1] != [name]:
        raise Rejected(404, f"there is no model '{'/'.join(parts)}' here; this server has '{name}'")
    if parts[1:] and parts[1:] != ["versions", loaded.version]:
        raise Rejected(404, f"model '{name}' has the version '{loaded.version}' here and no other")


def _metadata(loaded: Loaded) -> dict[str, Any]:
    artifact = loaded.artifact
    found: dict[str, Any] = {
        "name": artifact.name,
        "versions": [loaded.version],
        "platform": {"onnxruntime": "onnx_onnxv1"}.get(artifact.runtime, artifact.runtime),
        "inputs": [_tensor(port) for port in loaded.model.inputs],
        "outputs": [_tensor(port) for port in loaded.model.outputs],
    }
    if artifact.classes:
        found["parameters"] = {"classes": list(artifact.classes)}
    return found


def _tensor(port: Port) -> dict[str, Any]:
    shape = [-1 if size is None else size for size in port.shape]
    return {"name": port.name, "datatype": port.datatype, "shape": shape}
