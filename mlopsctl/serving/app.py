"""The server's answers: raw ASGI over one loaded model, exchanged by one pointer assignment."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import sys
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import protocol
from .artifact import Artifact, Port
from .files import read_json
from .models import Model
from .protocol import ModelFailed, Rejected

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_BODY = 64 * 1024 * 1024


@dataclass
class Loaded:
    """One artifact, verified and loaded; ``requests`` counts those that it answers right now."""

    artifact: Artifact
    model: Model
    digest: str
    requests: int = 0

    @property
    def version(self) -> str:
        """The start of the digest, short enough for a URL."""
        return self.digest.partition(":")[2][:12]


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"this server speaks HTTP only, not {scope['type']}")
        loaded = self.current
        decision = f"{self._process}-{next(self._decisions):x}"
        loaded.requests += 1
        try:
            status, body = await self._answer(loaded, decision, scope, receive)
        except Rejected as error:
            status, body = error.status, protocol.encode({"error": error.message})
        except Exception as error:  # noqa: BLE001 - a failure of ours is logged whole and answered without its details
            sys.stderr.write(f"decision {decision}: {''.join(traceback.format_exception(error))}")
            status, body = 500, protocol.encode({"error": "internal error; the server's log has the decision id"})
        finally:
            loaded.requests -= 1
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-artifact-digest", loaded.digest.encode()),
            (b"x-decision-id", decision.encode()),
        ]
        if status == 413:  # the rest of the body was not read
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, loaded: Loaded, decision: str, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        parts = str(scope["path"]).strip("/").split("/")
        if parts[0] != "v2":
            raise Rejected(404, "this server answers under /v2 (Open Inference Protocol)")
        if parts[-1] == "infer" and parts[1:2] == ["models"]:
            _model(loaded, parts[2:-1])
            _method(scope, "POST")
            return 200, await self._infer(loaded, decision, scope, receive)
        _method(scope, "GET")
        if parts == ["v2"]:
            return 200, protocol.encode({"name": "mlopsctl", "version": "2", "extensions": []})
        if parts == ["v2", "health", "live"]:
            return 200, protocol.encode({"live": True})
        if parts == ["v2", "health", "ready"]:
            return self._ready({"ready": True})
        if parts[1] != "models":
            raise Rejected(404, f"there is nothing at {scope['path']}")
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

    async def _infer(self, loaded: Loaded, decision: str, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self.max_body:
                raise Rejected(413, f"the body is larger than {self.max_body} bytes")
            if name == b"inference-header-content-length":
                raise Rejected(400, "the binary tensor data extension is not supported; send data as JSON")
            if name == b"content-encoding" and value != b"identity":
                raise Rejected(415, f"content-encoding {value.decode('latin-1')} is not supported")
        body = await self._read(receive)
        if reason := self.halted():
            raise Rejected(503, f"halted: {reason}")
        request = protocol.decode_request(body)
        model = loaded.model
        feeds = protocol.feeds(request, model.inputs) if model.inputs else protocol.columns(request)
        wanted = protocol.wanted_outputs(request, model.outputs)
        try:
            if model.inline:
                outputs = model.run(feeds, wanted)
            else:
                outputs = await asyncio.get_running_loop().run_in_executor(self._pool, model.run, feeds, wanted)
        except ModelFailed as error:
            raise Rejected(500, f"the model failed: {error}") from None
        parameters = {"decision_id": decision, "artifact": loaded.digest}
        return protocol.encode_answer(loaded.artifact.name, loaded.version, request, outputs, parameters)

    async def _read(self, receive: Receive) -> bytes | bytearray:
        message = await receive()
        body: bytes | bytearray = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body = bytearray(body) if isinstance(body, bytes) else body
            body += message.get("body", b"")
            if len(body) > self.max_body:
                break
        if len(body) > self.max_body:
            raise Rejected(413, f"the body is larger than {self.max_body} bytes")
        if message["type"] == "http.disconnect":
            raise Rejected(400, "the client went away")
        return body


def _method(scope: Scope, method: str) -> None:
    if scope["method"] != method:
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
