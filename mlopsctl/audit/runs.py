"""Every training run, failed ones too, with what measured its model: from the trail alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import MlopsError
from ..types import Address, Entry, Json
from ..withdrawals import inputs_of
from .forward import load, made_with, makers, skim
from .trail import TrailLog

KINDS = ("result", "failure", "trial")
_FEW = 500
"""Up to so many models are asked for one by one; for more, all measurements are read at once."""


@dataclass(frozen=True)
class Run:
    """One attempt to train; ``gates`` holds the newest measurement of its model by each gate, by the gate's name."""

    entry: Entry
    gates: Mapping[str, Entry] = field(default_factory=dict)

    @property
    def spec(self) -> Mapping[str, Any]:
        found = self.entry.ingredients.get("spec")
        return found if isinstance(found, dict) else {}

    @property
    def params(self) -> dict[str, Json]:
        """The settings, with floats as numbers."""
        found = unplain(self.spec.get("params"))
        return found if isinstance(found, dict) else {}

    @property
    def usage(self) -> Mapping[str, Any]:
        found = self.entry.facts.get("usage")
        return found if isinstance(found, dict) else {}

    @property
    def claimed(self) -> dict[str, Json]:
        """What the training program says of itself; nobody measured it."""
        found = self.entry.facts.get("claimed")
        return found if isinstance(found, dict) else {}

    @property
    def trial(self) -> bool:
        """Whether it was made of samples, or with settings that the manifest does not hold."""
        return self.entry.kind == "trial"

    @property
    def seconds(self) -> Json:
        return self.usage.get("seconds")

    @property
    def cost(self) -> Json:
        return self.usage.get("cost", self.entry.facts.get("cost"))

    @property
    def code(self) -> str:
        """``gitoid:`` of the tree of its code; "" where nothing of the repository went in."""
        return str(self.entry.ingredients.get("tree", ""))

    @property
    def model(self) -> str:
        return str(self.entry.outputs.get("model", ""))


def unplain(value: Json) -> Json:
    """``canonical.plain`` undone: ``{"float": "0.1"}`` is the number again."""
    if isinstance(value, dict):
        if value.keys() == {"float"} and isinstance(value["float"], str):
            return float(value["float"])
        return {key: unplain(item) for key, item in value.items()}
    return [unplain(item) for item in value] if isinstance(value, list) else value


def runs(trail: TrailLog, address: str = "", limit: int = -1) -> list[Run]:
    """The runs of all training steps or of one (globs allowed), newest first, without their measurements.

    Without a limit they are skimmed: ``complete`` reads those in full that are shown.
    """
    pattern = address or "train.*"
    if not pattern.startswith("train."):
        raise MlopsError(
            f"'{address}' is no training step", hint="name one, for example train.classifier", code="MLO7258"
        )
    if limit >= 0:
        return [Run(entry) for entry in trail.entries(pattern, KINDS, newest_first=True, limit=limit)]
    return [Run(entry) for entry in reversed(skim(trail, pattern, KINDS))]


def complete(trail: TrailLog, some: Sequence[Run]) -> list[Run]:
    """The same runs, read in full."""
    whole = {entry.id: entry for entry in load(trail, [run.entry.id for run in some])}
    return [Run(whole[run.entry.id], run.gates) for run in some if run.entry.id in whole]


def find_run(trail: TrailLog, prefix: str) -> Run:
    """The run whose entry's id begins so, with its measurements. Raises MlopsError."""
    entry = trail.find(prefix)
    if not entry.address.startswith("train.") or entry.kind not in KINDS:
        raise MlopsError(
            f"entry {entry.id[:12]} is no training run: {entry.kind} {entry.address}".rstrip(),
            hint="mlopsctl runs ls shows the runs",
            code="MLO7259",
        )
    return with_gates(trail, [Run(entry)])[0]


def with_gates(trail: TrailLog, some: Sequence[Run]) -> list[Run]:
    """The same runs with the newest measurement by each gate, of the model or of an artifact made of it."""
    kinds = {run.trial: "trial" if run.trial else "result" for run in some}
    measured = {
        trial: _measured(trail, [run.model for run in some if run.model and run.trial is trial], kind)
        for trial, kind in kinds.items()
    }
    return [Run(run.entry, measured[run.trial].get(run.model, {})) for run in some]


def _measured(trail: TrailLog, models: Sequence[str], kind: str) -> dict[str, dict[str, Entry]]:
    """Model -> gate's name -> measurement; those of trials say nothing about a result, nor the other way round."""
    if len(models) <= _FEW:
        users = made_with(trail, models)
        compiled = [entry for entry in users if entry.address.startswith("targets.")]
        artifacts = [digest for entry in compiled for digest in entry.outputs.values()]
        gates = [*(e for e in users if e.address.startswith("gates.")), *made_with(trail, artifacts)]
    else:
        compiled = skim(trail, "targets.*", (kind,), inputs_only=True)
        gates = skim(trail, "gates.*", (kind,), inputs_only=True)
    made_of: dict[str, str] = {model: model for model in models}
    for entry in compiled:
        model = next((digest for section, digest in inputs_of(entry) if section == "train"), "")
        made_of |= {digest: model for digest in entry.outputs.values() if model in made_of}
    found: dict[str, dict[str, Entry]] = {}
    for gate in sorted(gates, key=lambda entry: (entry.seq, entry.id)):
        if gate.kind != kind or not gate.address.startswith("gates."):
            continue
        for section, digest in inputs_of(gate):
            if section in ("train", "targets") and digest in made_of:
                found.setdefault(made_of[digest], {})[str(Address.parse(gate.address)).partition(".")[2]] = gate
    return found


@dataclass
class Data:
    """Looks up which dataset a digest is a view of; the same digest is asked for once."""

    trail: TrailLog
    _known: dict[str, str] = field(default_factory=dict)

    def of(self, run: Run) -> list[dict[str, str]]:
        """Role, digest and address of everything that the run was given, models that it started from included."""
        given = run.entry.ingredients.get("inputs")
        return [
            {"role": str(role), "digest": str(digest), "address": self._address(str(digest))}
            for role, some in (sorted(given.items()) if isinstance(given, dict) else ())
            for digest in (some if isinstance(some, list) else [some])
        ]

    def _address(self, digest: str) -> str:
        if digest not in self._known:
            made = makers(self.trail, digest)
            name = next((name for name, value in made[0].outputs.items() if value == digest), "") if made else ""
            self._known[digest] = f"{made[0].address}:{name}" if made else ""
        return self._known[digest]


def figure(gate: Entry) -> Json:
    """What the gate measured, else its verdict."""
    return gate.facts.get("value", gate.status)


def gate_json(gate: Entry) -> dict[str, Json]:
    facts = gate.facts
    return {
        "status": gate.status,
        "value": facts.get("value"),
        "ci": facts.get("ci"),
        "n": facts.get("n"),
        "metric": facts.get("metric"),
        "view": facts.get("view"),
        "entry": gate.id,
        "signer": gate.signer,
    }


def run_json(run: Run, data: Data) -> dict[str, Json]:
    """One run as the verbs print it; see schemas/runs.schema.json."""
    entry = run.entry
    failure = {"code": entry.facts.get("code", ""), "message": entry.facts.get("message", "")}
    return {
        "entry": entry.id,
        "at": entry.at,
        "signer": entry.signer,
        "trusted": entry.trusted,
        "address": entry.address,
        "status": entry.status,
        "trial": run.trial,
        "run": run.spec.get("run"),
        "seed": run.spec.get("seed"),
        "params": run.params,
        "data": [dict(item) for item in data.of(run)],
        "commit": entry.commit,
        "code": run.code,
        "made_with": dict(entry.made_with),
        "seconds": _number(run.seconds),
        "cost": _number(run.cost),
        "model": run.model or None,
        "failure": failure if entry.kind == "failure" or entry.status == "crashed" else None,
        "supersedes": list(entry.supersedes),
        "gates": {name: gate_json(gate) for name, gate in sorted(run.gates.items())},
        "claimed": run.claimed,
    }


def _number(value: Json) -> Json:
    """Decimals are text inside entries, and numbers in what programs read."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


# --- Side by side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One field of several runs; None where a run has no such field."""

    group: str
    name: str
    values: tuple[Json, ...]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values[1:])


def compare(trail: TrailLog, some: Sequence[Run]) -> list[Line]:
    """Everything that can differ between runs: settings, code by file, data, versions, measurements, claims."""
    data = Data(trail)
    lines = [
        Line("run", "address", tuple(run.entry.address for run in some)),
        Line("run", "status", tuple(run.entry.status for run in some)),
        Line("run", "at", tuple(run.entry.at for run in some)),
        Line("run", "signer", tuple(run.entry.signer for run in some)),
        Line("run", "seconds", tuple(run.seconds for run in some)),
        Line("run", "cost", tuple(run.cost for run in some)),
        Line("code", "commit", tuple(run.entry.commit for run in some)),
    ]
    lines += _files(trail, some)
    lines += _lines("settings", [{key: unplain(run.spec[key]) for key in run.spec if key != "params"} for run in some])
    lines += _lines("params", [run.params for run in some])
    lines += _lines("data", [_by_role(data.of(run)) for run in some])
    lines += _lines("versions", [dict(run.entry.made_with) for run in some])
    lines += _lines("gates", [{name: gate_json(gate) for name, gate in run.gates.items()} for run in some])
    lines += _lines("claimed", [run.claimed for run in some])
    return [line for line in lines if any(value not in (None, "") for value in line.values)]


def _lines(group: str, some: Sequence[Mapping[str, Json]]) -> list[Line]:
    names = dict.fromkeys(name for one in some for name in sorted(one))
    return [Line(group, name, tuple(one.get(name) for one in some)) for name in names]


def _by_role(given: Iterable[Mapping[str, str]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for item in given:
        found.setdefault(item["role"], []).append(f"{item['digest']}{' ' * bool(item['address'])}{item['address']}")
    return found


def _files(trail: TrailLog, some: Sequence[Run]) -> list[Line]:
    """The files of code that differ, by their blob ids; where the trail does not keep the code, its tree."""
    kept = [trail.code_files(run.code) if run.code else {} for run in some]
    if any(run.code and not files for run, files in zip(some, kept, strict=True)):
        return [Line("code", "tree", tuple(run.code or None for run in some))]
    names = sorted({name for files in kept for name in files})
    lines = [Line("code", name, tuple(files[name].oid if name in files else None for files in kept)) for name in names]
    return [line for line in lines if line.differs]
