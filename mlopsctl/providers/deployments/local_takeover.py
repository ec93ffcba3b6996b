"""A server that mlopsctl runs on this machine and that this clone did not start, taken over where its answers hold.

Nothing of it is believed in the end: ours is started beside it from the attested bytes, both are asked the same rows, and
ours takes its port.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from ...errors import EvidenceError, MlopsError, ProviderError, StaleError, UsageError
from ...provider import Context, Inputs
from ...serving.files import write_json
from ...serving.processes import is_alive, stop
from ...types import Address, Outcome, Resource
from .listeners import Listener, bound_to, listeners
from .local import _artifact, _home, apply
from .local_serve import listen

if TYPE_CHECKING:
    from ...adapters.table import Table
    from .local_home import Home

_MODULES = ("mlopsctl.serving.supervisor", "mlopsctl.serving.server", "mlopsctl.serving.foreground")
"""What mlopsctl serves with; a supervisor comes first, because it starts its server again."""
_DIGEST = re.compile(r"(sha256|dirhash):[0-9a-f]{64}")
TOLERANCE = 1e-4
"""The largest difference of any number in two answers, as a share of max(1, |number|): the default of targets."""
MOST_ROWS = 1000


class Running(NamedTuple):
    """A server of ours that listens somewhere on this machine."""

    endpoint: str
    port: int
    digest: str
    """What it says that it serves."""
    processes: tuple[Listener, ...]

    @property
    def state(self) -> Path | None:
        """The state folder of the deployment that it is; None for a server in the foreground."""
        found = next((one for one in self.processes if _module(one) != _MODULES[2]), None)
        return Path(found.argv[4]) if found is not None and len(found.argv) > 4 else None


def find(want: Resource, source: str, ctx: Context) -> Running:
    """The server at SOURCE, or at ``to:``, which has to be one that could be ours from now on.

    Raises UsageError for a place that it could not have, ProviderError for a server whose bytes nobody can attest.
    """
    host, port = _place(want, source)
    processes = [one for one in listeners(port) if _reaches(one.host, host)]
    where = f"{host}:{port}"
    if not processes and not any(_reaches(one, host) for one in bound_to(port)):
        raise ProviderError(
            f"nothing listens at {where}, so there is nothing to take over",
            hint=f"mlopsctl apply --target {want.address}; a server ends with the folder of its clone, so that a clone "
            "which was moved or deleted left none",
            code="MLO1516",
        )
    ours = sorted((one for one in processes if _module(one)), key=lambda one: _MODULES.index(_module(one)))
    if not ours or len(ours) < len(processes) or not all(one.own for one in ours):
        others = [one for one in processes if one not in ours or not one.own]
        raise _foreign(want, where, str(next(iter(others), "a process of another user")))
    _same_place(want, ours[0].host, port)
    found = Running(f"http://{f'[{host}]' if ':' in host else host}:{port}", port, "", tuple(ours))
    if found.state is not None and found.state.resolve().parent == (ctx.state / "deployments").resolve():
        raise ProviderError(
            f"what runs at {where} is {found.state.name} of this clone",
            hint=f"mlopsctl status shows it; another name is given by moved: [{{from: {found.state.name}, to: {want.address}}}]",
            code="MLO1516",
        )
    return found._replace(digest=_says(want, found.endpoint))


def take_over(want: Resource, inputs: Inputs, running: Running, rows: tuple[Table, list[str]], ctx: Context) -> Outcome:
    """Ours, started from the attested bytes, in the place of what answered the same.

    Raises EvidenceError where the two answer differently, and leaves everything as it was; ProviderError where ours does
    not come up.
    """
    home = _home(want.address, ctx)
    beside = want._replace(spec=dataclasses.replace(want.spec, to=""))
    table, features = rows
    try:
        apply(beside, inputs, ctx)
        ctx.tell(f"asking both servers the same {table.rows} rows")
        _compare(want, running, home, inputs, table, features)
        _still_there(want, running)
    except BaseException:
        home.stop()
        home.remove()
        raise
    ctx.tell(f"ending {running.processes[0]}, and listening at {running.endpoint}")
    home.stop()
    for one in running.processes:
        stop(one.pid, one.mark)
    # Without `to:` the port that ours had last is tried first, and that is to be the other's.
    write_json(home.folder / "supervisor.json", {**home.read("supervisor"), "port": running.port})
    try:
        return apply(want, inputs, ctx)
    except MlopsError:
        # The other one has ended: better ours at some other port than nothing at all, until an apply brings it to its place.
        apply(beside, inputs, ctx)
        ctx.tell(f"ours serves at {home.endpoint} meanwhile")
        raise


def _still_there(want: Resource, running: Running) -> None:
    """Raises StaleError where what was found ended meanwhile: another clone took it over, or somebody stopped it."""
    gone = [one for one in running.processes if not is_alive(one.pid, one.mark)]
    if gone:
        raise StaleError(
            f"{gone[0]} at {running.endpoint} ended while ours was started beside it, so that nothing was taken over",
            hint=f"look who listens there now, and import again; or mlopsctl apply --target {want.address}",
            code="MLO6021",
        )


def _place(want: Resource, source: str) -> tuple[str, int]:
    """Host and port that SOURCE names, or else ``to:``. Raises UsageError."""
    said = source or str(want.spec.to)
    parts = urlsplit(said if "://" in said else f"http://{said}")
    try:
        host, port = (parts.hostname or "127.0.0.1").replace("localhost", "127.0.0.1"), parts.port
        here = parts.scheme == "http" and bool(said) and port and ipaddress.ip_address(host)
    except ValueError:
        here = False
    if not here or port is None or not _on_this_machine(host):
        raise UsageError(
            f"{source or 'no place'} is no server of this machine, and only such a one becomes a use: local deployment",
            hint=f"mlopsctl import {want.address} 127.0.0.1:8080",
            code="MLO6483",
        )
    return host, port


def _on_this_machine(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_unspecified


def _reaches(bound: str, host: str) -> bool:
    """Whether a socket bound to one address answers at another one of this machine."""
    there, asked = ipaddress.ip_address(bound), ipaddress.ip_address(host)
    return there == asked or there.is_unspecified or asked.is_unspecified


def _module(process: Listener) -> str:
    """Which of our modules a process runs; "" for any other program."""
    words = process.argv[1:4]
    return words[2] if words[:2] == ("-I", "-m") and words[2] in _MODULES else ""


def _same_place(want: Resource, bound: str, port: int) -> None:
    """Raises UsageError where ours would listen elsewhere than what runs: clients would look for it in vain."""
    host, wanted = listen(want.spec.to)
    host = "127.0.0.1" if host == "localhost" else host
    if host != bound or wanted not in (0, port):
        there = f"[{bound}]:{port}" if ":" in bound else f"{bound}:{port}"
        raise UsageError(
            f"what runs listens at {there}, and {want.address} would at {want.spec.to or 'a port of 127.0.0.1'}",
            hint=f"write to: '{there}' in the manifest, where it is reviewed",
            code="MLO6483",
        )


def _says(want: Resource, endpoint: str) -> str:
    """The digest that a server of ours puts beside each answer. Raises ProviderError where it does not answer."""
    from ...serving.client import NoAnswer, ask

    try:
        answer = ask(endpoint, "GET", "/v2/health/ready", timeout=10)
    except NoAnswer as error:
        raise ProviderError(
            f"what runs at {endpoint} does not answer: {error}",
            hint=f"end it, and mlopsctl apply --target {want.address}",
            code="MLO1516",
        ) from None
    if answer.status != 200:
        raise ProviderError(
            f"what runs at {endpoint} does not serve: {answer.error or f'HTTP {answer.status}'}",
            hint="import takes over what serves; what is halted, somebody cut out on purpose",
            code="MLO1513",
        )
    digest = answer.headers.get("x-artifact-digest", "")
    if _DIGEST.fullmatch(digest) is None:
        raise _foreign(want, endpoint, "a server that does not say which artifact it serves")
    return digest


def _compare(want: Resource, running: Running, home: Home, inputs: Inputs, table: Table, features: list[str]) -> None:
    """Raises EvidenceError where the two servers do not answer alike."""
    from ...adapters.agreement import compare
    from ...adapters.endpoint import ask_endpoint
    from ...serving.artifact import read_artifact

    digest = str(_artifact(inputs).digest)
    name = read_artifact(home.folder / "releases" / digest.partition(":")[2][:16] / "artifact").name
    try:
        ours = ask_endpoint(home.endpoint, name, table, features)
        theirs = ask_endpoint(running.endpoint, name, table, features)
        if theirs.artifacts != {running.digest}:
            raise _differs(want, running, "it answered with more than one artifact")
        found = compare(ours.outputs, theirs.outputs, classes=len(ours.classes))
    except EvidenceError:
        raise
    except MlopsError as error:
        raise _differs(want, running, error.message) from error
    if found.share < 1 or found.max_scaled_diff > TOLERANCE:
        rows = round((1 - found.share) * found.n)
        raise _differs(
            want,
            running,
            f"of {found.n} rows {rows} get another answer, and numbers differ by up to {found.max_abs_diff:.3g}",
        )


def _differs(want: Resource, running: Running, why: str) -> EvidenceError:
    return EvidenceError(
        f"what runs at {running.endpoint} says that it serves {running.digest[:19]}, and does not answer as that artifact "
        f"does: {why}; nothing was changed",
        hint=f"look at {running.processes[0]}; once it has ended, mlopsctl apply --target {want.address} serves the artifact",
        code="MLO1517",
    )


def _foreign(want: Resource, where: str, who: str) -> ProviderError:
    return ProviderError(
        f"{where} belongs to {who}, which mlopsctl did not start for you: no answer of it proves which bytes it runs",
        hint=f"end it and mlopsctl apply --target {want.address} with its address as to:; or let apply start ours beside it; "
        "or declare use: command with a program that can say what runs there",
        code="MLO1516",
    )


def refused(want: Resource, running: Running, why: str) -> ProviderError:
    """The error for a server of ours with an artifact that an apply would not deploy."""
    return ProviderError(
        f"what runs at {running.endpoint} is not taken over: {why}",
        hint=f"mlopsctl apply --target {want.address} serves what the manifest wants, once {running.processes[0]} has ended "
        "or to: names another port",
        code="MLO1516",
    )


def started_by(running: Running) -> str:
    """Whose the server was, for the person at the terminal."""
    if running.state is None:
        return "mlopsctl serve in the foreground has ended"
    name = (
        Address.parse(running.state.name).typed if running.state.name.startswith("deployments.") else running.state.name
    )
    return f"{running.state} does not run any more; in its clone: mlopsctl destroy --target {name}, or its apply starts it again"
