"""The nouns of mlopsctl: frozen, standard library only, no I/O.

They are named tuples because every command makes these classes anew: a frozen dataclass takes 7 times as long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, NewType

Digest = NewType("Digest", str)
"""Always ``algorithm:hex``: ``sha256:…`` for a file, ``dirhash:…`` for a folder, ``gitoid:…`` for a git object."""

Json = Any
"""A value that canonical JSON can hold: str, int, bool, None, list, dict with str keys; decimals are strings."""

SECTIONS = ("data", "train", "gates", "targets", "deployments")

ADDRESS = r"([a-z]+)\.([a-z][a-z0-9_-]*)(?:\[([A-Za-z0-9][A-Za-z0-9._,-]*)\])?"
"""The form of an address. Folders and files are named by it, so that no part of it may hold a slash or be ``..``."""

_NOTHING: Mapping[str, Any] = {}


class Address(NamedTuple):
    """Names one resource: ``gates.accuracy``, or ``deployments.production[eu]`` for one of several instances."""

    section: str
    name: str
    instance: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``section.name`` or ``section.name[instance]``.

        Raises ValueError where the text has another form or the section is unknown.
        """
        match = re.fullmatch(ADDRESS, text)
        if match is None or match[1] not in SECTIONS:
            raise ValueError(f"'{text}' is no address: write section.name, for example gates.accuracy")
        return cls(match[1], match[2], match[3] or "")

    @classmethod
    def of(cls, section: str, text: str) -> Address:
        """The address that a key of this section names: ``cpu``, or ``cpu[eu]`` for one of several instances."""
        name, _, instance = text.partition("[")
        return cls(section, name, instance.removesuffix("]"))

    @property
    def bare(self) -> str:
        """The address without its section, as other resources and the verbs name it: ``cpu``, ``cpu[eu]``."""
        return self.name + (f"[{self.instance}]" if self.instance else "")

    @property
    def typed(self) -> str:
        """The bare address as it is typed on a command line: a shell takes brackets for a glob."""
        return f"'{self.bare}'" if self.instance else self.name

    def matches(self, pattern: str) -> bool:
        """Whether an address, or a glob of one with ``*`` and ``?``, means this one; all instances by their one name.

        Brackets belong to addresses, so that they stand for no set of letters.
        """
        glob = pattern.replace("[", "[[]")
        return fnmatchcase(str(self), glob) or fnmatchcase(f"{self.section}.{self.name}", glob)

    def __str__(self) -> str:
        return f"{self.section}.{self.name}" + (f"[{self.instance}]" if self.instance else "")


class Where(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Action(Enum):
    """What a step does to its resource; the value is the glyph that a plan shows beside the word."""

    NOOP = " "
    CREATE = "+"
    UPDATE = "~"
    REPLACE = "±"
    DELETE = "-"
    READ = "?"
    MOVE = ">"
    IMPORT = "<"
    FORGET = "."


AT_REST = (Action.NOOP, Action.READ, Action.MOVE)
"""Actions that leave what stands as it is."""


class Cost(Enum):
    """What a step costs the user, in words of machine learning."""

    NOTHING = ""
    PIN = "pin data"
    RETRAIN = "retrain"
    REEVALUATE = "re-evaluate"
    RECOMPILE = "recompile"
    REDEPLOY = "redeploy"
    POINTER = "pointer swap"
    METADATA = "metadata only"
    REMOVE = "take down"


GUARD = "guard"
"""The role of a need that must be judged well before the step may run, and that enters no fingerprint."""


RUNNING = "deployment"
"""The role of a need for what a deployment runs: something that answers, and no bytes."""


CHAMPION, CHAMPION_ROWS = "champion", "champion rows"
"""The roles of a model that another one is compared with, and of the rows that it was trained on."""

COMPARED = (CHAMPION, CHAMPION_ROWS)
"""Roles of what a measurement rests on, and what no model, artifact or deployment was made from."""


class Need(NamedTuple):
    """An edge of the graph: ``role`` is what the output serves as (``data``, ``model``, ``artifact``, GUARD)."""

    role: str
    address: Address
    output: str = ""


class TreeFile(NamedTuple):
    """One file of a git tree: its mode as git writes it (``100644``) and its blob id."""

    mode: str
    oid: str


class Resource(NamedTuple):
    """One declared thing: the desired state. ``provider`` is ``section/use``, for example ``targets/tvm``."""

    address: Address
    provider: str
    spec: Any
    needs: tuple[Need, ...] = ()
    where: Where | None = None


class Mark(NamedTuple):
    """What a place says that it runs: the entry it was put there by, "" before that is signed, and the artifact's digest."""

    entry: str
    artifact: str = ""
    """Left out where the place does not say it."""

    def same(self, other: Mark) -> bool:
        """Whether both are about one deployment, as far as both say it."""
        return self.entry == other.entry and (self.artifact == other.artifact or not (self.artifact and other.artifact))

    def __str__(self) -> str:
        what = f"artifact {self.artifact[:19]}" if self.artifact else ""
        by = f"entry {self.entry[:12]}" if self.entry else ""
        return " of ".join(text for text in (what, by) if text) or "something without a mark"


class Observed(NamedTuple):
    """What stands now: a result found in the trail, or what a deployment really runs."""

    made_from: Digest
    outputs: Mapping[str, Digest]
    facts: Mapping[str, Json] = _NOTHING
    entry: str = ""
    at: str = ""
    ingredients: Mapping[str, Json] = _NOTHING
    trusted: bool = True
    """False for an own result by a key without the role: it is good for this machine, never for a deployment."""
    drift: str = ""
    """Why the world no longer is what the entry says ("the server process is gone"); empty where it is."""
    mark: Mark | None = None
    """Of a deployment: what its place said, or by the trail should say, that it runs; None where nothing is known of that."""


ADOPTION = "import"
"""The kind of an entry about what a place ran before anybody here deployed to it, and of which nobody knows what it is."""


def is_unverified(seen: Observed | None) -> bool:
    """Whether this is a deployment that was only adopted: no artifact of this trail is known to run there."""
    found = seen.facts.get("adopted") if seen is not None else None
    return isinstance(found, dict) and found.get("state") == "unverified"


class Input(NamedTuple):
    """A need and what stands behind it now; ``seen`` is None while the upstream step has yet to run."""

    need: Need
    seen: Observed | None

    @property
    def role(self) -> str:
        return self.need.role

    @property
    def digest(self) -> Digest | None:
        """The digest of the needed output, or None while it is unknown; of what runs, that of all it was made from."""
        if self.role == RUNNING:
            return self.seen.made_from if self.seen else None
        return self.seen.outputs.get(self.need.output) if self.seen else None


class Change(NamedTuple):
    """One field that differs, for people and for ``plan --format json``."""

    field: str
    old: Json
    new: Json


class Reason(NamedTuple):
    """Why a step is planned, in words a person understands, with the fields behind it."""

    text: str
    changes: tuple[Change, ...] = ()


class Status(Enum):
    """The verdict on a measurement. Only INCONCLUSIVE can be downgraded, and only by the manifest."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    NOT_ASSESSED = "not_assessed"


class Verdict(NamedTuple):
    """A judgement of what was observed; ``blocks`` says whether it stops what it guards."""

    status: Status = Status.PASSED
    text: str = ""
    hint: str = ""
    blocks: bool = False


class Rule(NamedTuple):
    """One rule that a step must satisfy before it may run, and whether it does; ``name`` is a word for programs."""

    name: str
    text: str
    met: bool | None
    """None where that is known only after apply."""


class Step(NamedTuple):
    """One line of a plan."""

    address: Address
    provider: str
    action: Action
    cost: Cost
    reason: Reason
    made_from: Digest | None
    """None while an input is unknown ("known after apply")."""
    needs: tuple[Need, ...] = ()
    relies_on: tuple[str, ...] = ()
    blocked_by: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    """What people have to do before the step may run; only they can."""
    held_by: str = ""
    verdict: Verdict | None = None
    notes: tuple[str, ...] = ()
    """Lines for people about what will be done, such as the power of a gate; outside the digest."""
    weakens: tuple[str, ...] = ()
    """The controls in force that the manifest loosens, one line each."""
    inputs: tuple[Fact, ...] = ()
    """All that it is made from; filled in only where somebody asks why."""
    others: tuple[str, ...] = ()
    """Results of the same ingredients beside the one in force, in words; filled in likewise."""
    rules: tuple[Rule, ...] = ()
    """Who must agree to it, whose work counts, and what else has to hold; outside the digest."""
    took: float | None = None
    """Seconds that it took the last time; None where nobody knows."""
    budget: float | None = None
    """Seconds that it may take; None where the manifest sets no limit."""
    free_at: str = ""
    """The moment at which what blocks the step is over by itself, "" where time alone does not help."""
    nth_model: int | None = None
    """Of a gate that has to measure: how many models its rows will then have judged; None where nothing is known."""


class Fact(NamedTuple):
    """One thing that a step is made from, as the last result had it and as it is now; None where there is none.

    ``kind`` is ``spec``, ``input``, ``read_with``, ``file``, ``provider``, or ``made_with``, which never is a reason.
    """

    kind: str
    name: str
    old: Json
    new: Json


class LeftOut(NamedTuple):
    """A resource that a partial plan says nothing about, and why."""

    address: Address
    reason: str


class Selection(NamedTuple):
    """What the command line asked of a plan beyond the manifest; a saved plan keeps all of it.

    The first three are addresses or globs of them; selection.py says what they match.
    """

    targets: tuple[str, ...] = ()
    """What the plan is about, with all that it needs; empty: everything."""
    excluded: tuple[str, ...] = ()
    """What is left out, with all that needs it."""
    replaced: tuple[str, ...] = ()
    """What is made anew on purpose."""
    refresh: bool = False
    """Whether the running deployments are asked, and the outputs looked for."""
    refresh_only: bool = False
    """Whether the plan does nothing but look."""
    quick: bool = False
    """Whether samples are taken and cheap gates come first; the results are trials."""
    settings: tuple[str, ...] = ()
    """``PATH=VALUE`` that stand in place of what the manifest says; the results are trials."""

    @property
    def trial(self) -> bool:
        """Whether what is made is a trial, which nothing but another trial ever reads."""
        return self.quick or bool(self.settings)


class Sample(NamedTuple):
    """How much of a table a quick run takes: ``share`` of its rows, and no fewer than ``rows`` where there are so many."""

    share: float
    rows: int


class Plan(NamedTuple):
    """Data without side effects: what is planned is what is applied."""

    project: str
    manifest_digest: Digest
    steps: tuple[Step, ...]
    warnings: tuple[str, ...] = ()
    commit: str = ""
    dirty: bool = False
    trail_tips: tuple[str, ...] = ()
    selection: Selection = Selection()
    left_out: tuple[LeftOut, ...] = ()


class Outcome(NamedTuple):
    """What one ``apply`` of a provider made; paths are taken over into the store, digests are kept as they are."""

    outputs: Mapping[str, Path | Digest] = _NOTHING
    facts: Mapping[str, Json] = _NOTHING
    made_with: Mapping[str, str] = _NOTHING


class Entry(NamedTuple):
    """One signed entry of the trail, decoded. ``kind`` says what was done; see docs/architecture.md."""

    id: str
    seq: int
    parents: tuple[str, ...]
    at: str
    signer: str
    kind: str
    address: str = ""
    status: str = ""
    made_from: Digest = Digest("")
    ingredients: Mapping[str, Json] = _NOTHING
    outputs: Mapping[str, Digest] = _NOTHING
    facts: Mapping[str, Json] = _NOTHING
    made_with: Mapping[str, str] = _NOTHING
    commit: str = ""
    tree: str = ""
    predicate_type: str = ""
    location: str = ""
    """Where a deployment lives; its identity is address and location."""
    supersedes: tuple[str, ...] = ()
    """Ids of results that this one was made to replace on purpose."""
    trusted: bool = True
    """False for an own result by a key without the role: usable on this machine only, never for a deployment."""

    def observed(self) -> Observed:
        """This entry as the result it attests."""
        return Observed(self.made_from, self.outputs, self.facts, self.id, self.at, self.ingredients, self.trusted)
