"""Many equal instances are one line; one that differs, or that somebody must look at, is never hidden in it."""

from __future__ import annotations

from mlopsctl.render.groups import lines
from mlopsctl.render.plan import plan_text
from mlopsctl.types import Action, Address, Cost, Digest, Plan, Reason, Status, Step, Verdict


def step(address: str, action: Action = Action.CREATE, **more: object) -> Step:
    where = Address.parse(address)
    reason = Reason(f"waits for train.t[{where.instance}]")
    made = Step(where, f"{where.section}/x", action, Cost.REEVALUATE, reason, None)
    return made._replace(**more)  # type: ignore[arg-type]


def twelve(**more: object) -> list[Step]:
    return [step(f"gates.accuracy[r{number}]", **more) for number in range(12)]  # type: ignore[arg-type]


def heads(steps: list[Step]) -> list[str]:
    return [head for head, _ in lines(steps)]


def test_twelve_alike_are_one_line() -> None:
    plan = Plan("p", Digest("sha256:0"), (step("train.t"), *twelve()))
    text = "\n".join(plan_text(plan, lambda text, colour: text))
    assert "gates.accuracy[*] × 12  create     re-evaluate: waits for train.t[*]" in text
    assert "13 to create" in text
    why = "\n".join(plan_text(plan, lambda text, colour: text, why=True))
    assert all(f"gates.accuracy[r{number}] " in why for number in range(12))


def test_a_few_are_told_one_by_one_and_so_is_what_is_not_repeated() -> None:
    assert heads(twelve()[:3]) == ["gates.accuracy[r0]", "gates.accuracy[r1]", "gates.accuracy[r2]"]
    assert heads([step(f"gates.g{number}") for number in range(9)]) == [f"gates.g{number}" for number in range(9)]


def test_one_that_differs_or_must_be_looked_at_has_its_own_line() -> None:
    passed = Verdict(Status.PASSED, "f1 0.9")
    steps = twelve(action=Action.NOOP, verdict=passed)
    for odd in (
        {"action": Action.UPDATE},
        {"blocked_by": ("gates.x failed",)},
        {"waits_for": ("1 of 2 approvals",)},
        {"held_by": "halted"},
        {"weakens": ("min 0.9 -> 0.5",)},
        {"verdict": Verdict(Status.FAILED, "f1 0.1", blocks=True)},
        {"verdict": Verdict(Status.INCONCLUSIVE, "f1 0.8")},
    ):
        changed = [*steps[:5], steps[5]._replace(**odd), *steps[6:]]
        assert heads(changed) == ["gates.accuracy[*] × 11", "gates.accuracy[r5]"], odd
