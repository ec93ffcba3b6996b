"""The seam: what every provider answers, and the usual answers.

A provider is a module with the names of ``Provider``; ``registry.py`` names it.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .canonical import digest_of, plain
from .registry import provider
from .types import (
    GUARD,
    Action,
    Address,
    Change,
    Cost,
    Digest,
    Entry,
    Input,
    Json,
    Mark,
    Need,
    Observed,
    Outcome,
    Reason,
    Resource,
    Sample,
    TreeFile,
    Verdict,
)

Specs = Mapping[str, Mapping[str, Any]]
"""All specs of a manifest: section, then name."""


class Tree(Protocol):
    """The files of the project folder, as the working tree or one commit has them; paths use ``/``."""

    def files(self) -> Sequence[str]:
        """Every tracked path, and every untracked one that is not ignored, sorted."""

    def names(self) -> Collection[str]:
        """The same without an order, to ask whether a path is among them."""

    def file(self, path: str) -> TreeFile | None:
        """Mode and blob id of one file, without git's filters; None where there is no such file."""

    def tracked(self, path: str) -> bool:
        """Whether git holds the file, in its index or in the commit."""

    def read(self, path: str, most: int | None = None) -> bytes:
        """The bytes of one file, or no more than its first ``most``. Raises FileNotFoundError."""

    def open_path(self, path: str) -> Path:
        """A path on disk that holds the file's bytes (a temporary copy for a commit). Raises FileNotFoundError."""


class Store(Protocol):
    """The content-addressed store of outputs."""

    def has(self, digest: Digest) -> bool: ...

    def put(self, path: Path) -> Digest:
        """Takes over a file (``sha256:``) or a folder (``dirhash:``), atomically."""

    def checkout(self, digest: Digest, destination: Path, *, synced: bool = False) -> Path:
        """Writes a verified copy of the file or folder to ``destination``. Raises EvidenceError on other bytes."""

    def path(self, digest: Digest) -> Path:
        """The verified path of a *file* inside the store, for reading only. Raises EvidenceError."""


class Trail(Protocol):
    """Questions to the trusted, valid part of the audit trail."""

    def result(self, made_from: Digest) -> Entry | None:
        """The result in force for this fingerprint."""

    def latest(self, address: Address, kinds: Sequence[str] = ("result",)) -> Entry | None:
        """The newest entry of one of these kinds for the address, by (seq, id)."""

    def entry(self, entry_id: str) -> Entry | None: ...

    def with_output(self, digest: Digest, section: str = "") -> Entry | None:
        """The newest result that has this output; with ``section`` one of that section only."""

    def key_of(self, name: str) -> str:
        """The key (see ``verifiers``) of a signer who may make models, by the policy in force; "" for none."""


def _itself(address: Address) -> Sequence[Address]:
    return (address,)


class Context(NamedTuple):
    """What a provider may use while it works; ``scratch`` is an empty folder of this step's own."""

    root: Path
    state: Path
    scratch: Path
    tree: Tree
    store: Store
    trail: Trail
    project: str
    tell: Callable[[str], None]
    """Shows one line of progress, in words."""
    log: Path | None = None
    """Where the step's full log is kept."""
    public_key: str = ""
    """PEM of the key that attested the step's artifact; a deployment checks the artifact's signature against it."""
    sample: Sample | None = None
    """In a quick run: how much of a table's rows are taken."""
    halted: str = ""
    """Who halted the deployment and why, where a halt is in force: what is deployed anew stays cut out."""
    label: str = ""
    """The entry that announced a change of a shared deployment; the place keeps it beside what it runs."""
    runs: Mark | None = None
    """What the place said that it runs, when this change of it began; it may change from that only."""
    over: bool = False
    """Whether somebody looked at what runs, and asked for it to be replaced whatever it is."""
    names: Callable[[Address], Sequence[Address]] = _itself
    """A deployment's address and those that it had before, newest first."""
    cards: tuple[str, ...] = ()
    """The graphics cards that are the step's while it works, as CUDA_VISIBLE_DEVICES names them."""
    looks: bool = False
    """Whether somebody asked to look at rows that models are chosen by."""


NO_SCRATCH = Path(os.devnull) / "scratch"
"""The scratch folder of a context that is for looking only: nobody can make it, not even root."""

Inputs = Sequence[Input]


class Probe(NamedTuple):
    """What a look at a running deployment found: ``serving``, ``halted`` or ``down``; ``deployed`` where nobody asked."""

    state: str
    text: str = ""
    endpoint: str = ""


class Provider(Protocol):
    """Satisfied by a module. All but ``read`` (of deployments), ``apply``, ``verify`` and ``remove`` are pure."""

    Spec: type[Any]
    RESULT_VERSION: int

    def needs(self, spec: Any, specs: Specs) -> tuple[Need, ...]: ...

    def sources(self, want: Resource, tree: Tree) -> Mapping[str, TreeFile]: ...

    def read(self, want: Resource, made_from: Digest | None, ctx: Context) -> Observed | None: ...

    def diff(self, want: Resource, inputs: Inputs, seen: Observed | None) -> tuple[Action, Reason]: ...

    def judge(self, want: Resource, seen: Observed, inputs: Inputs) -> Verdict: ...

    def notes(self, want: Resource, inputs: Inputs) -> tuple[str, ...]: ...

    def apply(self, want: Resource, inputs: Inputs, ctx: Context) -> Outcome: ...

    def verify(self, want: Resource, entry: Entry, ctx: Context) -> None: ...

    def remove(self, seen: Observed, ctx: Context) -> Outcome: ...


class Deployment(Provider, Protocol):
    """A deployment can also be cut out at once, set going again and looked at."""

    PER_CLONE: bool
    """Whether each clone has one of its own: what another clone did to its one is history here, not state."""

    PROBE_RUNS: bool
    """Whether ``probe`` starts a program; then no plan asks it."""

    def halt(self, address: Address, reason: str, ctx: Context) -> None: ...

    def resume(self, address: Address, ctx: Context) -> None: ...

    def probe(self, address: Address, ctx: Context) -> Probe:
        """Asks the deployment itself."""

    def glance(self, address: Address, ctx: Context) -> Probe:
        """What state files say; no process and no socket is used."""

    def lives_at(self, address: Address, ctx: Context) -> str:
        """The location of what was deployed, "" where that is not known here; needs no trail."""

    def changing(self, want: Resource, seen: Observed | None, ctx: Context) -> AbstractContextManager[Mark | None]:
        """Keeps every other change of the place away, and says what it runs; None where it runs or says nothing.

        ``want`` has no Spec where it is taken down. Raises StaleError where another mlopsctl changes it right now.
        """

    def attest(self, address: Address, entry: str, ctx: Context) -> None:
        """Puts the id of the entry that attests it beside what was deployed, where ``ctx.label`` did not do that."""

    def move(self, old: Address, new: Address, ctx: Context) -> str:
        """Gives what runs another name in this clone, while it runs; where it runs. Done again, it changes nothing."""


# --- Spec fields -------------------------------------------------------------------------------------------


def _spec_field(kind: str, default: Any, doc: str, schema: Mapping[str, Any]) -> Any:
    metadata = {"kind": kind, "doc": doc, **schema}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def result(default: Any = ..., *, doc: str, **schema: Any) -> Any:
    """A Spec field that enters the fingerprint. Without a default the key is required.

    ``schema`` may hold ``minimum``, ``maximum``, ``exclusive_minimum``, ``pattern``, ``ref`` (the section whose names the key takes),
    ``quantity`` (``duration`` in seconds, ``size`` in bytes) and ``placeholders=True`` for text with ``{…}``.
    """
    return _spec_field("result", default, doc, schema)


def run(default: Any = ..., *, doc: str, **schema: Any) -> Any:
    """A Spec field about how a step runs (resources, retries, timeouts); never a reason to run again."""
    return _spec_field("run", default, doc, schema)


def policy(default: Any = ..., *, doc: str, **schema: Any) -> Any:
    """A Spec field about what is allowed (bars, approvals); judged anew at every plan, measured never again."""
    return _spec_field("policy", default, doc, schema)


def result_fields(spec: Any) -> dict[str, Json]:
    """The result fields of a Spec that differ from their defaults, ready for canonical JSON."""
    return _fields(spec, lambda kind: kind == "result")


def declared_fields(spec: Any) -> dict[str, Json]:
    """Every field of a Spec that differs from its default: a key that a later version knows changes nothing here."""
    return _fields(spec, lambda kind: True)


def _fields(spec: Any, wanted: Callable[[str], bool]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    kind: type = type(spec)
    for item in _spec_items(kind):
        value = getattr(spec, item.name)
        if (value == item.default and type(value) is type(item.default)) or not wanted(item.kind):
            continue
        inside = dataclasses.is_dataclass(value) and not isinstance(value, type)
        found[item.key] = _fields(value, wanted) if inside else plain(value)
    return found


class _Item(NamedTuple):
    """One field of a Spec; the default is only ever compared with."""

    name: str
    key: str
    kind: str
    default: Any


@cache
def _spec_items(spec: type) -> tuple[_Item, ...]:
    """The fields of a Spec, read once: a plan asks for them several times a resource."""
    return tuple(
        _Item(
            item.name,
            item.name.rstrip("_"),
            item.metadata.get("kind", ""),
            item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default,
        )
        for item in dataclasses.fields(spec)
    )


# --- Fingerprints ------------------------------------------------------------------------------------------

READ_WITH: Mapping[str, tuple[str, ...]] = {
    "data": ("label", "positive", "classes", "by"),
    "train": ("kind", "predict", "formats"),
}
"""The facts of an input that say how its bytes are read: the same rows have another accuracy under another label."""

MEANING = "meaning"
"""The output of a dataset that holds what its entry must not: column names, classes, and digests of row keys."""

COMMITTED = ("classes", "positive")
"""Facts of the meaning that enter fingerprints; the entry of the dataset holds commitments to them, one a view."""

BYTES_ALONE = ("train/local",)
"""Providers that hand over files and nothing else; what the manifest says about a file reaches no command of theirs."""


def _read_with(want: Resource, inputs: Inputs) -> dict[str, list[Json]]:
    """``"ROLE FACT"`` -> that fact of each input of the role."""
    found: dict[str, list[Json]] = {}
    for item in inputs if want.provider not in BYTES_ALONE else ():
        facts = item.seen.facts if item.seen else {}
        split, committed = facts.get("split"), (facts.get("commitments") or {}).get(item.need.output)
        for name in READ_WITH.get(item.need.address.section, ()):
            said = split.get("by") if name == "by" and isinstance(split, dict) else facts.get(name)
            # A digest keeps an entry of the trail small where there are many classes.
            said = digest_of(said) if name == "classes" and said else said
            said = committed.get(name) if committed and name in COMMITTED else said
            if said is not None:
                found.setdefault(f"{item.role} {name}", []).append(said)
    return found


UNKNOWN: Mapping[str, Json] = {"unknown": True}
"""Stands for the digest of what an upstream step has yet to make."""


def ingredients(want: Resource, sources: Mapping[str, TreeFile], inputs: Inputs) -> dict[str, Json] | None:
    """All that a result is made from, as canonical JSON can hold it; None while an input is unknown."""
    if any(item.digest is None and item.role != GUARD for item in inputs):
        return None
    return known_ingredients(want, sources, inputs)


def known_ingredients(want: Resource, sources: Mapping[str, TreeFile], inputs: Inputs) -> dict[str, Json]:
    """The same with UNKNOWN in place of what is not made yet.

    Guards are left out: a gate decides whether a step may run, not what it makes.
    """
    given: dict[str, Json] = {}
    for item in inputs:
        if item.role != GUARD:
            # Addresses do not enter: renaming a resource makes nothing anew.
            given.setdefault(item.role, []).append(item.digest or dict(UNKNOWN))
    module = provider(want.provider)
    nameless: Callable[[Resource], dict[str, Json]] = getattr(module, "nameless", _result_fields_of)
    found: dict[str, Json] = {
        "provider": want.provider,
        "version": module.RESULT_VERSION,
        "spec": nameless(want),
        "inputs": given,
    }
    read_with = _read_with(want, inputs)
    if read_with:
        found["read_with"] = read_with
    if sources:
        from .gitobjects import tree_oid

        found["tree"] = "gitoid:" + tree_oid(sources)
    return found


def _result_fields_of(want: Resource) -> dict[str, Json]:
    return result_fields(want.spec)


def with_meaning(inputs: Inputs, store: Store) -> Inputs:
    """The inputs as a step may see them: datasets with what their entries leave out. Raises EvidenceError."""
    return tuple(item._replace(seen=_understood(item.seen, store)) if item.seen else item for item in inputs)


def _understood(seen: Observed, store: Store) -> Observed:
    if MEANING not in seen.outputs:
        return seen
    said = json.loads(store.path(seen.outputs[MEANING]).read_bytes())
    words = {name: value for name, value in said.items() if name not in ("version", "salt")}
    return seen._replace(facts={**words, **seen.facts})


def fingerprint(parts: Mapping[str, Json]) -> Digest:
    """``made_from``: sha256 of the canonical JSON of the ingredients."""
    return digest_of(dict(parts))


# --- The usual answers, taken over by name -----------------------------------------------------------------


def no_sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    """Nothing of the repository's files enters the result."""
    return {}


def read_from_trail(want: Resource, made_from: Digest | None, ctx: Context) -> Observed | None:
    """The result in force for the fingerprint, or None."""
    entry = ctx.trail.result(made_from) if made_from else None
    return entry.observed() if entry else None


def diff_by_fingerprint(want: Resource, inputs: Inputs, seen: Observed | None) -> tuple[Action, Reason]:
    """NOOP where a result stands, CREATE where none does; plan adds what changed since the last one."""
    if seen is not None:
        return Action.NOOP, Reason("up to date")
    unknown = [str(item.need.address) for item in inputs if item.role != GUARD and item.digest is None]
    if unknown:
        return Action.CREATE, Reason("waits for " + ", ".join(sorted(set(unknown))))
    return Action.CREATE, Reason("no result yet")


def always_fine(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    """The verdict of anything that is no gate."""
    return Verdict()


def no_notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """Nothing to add to the plan's line."""
    return ()


def nothing_to_verify(want: Resource, entry: Entry, ctx: Context) -> None:
    """Outputs are checked by digest and signature; this provider has nothing to add."""


def nothing_to_remove(seen: Observed, ctx: Context) -> Outcome:
    """The trail remembers the result; there is nothing in the world to take away."""
    return Outcome()


def labelled(address: Address, entry: str, ctx: Context) -> None:
    """The place was given its label before it changed."""


COSTS: Mapping[str, Cost] = {
    "data": Cost.PIN,
    "train": Cost.RETRAIN,
    "gates": Cost.REEVALUATE,
    "targets": Cost.RECOMPILE,
    "deployments": Cost.REDEPLOY,
}


def changes_since(old: Mapping[str, Json], new: Mapping[str, Json]) -> tuple[Change, ...]:
    """The ingredients that differ, one Change a spec field, input role, fact of an input or source tree.

    Of an input that is not made yet nobody knows how it is read, so nothing is said of that.
    """
    found: list[Change] = []
    unknown = {role for role, digests in (new.get("inputs") or {}).items() if UNKNOWN in digests}
    for part in ("spec", "inputs", "read_with"):
        before, after = old.get(part) or {}, new.get(part) or {}
        for key in sorted({*before, *after}):
            if part == "read_with" and key.partition(" ")[0] in unknown:
                continue
            if before.get(key) != after.get(key):
                name = f"input {key}" if part == "inputs" else key
                found.append(Change(name, before.get(key), after.get(key)))
    for key in ("tree", "provider", "version"):
        if old.get(key) != new.get(key):
            found.append(Change("code" if key == "tree" else key, old.get(key), new.get(key)))
    return tuple(found)
