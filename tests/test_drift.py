"""A look at the world: what is gone is read, what stands is left alone, and looking alone plans nothing."""

from __future__ import annotations

import pytest

from mlopsctl.drift import looked
from mlopsctl.types import Action, Address, Cost, Digest, Observed, Reason, Step

STANDS = Observed(Digest("sha256:00"), {"text": Digest("sha256:11")})
GONE = STANDS._replace(drift="it does not answer")


def step(action: Action) -> Step:
    return Step(Address("train", "model"), "train/simple", action, Cost.RETRAIN, Reason("why"), None)


@pytest.mark.parametrize(
    ("action", "seen", "lost", "only", "becomes"),
    [
        (Action.NOOP, STANDS, (), False, Action.NOOP),
        (Action.NOOP, STANDS, ("text",), False, Action.READ),
        (Action.UPDATE, STANDS, ("text",), False, Action.UPDATE),
        (Action.CREATE, None, (), False, Action.CREATE),
        (Action.UPDATE, GONE, (), False, Action.UPDATE),
        (Action.UPDATE, GONE, (), True, Action.READ),
        (Action.UPDATE, STANDS, (), True, Action.NOOP),
        (Action.UPDATE, STANDS, ("text",), True, Action.READ),
        (Action.CREATE, None, (), True, None),
    ],
)
def test_what_a_look_makes_of_a_step(
    action: Action, seen: Observed | None, lost: tuple[str, ...], only: bool, becomes: Action | None
) -> None:
    found = looked(step(action), seen, lost, only=only)
    assert (found.action if found else None) is becomes


def test_both_reasons_are_said() -> None:
    found = looked(step(Action.UPDATE), GONE, ("text", "log"), only=True)
    assert found is not None and found.reason.text.startswith("it does not answer; outputs lost: text, log")


@pytest.mark.parametrize("only", [True, False])
def test_what_dvc_has_lost_is_told(only: bool) -> None:
    found = looked(step(Action.NOOP), STANDS, (), only=only, uncached=("data/rows.dvc",))
    assert found is not None and found.action is Action.READ
    assert found.reason.text == "neither DVC's cache nor the working folder has what data/rows.dvc pins: dvc pull"
