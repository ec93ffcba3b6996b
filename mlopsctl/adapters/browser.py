"""Runs a web bundle in headless Chromium on all rows of a table: the browser is the device that the bundle is for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProviderError
from .tools import require

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray[Any, Any]]

# No first-run pages, no updates, no telemetry, and no name that resolves: the page is a file, and needs no network.
_OPTIONS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_ROUNDS = 11


class Browsed(NamedTuple):
    """What a browser answered: an array [rows, …] for each output, its version, milliseconds, and the page's title."""

    outputs: dict[str, Any]
    browser: str
    load_ms: float
    latency_ms: Sequence[float]
    title: str


def browse(
    folder: Path,
    feeds: Arrays,
    *,
    seconds: float,
    memory: int,
    page: str = "",
    act: str = "",
    picture: Mapping[str, Any] | None = None,
) -> Browsed:
    """Opens the bundle's page as a file, and asks it about all rows.

    The browser sees the system and the bundle, and writes into a folder of its own that is gone afterwards; each of its
    processes may fill ``memory`` bytes. ``page`` is the address where the bundle lies on a server of this machine, where it is
    not opened as a file. ``act`` is JavaScript that runs in it in the end. ``picture`` may hold ``shot`` (where a picture of the
    page goes), ``width`` in pixels and ``scheme`` (light or dark). Raises ProviderError.
    """
    import json

    import numpy as np

    from ..workers import browse as worker
    from .worker import run_worker

    described = json.loads((folder / "artifact.json").read_bytes())

    with tempfile.TemporaryDirectory(prefix="mlopsctl-browser-") as name:
        place, home = Path(name), Path(name) / "home"
        home.mkdir()
        files = {}
        for number, (port, array) in enumerate(feeds.items()):
            files[port] = str(place / f"in{number}.npy")
            np.save(files[port], array.astype(str) if array.dtype.kind == "O" else array, allow_pickle=False)
        request = {
            "confined": _confined(folder, home, memory),
            "home": str(home),
            "page": page or (folder.resolve() / "index.html").as_uri(),
            "feeds": files,
            "types": {item["name"]: item["dtype"] for item in described["inputs"]},
            "out": str(place),
            "outputs": [item["name"] for item in described["outputs"]],
            "batch": described["batch"],
            "rounds": _ROUNDS,
            "act": act,
            "shot": "",
            "width": 1200,
            "scheme": "light",
            **(picture or {}),
        }
        answer = run_worker(
            Path(worker.__file__), request, seconds=seconds, memory=memory, task="running the page in Chromium"
        )
        if "error" in answer or answer["asked"]:
            raise _failed(answer)
        outputs = {
            port: np.load(place / f"{number}.npy", allow_pickle=False) for number, port in enumerate(request["outputs"])
        }
    return Browsed(outputs, answer["browser"], answer["load_ms"], answer["latency_ms"], answer["title"])


def _confined(folder: Path, home: Path, memory: int) -> list[str]:
    from .process import clean_env
    from .sandbox import make_sandbox
    from .tools import find

    require(("chromium",), "running a web page")
    sandbox = make_sandbox(read=[folder.resolve()], write=[home], hidden=(), path=clean_env()["PATH"], memory=memory)
    # Its own sandbox cannot be set up inside ours, nor by root.
    own = sandbox.mode == "export" and os.geteuid() != 0
    options = [*_OPTIONS, f"--user-data-dir={home / 'profile'}", *(() if own else ("--no-sandbox",))]
    return [*sandbox.request(0), str(find("chromium")), *options]


def _failed(answer: Mapping[str, Any]) -> ProviderError:
    if answer.get("asked"):
        return ProviderError(
            f"the page asked for an address outside its folder: {answer['asked'][0]}",
            hint="that is a fault of mlopsctl's page or of the runtime: please report it",
            code="MLO1496",
        )
    return ProviderError(
        f"the page does not answer in Chromium: {answer['error']}",
        hint="an operator or type that the runtime lacks in a browser is named there; export the model without it,"
        " raise timeout: or memory:, or serve the model: use: onnxruntime",
        code="MLO1495",
    )
