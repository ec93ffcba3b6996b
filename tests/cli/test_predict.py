"""Servers that are asked for predictions and answer something else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from mlopsctl.adapters.table import Table
from mlopsctl.cli.predict import _ask
from mlopsctl.errors import MlopsError

X = {"name": "x", "datatype": "FP64", "shape": [-1]}
Y = {"name": "y", "datatype": "FP64", "shape": [2], "data": [1, 2]}


@pytest.fixture
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with the given metadata and answer."""
    described, answered = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(described)

        def do_POST(self) -> None:
            self._say(answered)

        def _say(self, value: Any) -> None:
            text = json.dumps(value).encode()
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


TABLE = Table({"x": np.array([1.0, 2.0])}, 2)


@pytest.mark.parametrize("endpoint", [({"inputs": [X]}, {"outputs": [Y]}), ({}, {"outputs": [Y]})], indirect=True)
def test_a_server_with_and_without_described_inputs_is_asked(endpoint: str) -> None:
    assert _ask(endpoint, "m", TABLE, {}).outputs["y"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "endpoint",
    [
        ({"inputs": 3}, {}),
        ({"inputs": ["x"]}, {}),
        ({"inputs": [{"name": "x"}]}, {}),
        ({"inputs": [{**X, "datatype": "BF16"}]}, {}),
        ({"inputs": [X]}, {}),
        ({"inputs": [X]}, {"outputs": None}),
        ({"inputs": [X]}, {"outputs": [{**Y, "shape": [3]}]}),
        ({"inputs": [X], "parameters": 3}, {"outputs": [Y]}),
    ],
    indirect=True,
)
def test_an_answer_in_another_form_is_one_clear_error(endpoint: str) -> None:
    with pytest.raises(MlopsError, match="does not answer in the Open Inference Protocol") as caught:
        _ask(endpoint, "m", TABLE, {})
    assert caught.value.code == "MLO1532"
