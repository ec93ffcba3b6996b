"""Walks a plan, makes each step so and records it; yields events, prints nothing.

One thread, the caller's, assesses, keeps the order and records; each step works in a thread of its own (``crew``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from time import monotonic
from typing import Any, NamedTuple

from .adapters.children import Cancelled
from .adapters.share import sharing
from .budgets import Deadline, allowed, share_of, used_up
from .canonical import decimal
from .crew import Crew, Ended, Restoring, Told
from .errors import MlopsError, RebuiltError, StaleError
from .looks import final_rows
from .order import Ready, keys
from .plan import Assessment, assess, removal
from .provider import Context, with_meaning
from .registry import provider
from .restoring import Restorer
from .selection import is_named
from .slots import EVERYTHING, Machine, Slots, demand, together
from .swap import make, take_down
from .trials import judged, seconds
from .types import (
    AT_REST,
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
    Verdict,
)
from .versions import asked
from .workshop import Event, Workshop

_BEAT = 1.0
"""Seconds between two signs of life while steps run."""

_AFTER_FAILURE = "not started after the failure above"


class _Job(NamedTuple):
    """A step under way."""

    want: Resource
    found: Assessment
    begun: float


class Walk:
    """One apply: goes through the resources, each after what it needs, and keeps what it has seen.

    ``jobs`` steps run at a time, as far as ``machine`` has room for them. Deployments come and go alone. Of those that
    could start, the one with the highest ``priority:`` does; among equals the one with the longest way behind it, going
    by what its steps took last time; and then the one that stands first in the plan. After a failure nothing new is
    started, or with ``keep_going`` nothing that needs what failed; what runs comes to its end.
    """

    def __init__(
        self,
        plan: Plan,
        resources: Sequence[Resource],
        workshop: Workshop,
        *,
        jobs: int = 1,
        keep_going: bool = False,
        machine: Machine | None = None,
    ):
        self._planned = {step.address: step for step in plan.steps}
        # What the plan leaves out is not looked at.
        self._resources = {want.address: want for want in resources if want.address in self._planned}
        self._declared = frozenset(want.address for want in resources)
        self._removals = [step for step in plan.steps if step.address not in self._declared]
        self._shop = workshop
        self._selection = plan.selection
        self._keep_going = keep_going
        self._seen: dict[Address, Observed | None] = {}
        self._verdicts: dict[Address, Verdict | None] = {}
        self._stuck: dict[Address, str] = {}
        self._failed = False
        self._crew = Crew()
        self._slots = Slots(machine or Machine(jobs, 1 << 62), jobs)
        self._jobs: dict[Address, _Job] = {}
        self._kept: dict[Address, Assessment] = {}
        self._restorer = Restorer(
            workshop,
            self._resources,
            self._seen,
            self._verdicts,
            self._selection,
            self._crew,
            self._work,
            self._measure,
        )
        # One at a time takes the same time in any order, so that the plan's own is kept.
        lasts = self._lasted if jobs > 1 else lambda address: 0.0
        self._ready = Ready(self._resources, keys(self._resources, lasts))

    def __iter__(self) -> Iterator[Event]:
        with closing(self._crew):
            while self._ready or self._jobs:
                while self._slots.open() and (address := self._ready.pop()) is not None:
                    yield from self._step(self._resources[address])
                if self._jobs:
                    yield from self._listen()
                self._ready.again()
            removed = {want.address: (want, seen) for want, seen in self._undeclared()}
            for step in self._removals:
                if step.action is not Action.DELETE or step.address not in removed:
                    continue
                if self._failed:
                    # With --keep-going too: what failed may be what should take its place.
                    yield Event("skip", str(step.address), text=_AFTER_FAILURE)
                else:
                    yield from self._remove(*removed[step.address])

    def close(self) -> None:
        """Ends what runs, also where nobody wants the events any more."""
        self._crew.close()

    def _lasted(self, address: Address) -> float:
        """Seconds that a planned step took the last time, 0 where that is not known."""
        if self._planned[address].action in AT_REST:
            return 0.0
        return seconds(self._shop.world.last_result(address))

    def _undeclared(self) -> Sequence[tuple[Resource, Observed]]:
        return self._shop.world.undeclared(self._declared)

    def _step(self, want: Resource) -> Iterator[Event]:
        """Looks at one resource whose needs are settled: settles it, starts it, or puts it back until there is room."""
        address = want.address
        if self._failed and not self._keep_going and self._planned[address].action not in AT_REST:
            self._kept.pop(address, None)
            yield Event("skip", str(address), text=_AFTER_FAILURE)
        elif (stuck := next((need.address for need in _awaited(want) if self._is_stuck(need)), None)) is not None:
            self._stuck[address] = f"waits for {stuck}"
            yield Event("skip", str(address), text=f"waits for {stuck}")
        elif self._is_looked_at(want):
            self._ready.put_back(address)
            return
        else:
            yield from self._look(want)
        if address not in self._jobs and address not in self._kept:
            self._ready.settled(address)

    def _look(self, want: Resource) -> Iterator[Event]:
        found = self._kept.pop(want.address, None)
        # While it waited for room, its final rows may have judged another model.
        if found is None or final_rows(want, self._shop.world):
            try:
                found = assess(want, self._seen, self._verdicts, self._shop.world, self._selection)
            except MlopsError as error:
                yield self._fail(want, self._planned[want.address], error)
                return
            self._seen[want.address], self._verdicts[want.address] = found.seen, found.step.verdict
        if found.step.action is Action.NOOP:
            yield from self._standing(want, found)
        elif found.step.blocked_by and not found.step.free_at:
            self._stuck[want.address] = "is blocked"
            yield Event("block", str(want.address), found.step.action.name, ", ".join(found.step.blocked_by))
        elif found.step.waits_for:
            self._stuck[want.address] = "waits for people"
            yield Event("wait", str(want.address), found.step.action.name, ", ".join(found.step.waits_for))
        elif found.step.blocked_by:
            self._stuck[want.address] = "waits for its time"
            yield Event("soak", str(want.address), found.step.action.name, ", ".join(found.step.blocked_by))
        elif why := self._beyond(want, found.step):
            self._stuck[want.address] = "is not as planned"
            yield Event("stale", str(want.address), found.step.action.name, why, error=_stale(want, why))
        else:
            yield from self._make(want, found)

    def _beyond(self, want: Resource, now: Step) -> str:
        """Why a step would do what the plan did not say; "" where the plan covers it.

        What was unknown while planning may come out in any way; what was known may not have changed since.
        """
        planned = self._planned[want.address]
        if planned.action in AT_REST:
            return f"the plan left it as it is, and now: {now.reason.text}"
        if planned.made_from is not None and now.made_from != planned.made_from:
            return f"what it is made from changed since the plan: {now.reason.text}"
        held = ", ".join((*planned.blocked_by, *planned.waits_for))
        known = [self._planned.get(need.address) for need in want.needs]
        if held and all(step is None or step.action in AT_REST for step in known):
            return f"the plan held it back ({held}), and that has gone since"
        return ""

    def _is_looked_at(self, want: Resource) -> bool:
        """Whether a gate under way measures on the same final rows: only when it is recorded is its look counted."""
        rows = final_rows(want, self._shop.world)
        return bool(rows) and any(rows & final_rows(job.want, self._shop.world) for job in self._jobs.values())

    def _is_stuck(self, need: Need) -> bool:
        """A guard without a verdict holds its step back: unknown is not passed."""
        unjudged = need.role == GUARD and self._verdicts.get(need.address) is None
        return need.address in self._stuck or unjudged

    def _standing(self, want: Resource, found: Assessment) -> Iterator[Event]:
        planned = self._planned[want.address]
        if planned.action not in AT_REST:
            yield Event("skip", str(want.address), text="already there: what it is made from did not change")
        if found.step.blocked_by:
            yield Event("block", str(want.address), text=", ".join(found.step.blocked_by))
        if found.step.waits_for:
            yield Event("wait", str(want.address), planned.action.name, ", ".join(found.step.waits_for))
        if found.step.verdict is not None and found.step.verdict.blocks:
            self._no(found.step.verdict)
            yield Event("verdict", str(want.address), verdict=found.step.verdict)
        if found.step.held_by:
            yield Event("hold", str(want.address), text=found.step.held_by)

    def _make(self, want: Resource, found: Assessment) -> Iterator[Event]:
        """Starts a step, or keeps it until the machine has room; a deployment is made at once, with nothing beside it."""
        alone = want.address.section == "deployments"
        lost = [] if alone else self._restorer.asks(found.inputs)
        cards = self._slots.take(want.address, EVERYTHING if alone else together(demand(want), *lost))
        if cards is None:
            self._kept[want.address] = found
            self._ready.put_back(want.address)
            return
        yield Event("start", str(want.address), found.step.action.name, found.step.reason.text)
        job = _Job(want, found, monotonic())
        try:
            if alone:
                for address, text in self._restorer.have(found.inputs, cards):
                    yield Event("restore", str(address), text=text)
                job, context = self._prepare(job, cards)
                context = context._replace(over=is_named(want.address, self._selection.replaced))
                yield self._finish(job, *self._work(want, job.found.inputs, context, found.seen))
            elif lost:
                self._start(job, lambda: self._restore_and_work(job, cards))
            else:
                ready, context = self._prepare(job, cards)
                self._start(ready, lambda: self._work(want, ready.found.inputs, context))
        except MlopsError as error:
            yield self._unmade(job, error)
        finally:
            # What failed before it began takes no room either.
            if want.address not in self._jobs:
                self._slots.give_back(want.address)

    def _start(self, job: _Job, work: Callable[[], Any]) -> None:
        self._crew.start(job.want.address, work)
        self._jobs[job.want.address] = job

    def _prepare(self, job: _Job, cards: tuple[str, ...]) -> tuple[_Job, Context]:
        """The step with all inputs here, and the context that it is made in; for the thread that orders."""
        want, found = job.want, self._with_restored(job.want, job.found)
        self._shop.admit(want, found.sources)
        self._shop.started(want.address, found.step.made_from or Digest(""))
        context = self._shop.context(want.address, found.inputs)._replace(cards=cards)
        return job._replace(found=found), self._crew.equip(want.address, context)

    def _restore_and_work(self, job: _Job, cards: tuple[str, ...]) -> tuple[Outcome, dict[str, Digest]]:
        """The same in a step's own thread, where what it needs is lost: other steps go on meanwhile."""
        for address, text in self._restorer.have(job.found.inputs, cards):
            self._crew.say(Restoring(address, text))

        def prepare() -> tuple[_Job, Context]:
            ready, context = self._prepare(job, cards)
            self._jobs[job.want.address] = ready
            return ready, context

        ready, context = self._crew.ask(prepare)
        return self._work(job.want, ready.found.inputs, context)

    def _work(
        self, want: Resource, inputs: Sequence[Input], context: Context, seen: Observed | None = None
    ) -> tuple[Outcome, dict[str, Digest]]:
        """Makes a step and puts what it made into the store; all of a step that may run beside others."""
        deadline = Deadline(self._crew.cancelled, allowed(want))
        try:
            with self._shop.working(want.address, deadline), sharing(share_of(want, context.cards)):
                outcome = make(want, with_meaning(inputs, context.store), seen, context)
                outputs = self._shop.keep(outcome.outputs)
                self._shop.release(want.address)
                return outcome, outputs
        except Cancelled:
            if self._crew.cancelled.is_set():
                raise
            raise used_up(want) from None

    def _listen(self) -> Iterator[Event]:
        """Waits for the next word of the steps under way."""
        said = self._crew.news(_BEAT)
        if said is None:
            self._shop.alive()
        elif isinstance(said, Told):
            self._shop.tell(said.address, said.line)
        elif isinstance(said, Restoring):
            yield Event("restore", str(said.address), text=said.text)
        else:
            job = self._jobs.pop(said.address)
            self._slots.give_back(said.address)
            if said.error is not None and not isinstance(said.error, MlopsError):
                raise said.error
            yield self._ended(job, said)
            self._ready.settled(said.address)

    def _ended(self, job: _Job, said: Ended) -> Event:
        try:
            if said.error is not None:
                raise said.error
            return self._finish(job, *said.value)
        except MlopsError as error:
            return self._unmade(job, error)

    def _unmade(self, job: _Job, error: MlopsError) -> Event:
        if isinstance(error, RebuiltError):
            # What it is made from has just changed: nothing was tried, and nothing failed.
            self._stuck[job.want.address] = "is not as planned"
            return Event("stale", str(job.want.address), job.found.step.action.name, error.message, error=error)
        return self._fail(job.want, job.found.step, error, job.found.parts, monotonic() - job.begun)

    def _fail(
        self,
        want: Resource,
        step: Step,
        error: MlopsError,
        parts: Mapping[str, Json] | None = None,
        seconds: float = 0.0,
    ) -> Event:
        """Records an attempt that failed; what needs the step waits."""
        self._failed = True
        facts = {"code": error.code, "message": error.message[:500]}
        made_from = step.made_from if parts else None
        entry = self._shop.record("failure", want, status="failed", made_from=made_from, parts=parts, facts=facts).entry
        self._shop.release(want.address)
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

    def _finish(self, job: _Job, outcome: Outcome, outputs: Mapping[str, Digest]) -> Event:
        """Records what a step made, a gate's with its verdict; what could not be assessed is tried again next time."""
        want, found = job.want, job.found
        facts = dict(outcome.facts)
        if found.step.action is Action.REPLACE and found.seen:
            facts["supersedes"] = found.seen.entry
        made_from = found.step.made_from or Digest("")
        verdict = judged(want, Observed(made_from, outputs, facts), found.inputs, self._selection)
        measured = want.address.section == "gates"
        took = monotonic() - job.begun
        if want.address.section != "deployments":
            facts.setdefault("usage", {"seconds": decimal(took, 3)})
        if measured:
            self._no(verdict)
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
            held=found.held,
        )
        self._seen[want.address], self._verdicts[want.address] = observed, verdict
        action = found.step.action.name
        return Event("done", str(want.address), action, verdict.text, took, observed.entry, verdict=verdict)

    def _no(self, verdict: Verdict) -> None:
        """A trial asks whether it is worth going on: the first gate that says no is the answer."""
        self._failed = self._failed or (self._selection.quick and verdict.blocks)

    def _measure(self, gate: Resource, inputs: Sequence[Input], rebuilt: Resource) -> Mapping[str, Json]:
        """What a gate finds in a model that was made again, while that step is the one under way."""
        context = self._crew.ask(lambda: self._crew.equip(gate.address, self._shop.context(gate.address, inputs)))
        within = sharing(share_of(gate, None))
        with self._shop.working(rebuilt.address, self._crew.cancelled), within:
            outcome: Outcome = provider(gate.provider).apply(gate, with_meaning(inputs, context.store), context)
        self._shop.release(gate.address)
        return outcome.facts

    def _remove(self, want: Resource, seen: Observed) -> Iterator[Event]:
        now = removal(want, seen, self._shop.world)
        if now.action is Action.NOOP:
            yield Event("skip", str(want.address), text=now.reason.text)
            return
        if now.blocked_by or now.waits_for:
            word = "block" if now.blocked_by else "wait"
            yield Event(word, str(want.address), Action.DELETE.name, ", ".join(now.blocked_by or now.waits_for))
            return
        yield Event("start", str(want.address), Action.DELETE.name, now.reason.text)
        try:
            self._shop.started(want.address, seen.made_from)
            context = self._shop.context(want.address)
            with self._shop.working(want.address, self._crew.cancelled):
                outcome = take_down(want, seen, context)
        except MlopsError as error:
            yield self._fail(want, now, error)
            return
        self._shop.release(want.address)
        entry = self._shop.record("destroy", want, status="done", made_from=seen.made_from, outcome=outcome).entry
        yield Event("done", str(want.address), Action.DELETE.name, entry=entry)


def _awaited(want: Resource) -> tuple[Need, ...]:
    """What a step waits for: a deployment that names its version waits for nothing that is made today."""
    return () if asked(want.spec) else want.needs


def _stale(want: Resource, why: str) -> StaleError:
    return StaleError(
        f"{want.address} was not made: {why}",
        hint="look at it and apply again: mlopsctl plan && mlopsctl apply",
        code="MLO6011",
    )


def summary(events: Sequence[Event], plan: Plan) -> dict[str, Json]:
    """How many steps were applied, skipped, blocked and failed; the last line of ``apply --format json``."""
    count = Counter(event.event for event in events)
    return {
        "event": "summary",
        "applied": count["done"],
        "skipped": count["skip"],
        "waiting": count["wait"] + count["soak"],
        "blocked": count["block"],
        "failed": count["fail"],
        "stale": count["stale"],
        # A rename leaves what stands as it is, and is counted by its event.
        "unchanged": sum(step.action in AT_REST and step.action is not Action.MOVE for step in plan.steps),
    }
