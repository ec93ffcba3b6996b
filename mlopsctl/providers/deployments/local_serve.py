"""The server of a local deployment: started, switched to another artifact, asked once, and taken back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ProviderError
from ...provider import Context
from ...serving.files import read_json, write_json
from ...types import Json
from .local_home import Home, port_taken

if TYPE_CHECKING:
    from ...serving.client import Answer

TO = r"(?P<host>[A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})"


def serve(
    home: Home, config: dict[str, Any], before: Mapping[str, Any], spec: Any, ctx: Context, release: Path
) -> None:
    """Switches a running server, or starts one, and asks it once; on failure what ran before runs again.

    Raises ProviderError where the port is taken, the artifact is refused, or no answer comes.
    """
    switching = home.serving() and before.get("to") == spec.to and _answers(home)
    host, port = listen(spec.to)
    last = home.read("supervisor")
    if not switching and port and not (home.supervised() and last.get("port") == port):
        _require_free(host, port)
    write_json(home.folder / "config.json", config)
    try:
        if switching:
            ctx.tell("switching the running server to the new artifact")
        else:
            ctx.tell("starting the server")
            home.stop()
            home.start(host, port, int(last.get("port") or 0), ctx.root)
        refused = home.wait(config["request"], spec.timeout, ctx.tell)
        if refused:
            raise ProviderError(
                f"the server refused the artifact: {refused}",
                hint="what ran before runs on; mlopsctl logs shows the server's log",
                code="MLO1507",
            )
        _ask_once(home, release, str(config["artifact"]), ctx)
    except BaseException:
        _go_back(home, before, switching, int(last.get("port") or 0), ctx.root)
        raise


def _answers(home: Home) -> bool:
    """Whether the running server says anything at all: one that hangs is started anew, not asked to switch."""
    from ...serving.client import NoAnswer, ask

    try:
        ask(home.endpoint, "GET", "/v2/health/ready", timeout=2)
    except NoAnswer:
        return False
    return True


def _go_back(home: Home, before: Mapping[str, Any], switching: bool, last: int, root: Path) -> None:
    """What ran before runs again, on the port that it had last."""
    if not switching:
        home.stop()
    if not before:
        (home.folder / "config.json").unlink(missing_ok=True)
        return
    write_json(home.folder / "config.json", {**before, "request": os.urandom(8).hex()})
    if not switching:
        host, port = listen(str(before.get("to") or ""))
        home.start(host, port, last, root)


def listen(to: str) -> tuple[str, int]:
    """Host and port of ``to:``; port 0 means any. Raises ProviderError."""
    if not to:
        return "127.0.0.1", 0
    match = re.fullmatch(TO, to)
    if match is None or int(match["port"]) > 65535:
        raise ProviderError(f"to: {to} is no host:port", hint="write to: 127.0.0.1:8080", code="MLO1508")
    return match["host"].strip("[]") or "127.0.0.1", int(match["port"])


def _require_free(host: str, port: int) -> None:
    """Raises ProviderError while the server that runs now still runs."""
    from ...serving.supervisor import bind

    try:
        bind(host, port).close()
    except OSError as error:
        raise port_taken(host, port, error.strerror or str(error)) from None


def _ask_once(home: Home, release: Path, digest: str, ctx: Context) -> None:
    """One request on zeros through the endpoint: the answer must come from this artifact, or say that it is halted."""
    from ...serving.client import NoAnswer, infer, metadata

    described = read_json(release / "artifact" / "artifact.json") or {}
    name = str(described.get("name"))
    try:
        answer = _first_answer(home)
        if answer.headers.get("x-artifact-digest") != digest:
            raise NoAnswer(f"it answers with the artifact {answer.headers.get('x-artifact-digest')}")
        if described.get("runtime") != "program":
            answer = infer(home.endpoint, name, [_zeros(port) for port in metadata(home.endpoint, name)["inputs"]])
            # 422: on zeros the model gives NaN or infinity, which says nothing about real rows.
            if answer.status not in (200, 422, 503):
                raise NoAnswer(f"a row of zeros gives {answer.status}: {answer.error}")
    except NoAnswer as error:
        raise ProviderError(
            f"the server at {home.endpoint} does not answer as it should: {error}",
            hint=f"the server's log is {home.folder / 'server.log'}",
            code="MLO1509",
        ) from error
    if halted := home.read("halt"):
        ctx.tell(f"deployed, and still halted: {halted.get('reason')}")


def _first_answer(home: Home) -> Answer:
    """The answer of a server that may just be taking over its socket. Raises NoAnswer after a few seconds."""
    from ...serving.client import NoAnswer, ask

    deadline = time.monotonic() + 5
    while True:
        try:
            return ask(home.endpoint, "GET", "/v2/health/live")
        except NoAnswer:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _zeros(port: Mapping[str, Any]) -> dict[str, Json]:
    shape = [1 if size < 0 else size for size in port["shape"]]
    zero: Json = {"BYTES": "", "BOOL": False}.get(port["datatype"], 0)
    return {**port, "shape": shape, "data": [zero] * prod(shape)}
