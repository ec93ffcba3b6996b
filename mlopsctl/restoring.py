"""Brings the bytes of inputs here, and makes again what is attested and gone: compared, never trusted anew.

``reproducible:`` of a training step says what has to come out again: the same bytes, the same figures, or nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

from .crew import Crew
from .errors import EvidenceError, RebuiltError
from .plan import Assessment, assess
from .provider import MEANING, Context
from .registry import provider
from .slots import Demand, demand
from .types import (
    COMPARED,
    GUARD,
    RUNNING,
    Address,
    Digest,
    Input,
    Json,
    Need,
    Observed,
    Outcome,
    Resource,
    Selection,
    Verdict,
)
from .workshop import Workshop

Line = tuple[Address, str]
"""What is done to an address, in words."""

Work = Callable[[Resource, Sequence[Input], Context], tuple[Outcome, dict[str, Digest]]]
Measure = Callable[[Resource, Sequence[Input], Resource], Mapping[str, Json]]
"""The facts that a gate finds, given its inputs, while the step that is made again is under way."""


class Figures(NamedTuple):
    """What a gate measured of the lost model and of the new one; ``agrees`` where the new value lies in the old interval."""

    gate: Address
    agrees: bool
    text: str
    measured: bool
    """Whether there are two values, and no verdict alone."""


class Restorer:
    """Works for one walk, in several of its threads at once, and shares what that has seen: ``seen`` and ``verdicts`` are the
    walk's own. What only the thread that orders may do is asked of it by the crew.
    """

    def __init__(
        self,
        shop: Workshop,
        resources: Mapping[Address, Resource],
        seen: dict[Address, Observed | None],
        verdicts: Mapping[Address, Verdict | None],
        selection: Selection,
        crew: Crew,
        work: Work,
        measure: Measure,
    ):
        self._shop = shop
        self._resources = resources
        self._seen = seen
        self._verdicts = verdicts
        self._selection = selection._replace(replaced=())
        self._crew = crew
        self._making: defaultdict[Address, Lock] = defaultdict(Lock)
        self._rebuilt: set[Address] = set()
        self._work = work
        self._measure = measure

    def asks(self, inputs: Sequence[Input]) -> list[Demand]:
        """What the making of these inputs asks of the machine, one demand each; none where all of them are here.

        Counted are the resources that are lost, those that they are made from, and gates that may measure them again.
        """
        found: dict[Address, Demand] = {}
        waiting = list(inputs)
        while waiting:
            item = waiting.pop()
            if item.need.address in found or self._here(item):
                continue
            want = self._resources.get(item.need.address)
            found[item.need.address] = demand(want) if want is not None else Demand()
            if want is not None and want.address in self._seen:
                waiting += self._look(want).inputs
                if getattr(want.spec, "reproducible", "") == "metrics":
                    found |= {gate.address: demand(gate) for gate in self._gates_of(want)}
        return list(found.values())

    def have(self, inputs: Sequence[Input], cards: tuple[str, ...]) -> Iterator[Line]:
        """Brings the bytes of inputs here; those of today's resources are made again where they are gone.

        Raises EvidenceError for lost bytes of a rollback, which no resource of today can make again, and RebuiltError where
        other bytes came out that take the place of the lost ones: what follows from them has to be planned anew.
        """
        for item in inputs:
            yield from self._have(item, cards)

    def _have(self, item: Input, cards: tuple[str, ...]) -> Iterator[Line]:
        if self._here(item) or item.seen is None or item.digest is None:
            return
        address, digest = item.need.address, item.digest
        # Who needs the same waits, and finds it made.
        with self._making[address]:
            if self._here(item):
                return
            if address in self._rebuilt:
                raise _rebuilt(address, "for another step")
            today = self._seen.get(address)
            if today is None or today.outputs.get(item.need.output) != digest:
                raise EvidenceError(
                    f"what {address} made in entry {item.seen.entry[:12]} is in no store any more",
                    hint="mlopsctl pull fetches it where it was pushed; mlopsctl resume lifts a rollback; or name another "
                    "version:",
                    code="MLO7202",
                )
            yield from self._restore(item.need, today, digest, cards)

    def _here(self, item: Input) -> bool:
        """Whether the bytes, their signature and what they mean can be had."""
        seen, digest = item.seen, item.digest
        if item.role in (GUARD, RUNNING) or seen is None or digest is None:
            return True
        # Another thread may have had the signature made anew.
        today = self._seen.get(item.need.address)
        now = today if today is not None and today.outputs.get(item.need.output) == digest else seen
        signature = now.outputs.get(item.need.output + ".sig", digest)
        return all(self._shop.here(one) for one in (digest, signature, seen.outputs.get(MEANING, digest)))

    def _gates_of(self, want: Resource) -> Iterator[Resource]:
        for gate in self._resources.values():
            if gate.address.section == "gates" and _measures(gate, want):
                yield gate

    def _look(self, want: Resource) -> Assessment:
        found: Assessment = self._crew.ask(
            lambda: assess(want, self._seen, self._verdicts, self._shop.world, self._selection)
        )
        return found

    def _restore(self, need: Need, seen: Observed, digest: Digest, cards: tuple[str, ...]) -> Iterator[Line]:
        want = self._resources[need.address]
        signature = seen.outputs.get(need.output + ".sig", digest)
        yield want.address, "outputs lost: made again and compared"
        yield from self.have(self._look(want).inputs, cards)
        again = self._look(want)
        self._shop.started(want.address, seen.made_from)
        cards = cards[: demand(want).gpu]
        context = self._crew.ask(
            lambda: self._crew.equip(want.address, self._shop.context(want.address)._replace(cards=cards))
        )
        outcome, outputs = self._work(want, again.inputs, context)
        if any(outputs.get(name) != seen.outputs.get(name) for name in {need.output, MEANING}):
            facts, why = yield from self._other_bytes(
                want, need, seen, Observed(seen.made_from, outputs, outcome.facts), cards
            )
            self._record(want, again, seen, outputs, outcome._replace(facts={**outcome.facts, **facts}))
            self._rebuilt.add(want.address)
            raise _rebuilt(want.address, why)
        if signature != digest and not self._shop.here(signature):
            # The same bytes under a new signature: attested anew, in place of the entry whose signature is lost.
            self._record(want, again, seen, outputs, outcome)

    def _record(
        self, want: Resource, again: Assessment, seen: Observed, outputs: Mapping[str, Digest], outcome: Outcome
    ) -> None:
        facts = {**outcome.facts, "supersedes": seen.entry}
        self._seen[want.address] = self._crew.ask(
            lambda: self._shop.record(
                "result",
                want,
                status="done",
                made_from=seen.made_from,
                parts=again.parts,
                outputs=outputs,
                outcome=Outcome(outputs, facts, outcome.made_with),
                sources=again.sources,
            )
        )

    def _other_bytes(
        self, want: Resource, need: Need, lost: Observed, new: Observed, cards: tuple[str, ...]
    ) -> Generator[Line, None, tuple[dict[str, Json], str]]:
        """What an entry says of bytes that may take the place of others, and why they may. Raises EvidenceError."""
        asked = getattr(want.spec, "reproducible", "bitwise")
        if asked == "none":
            return {"reproduced": "none"}, "reproducible: none"
        if asked == "bitwise":
            what = f"came out different: {new.outputs.get(need.output)} instead of {lost.outputs.get(need.output)}"
            raise _refused(want, what)
        yield want.address, "came out different: its gates measure it again"
        compared = []
        for gate in self._gates_of(want):
            compared += yield from self._compare(gate, want, new, cards)
        other = [one.text for one in compared if not one.agrees]
        if other:
            raise _refused(want, f"measures otherwise: {'; '.join(other)}")
        if not any(one.measured for one in compared):
            raise _refused(
                want, "came out different, and no gate of this plan had measured it: nothing can be compared"
            )
        said = {str(one.gate): one.text for one in compared if one.measured}
        return {"reproduced": "metrics"}, f"reproducible: metrics; {', '.join(said.values())}"

    def _compare(
        self, gate: Resource, want: Resource, new: Observed, cards: tuple[str, ...]
    ) -> Generator[Line, None, list[Figures]]:
        """What a gate that measured the lost model finds in the new one; nothing where it never did."""
        found = self._look(gate)
        if found.seen is None:
            return []
        inputs = [one._replace(seen=new) if _is_made_again(one, want) else one for one in found.inputs]
        yield from self.have([one for one in inputs if not _is_made_again(one, want)], cards)
        facts = self._measure(gate, inputs, want)
        verdict = provider(gate.provider).judge(gate, Observed(found.seen.made_from, {}, facts), inputs)
        return [figures(gate, found.seen.facts, facts, verdict)]


def _measures(gate: Resource, want: Resource) -> bool:
    """Whether it measures what the step makes itself, and not what something else made of it."""
    return any(one.address == want.address for one in gate.needs) and not any(
        one.role in ("artifact", RUNNING) for one in gate.needs
    )


def _is_made_again(item: Input, want: Resource) -> bool:
    """What is compared with, the champion of a gate say, may be an older result of the same step."""
    return item.need.address == want.address and item.role not in COMPARED


def figures(gate: Resource, old: Mapping[str, Json], new: Mapping[str, Json], verdict: Verdict) -> Figures:
    """Both measurements of a gate compared; one without a value agrees where it lets the new model through."""
    before, after = _number(old.get("value")), _number(new.get("value"))
    if before is None:
        return Figures(gate.address, not verdict.blocks, f"{gate.address} {verdict.status.value}", False)
    low, high = map(float, old["ci"]) if old.get("ci") else (before, before)
    agrees = after is not None and low <= after <= high
    word = "within" if agrees else "is not within"
    shown = "no value" if after is None else f"{after:g}"
    return Figures(gate.address, agrees, f"{gate.address} {shown} {word} [{low:g}, {high:g}]", True)


def _number(value: Json) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _rebuilt(address: Address, why: str) -> RebuiltError:
    return RebuiltError(
        f"{address} was made again and came out different ({why}): it is recorded in place of what is lost",
        hint="what follows from it is planned anew: mlopsctl plan && mlopsctl apply",
    )


def _refused(want: Resource, what: str) -> EvidenceError:
    return EvidenceError(
        f"{want.address} was made again and {what}",
        hint="bring back the attested bytes (mlopsctl pull), or accept a new result: "
        f"mlopsctl apply --replace {want.address}",
        code="MLO7201",
    )
