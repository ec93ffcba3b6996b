"""What a quick run is about, in what order, and what it says."""

from __future__ import annotations

from mlopsctl.trials import SAMPLE, chosen, marked, seconds
from mlopsctl.types import Address, Entry, Resource, Selection

QUICK = Selection(quick=True)


def of(address: str) -> Resource:
    section = address.partition(".")[0]
    return Resource(Address.parse(address), f"{section}/x", None)


HOUSE = [of("data.d"), of("train.t"), of("gates.slow"), of("gates.quick"), of("gates.new"), of("targets.c"), of("deployments.l")]  # fmt: skip


def took(times: dict[str, str]) -> dict[str, Entry]:
    return {
        address: Entry("e", 1, (), "", "", "result", address, facts={"usage": {"seconds": time}})
        for address, time in times.items()
    }


def test_gates_come_last_the_cheap_ones_first_and_nothing_is_deployed() -> None:
    past = took({"gates.slow": "90.5", "gates.quick": "2"})
    kept, left = chosen(HOUSE, (), QUICK, lambda address: past.get(str(address)))
    assert [str(want.address) for want in kept] == ["data.d", "train.t", "gates.new", "gates.quick", "gates.slow"]
    assert {str(one.address): one.reason for one in left} == {
        "targets.c": "a quick run compiles only what --target names",
        "deployments.l": "a trial deploys nothing",
    }


def test_a_target_that_is_named_is_compiled_and_a_deployment_that_is_named_is_not_made() -> None:
    for pattern in ("*", "targets.c", "deployments.l"):
        kept, _ = chosen(HOUSE, (), QUICK._replace(targets=(pattern,)), lambda address: None)
        found = {want.address.section for want in kept}
        assert "deployments" not in found
        assert ("targets" in found) is (pattern != "deployments.l")


def test_without_quick_nothing_changes() -> None:
    assert chosen(HOUSE, (), Selection(), lambda address: None) == (tuple(HOUSE), ())
    parts = {"provider": "data/x"}
    assert marked(HOUSE[0], parts, Selection()) is parts


def test_a_sampled_dataset_says_so_and_the_rest_differs_by_its_bytes() -> None:
    assert marked(of("data.d"), {}, QUICK) == {"sample": {"share": {"float": "0.05"}, "rows": SAMPLE.rows}}
    assert marked(of("train.t"), {}, QUICK) == {}
    assert marked(of("data.d"), None, QUICK) is None


def test_a_time_that_nobody_can_read_counts_as_none() -> None:
    assert seconds(None) == seconds(Entry("e", 1, (), "", "", "result", facts={"usage": {"seconds": "soon"}})) == 0
