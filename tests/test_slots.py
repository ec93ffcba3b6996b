"""Who may run beside whom: never more than the machine has, never a step that waits for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.order import Ready, keys
from mlopsctl.slots import Demand, Machine, Slots, demand, lacks
from mlopsctl.types import Address
from tests.simulator import need, resource

MACHINE = Machine(4, 100, ("0", "1"))


def at(name: str) -> Address:
    return Address("train", name)


def asking(**resources: Any) -> Any:
    want = resource("train.model")
    return want._replace(spec=SimpleNamespace(resources=SimpleNamespace(**{"cpu": None, "memory": None, **resources})))


def test_a_step_asks_for_one_core_unless_it_says_more() -> None:
    assert demand(resource("train.model")) == Demand(1, 0, 0)
    assert demand(asking(cpu=2, memory=5, gpu=1)) == Demand(2, 5, 1)
    assert demand(asking(gpu=0)) == Demand(1, 0, 0)


def test_what_the_machine_has_not_is_named() -> None:
    assert lacks(Demand(4, 100, 2), MACHINE) == ()
    assert lacks(Demand(1, 0, 3), MACHINE) == ("this machine's 2 GPUs (it asks for 3)",)
    assert lacks(Demand(5, 2**40, 0), MACHINE) == (
        "this machine's 4 cores (it asks for 5)",
        "this machine's 0.0 GiB of memory (it asks for 1024.0)",
    )


def test_each_card_belongs_to_one_step_at_a_time() -> None:
    slots = Slots(MACHINE, 4)
    assert slots.take(at("a"), Demand(gpu=1)) == ("0",)
    assert slots.take(at("b"), Demand(gpu=1)) == ("1",)
    assert slots.take(at("c"), Demand(gpu=1)) is None
    slots.give_back(at("a"))
    assert slots.take(at("c"), Demand(gpu=1)) == ("0",)


def test_smaller_steps_do_not_overtake_one_that_waits_for_room() -> None:
    slots = Slots(MACHINE, 4)
    assert slots.take(at("small"), Demand(cpu=1)) == ()
    assert slots.take(at("large"), Demand(cpu=4)) is None
    assert slots.take(at("next"), Demand(cpu=1)) is None
    slots.give_back(at("small"))
    assert slots.take(at("large"), Demand(cpu=4)) == ()


def test_what_waits_for_a_card_leaves_the_cores_that_it_will_not_need() -> None:
    slots = Slots(MACHINE, 4)
    slots.take(at("a"), Demand(gpu=2))
    assert slots.take(at("b"), Demand(gpu=1)) is None
    assert slots.take(at("c"), Demand(cpu=2)) == ()


def test_no_more_jobs_than_asked_for() -> None:
    slots = Slots(MACHINE, 1)
    assert slots.open() and slots.take(at("a"), Demand()) == ()
    assert not slots.open()


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 100), st.integers(0, 2)), min_size=1, max_size=12))
def test_the_machine_is_never_overbooked_and_everybody_has_a_turn(asked: list[tuple[int, int, int]]) -> None:
    waiting = {at(f"s{place}"): Demand(*one) for place, one in enumerate(asked)}
    slots = Slots(MACHINE, 3)
    running: dict[Address, tuple[Demand, tuple[str, ...]]] = {}
    while waiting or running:
        for address in list(waiting):
            if slots.open() and (cards := slots.take(address, waiting[address])) is not None:
                running[address] = (waiting.pop(address), cards)
        assert running, "somebody always runs"
        assert len(running) <= 3
        assert sum(one.cpu for one, _ in running.values()) <= MACHINE.cpu
        assert sum(one.memory for one, _ in running.values()) <= MACHINE.memory
        held = [card for _, cards in running.values() for card in cards]
        assert len(held) == len(set(held))
        first = next(iter(running))
        del running[first]
        slots.give_back(first)


def order(*resources: Any, seconds: dict[str, float] | None = None) -> list[str]:
    """In which order one worker would take them."""
    by_address = {want.address: want for want in resources}
    ready = Ready(by_address, keys(by_address, lambda address: (seconds or {}).get(str(address), 0.0)))
    found = []
    while (address := ready.pop()) is not None:
        found.append(str(address))
        ready.settled(address)
    return found


def urgent(address: str, *needs: Any, priority: int) -> Any:
    return resource(address, *needs)._replace(spec=SimpleNamespace(priority=priority))


def test_the_plans_order_where_nothing_else_decides() -> None:
    names = ["data.a", "data.b", "train.a", "train.b"]
    needs = {"train.a": "data.b", "train.b": "data.a"}
    steps = [resource(name, *([need("data", needs[name])] if name in needs else [])) for name in names]
    assert order(*steps) == names


def test_the_highest_priority_first_and_always_after_what_it_needs() -> None:
    steps = [resource("data.a"), resource("data.b"), urgent("train.b", need("data", "data.b"), priority=90)]
    assert order(*steps) == ["data.a", "data.b", "train.b"]
    assert order(*steps, urgent("train.c", priority=60)) == ["train.c", "data.a", "data.b", "train.b"]


def test_the_longest_way_first() -> None:
    steps = [resource("train.short"), resource("train.first"), resource("gates.last", need("model", "train.first"))]
    took = {"train.short": 5.0, "train.first": 1.0, "gates.last": 10.0}
    assert order(*steps, seconds=took) == ["train.first", "gates.last", "train.short"]
