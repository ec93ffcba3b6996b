"""The how-manieth model it is that is measured on the same rows. Pure.

A bar that many models were held against on the same rows is cleared by luck in the end: the test set becomes one more
thing that was fitted (Dwork et al., The reusable holdout, 2015).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from .errors import GateError
from .provider import Inputs
from .types import Address, Digest, Observed, Resource

_WORDS = {1: "first", 2: "second", 3: "third"}


class Look(NamedTuple):
    """The first measurement of a model on some rows."""

    model: Digest
    gate: str
    at: str
    signer: str
    seq: int = 0


class Release(NamedTuple):
    """The models that the rows of a dataset have judged: ever, and for the first time since the last release."""

    ever: frozenset[Digest] = frozenset()
    since: tuple[Look, ...] = ()


def since_release(looks: Sequence[Look], deployments: Iterable[tuple[str, int]]) -> Release:
    """Where the looks stand, oldest first, after deployments: (model, place in the trail), oldest first.

    A release ends where a model goes out that was first measured in it. What goes out again, is rolled back to, or
    goes on from one deployment to the next was released before, and ends nothing.
    """
    begun = 0
    first = {look.model: look.seq for look in looks}
    for model, seq in deployments:
        if begun < first.get(Digest(model), 0) < seq:
            begun = seq
    return Release(frozenset(first), tuple(look for look in looks if look.seq > begun))


class Asked(Protocol):
    """What is asked of the world here; see ``world.World``."""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]: ...


class Judging(Protocol):
    """What is asked of it about final rows."""

    def is_final(self, data: Address) -> bool: ...

    def models_judged(self, address: Address, data: Observed) -> Release: ...


def nth_model(inputs: Inputs, world: Asked) -> int | None:
    """The place of the model in the order in which models were measured on these rows; a new one comes last.

    None where the rows are not known yet, or no rows are asked for.
    """
    data = next((item for item in inputs if item.role == "data"), None)
    model = next((item for item in inputs if item.role == "model"), None)
    if data is None or data.seen is None or model is None:
        return None
    before = world.measured(data.seen, data.need.output)
    return before.index(model.digest) + 1 if model.digest in before else len(before) + 1


def ordinal(number: int) -> str:
    """``first``, ``second``, ``third``, ``4th``, ``21st``."""
    ends = {1: "st", 2: "nd", 3: "rd"}
    end = "th" if number % 100 in (11, 12, 13) else ends.get(number % 10, "th")
    return _WORDS.get(number, f"{number}{end}")


def looks(number: int | None) -> tuple[str, ...]:
    """One line about it; none where nobody knows."""
    return (f"the {ordinal(number)} model measured on these rows",) if number else ()


def sealed(want: Resource, inputs: Inputs, world: Judging) -> tuple[str, ...]:
    """Why a gate may not measure: its rows are final, and have judged another model since the last release.

    A model that is still to be made is another one, as far as anybody can say; once it is there, that is asked again.
    """
    if want.address.section != "gates":
        return ()
    models = {item.digest for item in inputs if item.role == "model"}
    found = []
    for item in inputs:
        if item.role != "data" or item.seen is None or not world.is_final(item.need.address):
            continue
        release = world.models_judged(item.need.address, item.seen)
        if release.since and not models <= release.ever:
            found.append(_why(item.need.address, release.since))
    return tuple(found)


def _why(data: Address, since: Sequence[Look]) -> str:
    first, more = since[0], len(since) - 1
    others = f" and {more} more" if more else ""
    return (
        f"{data}, which is final and has judged a model since the last release: {first.model[:20]}{others}, by {first.gate}"
        f" at {first.at} for {first.signer}; deploy that one, or bring a new test set"
    )


def final_rows(want: Resource, world: Judging) -> frozenset[Address]:
    """The datasets that a gate measures on and that are ``final: true``."""
    needs = want.needs if want.address.section == "gates" else ()
    return frozenset(need.address for need in needs if need.role == "data" and world.is_final(need.address))


def refuse_looks(wanted: Iterable[Resource], world: Judging, what: str, hint: str) -> None:
    """What measures beside a release would be a look as well. Raises GateError for the first gate on final rows."""
    for want in wanted:
        for data in sorted(final_rows(want, world)):
            raise GateError(
                f"{want.address} measures on {data}, which is final: {what} would be one more look at its rows",
                hint=hint,
                where=want.where,
                code="MLO1325",
            )
