"""The text of a plan: names of files come from whoever wrote the repository."""

from __future__ import annotations

from typing import Any

import pytest

from mlopsctl.cli.progress import Printer
from mlopsctl.render.plan import plan_text
from mlopsctl.types import Action, Address, Cost, Digest, Plan, Reason, Status, Step, Verdict
from mlopsctl.workshop import Event

EVIL = "a\x1b]0;title\x07b\n::warning::c.py changed"
SAFE = "a\\x1b]0;title\\x07b ::warning::c.py changed"


def shown(step: Step) -> list[str]:
    return plan_text(Plan("p", Digest("sha256:0"), (step,)), lambda text, colour: text, why=True)


@pytest.mark.parametrize("field", ["reason", "notes", "waits_for", "held_by", "blocked_by", "weakens", "verdict"])
def test_no_text_of_others_drives_the_terminal_or_begins_a_line(field: str) -> None:
    step = Step(Address("train", "t"), "train/command", Action.CREATE, Cost.RETRAIN, Reason("new"), None)
    said: dict[str, Any] = {
        "reason": Reason(EVIL),
        "held_by": EVIL,
        "verdict": Verdict(Status.FAILED, EVIL, blocks=True),
    }
    lines = shown(step._replace(**{field: said.get(field, (EVIL,))}))
    assert any(SAFE in line for line in lines)
    assert not any("\n" in line or "\x1b" in line for line in lines)


def test_nor_does_it_while_steps_run(capsys: pytest.CaptureFixture[str]) -> None:
    Printer("text").event(Event("start", "train.t", "UPDATE", EVIL))
    assert SAFE in capsys.readouterr().err
