"""A project in memory: a world to plan in and a workshop to apply in, with a real store in a folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Signal
from typing import Any

from mlopsctl.apply import Walk
from mlopsctl.approvals import People
from mlopsctl.canonical import digest_of
from mlopsctl.holds import KINDS, Hold, holds
from mlopsctl.looks import Release
from mlopsctl.plan import make_plan
from mlopsctl.provider import Context, Inputs
from mlopsctl.registry import provider
from mlopsctl.site import Site
from mlopsctl.soak import KINDS as SOAK
from mlopsctl.soak import Running, running
from mlopsctl.types import (
    GUARD,
    Address,
    Change,
    Digest,
    Entry,
    Input,
    Json,
    Need,
    Observed,
    Outcome,
    Plan,
    Resource,
    Selection,
    TreeFile,
    Verdict,
)
from mlopsctl.versions import Version, artifact_of
from mlopsctl.withdrawals import in_force, reach
from mlopsctl.workshop import Event
from tests import simple

PROVIDERS = {f"{section}/simple": "tests.simple" for section in ("data", "train", "gates", "targets", "deployments")}


def resource(address: str, *needs: Need, **spec: Any) -> Resource:
    """A declared resource of the simple provider."""
    parsed = Address.parse(address)
    return Resource(parsed, f"{parsed.section}/simple", simple.Spec(**spec), needs)


def need(role: str, address: str, output: str = "text") -> Need:
    return Need(role, Address.parse(address), "" if role == "guard" else output)


@dataclass
class Simulator:
    """World and Workshop at once; ``entries`` is the trail."""

    folder: Path
    files: dict[str, TreeFile] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    bytes_here: set[Digest] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    given: dict[str, Inputs] = field(default_factory=dict)
    moved: dict[Address, Address] = field(default_factory=dict)
    sites: dict[Address, Site] = field(default_factory=dict)
    judged: dict[Address, Verdict] = field(default_factory=dict)
    """What gates say of the version that a deployment names."""
    gone: list[Resource] = field(default_factory=list)
    """Deployments that run here and that a test takes out of its manifest."""
    left: list[Entry] = field(default_factory=list)
    """Last results of what else left the manifest."""
    clock: str = "2026-01-01T01:00:00Z"

    @property
    def world(self) -> Simulator:
        return self

    # --- world -----------------------------------------------------------------------------------------

    def file(self, path: str) -> TreeFile | None:
        return self.files.get(path)

    def sources(self, want: Resource) -> Mapping[str, TreeFile]:
        return provider(want.provider).sources(want, self)  # type: ignore[arg-type]

    def read(self, want: Resource, made_from: Digest | None) -> Observed | None:
        old = {e.facts.get("supersedes") for e in self.entries}
        found = [e for e in self.entries if e.kind == "result" and e.made_from == made_from and e.id not in old]
        if want.address.section == "deployments" and found and found[0] is not self.last_result(want.address):
            # Something else was deployed since.
            found = [e for e in found if e is self.last_result(want.address)]
        return found[0].observed() if found and made_from else None

    def last(self, address: Address) -> Entry | None:
        found = [e for e in self.entries if e.address == str(address) and e.kind in ("result", "failure")]
        return found[-1] if found else None

    def last_result(self, address: Address) -> Entry | None:
        found = [e for e in self.entries if e.address == str(address) and e.kind == "result"]
        return found[-1] if found else None

    def holds(self, want: Resource) -> tuple[Hold, ...]:
        """Every entry builds on all before it."""
        found = [e for e in self.entries if e.address == str(want.address) and e.kind in KINDS]
        order = [e.id for e in found]
        return holds(found, lambda later, earlier: order.index(later) > order.index(earlier))

    def version(self, want: Resource) -> Version:
        """Of an artifact's entry, with what the deployment's gates measured of the model behind it last."""
        made = self.entry(want.spec.version)
        if made is None:
            return Version(f"version: {want.spec.version}, which nobody knows")
        measured: dict[Need, Entry | None] = {}
        for one in want.needs:
            if one.role == GUARD:
                of_model = [e for e in self.entries if e.address == str(one.address) and e.kind == "result"]
                same = [e for e in of_model if e.ingredients["inputs"] == made.ingredients["inputs"]]
                measured[one] = same[-1] if same else None
        guards = [Input(one, entry.observed() if entry else None) for one, entry in measured.items()]
        verdicts = {item.need.address: self.judged[item.need.address] if item.seen else None for item in guards}
        artifact = Input(artifact_of(want), made.observed())
        return Version(f"version: {made.id}", (artifact, *guards), verdicts)

    def site(self, want: Resource, observed: Observed | None) -> Site:
        return self.sites.get(want.address, Site())

    def swapped(self, want: Resource, before: Observed, parts: Mapping[str, Json]) -> str:
        return ""

    def people(self, want: Resource, inputs: Inputs) -> People:
        return People(
            (), tuple(e for e in self.entries if e.kind == "approval"), frozenset(), {}, "2026-11-25T00:00:00Z"
        )

    def under_review(self) -> str:
        return ""

    def reviewed(self) -> str:
        return ""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]:
        return ()

    def is_final(self, data: Address) -> bool:
        return False

    def models_judged(self, address: Address, data: Observed) -> Release:
        return Release()

    def root_pinned(self) -> bool:
        return True

    def withdrawn(self, inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
        standing = in_force(self.entries)
        found = reach([i.seen.entry for i in inputs if i.seen] + ([own.entry] if own else []), (), standing, self)
        return tuple(map(str, found))

    def entry(self, entry_id: str) -> Entry | None:
        return next((e for e in self.entries if e.id == entry_id), None)

    def makers(self, digest: str, section: str = "") -> Sequence[Entry]:
        return [e for e in self.entries if digest in e.outputs.values() and e.address.startswith(section)]

    def key_id(self, entry: Entry) -> str:
        return f"key of {entry.signer}"

    def inputs_of(self, entry_id: str, want: Resource) -> Inputs | None:
        """For a step with one need: what an older entry of it was made of."""
        digest = next(e.ingredients["inputs"]["artifact"][0] for e in self.entries if e.id == entry_id)
        made = next(e for e in self.entries if digest in e.outputs.values())
        return (Input(want.needs[0], made.observed()),)

    def changed_files(self, old_tree: str, sources: Mapping[str, TreeFile]) -> tuple[Change, ...]:
        return tuple(Change(name, None, file.oid) for name, file in sources.items())

    def made_here(self, want: Resource) -> Mapping[str, str]:
        return {}

    def others(self, seen: Observed) -> tuple[str, ...]:
        same = [e for e in self.entries if e.kind == "result" and e.made_from == seen.made_from]
        return tuple(e.id for e in same if e.id != seen.entry)

    def unverified(self, inputs: Inputs) -> Sequence[str]:
        return [f"{item.need.address} unverified" for item in inputs if item.seen and item.seen.facts.get("origin")]

    def champion(self, want: Resource, inputs: Inputs) -> Inputs:
        return ()

    def running(self, address: Address) -> Running:
        want = Resource(address, "", None)
        found = [e for e in reversed(self.entries) if e.address == str(address) and e.kind in SOAK]
        return running(found, "; ".join(map(str, self.holds(want))))

    def now(self) -> str:
        return self.clock

    def lacks(self, want: Resource) -> tuple[str, ...]:
        return ()

    def lost(self, seen: Observed) -> tuple[str, ...]:
        return tuple(name for name, digest in seen.outputs.items() if digest not in self.bytes_here)

    def uncached(self, sources: Mapping[str, TreeFile]) -> tuple[str, ...]:
        return ()

    def moved_from(self, address: Address) -> Address | None:
        return self.moved.get(address)

    def forgettable(self, declared: frozenset[Address]) -> Sequence[Entry]:
        return self.left

    def undeclared(self, declared: frozenset[Address]) -> Sequence[tuple[Resource, Observed]]:
        last = [(want, self.last_result(want.address)) for want in self.gone if want.address not in declared]
        return [(want, entry.observed()) for want, entry in last if entry]

    # --- workshop --------------------------------------------------------------------------------------

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        self.applied.append(str(address))
        self.given[str(address)] = inputs
        scratch = self.folder / "scratch" / str(address)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        return Context(self.folder, self.folder, scratch, self, self, self, "test", self.told.append)  # type: ignore[arg-type]

    def release(self, address: Address) -> None:
        shutil.rmtree(self.folder / "scratch" / str(address), ignore_errors=True)

    def started(self, address: Address, made_from: Digest) -> None:
        """The simulator is never killed."""

    def working(self, address: Address, cancelled: Signal) -> AbstractContextManager[None]:
        return nullcontext()

    def alive(self) -> None:
        """Nobody looks whether the simulator lives."""

    def admit(self, want: Resource, sources: Mapping[str, TreeFile]) -> None:
        """The simulator keeps no code."""

    def keep(self, outputs: Mapping[str, Path | Digest]) -> dict[str, Digest]:
        kept = {}
        for name, made in outputs.items():
            assert isinstance(made, Path)
            kept[name] = Digest("sha256:" + hashlib.sha256(made.read_bytes()).hexdigest())
            self.bytes_here.add(kept[name])
        return kept

    def record(self, kind: str, want: Resource, **parts: Any) -> Observed:
        outcome: Outcome = parts.get("outcome") or Outcome()
        facts: Mapping[str, Json] = parts.get("facts") or outcome.facts
        seq = len(self.entries) + 1
        entry = Entry(
            digest_of([seq, kind])[7:],
            seq,
            (),
            f"2026-01-01T00:00:{seq:02}Z",
            "tester",
            kind,
            str(want.address),
            parts.get("status", ""),
            parts.get("made_from") or Digest(""),
            parts.get("parts") or {},
            parts.get("outputs") or {},
            facts,
        )
        self.entries.append(entry)
        return entry.observed()

    def here(self, digest: Digest) -> bool:
        return digest in self.bytes_here

    def tell(self, address: Address, line: str) -> None:
        self.told.append(line)

    # --- what tests call -------------------------------------------------------------------------------

    def plan(self, *resources: Resource, **selected: Any) -> Plan:
        """``selected`` are fields of a Selection."""
        return make_plan("test", Digest("sha256:00"), resources, self, selection=Selection(**selected))

    def apply(self, *resources: Resource, **selected: Any) -> list[Event]:
        """The events of planning and applying; ``applied`` then names what really ran."""
        self.applied.clear()
        return list(Walk(self.plan(*resources, **selected), resources, self))
