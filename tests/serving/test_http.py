"""HTTP as clients really speak it: over raw sockets, in pieces, all at once, wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass

import pytest
import uvloop

from mlopsctl.serving import http
from mlopsctl.serving.http import HttpServer, Request, Response


class Echo:
    """Answers with what it was asked; ``/slow`` takes a while."""

    max_body = 1000

    def answer(self, request: Request) -> Response | Coroutine[None, None, Response]:
        said = {"method": request.method, "path": request.path, "body": request.body.decode()}
        response = Response(200, json.dumps(said).encode(), b"x-echo: yes\r\n")
        return self.slowly(response) if request.path.startswith("/slow") else response

    async def slowly(self, response: Response) -> Response:
        await asyncio.sleep(0.2)
        return response

    def refusal(self, status: int, why: str) -> Response:
        return Response(status, json.dumps({"error": why}).encode())


@dataclass
class Running:
    port: int
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop
    ending: asyncio.Event
    server: HttpServer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def talk(self, sent: bytes) -> bytes:
        """All that comes back until the server closes; the last request must ask for that."""
        with self.connect() as client:
            client.sendall(sent)
            return read_all(client)

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.ending.set)


def read_all(client: socket.socket) -> bytes:
    found = b""
    while part := client.recv(65536):
        found += part
    return found


def bodies(answers: bytes) -> list[dict[str, str]]:
    """The bodies of several answers."""
    return [json.loads(part.partition(b"\r\n\r\n")[2]) for part in answers.split(b"HTTP/1.1 200 OK\r\n")[1:]]


@pytest.fixture
def running() -> Iterator[Running]:
    listener = socket.create_server(("127.0.0.1", 0))
    port, ready = listener.getsockname()[1], threading.Event()
    found: list[Running] = []

    async def serve() -> None:
        ending, server = asyncio.Event(), HttpServer(Echo())
        found.append(Running(port, thread, asyncio.get_running_loop(), ending, server))
        ready.set()
        await server.serve(listener, ending, patience=2.0)

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield found[0]
    if thread.is_alive():
        found[0].end()
    thread.join(10)
    assert not thread.is_alive()


CLOSE = b"connection: close\r\n"


def test_a_request_in_single_bytes(running: Running) -> None:
    sent = b"POST /a%20b?x=1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n" + CLOSE + b"\r\nhello"
    with running.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(sent)):
            client.sendall(sent[place : place + 1])
        answer = read_all(client)
    assert bodies(answer) == [{"method": "POST", "path": "/a b", "body": "hello"}]
    head = answer.partition(b"\r\n\r\n")[0]
    assert b"\r\nx-echo: yes" in head and b"\r\ndate: " in head and b"\r\nconnection: close" in head


def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    paths = [f"/{'slow' if number % 7 == 0 else 'quick'}{number}" for number in range(40)]
    sent = b"".join(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode() for path in paths)
    answers = running.talk(sent + b"GET /last HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
    assert [body["path"] for body in bodies(answers)] == [*paths, "/last"]


def test_chunked_bodies(running: Running) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n"
    assert bodies(running.talk(head + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"))[0]["body"] == "abcde"
    many = b"".join(b"64\r\n%b\r\n" % (b"x" * 100) for _ in range(11))
    assert running.talk(head + many).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_waits_for_100_is_told_to_go_on(running: Running) -> None:
    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n" + CLOSE + b"\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ok")
        assert bodies(read_all(client))[0]["body"] == "ok"


def test_head_has_no_body_and_http_1_0_is_answered_once(running: Running) -> None:
    answer = running.talk(b"HEAD / HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
    assert answer.endswith(b"\r\n\r\n") and b"content-length: 43" in answer
    assert running.talk(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 OK")
    absolute = running.talk(b"GET http://x/path?q HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
    assert bodies(absolute)[0]["path"] == "/path"


def test_an_upgrade_is_declined_by_an_ordinary_answer(running: Running) -> None:
    for path in (b"/", b"/slow"):
        head = b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" % path
        assert len(bodies(running.talk(head))) == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"GET / HTTP/9.9\r\nhost: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length : 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nx: a\r\n b\r\ncontent-length: 3\r\n\r\nabc", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\nhost: x\ncontent-length: 3\n\nabc", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n", 413),
    ],
)
def test_what_is_no_request_is_refused_and_closed(running: Running, sent: bytes, status: int) -> None:
    answer = running.talk(sent)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert bodies(running.talk(b"GET / HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n"))


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nx: ",
        b"GET / HTTP/1.1\r\nx",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;x=",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 14_000,
    ],
)
def test_what_never_ends_is_refused_before_it_is_kept(running: Running, begun: bytes) -> None:
    with running.connect() as client:
        client.sendall(begun)
        for _ in range(40):
            client.sendall(b"y" * 10_000)
            time.sleep(0.001)
        assert client.recv(65536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("second", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1001\r\n\r\n", 413)],
)
def test_a_refusal_waits_for_its_turn(running: Running, second: bytes, status: int) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    answers = running.talk(slow + slow + second)
    assert [int(line[:3]) for line in answers.split(b"HTTP/1.1 ")[1:] if line[:3].isdigit()] == [200, 200, status]


def test_nothing_is_asked_after_a_last_request(running: Running) -> None:
    slow = b"GET /slow HTTP/1.1\r\nhost: x\r\n"
    assert len(bodies(running.talk(slow + CLOSE + b"\r\n" + b"GET /2 HTTP/1.1\r\nhost: x\r\n\r\n"))) == 1
    assert len(bodies(running.talk(slow + b"\r\n" + slow + CLOSE + b"\r\nnonsense"))) == 2


def test_a_body_in_tiny_chunks_takes_no_more_memory_than_its_size(running: Running) -> None:
    running.server.application.max_body = 1_000_000
    tracemalloc.start()
    try:
        with running.connect() as client:
            client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n" + CLOSE + b"\r\n")
            for _ in range(100):
                client.sendall(b"2\r\nxy\r\n" * 1000)
            time.sleep(0.5)
            kept, _ = tracemalloc.get_traced_memory()
            client.sendall(b"0\r\n\r\n")
            assert bodies(read_all(client))[0]["body"] == "xy" * 100_000
    finally:
        tracemalloc.stop()
    assert kept < 2_000_000


def test_waiting_bodies_are_no_larger_than_one_may_be(running: Running) -> None:
    one = b"POST /%d HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n" + b"x" * 900
    most = 0
    with running.connect() as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        for number in range(10):
            client.sendall(one % number)
            time.sleep(0.01)
            most = max(most, *(len(connection._waiting) for connection in running.server.connections))
        client.sendall(b"GET /last HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n")
        assert [body["path"] for body in bodies(read_all(client))] == ["/slow", *(f"/{n}" for n in range(10)), "/last"]
    assert 1 < most < 5


def test_a_refused_client_reads_why_although_it_still_sends(running: Running) -> None:
    with running.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5000000\r\n\r\n")
        for _ in range(50):
            client.sendall(b"x" * 10_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_a_client_that_reads_nothing_is_read_no_further(running: Running) -> None:
    with running.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.5)
        one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n" + b"x" * 900
        with pytest.raises(TimeoutError):
            for _ in range(20_000):
                client.sendall(one)
    assert bodies(running.talk(b"GET / HTTP/1.1\r\nhost: x\r\n" + CLOSE + b"\r\n"))


def test_the_end_finishes_what_was_begun(running: Running) -> None:
    with running.connect() as idle, running.connect() as busy:
        busy.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        time.sleep(0.1)
        running.end()
        assert bodies(read_all(busy))[0]["path"] == "/slow"
        assert read_all(idle) == b""
    running.thread.join(5)
    assert not running.thread.is_alive()


def test_an_idle_connection_is_closed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.5)
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert len(bodies(read_all(client))) == 1


@pytest.mark.parametrize(
    "begun", [b"GET / HTTP/1.1\r\nx: ", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n"]
)
def test_a_request_that_drips_in_is_refused_in_the_end(
    running: Running, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.5)
    with running.connect() as client:
        client.sendall(begun)
        client.settimeout(0.05)
        answer, deadline = b"", time.monotonic() + 5
        while not answer:
            assert time.monotonic() < deadline
            client.sendall(b"y")
            try:
                answer = client.recv(65536)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_empty_lines_are_no_request_and_keep_no_connection(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.5)
    with running.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65536)
        until_closed(running, lambda: client.sendall(b"\r\n"))


def test_a_client_that_never_reads_is_dropped(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.5)
    with running.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.2)
        one = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n" + b"x" * 900
        with pytest.raises(TimeoutError):
            for _ in range(20_000):
                client.sendall(one)
        until_closed(running, lambda: None)


def until_closed(running: Running, meanwhile: Callable[[], None]) -> None:
    """Waits until the server keeps no connection any more, at most 5 s."""
    deadline = time.monotonic() + 5
    with contextlib.suppress(ConnectionError):
        while running.server.connections:
            assert time.monotonic() < deadline
            meanwhile()
            time.sleep(0.05)
