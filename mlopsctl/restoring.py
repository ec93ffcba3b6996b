"""Brings the bytes of inputs here, and makes again what is attested and gone: compared, never trusted anew.

``reproducible:`` of a training step says what has to come out again: the same bytes, the same figures, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import EvidenceError, RebuiltError
from .plan import Assessment, assess
from .provider import MEANING, Context, provider
from .types import GUARD, Address, Digest, Input, Json, Need, Observed, Outcome, Resource, Selection, Verdict

if TYPE_CHECKING:
    from .apply import Workshop

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
    """Works for one walk, and shares what that has seen: ``seen`` and ``verdicts`` are the walk's own."""

    def __init__(
        self,
        shop: Workshop,
        resources: Mapping[Address, Resource],
        seen: dict[Address, Observed | None],
        verdicts: Mapping[Address, Verdict | None],
        selection: Selection,
        work: Work,
        measure: Measure,
    ):
        self._shop = shop
        self._resources = resources
        self._seen = seen
        self._verdicts = verdicts
        self._selection = selection._replace(replaced=())
        self._work = work
        self._measure = measure

    def have(self, item: Input) -> Iterator[Line]:
        """Brings an input's bytes here; those of today's resources are made again where they are gone.

        Raises EvidenceError for lost bytes of a rollback, which no resource of today can make again, and RebuiltError where
        other bytes came out that take the place of the lost ones: what follows from them has to be planned anew.
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

    def _look(self, want: Resource) -> Assessment:
        return assess(want, self._seen, self._verdicts, self._shop.world, self._selection)

    def _restore(self, need: Need, seen: Observed, digest: Digest, signature: Digest) -> Iterator[Line]:
        want = self._resources[need.address]
        yield want.address, "outputs lost: made again and compared"
        for upstream in self._look(want).inputs:
            yield from self.have(upstream)
        again = self._look(want)
        self._shop.started(want.address, seen.made_from)
        outcome, outputs = self._work(want, again.inputs, self._shop.context(want.address))
        if any(outputs.get(name) != seen.outputs.get(name) for name in {need.output, MEANING}):
            facts, why = yield from self._other_bytes(
                want, need, seen, Observed(seen.made_from, outputs, outcome.facts)
            )
            self._record(want, again, seen, outputs, outcome._replace(facts={**outcome.facts, **facts}))
            raise RebuiltError(
                f"{want.address} was made again and came out different ({why}): it is recorded in place of what is lost",
                hint="what follows from it is planned anew: mlopsctl plan && mlopsctl apply",
            )
        if signature != digest and not self._shop.here(signature):
            # The same bytes under a new signature: attested anew, in place of the entry whose signature is lost.
            self._record(want, again, seen, outputs, outcome)

    def _record(
        self, want: Resource, again: Assessment, seen: Observed, outputs: Mapping[str, Digest], outcome: Outcome
    ) -> None:
        facts = {**outcome.facts, "supersedes": seen.entry}
        self._seen[want.address] = self._shop.record(
            "result",
            want,
            status="done",
            made_from=seen.made_from,
            parts=again.parts,
            outputs=outputs,
            outcome=Outcome(outputs, facts, outcome.made_with),
            sources=again.sources,
        )

    def _other_bytes(
        self, want: Resource, need: Need, lost: Observed, new: Observed
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
        for gate in self._resources.values():
            if gate.address.section == "gates" and any(one.address == want.address for one in gate.needs):
                compared += yield from self._compare(gate, want, new)
        other = [one.text for one in compared if not one.agrees]
        if other:
            raise _refused(want, f"measures otherwise: {'; '.join(other)}")
        if not any(one.measured for one in compared):
            raise _refused(
                want, "came out different, and no gate of this plan had measured it: nothing can be compared"
            )
        said = {str(one.gate): one.text for one in compared if one.measured}
        return {"reproduced": "metrics"}, f"reproducible: metrics; {', '.join(said.values())}"

    def _compare(self, gate: Resource, want: Resource, new: Observed) -> Generator[Line, None, list[Figures]]:
        """What a gate that measured the lost model finds in the new one; nothing where it never did."""
        found = self._look(gate)
        if found.seen is None:
            return []
        inputs = [one._replace(seen=new) if one.need.address == want.address else one for one in found.inputs]
        for one in inputs:
            if one.need.address != want.address:
                yield from self.have(one)
        facts = self._measure(gate, inputs, want)
        verdict = provider(gate.provider).judge(gate, Observed(found.seen.made_from, {}, facts), inputs)
        return [figures(gate, found.seen.facts, facts, verdict)]


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


def _refused(want: Resource, what: str) -> EvidenceError:
    return EvidenceError(
        f"{want.address} was made again and {what}",
        hint="bring back the attested bytes (mlopsctl pull), or accept a new result: "
        f"mlopsctl apply --replace {want.address}",
        code="MLO7201",
    )
