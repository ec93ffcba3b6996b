"""Steps about names: a resource that is called otherwise keeps what it has, one that left is forgotten."""

from __future__ import annotations

from mlopsctl.renames import forgotten, renamed
from mlopsctl.types import Action, Address, Cost, Digest, Entry, Reason, Step

OLD, NEW = Address("train", "old"), Address("train", "new")
MADE = Digest("sha256:00")
LAST = Entry("e1", 1, (), "2026-11-25T00:00:00Z", "ada", "result", str(OLD), "done", MADE, {"provider": "train/local"})


def step(action: Action) -> Step:
    return Step(NEW, "train/local", action, Cost.RETRAIN, Reason("why"), MADE)


def test_a_move_is_a_step_of_its_own_where_nothing_else_is_to_be_done() -> None:
    moved = renamed(step(Action.NOOP), OLD)
    assert (moved.action, moved.cost, moved.reason.text) == (Action.MOVE, Cost.METADATA, "was train.old")
    changed = renamed(step(Action.UPDATE), OLD)
    assert changed.action is Action.UPDATE and changed.notes == ("was train.old",)


def test_what_is_still_used_under_another_name_is_not_forgotten() -> None:
    gone = forgotten(LAST, ())
    assert gone is not None and (gone.action, gone.address, gone.relies_on) == (Action.FORGET, OLD, ("e1",))
    assert forgotten(LAST, {MADE}) is None
