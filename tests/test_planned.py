"""What an apply of a plan is in for."""

from __future__ import annotations

from mlopsctl.planned import work
from mlopsctl.render.plan import work_lines
from mlopsctl.types import Action, Address, Cost, Digest, Need, Plan, Reason, Step


def step(address: str, cost: Cost, took: float | None, *needs: str, action: Action = Action.UPDATE) -> Step:
    name = Address.parse(address)
    edges = tuple(Need("data", Address.parse(need)) for need in needs)
    return Step(name, f"{name.section}/simple", action, cost, Reason("new"), None, edges, took=took)


PIN = step("data.d", Cost.NOTHING, None, action=Action.NOOP)
TRAIN = step("train.m", Cost.RETRAIN, 600.0, "data.d")
GATE = step("gates.g", Cost.REEVALUATE, 30.0, "train.m")
OTHER = step("gates.h", Cost.REEVALUATE, 400.0, "train.m")
TARGET = step("targets.t", Cost.RECOMPILE, None, "train.m")
LIVE = step("deployments.d", Cost.REDEPLOY, None, "targets.t")


def plan(*steps: Step) -> Plan:
    return Plan("p", Digest("sha256:0"), steps)


def test_times_add_up_and_the_longest_chain_is_what_side_by_side_can_not_shorten() -> None:
    found = work(plan(PIN, TRAIN, GATE, OTHER, TARGET, LIVE))
    assert found.costs == {"retrain": 1, "re-evaluate": 2, "recompile": 1, "redeploy": 1}
    assert (found.seconds, found.chain, found.untimed) == (1030.0, 1000.0, 1)


def test_what_is_blocked_or_waits_for_people_is_no_work() -> None:
    held = (LIVE._replace(blocked_by=("gates.g failed",)), TARGET._replace(waits_for=("somebody",)))
    assert work(plan(TRAIN, *held)).costs == {"retrain": 1}


def test_the_line_under_a_plan() -> None:
    assert work_lines(plan(PIN)) == []
    assert work_lines(plan(LIVE)) == ["Work: redeploy."]
    assert work_lines(plan(TRAIN, GATE)) == ["Work: retrain, re-evaluate; took 10 m the last time."]
    two = plan(TRAIN, step("train.n", Cost.RETRAIN, 500.0), TARGET)
    assert work_lines(two) == [
        "Work: retrain × 2, recompile; took 18 m the last time, 10 m of it one after another, 1 not timed yet."
    ]
