"""The server process of one deployment: ``python -I -m mlopsctl.serving.server STATE FD SUPERVISOR``.

Verifies and loads the artifact that ``config.json`` names, answers on the listening socket FD as long as the process
SUPERVISOR is its parent, and exchanges the model without losing a request when ``config.json`` names another one.
What it does stands in ``state.json``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from .app import MAX_BODY, App, Loaded
from .artifact import ArtifactRefused, read_artifact, verify
from .files import read_json, write_json
from .http import HttpServer
from .models import load
from .processes import start_mark

REFUSED = 3
"""Exit status of a server that will not load what it was given."""
TICK = 0.1


def release_folder(state: Path, digest: str) -> Path:
    """Where a deployment keeps one release: ``artifact/``, ``artifact.sig`` and ``key.pub``."""
    return state / "releases" / digest.partition(":")[2][:16]


def load_release(state: Path, digest: str) -> Loaded:
    """Verifies, then loads. Raises ArtifactRefused."""
    folder = release_folder(state, digest)
    verify(folder / "artifact", folder / "artifact.sig", folder / "key.pub", digest)
    artifact = read_artifact(folder / "artifact")
    try:
        return Loaded(artifact, load(artifact), digest)
    except ImportError as error:
        raise ArtifactRefused(f"the runtime '{artifact.runtime}' is not installed here: {error}") from error


def say(text: str) -> None:
    """One line for server.log."""
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")
    sys.stderr.flush()


class Switcher:
    """Follows ``config.json``; ends the server when its supervisor or its state folder is gone."""

    def __init__(self, state: Path, app: App, supervisor: int, request: str) -> None:
        self._state = state
        self._app = app
        self._parent = supervisor
        self._retiring: asyncio.Task[None] | None = None  # the loop itself holds tasks weakly
        self._folder = state.stat().st_ino
        self._request = request

    async def follow(self, ending: asyncio.Event) -> None:
        """Sets ``ending`` once the server has to end."""
        try:
            await self._follow()
        finally:
            ending.set()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if os.getppid() != self._parent:
                return
            try:
                if self._state.stat().st_ino != self._folder:
                    return
                await self._look()
            except FileNotFoundError:
                return
            except OSError as error:
                say(f"the state folder cannot be read or written: {error}")

    async def _look(self) -> None:
        config = read_json(self._state / "config.json") or {}
        request, digest = str(config.get("request")), str(config.get("artifact"))
        if not config or request == self._request:
            return
        self._request = request
        if digest == self._app.current.digest:
            record(self._state, digest, request)
            return
        try:
            loaded = await asyncio.to_thread(load_release, self._state, digest)
        except Exception as error:  # noqa: BLE001 - whatever a new artifact does, the one that serves goes on
            say(f"refused {digest}: {error!r}")
            record(self._state, self._app.current.digest, request, str(error) or repr(error))
            return
        before, self._app.current = self._app.current, loaded
        record(self._state, digest, request)
        say(f"switched to {digest}")
        self._retiring = asyncio.create_task(_retire(before))


async def _retire(before: Loaded) -> None:
    """Requests that began with the old model finish with it."""
    while before.requests:
        await asyncio.sleep(TICK)
    await asyncio.to_thread(before.model.close)


def record(state: Path, digest: str, request: str, refused: str = "") -> None:
    """Writes ``state.json``: what is served by which process, and what became of the last request of config.json.

    Where that cannot be written, on a full disk, serving goes on.
    """
    pid = os.getpid()
    value: dict[str, Any] = {"artifact": digest, "request": request, "pid": pid, "start": start_mark(pid)}
    try:
        write_json(state / "state.json", {**value, "refused": refused} if refused else value)
    except OSError as error:
        say(f"state.json cannot be written: {error}")


async def serve(app: App, listener: socket.socket, switcher: Switcher | None = None) -> None:
    """Answers until SIGTERM or SIGINT comes, or the deployment is gone."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    following = asyncio.ensure_future(switcher.follow(ending)) if switcher is not None else None
    await HttpServer(app).serve(listener, ending)
    if following is not None:
        following.cancel()
    app.current.model.close()


def main(arguments: list[str]) -> int:
    """The server of one deployment; see the module's text."""
    state, listener = Path(arguments[0]), socket.socket(fileno=int(arguments[1]))
    import uvloop

    config = read_json(state / "config.json") or {}
    digest, request = str(config.get("artifact") or ""), str(config.get("request"))
    try:
        loaded = load_release(state, digest)
    except ArtifactRefused as error:
        say(f"refused {digest}: {error}")
        record(state, "", request, str(error))
        return REFUSED
    app = App(loaded, state / "halt.json", int(config.get("max_body") or MAX_BODY))
    record(state, digest, request)
    say(f"serves {digest}")
    uvloop.run(serve(app, listener, Switcher(state, app, int(arguments[2]), request)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
