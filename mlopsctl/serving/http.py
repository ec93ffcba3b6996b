"""HTTP/1.1 for the inference server: one asyncio protocol around httptools' parser.

A general server spends more time on a small request than the model does: under the same application this one answered
about twice as many requests a second as uvicorn (bench/server.py). It does what inference needs and nothing else:
keep-alive, pipelining, chunked and large bodies with a limit, 100-continue, back-pressure, a graceful end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import traceback
from collections import deque
from collections.abc import Coroutine, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, Protocol, cast
from urllib.parse import unquote_to_bytes

import httptools

MAX_HEAD = 64 * 1024
MAX_WAITING = 16
"""Pipelined requests that one connection may have unanswered before it is read no further; their bodies together may
be about as large as one body may be."""
IDLE_SECONDS = 75.0
REQUEST_SECONDS = 120.0
"""How long one request may take to arrive, so that a client that sends a byte now and then does not stay for ever."""
LINGER_SECONDS = 2.0
"""How long a refused client may go on sending: closing at once would reset the connection before it reads why."""


class Request(NamedTuple):
    """A whole request; header names are in small letters."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes | bytearray


class Response(NamedTuple):
    """An answer; ``headers`` are whole lines, each ending in CR LF."""

    status: int
    body: bytes
    headers: bytes = b""


class Application(Protocol):
    """What answers: at once, or by a coroutine where that takes time. It never raises."""

    max_body: int

    def answer(self, request: Request) -> Response | Coroutine[None, None, Response]: ...

    def refusal(self, status: int, why: str) -> Response:
        """The answer to what never became a request."""


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class HttpServer:
    """Listens on a socket, keeps its connections, and ends them in order."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.connections: set[Connection] = set()
        self.date = b""
        self.ending = False

    async def serve(self, listener: socket.socket, ending: asyncio.Event, patience: float = 5.0) -> None:
        """Answers until ``ending`` is set, then finishes what was begun, for at most ``patience`` seconds."""
        loop = asyncio.get_running_loop()
        self._tick()
        server = await loop.create_server(lambda: Connection(self), sock=listener, backlog=2048)
        while not ending.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), 1.0)
            self._tick()
        self.ending = True
        server.close()
        for connection in list(self.connections):
            connection.end()
        deadline = loop.time() + patience
        while self.connections and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()

    def _tick(self) -> None:
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.close_if_late(now)


class Connection(asyncio.Protocol):
    """One client: parses its requests and answers them in their order."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._application = server.application
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._ended = False
        self._refusal: tuple[int, Response] | None = None
        self._full = False
        self._begun = False
        self._silent = 0  # bytes since the parser last told something: it keeps a field's value until its end
        self._since = self._loop.time()  # of the request that arrives, or of the wait for one
        self._fresh()

    def _fresh(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head = 0
        self._body: bytes | bytearray = b""
        self._size = 0

    # --- What the event loop tells ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = True
        self._waiting.clear()
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._silent += len(data)
        try:
            self._parser.feed_data(data)
            if self._silent > MAX_HEAD:
                self._refuse(431, f"one field of the request is larger than {MAX_HEAD} bytes")
        except httptools.HttpParserUpgrade:
            # The request itself was answered in HTTP/1.1, which is how a server declines; the parser goes no further.
            self._ended = True
            if self._working is None:
                self._transport.close()
        except httptools.HttpParserError as error:
            self._refuse(400, f"this is no HTTP/1.1 request: {error}")

    def pause_writing(self) -> None:
        # A client that does not read its answers is not read any more either.
        self._full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._since = self._loop.time()
        self._read_on()

    # --- What the parser tells -------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._begun = True
        self._since = self._loop.time()
        self._fresh()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value
        self._count(len(name) + len(value) + 4)

    def _count(self, size: int) -> None:
        self._silent = 0
        self._head += size
        if self._head > MAX_HEAD:
            self._refuse(431, f"the head of the request is larger than {MAX_HEAD} bytes")

    def on_headers_complete(self) -> None:
        length = self._headers.get(b"content-length", b"")
        if length.isdigit() and int(length) > self._application.max_body:
            self._too_large()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and not self._ended:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._silent = 0
        self._size += len(part)
        if self._size > self._application.max_body:
            self._too_large()
        elif not self._ended:
            self._keep(part)

    def _keep(self, part: bytes) -> None:
        if not self._body:
            self._body = part
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)  # not a list: chunks of two bytes would take thirty times their size
        self._body += part

    def _too_large(self) -> None:
        self._refuse(413, f"the body is larger than {self._application.max_body} bytes")

    def on_message_complete(self) -> None:
        self._begun = False
        self._since = self._loop.time()
        if self._ended:
            return
        request = Request(self._parser.get_method().decode("ascii"), self._path(), self._headers, self._body)
        # HTTP/1.0 clients are answered once: keeping their connection takes a header of its own.
        keep = self._parser.should_keep_alive() and self._parser.get_http_version() != "1.0"
        if self._working is None and not self._waiting:
            self._answer(request, keep)
        else:
            self._waiting.append((request, keep))
            if self._crowded():
                self._transport.pause_reading()

    def _crowded(self) -> bool:
        waiting = self._waiting
        return len(waiting) >= MAX_WAITING or sum(len(one.body) for one, _ in waiting) > self._application.max_body

    def _path(self) -> str:
        url = self._url
        if not url.startswith(b"/"):
            with contextlib.suppress(httptools.HttpParserInvalidURLError):
                url = httptools.parse_url(url).path or b"/"
        path = url.partition(b"?")[0]
        return (unquote_to_bytes(path) if b"%" in path else path).decode("utf-8", "replace")

    # --- Answering -------------------------------------------------------------------------------------------

    def _answer(self, request: Request, keep: bool) -> None:
        found = self._application.answer(request)
        if isinstance(found, Response):
            self._write(found, request.method, keep)
        else:
            self._working = self._loop.create_task(self._work(found, request.method, keep))

    async def _work(self, answer: Coroutine[None, None, Response], method: str, keep: bool) -> None:
        """Writes an answer that takes time, then goes on with the requests that came meanwhile."""
        try:
            response = await answer
            self._working = None
            self._write(response, method, keep)
            while self._waiting and self._working is None and not self._transport.is_closing():
                self._answer(*self._waiting.popleft())
            if self._working is None:
                self._write_refusal()
            self._since = self._loop.time()
            self._read_on()
        except Exception as error:  # noqa: BLE001 - the last resort: the connection ends, the server goes on
            sys.stderr.write("".join(traceback.format_exception(error)))
            self.abort()

    def _read_on(self) -> None:
        if not self._full and not self._crowded() and not self._transport.is_closing():
            self._transport.resume_reading()

    def _write(self, response: Response, method: str, keep: bool) -> None:
        if self._transport.is_closing():
            return
        status, body, headers = response
        last = not keep or self._server.ending or (self._ended and self._refusal is None)
        self._transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%b%b%b\r\n%b"
            % (
                _STATUS_LINES[status],
                len(body),
                headers,
                self._server.date,
                b"connection: close\r\n" if last else b"",
                b"" if method == "HEAD" else body,
            )
        )
        if last:
            self._ended = True
            self._transport.close()

    def _refuse(self, status: int, why: str) -> None:
        """Reads no more and answers what is no request, in its turn."""
        if self._ended:
            return
        self._ended = True
        self._since = self._loop.time()
        self._refusal = status, self._application.refusal(status, why)
        if self._working is None:
            self._write_refusal()

    def _write_refusal(self) -> None:
        """Says why nothing more is read, and closes a little later."""
        if self._refusal is None or self._transport.is_closing():
            return
        status, response = self._refusal
        self._transport.write(
            b"%bcontent-type: application/json\r\ncontent-length: %d\r\n%b%bconnection: close\r\n\r\n%b"
            % (_STATUS_LINES[status], len(response.body), response.headers, self._server.date, response.body)
        )
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(LINGER_SECONDS, self._transport.close)

    # --- Ending ----------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return self._working is not None or bool(self._waiting) or self._begun

    def end(self) -> None:
        """Closes now where nothing is under way; else the next answer is the last."""
        if not self._busy():
            self._transport.close()

    def close_if_late(self, now: float) -> None:
        """Closes what waits for no answer and asks nothing, asks too slowly or does not read its answers."""
        if self._working is not None or self._waiting:
            return
        waited = now - self._since
        if self._begun and not self._ended and not self._full:
            if waited > REQUEST_SECONDS:
                self._refuse(408, f"the request did not arrive within {REQUEST_SECONDS:.0f} s")
        elif waited > IDLE_SECONDS:
            if self._ended or self._full:
                self.abort()  # closing would wait until the client has read everything
            self._ended = True
            self._transport.close()

    def abort(self) -> None:
        """Drops the connection."""
        self._transport.abort()
