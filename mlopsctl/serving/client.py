"""A small client of the Open Inference Protocol over HTTP. Standard library only."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit


class NoAnswer(Exception):
    """The server does not answer, or not in the protocol."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: header names in small letters, the body decoded."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def error(self) -> str:
        return str(self.body.get("error") or "")


def ask(endpoint: str, method: str, path: str, body: Any = None, timeout: float = 60.0) -> Answer:
    """One request. Raises NoAnswer."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
        text = None if body is None else json.dumps(body, allow_nan=False).encode()
    except ValueError as error:
        raise NoAnswer(f"{endpoint} cannot be asked: {error}") from error
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout)
    try:
        connection.request(method, parts.path.rstrip("/") + path, text, {"content-type": "application/json"})
        response = connection.getresponse()
        value = json.loads(response.read() or b"{}")
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"no answer from {endpoint}: {error}") from error
    except ValueError as error:
        raise NoAnswer(f"{endpoint} does not speak the Open Inference Protocol: {error}") from error
    finally:
        connection.close()
    if not isinstance(value, dict):
        raise NoAnswer(f"{endpoint} does not speak the Open Inference Protocol")
    return Answer(response.status, {name.lower(): text for name, text in response.getheaders()}, value)


def metadata(endpoint: str, name: str) -> dict[str, Any]:
    """The model's inputs, outputs and classes. Raises NoAnswer."""
    answer = ask(endpoint, "GET", f"/v2/models/{quote(name, safe='')}")
    if answer.status != 200:
        raise NoAnswer(answer.error)
    return answer.body


def infer(endpoint: str, name: str, inputs: list[dict[str, Any]], timeout: float = 60.0) -> Answer:
    """One inference. Raises NoAnswer."""
    return ask(endpoint, "POST", f"/v2/models/{quote(name, safe='')}/infer", {"inputs": inputs}, timeout)
