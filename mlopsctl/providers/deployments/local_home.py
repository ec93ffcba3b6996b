"""The state folder of one local deployment: what it holds, and the processes that live in it.

``config.json`` says what should run, ``supervisor.json`` and ``state.json`` what does; ``halt.json`` cuts it out.
``releases/`` holds each artifact with its signature and the public key it was checked with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ProviderError
from ...serving.files import read_json, write_bytes, write_json
from ...serving.processes import is_alive, stop
from ...types import Address, Digest, Mark
from .listeners import port_holder

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "VIRTUAL_ENV")
CANNOT_BIND = 4


def location(state: Path) -> str:
    """The id of this clone on this machine; empty where nothing was deployed from it yet."""
    try:
        return (state / "clone-id").read_text().strip()
    except FileNotFoundError:
        return ""


def make_location(state: Path) -> str:
    """``location``, made up where there is none."""
    if not location(state):
        state.mkdir(parents=True, exist_ok=True)
        write_bytes(state / "clone-id", os.urandom(8).hex().encode() + b"\n")
    return location(state)


def _environment(root: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    own = root / ".venv"
    return {**kept, "VIRTUAL_ENV": str(own)} if (own / "pyvenv.cfg").is_file() else kept


class Home(NamedTuple):
    """One deployment's state folder."""

    folder: Path

    @classmethod
    def of(cls, state: Path, address: Address) -> Home:
        return cls(state / "deployments" / str(address))

    def read(self, name: str) -> dict[str, Any]:
        """The object in ``NAME.json``; empty where there is none."""
        return read_json(self.folder / f"{name}.json") or {}

    @property
    def lock(self) -> Path:
        """What whoever changes the deployment holds meanwhile; it outlives the folder."""
        return self.folder.with_name(f".{self.folder.name}.lock")

    def mark(self) -> Mark | None:
        """What the folder says that runs; None where nothing was started."""
        config = self.read("config")
        return Mark(str(config.get("entry", "")), str(config.get("artifact", ""))) if config else None

    def attest(self, entry: str) -> None:
        """Puts the id of its entry beside what runs; the server sees no request in it."""
        if config := self.read("config"):
            write_json(self.folder / "config.json", {**config, "entry": entry})

    @property
    def endpoint(self) -> str:
        """Where clients on this machine reach the server; empty before its first start."""
        listening = self.read("supervisor")
        if not listening:
            return ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening["host"], listening["host"])  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{listening['port']}"

    def supervised(self) -> bool:
        """Whether the supervisor lives."""
        return _alive(self.read("supervisor"))

    def serving(self) -> bool:
        """Whether supervisor and server live."""
        return self.supervised() and _alive(self.read("state"))

    def trouble(self, made_from: Digest) -> str:
        """Why not this release is served here; empty where it is. Looks at files and processes, asks no socket."""
        config, state = self.read("config"), self.read("state")
        if not config:
            return "its state folder is gone"
        if config.get("made_from") != made_from:
            return "something else runs than the trail says"
        if not self.supervised():
            return "the server process is gone"
        if not _alive(state):
            why = state.get("refused")
            return f"the server does not start: {why}" if why else "the server process ended and is started again"
        if state.get("artifact") != config.get("artifact"):
            return f"the server kept another artifact: {state.get('refused') or 'it is switching'}"
        return ""

    def start(self, host: str, port: int, wish: int, root: Path) -> None:
        """Starts a supervisor that outlives this process; ``python`` of a model's program is that of the project ``root``.

        Raises ProviderError where the port is taken."""
        (self.folder / "state.json").unlink(missing_ok=True)
        done = subprocess.run(  # noqa: S603 - our own module in our own interpreter
            [sys.executable, "-I", "-m", "mlopsctl.serving.supervisor", str(self.folder), host, str(port), str(wish)],
            env=_environment(root),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=60,
            check=False,
        )
        if done.returncode == CANNOT_BIND:
            raise port_taken(host, port, done.stderr.decode(errors="replace").strip())
        if done.returncode:
            raise ProviderError(
                f"the supervisor does not start: {done.stderr.decode(errors='replace').strip()[-500:]}",
                hint="mlopsctl doctor looks at this machine",
                code="MLO1505",
            )

    def rename(self, new: Home) -> None:
        """Makes ``new`` the name of what lives here; once it is, nothing is done.

        The processes hold on to the folder by its path, so that it stays where it was made, and names are links to it. Raises
        ProviderError where something else lives under the new name.
        """
        if not self.folder.is_dir():
            return
        if new.folder.is_dir() and new.folder.resolve() != self.folder.resolve():
            raise ProviderError(
                f"{new.folder.name} has a deployment of its own here, so {self.folder.name} cannot take its name",
                hint=f"mlopsctl destroy --target {new.folder.name} ends that one; then apply again",
                code="MLO1557",
            )
        new.forget_name()
        if new.folder.is_dir():
            if self.folder.is_symlink():
                self.folder.unlink()
        elif self.folder.is_symlink():
            self.folder.rename(new.folder)
        else:
            new.folder.symlink_to(self.folder.name)

    def forget_name(self) -> None:
        """Removes a name whose folder is gone."""
        if self.folder.is_symlink() and not self.folder.exists():
            self.folder.unlink()

    def remove(self) -> None:
        """Removes the state folder, and the name that is a link to it."""
        body = self.folder.resolve()
        if self.folder.is_symlink():
            self.folder.unlink()
        if body.exists():
            gone = body.with_name(f".{body.name}.{os.urandom(4).hex()}")
            body.rename(gone)
            shutil.rmtree(gone)

    def stop(self) -> None:
        """Ends supervisor and server, by their ids, and waits until they are gone."""
        # The server ends with its supervisor; it is ended by its own id where that was killed before it could.
        for found in (self.read("supervisor"), self.read("state")):
            if found:
                stop(int(found["pid"]), str(found["start"]))

    def wait(self, request: str, seconds: float, tell: Callable[[str], None]) -> str:
        """Waits until the server has acted on a request; why it refused, or empty. Raises ProviderError on time-out."""
        deadline, told = time.monotonic() + seconds, False
        while time.monotonic() < deadline:
            state = self.read("state")
            if state.get("request") == request and (state.get("refused") or _alive(state)):
                return str(state.get("refused") or "")
            if not self.supervised():
                break
            if not told and time.monotonic() > deadline - seconds + 3:
                tell("waiting for the server to load the model")
                told = True
            time.sleep(0.03)
        what = f"is not ready after {seconds:.0f} s" if self.supervised() else "ended before it was ready"
        raise ProviderError(
            f"the server {what}; its last words: {self.last_words()}",
            hint=f"the whole log is {self.folder / 'server.log'}",
            code="MLO1506",
        )

    def last_words(self) -> str:
        """The last lines of the server's log."""
        try:
            text = (self.folder / "server.log").read_text(errors="replace")
        except FileNotFoundError:
            return "none"
        return " | ".join(text.splitlines()[-3:]) or "none"

    def prune(self, keep: set[Path]) -> None:
        """Removes the releases that are not to be kept."""
        for release in (self.folder / "releases").iterdir():
            if release not in keep:
                shutil.rmtree(release)


def _alive(found: Mapping[str, Any]) -> bool:
    return bool(found) and is_alive(int(found["pid"]), str(found["start"]))


def port_taken(host: str, port: int, why: str) -> ProviderError:
    """The error for a port that cannot be had, naming its holder where that can be found out."""
    holder = port_holder(port)
    return ProviderError(
        f"{host}:{port} cannot be listened on: {why}" + (f"; {holder} has it" if holder else ""),
        hint="choose another port in to:, leave to: out for any free one, or stop the other program",
        code="MLO1504",
    )
