"""The client's questions that cannot be asked, and answers that are none."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from mlopsctl.serving.client import NoAnswer, ask, infer


@pytest.mark.parametrize("endpoint", ["http://localhost:x", "http://localhost:99999", "http://[::1"])
def test_a_malformed_address_cannot_be_asked(endpoint: str) -> None:
    with pytest.raises(NoAnswer, match="cannot be asked"):
        ask(endpoint, "GET", "/v2")


def test_a_missing_value_is_not_the_servers_fault() -> None:
    tensor: dict[str, Any] = {"name": "x", "shape": [1], "datatype": "FP32", "data": [float("nan")]}
    with pytest.raises(NoAnswer, match="cannot be asked: Out of range float"):
        infer("http://127.0.0.1:1", "m", [tensor])


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\n[]"])
def test_what_does_not_speak_the_protocol_gives_no_answer(said: bytes) -> None:
    def answer() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=answer)
        server.start()
        with pytest.raises(NoAnswer):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}", "GET", "/v2", timeout=5)
        server.join()
