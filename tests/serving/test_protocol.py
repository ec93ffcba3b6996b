"""What a request may look like and what becomes of one that is wrong."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.serving import protocol
from mlopsctl.serving.app import App, Loaded
from mlopsctl.serving.artifact import Port, read_artifact
from mlopsctl.serving.http import Request, Response
from mlopsctl.serving.models import load
from mlopsctl.serving.protocol import NUMPY, Rejected

from .conftest import artifact

TWO = (Port("a", "FP32", (None, 2)), Port("b", "INT64", (None,)))


def tensor(**changed: Any) -> dict[str, Any]:
    return {"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changed}


def read(*tensors: dict[str, Any], ports: tuple[Port, ...] = TWO[:1]) -> dict[str, Any]:
    return protocol.feeds(protocol.decode_request(json.dumps({"inputs": list(tensors)}).encode()), ports)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": [1]}, "data has 1 values, the shape \\[1, 2\\] needs 2"),
        ({"data": [1, 2, 3]}, "data has 3 values"),
        ({"data": [[1], [2]]}, "data has the shape \\[2, 1\\], the request says \\[1, 2\\]"),
        ({"data": [[1, 2], [3]]}, "inhomogeneous"),
        ({"data": ["1", "2"]}, "Expected `float`, got `str`"),
        ({"data": [None, 1]}, "Expected `float`, got `null`"),
        ({"data": [True, 1]}, "Expected `float`, got `bool`"),
        ({"data": 3}, "Expected `array`"),
        ({"data": [1e300, 0]}, "does not fit FP32"),
        ({"shape": [2]}, "has the shape \\[2\\], this model takes \\[-1, 2\\]"),
        ({"shape": [1, 3], "data": [1, 2, 3]}, "has the shape"),
        ({"shape": [-1, 2]}, "no inference request"),
        ({"shape": [2**62, 2]}, "no inference request"),
        ({"shape": [2**39, 2]}, "data has 2 values"),
        ({"datatype": "FP64"}, "is FP64, this model takes FP32"),
        ({"datatype": "FP99"}, "is FP99, this model takes FP32"),
        ({"name": "z"}, "missing input: a"),
    ],
)
def test_a_wrong_tensor_is_named(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message) as caught:
        read(tensor(**changed))
    assert caught.value.status == 400


def test_an_empty_tensor_is_no_cheap_way_to_many_rows() -> None:
    free = (Port("a", "FP32", (None, None)),)
    assert read(tensor(shape=[3, 0], data=[]), ports=free)["a"].shape == (3, 0)
    assert read(tensor(shape=[0, 2], data=[]))["a"].shape == (0, 2)
    for shape in ([2**40, 0], [0, 2**40], [2**15, 2**15, 0]):
        with pytest.raises(Rejected, match="too large for a tensor without values"):
            read(tensor(shape=shape, data=[]), ports=(Port("a", "FP32", (None,) * len(shape)),))


def test_names_must_fit() -> None:
    b = {"name": "b", "shape": [1], "datatype": "INT64", "data": [7]}
    assert read(b, tensor(), ports=TWO)["b"].tolist() == [7]
    with pytest.raises(Rejected, match="missing input: b"):
        read(tensor(), ports=TWO)
    with pytest.raises(Rejected, match="unknown input: c; this model takes a, b"):
        read(b, tensor(), {**b, "name": "c"}, ports=TWO)
    with pytest.raises(Rejected, match="same name"):
        read(tensor(), tensor(), b, ports=TWO)
    with pytest.raises(Rejected, match="Expected `int`, got `float`"):
        read(tensor(), {**b, "data": [1.5]}, ports=TWO)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"inputs": 3}', b"\xff\xfe", b'{"inputs": [{"name": NaN}]}']
)
def test_what_is_no_request_says_so(body: bytes) -> None:
    with pytest.raises(Rejected, match="this is no inference request") as caught:
        protocol.decode_request(body)
    assert caught.value.status == 400


def test_deep_nesting_is_only_a_wrong_request() -> None:
    for deep in (b"[" * 100_000, b'{"inputs": [{"name": "a", "shape": [1, 2], "datatype": "FP32", "data": %s}]}'):
        body = deep.replace(b"%s", b"[" * 50_000 + b"]" * 50_000)
        with pytest.raises(Rejected):
            protocol.feeds(protocol.decode_request(body), TWO[:1])


def test_nan_is_no_json_number() -> None:
    for text in (b"NaN", b"Infinity", b"-Infinity"):
        body = b'{"inputs": [{"name": "a", "shape": [1, 2], "datatype": "FP32", "data": [1, %s]}]}' % text
        with pytest.raises(Rejected):
            protocol.feeds(protocol.decode_request(body), TWO[:1])


def values_of(datatype: str) -> st.SearchStrategy[Any]:
    """Any value that JSON and the datatype can hold."""
    dtype, element = NUMPY[datatype]
    if element is int:
        limits = np.iinfo(dtype)
        return st.integers(int(limits.min), int(limits.max))
    if element is float:
        return st.floats(allow_nan=False, allow_infinity=False).map(dtype.type).map(float).filter(np.isfinite)
    return st.booleans() if element is bool else st.text()


@pytest.mark.filterwarnings("ignore:overflow")
@given(st.sampled_from(sorted(NUMPY)), st.data())
def test_what_goes_in_as_a_number_comes_out_as_the_same(datatype: str, data: st.DataObject) -> None:
    made = data.draw(st.lists(values_of(datatype), min_size=1))
    sent = {"name": "x", "shape": [len(made)], "datatype": datatype, "data": made}
    request = protocol.decode_request(json.dumps({"inputs": [sent]}).encode())
    arrays = protocol.feeds(request, (Port("x", datatype, (None,)),))
    answer = json.loads(protocol.encode_answer("m", "1", request, arrays, {}))
    assert answer["outputs"] == [sent]


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_body_does_more_than_being_rejected(body: bytes) -> None:
    try:
        protocol.feeds(protocol.decode_request(body), TWO)
    except Rejected as error:
        assert error.status == 400


def test_an_answer_without_a_json_form_is_refused() -> None:
    request = protocol.InferRequest([])
    with pytest.raises(Rejected, match="NaN or infinity") as caught:
        protocol.encode_answer("m", "1", request, {"y": np.array([1.0, np.nan])}, {})
    assert caught.value.status == 422


def ask(
    app: App, method: str, path: str, body: bytes = b"", headers: dict[bytes, bytes] | None = None
) -> tuple[int, Any]:
    """One request to the application."""
    response = app.answer(Request(method, path, headers or {}, body))
    assert isinstance(response, Response)
    assert response.headers.startswith(b"x-artifact-digest: dirhash:0123456789abcdef\r\nx-decision-id: ")
    return response.status, json.loads(response.body)


@pytest.fixture
def app(tmp_path: Path) -> App:
    made = read_artifact(artifact(tmp_path / "a", classes=["no", "yes"]))
    return App(Loaded(made, load(made), "dirhash:0123456789abcdef"))


def test_many_rows_leave_the_event_loop_to_others(app: App) -> None:
    rows = 50_000
    sent = {"name": "x", "shape": [rows, 2], "datatype": "FP32", "data": [1.5] * (2 * rows)}
    answer = app.answer(Request("POST", "/v2/models/classifier/infer", {}, json.dumps({"inputs": [sent]}).encode()))
    assert not isinstance(answer, Response)
    response = asyncio.run(asyncio.wait_for(answer, 10))
    assert response.status == 200
    assert json.loads(response.body)["outputs"][0]["data"] == [3.0] * rows


def test_the_paths_of_the_protocol(app: App) -> None:
    assert ask(app, "GET", "/v2") == (200, {"name": "mlopsctl", "version": "2", "extensions": []})
    assert ask(app, "GET", "/v2/health/live") == (200, {"live": True})
    assert ask(app, "GET", "/v2/health/ready") == (200, {"ready": True})
    ready = (200, {"name": "classifier", "ready": True})
    assert ask(app, "GET", "/v2/models/classifier/ready") == ready
    assert ask(app, "GET", "/v2/models/classifier/versions/0123456789ab/ready") == ready
    status, metadata = ask(app, "GET", "/v2/models/classifier")
    assert status == 200
    assert metadata == {
        "name": "classifier",
        "versions": ["0123456789ab"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
        "parameters": {"classes": ["no", "yes"]},
    }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v2/health", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/classifier/versions/1", 404),
        ("POST", "/v2/models/classifier/versions/1/infer", 404),
        ("GET", "/v2/models/classifier/infer", 405),
        ("POST", "/v2/health/live", 405),
        ("POST", "/v2/models/classifier/infer", 400),
    ],
)
def test_a_wrong_path_or_method_is_an_error_object(app: App, method: str, path: str, status: int) -> None:
    found, body = ask(app, method, path)
    assert found == status
    assert list(body) == ["error"]


def test_what_is_not_supported_is_said(app: App) -> None:
    path = "/v2/models/classifier/infer"
    assert ask(app, "POST", path, headers={b"inference-header-content-length": b"3"})[0] == 400
    assert ask(app, "POST", path, headers={b"content-encoding": b"gzip"})[0] == 415


def test_only_the_outputs_asked_for(app: App) -> None:
    path = "/v2/models/classifier/infer"
    inputs = [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]
    good = json.dumps({"id": "7", "inputs": inputs, "outputs": [{"name": "y"}]}).encode()
    status, answer = ask(app, "POST", path, good)
    assert (status, answer["id"], answer["outputs"][0]["data"]) == (200, "7", [3.0])
    bad = json.dumps({"inputs": inputs, "outputs": [{"name": "z"}]}).encode()
    assert ask(app, "POST", path, bad) == (400, {"error": "unknown output: z; this model gives y"})
