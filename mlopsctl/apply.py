"""Walks a plan, makes each step so and records it; yields events, prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from .errors import EvidenceError, MlopsError
from .plan import Assessment, World, assess
from .provider import MEANING, Context, Inputs, provider, with_meaning
from .types import (
    GUARD,
    Action,
    Address,
    Digest,
    Input,
    Json,
    Need,
    Observed,
    Outcome,
    Plan,
    Resource,
    Status,
    Step,
    TreeFile,
    Verdict,
)


@dataclass(frozen=True)
class Event:
    """What happened: ``start``, ``done``, ``skip``, ``block``, ``wait``, ``fail``, ``hold`` or ``restore`` of one address."""

    event: str
    address: str
    action: str = ""
    text: str = ""
    seconds: float = 0.0
    entry: str = ""
    error: MlopsError | None = None
    verdict: Verdict | None = None


class Workshop(Protocol):
    """Where steps are made and recorded."""

    @property
    def world(self) -> World: ...

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        """A context with a fresh empty scratch folder, which the next call clears, and the key behind the artifact."""

    def admit(self, want: Resource, sources: Mapping[str, TreeFile]) -> None:
        """Raises EvidenceError, before hours of work, for code that the trail would refuse to keep."""

    def keep(self, outputs: Mapping[str, Path | Digest]) -> dict[str, Digest]:
        """Takes outputs over into the store and signs every folder among them (``NAME.sig``)."""

    def record(
        self,
        kind: str,
        want: Resource,
        *,
        status: str = "",
        made_from: Digest | None = None,
        parts: Mapping[str, Json] | None = None,
        outputs: Mapping[str, Digest] | None = None,
        outcome: Outcome | None = None,
        facts: Mapping[str, Json] | None = None,
        sources: Mapping[str, TreeFile] | None = None,
    ) -> Observed:
        """Signs one entry and puts it into the journal, durably."""

    def here(self, digest: Digest) -> bool:
        """Whether the bytes can be had from the local store or a mirror (fetching them from there)."""

    def tell(self, address: Address, line: str) -> None: ...


class Walk:
    """One apply: goes through the resources in plan order and keeps what it has seen."""

    def __init__(self, plan: Plan, resources: Sequence[Resource], workshop: Workshop):
        self._planned = {step.address: step for step in plan.steps}
        # What the plan leaves out is not looked at.
        self._resources = {want.address: want for want in resources if want.address in self._planned}
        self._declared = frozenset(want.address for want in resources)
        self._removals = [step for step in plan.steps if step.address not in self._declared]
        self._shop = workshop
        self._selection = plan.selection
        self._seen: dict[Address, Observed | None] = {}
        self._verdicts: dict[Address, Verdict | None] = {}
        self._stuck: dict[Address, str] = {}

    def __iter__(self) -> Iterator[Event]:
        failed = False
        for want in self._resources.values():
            if failed and self._planned[want.address].action is not Action.NOOP:
                yield Event("skip", str(want.address), text="not started after the failure above")
                continue
            for event in self._step(want):
                failed = failed or event.event == "fail"
                yield event
        removed = {want.address: (want, seen) for want, seen in self._shop.world.undeclared(self._declared)}
        for step in self._removals:
            if not failed and step.address in removed:
                yield from self._remove(*removed[step.address])

    def _step(self, want: Resource) -> Iterator[Event]:
        stuck = next((need.address for need in want.needs if self._is_stuck(need)), None)
        if stuck is not None:
            self._stuck[want.address] = f"waits for {stuck}"
            yield Event("skip", str(want.address), text=f"waits for {stuck}")
            return
        try:
            found = assess(want, self._seen, self._verdicts, self._shop.world, self._selection)
        except MlopsError as error:
            yield self._fail(want, self._planned[want.address], error)
            return
        self._seen[want.address], self._verdicts[want.address] = found.seen, found.step.verdict
        if found.step.action is Action.NOOP:
            yield from self._standing(want, found)
        elif found.step.blocked_by:
            self._stuck[want.address] = "is blocked"
            yield Event("block", str(want.address), found.step.action.name, ", ".join(found.step.blocked_by))
        elif found.step.waits_for:
            self._stuck[want.address] = "waits for people"
            yield Event("wait", str(want.address), found.step.action.name, ", ".join(found.step.waits_for))
        else:
            yield from self._make(want, found)

    def _is_stuck(self, need: Need) -> bool:
        """A guard without a verdict holds its step back: unknown is not passed."""
        unjudged = need.role == GUARD and self._verdicts.get(need.address) is None
        return need.address in self._stuck or unjudged

    def _standing(self, want: Resource, found: Assessment) -> Iterator[Event]:
        planned = self._planned[want.address]
        if planned.action is not Action.NOOP:
            yield Event("skip", str(want.address), text="already there: what it is made from did not change")
        if found.step.blocked_by:
            yield Event("block", str(want.address), text=", ".join(found.step.blocked_by))
        if found.step.verdict is not None and found.step.verdict.blocks:
            yield Event("verdict", str(want.address), verdict=found.step.verdict)
        if found.step.held_by:
            yield Event("hold", str(want.address), text=found.step.held_by)

    def _make(self, want: Resource, found: Assessment) -> Iterator[Event]:
        address, action = str(want.address), found.step.action.name
        yield Event("start", address, action, found.step.reason.text)
        begun = monotonic()
        try:
            for item in found.inputs:
                yield from self._have(item)
            self._shop.admit(want, found.sources)
            observed, verdict = self._run(want, self._with_restored(want, found))
        except MlopsError as error:
            yield self._fail(want, found.step, error, found.parts, monotonic() - begun)
            return
        self._seen[want.address] = observed
        self._verdicts[want.address] = verdict
        yield Event("done", address, action, verdict.text, monotonic() - begun, observed.entry, verdict=verdict)

    def _fail(
        self,
        want: Resource,
        step: Step,
        error: MlopsError,
        parts: Mapping[str, Json] | None = None,
        seconds: float = 0.0,
    ) -> Event:
        """Records an attempt that failed; what needs the step waits."""
        facts = {"code": error.code, "message": error.message[:500]}
        made_from = step.made_from if parts else None
        entry = self._shop.record("failure", want, status="failed", made_from=made_from, parts=parts, facts=facts).entry
        self._stuck[want.address] = "failed"
        return Event("fail", str(want.address), step.action.name, error.message, seconds, entry, error)

    def _with_restored(self, want: Resource, found: Assessment) -> Assessment:
        """The same step with inputs as restoring left them: their digests are the same, their entries may not be.

        What a rollback deploys is no output of today's resources, and stays as it was found.
        """
        now = []
        for item in found.inputs:
            seen = self._seen.get(item.need.address)
            same = seen is not None and seen.outputs.get(item.need.output) == item.digest
            now.append(item._replace(seen=seen) if same else item)
        return found._replace(inputs=tuple(now))

    def _run(self, want: Resource, found: Assessment) -> tuple[Observed, Verdict]:
        """Makes the step and records it, a gate with its verdict; what could not be assessed is tried again next time."""
        context = self._shop.context(want.address, found.inputs)
        outcome = provider(want.provider).apply(want, with_meaning(found.inputs, context.store), context)
        outputs = self._shop.keep(outcome.outputs)
        facts = dict(outcome.facts)
        if found.step.action is Action.REPLACE and found.seen:
            facts["supersedes"] = found.seen.entry
        made_from = found.step.made_from or Digest("")
        verdict = provider(want.provider).judge(want, Observed(made_from, outputs, facts), found.inputs)
        measured = want.address.section == "gates"
        unassessed = measured and verdict.status is Status.NOT_ASSESSED
        observed = self._shop.record(
            "failure" if unassessed else "result",
            want,
            status=verdict.status.value if measured else "done",
            made_from=made_from,
            parts=found.parts,
            outputs=outputs,
            outcome=Outcome(outputs, {**facts, "message": verdict.text} if unassessed else facts, outcome.made_with),
            sources=found.sources,
        )
        return observed, verdict

    def _have(self, item: Input) -> Iterator[Event]:
        """Brings an input's bytes here; those of today's resources are made again where they are gone.

        Raises EvidenceError for lost bytes of a rollback, which no resource of today can make again.
        """
        seen, digest = item.seen, item.digest
        if item.role == GUARD or seen is None or digest is None:
            return
        signature = seen.outputs.get(item.need.output + ".sig", digest)
        meaning = seen.outputs.get(MEANING, digest)
        if self._shop.here(digest) and self._shop.here(signature) and self._shop.here(meaning):
            return
        today = self._seen.get(item.need.address)
        if today is None or today.outputs.get(item.need.output) != digest:
            raise EvidenceError(
                f"what {item.need.address} made in entry {seen.entry[:12]} is in no store any more",
                hint="mlopsctl pull fetches it where it was pushed; mlopsctl resume lifts a rollback",
                code="MLO7202",
            )
        yield from self._restore(item.need, today, digest, signature)

    def _restore(self, need: Need, seen: Observed, digest: Digest, signature: Digest) -> Iterator[Event]:
        """Attested bytes that are gone are made again from the same inputs and compared: never trusted anew."""
        want = self._resources[need.address]
        yield Event("restore", str(need.address), text="outputs lost: made again and compared")
        again = assess(want, self._seen, self._verdicts, self._shop.world)
        for upstream in again.inputs:
            yield from self._have(upstream)
        again = assess(want, self._seen, self._verdicts, self._shop.world)
        context = self._shop.context(want.address)
        outcome = provider(want.provider).apply(want, with_meaning(again.inputs, context.store), context)
        outputs = self._shop.keep(outcome.outputs)
        if any(outputs.get(name) != seen.outputs.get(name) for name in {need.output, MEANING}):
            raise EvidenceError(
                f"{need.address} was made again and came out different: {outputs.get(need.output)} instead of {digest}",
                hint=f"bring back the attested bytes (mlopsctl pull), or accept a new result: "
                f"mlopsctl apply --replace {need.address}",
                code="MLO7201",
            )
        if signature != digest and not self._shop.here(signature):
            # The same bytes under a new signature: attested anew, in place of the entry whose signature is lost.
            facts = {**outcome.facts, "supersedes": seen.entry}
            self._seen[need.address] = self._shop.record(
                "result",
                want,
                status="done",
                made_from=seen.made_from,
                parts=again.parts,
                outputs=outputs,
                outcome=Outcome(outputs, facts, outcome.made_with),
                sources=again.sources,
            )

    def _remove(self, want: Resource, seen: Observed) -> Iterator[Event]:
        yield Event("start", str(want.address), Action.DELETE.name, "no longer in the manifest")
        outcome = provider(want.provider).remove(seen, self._shop.context(want.address))
        entry = self._shop.record("destroy", want, status="done", made_from=seen.made_from, outcome=outcome).entry
        yield Event("done", str(want.address), Action.DELETE.name, entry=entry)


def summary(events: Sequence[Event], plan: Plan) -> dict[str, Json]:
    """How many steps were applied, skipped, blocked and failed; the last line of ``apply --format json``."""
    count = Counter(event.event for event in events)
    return {
        "event": "summary",
        "applied": count["done"],
        "skipped": count["skip"],
        "waiting": count["wait"],
        "blocked": count["block"],
        "failed": count["fail"],
        "unchanged": sum(step.action is Action.NOOP for step in plan.steps),
    }
