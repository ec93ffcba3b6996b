"""A local deployment from the first start to its removal: a real store, real signatures, a real server."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import requests

from mlopsctl.adapters.store import LocalStore
from mlopsctl.errors import EvidenceError, ProviderError
from mlopsctl.manifest import load_manifest
from mlopsctl.provider import Context, Tree, fingerprint, ingredients
from mlopsctl.providers.deployments import local, local_serve
from mlopsctl.providers.deployments.local_home import Home, location
from mlopsctl.serving.processes import is_alive, stop
from mlopsctl.types import GUARD, Action, Address, Digest, Entry, Input, Need, Observed, Resource
from tests.serving.conftest import Keys, artifact, body, new_keys

HERE = Address.parse("deployments.local")


@dataclass
class MemoryTrail:
    """Entries in order; everything in it counts as trusted."""

    entries: list[Entry] = field(default_factory=list)

    def append(self, kind: str, made_from: Digest, facts: Any) -> Entry:
        number = len(self.entries) + 1
        entry = Entry(
            f"{number:064x}", number, (), "2026-01-01T00:00:00Z", "me", kind, str(HERE), "done", made_from, facts=facts
        )
        self.entries.append(entry)
        return entry

    def result(self, made_from: Digest) -> Entry | None:
        return next((e for e in self.entries if e.kind == "result" and e.made_from == made_from), None)

    def latest(self, address: Address, kinds: Sequence[str] = ("result",)) -> Entry | None:
        return next((e for e in reversed(self.entries) if e.address == str(address) and e.kind in kinds), None)

    def entry(self, entry_id: str) -> Entry | None:
        return next((e for e in self.entries if e.id == entry_id), None)

    def key_of(self, name: str) -> str:
        return ""

    def with_output(self, digest: Digest, section: str = "") -> Entry | None:
        return None


@dataclass
class Bench:
    """One clone with one deployment, driven as plan and apply drive it."""

    ctx: Context
    keys: Keys
    folder: Path
    trail: MemoryTrail
    made: int = 0

    def target(self, slope: float) -> Observed:
        """A signed artifact in the store."""
        self.made += 1
        made = artifact(self.folder / f"artifact{self.made}", slope)
        digest = self.ctx.store.put(made)
        signature = self.keys.sign(made, self.folder / f"sig{self.made}")
        return Observed(
            Digest("sha256:" + "0" * 64),
            {"artifact": digest, "artifact.sig": self.ctx.store.put(signature)},
            {"model": "dirhash:" + "1" * 64},
        )

    def inputs(self, target: Observed | None) -> list[Input]:
        return [
            Input(Need("artifact", Address.parse("targets.cpu"), "artifact"), target),
            Input(Need(GUARD, Address.parse("gates.accuracy")), None),
        ]

    def want(self, **spec: Any) -> Resource:
        return Resource(HERE, "deployments/local", local.Spec(target="cpu", **spec))

    def plan(self, want: Resource, target: Observed) -> tuple[Action, str]:
        action, reason = local.diff(want, self.inputs(target), local.read(want, None, self.ctx))
        return action, reason.text

    def apply(self, want: Resource, target: Observed) -> Entry:
        inputs = self.inputs(target)
        outcome = local.apply(want, inputs, self.ctx)
        parts = ingredients(want, {}, inputs)
        assert parts is not None
        return self.trail.append("result", fingerprint(parts), outcome.facts)

    @property
    def home(self) -> Home:
        return Home.of(self.ctx.state, HERE)

    def ask(self) -> requests.Response:
        return requests.post(self.home.endpoint + "/v2/models/classifier/infer", json=body([[1, 1]]), timeout=10)

    def processes(self) -> list[tuple[int, str]]:
        return [(item["pid"], item["start"]) for item in map(self.home.read, ("supervisor", "state")) if item]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    keys, trail = new_keys(tmp_path / "keys"), MemoryTrail()
    ctx = Context(
        root=tmp_path,
        state=tmp_path / "state",
        scratch=tmp_path / "scratch",
        tree=cast(Tree, None),
        store=LocalStore(tmp_path / "state" / "store"),
        trail=trail,
        project="digits",
        tell=lambda line: None,
        public_key=keys.public.read_text(),
    )
    found = Bench(ctx, keys, tmp_path, trail)
    yield found
    processes = found.processes()
    for pid, mark in processes:
        stop(pid, mark, 5)
    assert not [pid for pid, mark in processes if is_alive(pid, mark)]


def test_from_first_start_to_removal(bench: Bench) -> None:
    want, one, two = bench.want(), bench.target(1.0), bench.target(2.0)
    assert bench.plan(want, one)[0] is Action.CREATE
    entry = bench.apply(want, one)
    assert entry.facts["artifact"] == one.outputs["artifact"]
    assert entry.facts["location"] == location(bench.ctx.state)
    assert bench.ask().json()["outputs"][0]["data"] == [2.0]
    assert local.probe(HERE, bench.ctx).state == "serving"
    assert bench.plan(want, one)[0] is Action.NOOP
    assert bench.plan(want, two)[0] is Action.UPDATE

    processes = bench.processes()
    assert bench.apply(want, two).facts["endpoint"] == entry.facts["endpoint"]
    assert bench.processes() == processes, "a switch starts no process"
    assert bench.ask().json()["outputs"][0]["data"] == [4.0]

    seen = local.read(want, None, bench.ctx)
    assert seen is not None
    outcome = local.remove(seen, bench.ctx)
    assert not any(is_alive(pid, mark) for pid, mark in processes)
    assert not bench.home.folder.exists()
    bench.trail.append("destroy", seen.made_from, outcome.facts)
    assert local.read(want, None, bench.ctx) is None


def test_a_switch_loses_no_request(bench: Bench) -> None:
    want, targets = bench.want(), [bench.target(1.0), bench.target(2.0)]
    bench.apply(want, targets[0])
    ended, wrong, count = threading.Event(), [], [0]

    def ask_on() -> None:
        with requests.Session() as session:
            url = bench.home.endpoint + "/v2/models/classifier/infer"
            while not ended.is_set():
                answer = session.post(url, json=body([[1, 1]]), timeout=10)
                count[0] += 1
                if answer.status_code != 200:
                    wrong.append(answer.text)

    clients = [threading.Thread(target=ask_on) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for target in (targets[1], targets[0]):
            bench.apply(want, target)
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert not wrong and count[0] > 20


def test_killed_processes_show_as_drift_and_apply_restores_them(bench: Bench) -> None:
    want, target = bench.want(), bench.target(1.0)
    endpoint = bench.apply(want, target).facts["endpoint"]
    for pid, _ in bench.processes():
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while bench.home.supervised() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert bench.plan(want, target) == (Action.UPDATE, "the server process is gone")
    assert local.probe(HERE, bench.ctx).state == "down"
    assert bench.apply(want, target).facts["endpoint"] == endpoint
    assert bench.ask().status_code == 200
    assert bench.plan(want, target)[0] is Action.NOOP


def test_a_crashed_server_is_started_again_by_its_supervisor(bench: Bench) -> None:
    want, target = bench.want(), bench.target(1.0)
    bench.apply(want, target)
    _, (server, mark) = bench.processes()
    os.kill(server, signal.SIGKILL)
    assert bench.ask().status_code == 200, "the connection waits for the next server"
    assert bench.processes()[1] != (server, mark)


def test_a_halt_holds_through_apply_crash_and_a_lost_state_folder(bench: Bench) -> None:
    want, one, two = bench.want(), bench.target(1.0), bench.target(2.0)
    bench.apply(want, one)
    local.halt(HERE, "wrong prices", bench.ctx)
    assert (bench.ask().status_code, bench.ask().json()) == (503, {"error": "halted: wrong prices"})
    bench.ctx = bench.ctx._replace(halted="wrong prices")  # what the signed halt says
    bench.apply(want, two)
    assert bench.ask().status_code == 503
    assert local.probe(HERE, bench.ctx).state == "halted"
    seen = local.read(want, None, bench.ctx)
    assert seen is not None
    local.remove(seen, bench.ctx)
    bench.apply(want, two)
    assert bench.ask().json() == {"error": "halted: wrong prices"}
    local.resume(HERE, bench.ctx)
    assert bench.ask().status_code == 200


def test_halting_what_does_not_run_here_says_so(bench: Bench) -> None:
    with pytest.raises(ProviderError, match="nothing of deployments.local runs") as caught:
        local.halt(HERE, "x", bench.ctx)
    assert caught.value.code == "MLO1510"


def test_another_machines_entry_is_history(bench: Bench) -> None:
    want, target = bench.want(), bench.target(1.0)
    entry = bench.apply(want, target)
    bench.trail.append("result", Digest("sha256:" + "9" * 64), {**entry.facts, "location": "elsewhere"})
    assert bench.plan(want, target)[0] is Action.NOOP
    stranger = bench.ctx._replace(state=bench.folder / "clone")
    assert local.read(want, None, stranger) is None


def test_an_interrupted_apply_is_no_deployment_yet(bench: Bench) -> None:
    want, target = bench.want(), bench.target(1.0)
    local.apply(want, bench.inputs(target), bench.ctx)
    assert bench.plan(want, target) == (Action.UPDATE, "what runs here has no entry in this trail")


@pytest.mark.parametrize("broken", ["unsigned", "stranger", "key"])
def test_what_is_not_signed_by_our_key_is_not_served(bench: Bench, broken: str) -> None:
    target = bench.target(1.0)
    if broken == "unsigned":
        target = target._replace(outputs={"artifact": target.outputs["artifact"]})
    elif broken == "stranger":
        keys = new_keys(bench.folder / "stranger")
        made = bench.ctx.store.checkout(target.outputs["artifact"], bench.folder / "copy")
        signature = bench.ctx.store.put(keys.sign(made, bench.folder / "sig"))
        target = target._replace(outputs={**target.outputs, "artifact.sig": signature})
    else:
        bench.ctx = bench.ctx._replace(public_key=new_keys(bench.folder / "other").public.read_text())
    with pytest.raises(EvidenceError):
        local.apply(bench.want(), bench.inputs(target), bench.ctx)
    assert not bench.processes()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


READER = """
import sys
for line in sys.stdin:
    print(open("answer.json").read(), flush=True)
"""


def test_a_program_keeps_its_folder_when_the_same_artifact_is_deployed_again(bench: Bench) -> None:
    described: dict[str, Any] = {"runtime": "program", "model": ".", "inputs": [], "outputs": []}
    made = artifact(bench.folder / "program", **described, predict=["python", "{model}/reader.py"])
    (made / "reader.py").write_text(READER)
    (made / "answer.json").write_text("7")
    digest, signature = bench.ctx.store.put(made), bench.keys.sign(made, bench.folder / "program.sig")
    outputs = {"artifact": digest, "artifact.sig": bench.ctx.store.put(signature)}
    for _ in range(2):
        bench.apply(bench.want(), Observed(Digest("sha256:" + "0" * 64), outputs))
        assert bench.ask().json()["outputs"][0]["data"] == [7]


def bad_target(bench: Bench) -> Observed:
    """A signed artifact that no server can load."""
    made = artifact(bench.folder / "bad", name="classifier", model="none.onnx")
    digest, signature = bench.ctx.store.put(made), bench.keys.sign(made, bench.folder / "bad.sig")
    return Observed(Digest("sha256:" + "0" * 64), {"artifact": digest, "artifact.sig": bench.ctx.store.put(signature)})


def test_a_refused_move_leaves_the_old_one_where_it_was(bench: Bench, free_port: int) -> None:
    want, good = bench.want(), bench.target(1.0)
    endpoint = bench.apply(want, good).facts["endpoint"]
    with pytest.raises(ProviderError, match="refused the artifact"):
        bench.apply(bench.want(to=f"127.0.0.1:{free_port}"), bad_target(bench))
    assert bench.home.endpoint == endpoint
    assert bench.ask().status_code == 200


def test_a_refused_release_leaves_the_old_one_running(bench: Bench) -> None:
    want, good, bad = bench.want(), bench.target(1.0), bad_target(bench)
    bench.apply(want, good)
    with pytest.raises(ProviderError, match="refused the artifact") as caught:
        bench.apply(want, bad)
    assert caught.value.code == "MLO1507"
    assert bench.ask().status_code == 200
    deadline = time.monotonic() + 5
    while bench.plan(want, good)[0] is not Action.NOOP:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_never_answered_leaves_the_old_one_running(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    want, good = bench.want(), bench.target(1.0)
    bench.apply(want, good)
    before = bench.ask().headers["x-artifact-digest"]

    def no_answer(*_: object) -> None:
        raise ProviderError("it does not answer as it should", hint="", code="MLO1509")

    with monkeypatch.context() as patched:
        patched.setattr(local_serve, "_ask_once", no_answer)
        with pytest.raises(ProviderError, match="does not answer"):
            bench.apply(want, bench.target(2.0))
    deadline = time.monotonic() + 10
    while bench.ask().headers.get("x-artifact-digest") != before or bench.plan(want, good)[0] is not Action.NOOP:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_taken_port_names_its_holder_and_leaves_what_ran(bench: Bench) -> None:
    target = bench.target(1.0)
    bench.apply(bench.want(), target)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ProviderError, match=f"process {os.getpid()} ") as caught:
            bench.apply(bench.want(to=f"127.0.0.1:{port}"), target)
        assert caught.value.code == "MLO1504"
        assert bench.ask().status_code == 200
    assert bench.apply(bench.want(to=f"127.0.0.1:{port}"), target).facts["endpoint"] == f"http://127.0.0.1:{port}"
    assert bench.ask().status_code == 200


def test_listening_beyond_this_machine_is_worth_a_word() -> None:
    quiet = ["", ":8080", "127.0.0.1:80", "localhost:80", "[::1]:80"]
    assert [local.warnings(local.Spec("cpu", to=to)) for to in quiet] == [()] * 5
    exposed = local.Spec("cpu", to="0.0.0.0:80")
    assert "listens beyond this machine" in local.warnings(exposed)[0]
    want = Resource(Address("deployments", "live"), "deployments/local", exposed)
    assert local.notes(want, ()) == local.warnings(exposed)
    text = "apiVersion: mlopsctl/v1\nproject: {name: a}\ntrain: {m: {run: sh x}}\ntargets: {cpu: {}}\n"
    (warning,) = load_manifest(text.encode() + b"deployments: {live: {target: cpu, to: '0.0.0.0:80'}}\n").warnings
    assert warning == f"mlops.yaml:5:15: deployments.live: {local.warnings(exposed)[0]}"


def test_needs_every_gate_of_the_model_and_target() -> None:
    @dataclass
    class Gate:
        model: str = ""
        target: str = ""

    @dataclass
    class Target:
        model: str = ""

    specs = {
        "train": {"a": None, "b": None},
        "targets": {"cpu": Target("a")},
        "gates": {
            "mine": Gate("a"),
            "others": Gate("b"),
            "here": Gate("a", "cpu"),
            "there": Gate("a", "fpga"),
            "scan[a]": Gate("a"),
        },
    }
    found = local.needs(local.Spec(target="cpu"), cast(Any, specs))
    assert [(need.role, str(need.address)) for need in found] == [
        ("artifact", "targets.cpu"),
        (GUARD, "gates.here"),
        (GUARD, "gates.mine"),
        (GUARD, "gates.scan[a]"),
    ]


def test_a_server_gets_as_long_as_its_timeout(bench: Bench) -> None:
    with pytest.raises(ProviderError) as caught:
        bench.apply(bench.want(timeout=0.001), bench.target(1.0))
    assert caught.value.code == "MLO1506"
    assert bench.apply(bench.want(timeout=30.0), bench.target(1.0)).facts["endpoint"]
