"""Runs a web bundle in a browser: ``python -I browse.py REQUEST.json``, run in an empty folder.

The request holds ``confined`` (words for ``confine.py`` that end with the browser and its options), ``home`` (the browser's
folder), ``page`` (a URL), ``feeds`` (input name -> .npy file), ``types`` (input name -> element type), ``out`` (a folder for
.npy files), ``outputs`` (their names), ``batch`` (0 where the model takes any number of rows), ``rounds`` of measuring the time
of a run, ``act`` (JavaScript for the end) and ``seconds``; ``shot`` may name a file for a picture of the page, taken with the
given ``width`` and colour ``scheme``. The browser is driven over two pipes, so no port is
opened; see https://chromedevtools.github.io/devtools-protocol/. The answer is written to ``answer.json``: ``browser``,
``load_ms``, ``latency_ms`` (a list), ``title`` and ``asked`` (addresses outside the bundle that the page wanted), or ``error``.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROWS = 256
_IN, _OUT = 3, 4  # the descriptors on which a browser takes commands and answers


class Failed(Exception):
    """What the page or the browser said."""


class Browser:
    """A browser at the other end of two pipes; a message is JSON and ends with a zero byte."""

    def __init__(self, confined: list[str], home: str, seconds: float) -> None:
        while (handle := os.open(os.devnull, os.O_RDONLY)) <= _OUT:
            pass  # neither number may be taken by a pipe below
        os.close(handle)
        commands, self._to = os.pipe()
        self._from, answers = os.pipe()
        os.dup2(commands, _IN)
        os.dup2(answers, _OUT)
        script = str(Path(__file__).parent / "confine.py")
        mode, _, *rest = confined
        self._process = subprocess.Popen(  # noqa: S603 — the browser that mlopsctl found
            [sys.executable, "-I", "-S", script, mode, str(os.getpid()), *rest],
            cwd=home,
            env={**os.environ, "HOME": home, "TMPDIR": home},
            stdin=subprocess.DEVNULL,
            pass_fds=(_IN, _OUT),
            process_group=0,
        )
        for mine in (commands, answers, _IN, _OUT):
            os.close(mine)
        self._unread, self._number, self._session = b"", 0, ""
        self._until = time.monotonic() + seconds
        self.asked: list[str] = []

    def open(self, page: str) -> None:
        """Opens the page in a tab of its own and notes what it asks the network for from its first moment on."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Page"):
            self.call(f"{domain}.enable")
        failed = self.call("Page.navigate", url=page).get("errorText")
        if failed:
            raise Failed(f"the page does not open: {failed}")
        self.value(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        )

    def value(self, expression: str) -> Any:
        """What an expression of the page comes to, once its promise is kept."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            said = found["exceptionDetails"]
            raise Failed(str(said.get("exception", {}).get("description") or said["text"]).splitlines()[0])
        return found["result"].get("value")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        rest = memoryview(json.dumps(message).encode() + b"\0")
        while rest:
            rest = rest[os.write(self._to, rest) :]
        while True:
            answer = self._take()
            if answer.get("method") == "Network.requestWillBeSent":
                self.asked.append(str(answer["params"]["request"]["url"])[:300])
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise Failed(f"{method}: {answer['error'].get('message')}")
                found: dict[str, Any] = answer["result"]
                return found

    def _take(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            left = self._until - time.monotonic()
            if left <= 0 or not select.select([self._from], [], [], left)[0]:
                raise Failed("the page did not answer in time")
            more = os.read(self._from, 1 << 20)
            if not more:
                raise Failed("the browser ended")
            self._unread += more
        message, _, self._unread = self._unread.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def close(self) -> None:
        """Ends the browser and waits for all of its processes: none may still write while its folder is removed."""
        self._session = ""
        with contextlib.suppress(Failed, OSError):
            self._until = time.monotonic() + 5
            self.call("Browser.close")
            # Not waited for, which would free the number that the group is killed by.
            select.select([os.pidfd_open(self._process.pid)], [], [], 5)
        os.close(self._to)
        os.close(self._from)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # What the browser left behind became this worker's child, see main.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


def encode(array: Any, kind: str) -> dict[str, Any]:
    """An array as the page takes it."""
    data = array.astype(str).reshape(-1).tolist() if kind == "string" else base64.b64encode(array.tobytes()).decode()
    return {"type": kind, "dims": list(array.shape), "data": data}


def decode(answer: dict[str, Any]) -> Any:
    import numpy as np

    if answer["type"] == "string":
        return np.array(answer["data"], dtype=str).reshape(answer["dims"])
    return np.frombuffer(base64.b64decode(answer["data"]), dtype=answer["type"]).reshape(answer["dims"])


def ask(browser: Browser, request: dict[str, Any]) -> dict[str, Any]:
    """All rows through the page, a chunk a call; writes one .npy file an output and returns one row as the page takes it."""
    import numpy as np

    types = request["types"]
    feeds = {name: np.ascontiguousarray(np.load(file, allow_pickle=False)) for name, file in request["feeds"].items()}
    rows = min(len(array) for array in feeds.values())
    size = request["batch"] or ROWS
    parts: dict[str, list[Any]] = {name: [] for name in request["outputs"]}
    for start in range(0, rows, size):
        count = min(size, rows - start)
        # A model made for a fixed number of rows gets copies of the last one.
        chosen = np.minimum(np.arange(start, start + (request["batch"] or count)), rows - 1)
        given = {name: encode(array[chosen], types[name]) for name, array in feeds.items()}
        answers = browser.value(f"mlopsctl.run({json.dumps(given)})")
        for name in request["outputs"]:
            if name not in answers:
                raise Failed(f"the model gives no output '{name}' there")
            found = decode(answers[name])
            if found.ndim == 0 or len(found) != len(chosen):
                raise Failed(f"output '{name}' is {list(found.shape)} for {len(chosen)} rows")
            parts[name].append(found[:count])
    for number, name in enumerate(request["outputs"]):
        np.save(Path(request["out"]) / f"{number}.npy", np.concatenate(parts[name]), allow_pickle=False)
    first = np.zeros(request["batch"] or 1, dtype=int)
    return {name: encode(array[first], types[name]) for name, array in feeds.items()}


def latency(browser: Browser, row: dict[str, Any], rounds: int) -> list[float]:
    """Milliseconds of one run in each round; a round has as many runs as fill some 20 ms, because the clock is coarse."""
    once = browser.value(f"mlopsctl.time({json.dumps(row)}, 3, 1)")
    times = max(1, round(20 / max(min(once), 0.02)))
    found: list[float] = browser.value(f"mlopsctl.time({json.dumps(row)}, {rounds}, {min(times, 500)})")
    return found


def shoot(browser: Browser, request: dict[str, Any]) -> None:
    """A picture of the whole page."""
    wide = request["width"]
    browser.call("Emulation.setDeviceMetricsOverride", width=wide, height=900, deviceScaleFactor=1, mobile=wide < 600)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": request["scheme"]}])
    found = browser.call("Page.captureScreenshot", captureBeyondViewport=True)
    Path(request["shot"]).write_bytes(base64.b64decode(found["data"]))


def browse(request: dict[str, Any]) -> dict[str, Any]:
    browser = Browser(request["confined"], request["home"], request["seconds"])
    try:
        version = browser.call("Browser.getVersion")["product"]
        browser.open(request["page"])
        loaded = browser.value("mlopsctl.ready")
        row = ask(browser, request)
        times = latency(browser, row, request["rounds"])
        browser.value(request["act"] or "0")
        if request["shot"]:
            shoot(browser, request)
        title = browser.value("document.title")
        outside = [
            url for url in browser.asked if not url.startswith(("data:", "blob:", request["page"].rsplit("/", 1)[0]))
        ]
        found = {"browser": version.rpartition("/")[2], "load_ms": loaded, "latency_ms": times, "title": title}
        return {**found, "asked": outside}
    finally:
        browser.close()


def main() -> int:
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # A worker must not outlive an mlopsctl that was killed: prctl(2), PR_SET_PDEATHSIG.
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    # And it gets the browser's orphans as children, to wait for: PR_SET_CHILD_SUBREAPER.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    # No limit on address space: a browser reserves far more than it uses; ``confined`` limits what it may fill.
    resource.setrlimit(resource.RLIMIT_CPU, (request["seconds"], request["seconds"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        answer = browse(request)
    except (Failed, OSError) as failed:
        answer = {"error": str(failed)}
    Path("answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
