"""What follows from a withdrawal is found by walking back; only its end, named, ends it."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsctl.types import Digest, Entry
from mlopsctl.withdrawals import in_force, reach

ROLE = {"data": "data", "train": "model", "targets": "artifact"}


class Past:
    """A trail in memory; entries are named by words, ``makes`` and ``of`` are words for bytes."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(
        self,
        address: str,
        makes: str = "",
        *,
        of: Sequence[tuple[str, str]] = (),
        signer: str = "ada",
        commit: str = "",
    ) -> str:
        given: dict[str, list[str]] = {}
        for role, digest in of:
            given.setdefault(role, []).append(f"sha256:{digest}")
        outputs = {"out": Digest(f"sha256:{makes}")} if makes else {}
        entry = Entry(
            f"id{len(self.entries)}", len(self.entries), (), "2026-01-01T00:00:00Z", signer, "result", address,
            ingredients={"inputs": given}, outputs=outputs, commit=commit,
        )  # fmt: skip
        self.entries.append(entry)
        return entry.id

    def withdraw(self, *roots: str) -> str:
        return self._say({"roots": list(roots), "reason": "poisoned"})

    def lift(self, *entries: str) -> str:
        return self._say({"lifts": list(entries), "reason": "false alarm"})

    def _say(self, facts: dict[str, object]) -> str:
        number = len(self.entries)
        self.entries.append(Entry(f"id{number}", number, (), "2026-01-02", "gov", "withdraw", facts=facts))
        return f"id{number}"

    def entry(self, entry_id: str) -> Entry | None:
        return next((one for one in self.entries if one.id == entry_id), None)

    def makers(self, digest: str, section: str = "") -> Sequence[Entry]:
        return [one for one in self.entries if digest in one.outputs.values() and one.address.startswith(section)]

    def key_id(self, entry: Entry) -> str:
        return f"key of {entry.signer}"

    def blamed(self, entry: str) -> list[str]:
        return [found.origin for found in reach([entry], (), in_force(self.entries), self)]


def pipeline() -> tuple[Past, str]:
    past = Past()
    past.add("data.rows", "rows", signer="dan")
    past.add("train.model", "model", of=[("data", "rows")], signer="tom", commit="c1")
    artifact = past.add("targets.cpu", "artifact", of=[("model", "model"), ("data", "rows")])
    return past, past.add("deployments.live", of=[("artifact", "artifact")], commit="c2") and artifact


def test_every_kind_of_root_reaches_what_was_made_from_it() -> None:
    for root, origin in (
        ("sha256:rows", "data.rows"),
        ("entry:id0", "data.rows"),
        ("signer:dan", "data.rows"),
        ("key:key of dan", "data.rows"),
        ("gitoid:c1", "train.model"),
        ("sha256:model", "train.model"),
        ("signer:ada", "targets.cpu"),
    ):
        past, artifact = pipeline()
        past.withdraw(root)
        assert past.blamed(artifact) == [origin], root
        past, artifact = pipeline()
        past.withdraw(root)
        # Upstream of the root nothing is reached.
        assert past.blamed("id0") == (["data.rows"] if origin == "data.rows" else []), root


def test_nothing_else_is_reached() -> None:
    past, _ = pipeline()
    other = past.add("train.other", "other", of=[("data", "others")], signer="eve")
    past.withdraw("sha256:model", "signer:nobody")
    assert past.blamed(other) == [] and past.blamed("id0") == []


def test_only_the_end_of_this_very_withdrawal_ends_it() -> None:
    past, artifact = pipeline()
    first, second = past.withdraw("sha256:rows"), past.withdraw("sha256:rows")
    past.lift(first)
    assert past.blamed(artifact) == ["data.rows"]
    past.lift(second)
    assert past.blamed(artifact) == []
    # In whatever order a merge brought them.
    assert in_force(past.entries[::-1]) == ()


def test_what_a_trusted_signer_attests_again_may_be_used_again() -> None:
    past, artifact = pipeline()
    past.withdraw("signer:tom")
    past.add("train.model", "model", of=[("data", "rows")], signer="tim")
    assert past.blamed(artifact) == []
    # Bytes that are withdrawn themselves stay so, whoever makes them again.
    past.withdraw("sha256:model")
    assert set(past.blamed(artifact)) == {"train.model"}


def test_a_key_for_data_washes_no_model() -> None:
    past, artifact = pipeline()
    past.withdraw("entry:id1")
    past.add("data.model", "model", signer="dan")
    assert past.blamed(artifact) == ["train.model"]


def test_a_step_that_gives_back_its_input_washes_nothing() -> None:
    past = Past()
    past.add("data.rows", "rows")
    past.add("data.copy", "rows", of=[("data", "rows")])
    model = past.add("train.model", "model", of=[("data", "rows")])
    past.withdraw("entry:id0")
    assert past.blamed(model) == ["data.rows"]


def test_all_of_an_entry_follows_from_one_output_of_it() -> None:
    past = Past()
    past.entries.append(
        Entry("id0", 0, (), "2026", "ada", "result", "data.rows",
              outputs={"all": Digest("sha256:all"), "train": Digest("sha256:train")})
    )  # fmt: skip
    model = past.add("train.model", "model", of=[("data", "train")])
    past.withdraw("sha256:all")
    assert past.blamed(model) == ["data.rows"]


def test_bytes_that_nobody_made_are_named_by_themselves() -> None:
    past = Past()
    model = past.add("train.model", "model", of=[("base", "downloaded")])
    past.withdraw("sha256:downloaded")
    assert past.blamed(model) == ["sha256:downloaded…"]


def test_a_model_with_thousands_of_ancestors() -> None:
    past = Past()
    past.add("train.m", "0")
    origin = {digest: one for one in past.entries for digest in one.outputs.values()}
    for number in range(1, 3000):
        past.add("train.m", str(number), of=[("base", str(number - 1))])
        origin[Digest(f"sha256:{number}")] = past.entries[-1]
    past.makers = lambda digest, section="": [origin[Digest(digest)]]  # type: ignore[method-assign]
    by_id = {one.id: one for one in past.entries}
    past.entry = lambda entry_id: by_id.get(entry_id)  # type: ignore[method-assign]
    last = past.entries[-1].id
    past.withdraw("sha256:0")
    assert past.blamed(last) == ["train.m"]


def test_malformed_facts_withdraw_nothing_and_break_nothing() -> None:
    past, artifact = pipeline()
    for facts in ({}, {"roots": "sha256:rows"}, {"roots": [1, None]}, {"lifts": {"a": 1}}):
        past._say(dict(facts))
    assert past.blamed(artifact) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=3)), max_size=12),
    st.integers(0, 11),
    st.integers(0, 6),
)
def test_blame_is_reachability_where_all_bytes_have_one_maker(
    steps: list[tuple[int, list[int]]], asked: int, root: int
) -> None:
    """The rule said anew, simply: without a second maker, whatever can be walked to from the root is blamed."""
    past, made = Past(), {}
    for out, ins in steps:
        if str(out) not in made:
            made[str(out)] = past.add("train.m", str(out), of=[("base", str(one)) for one in dict.fromkeys(ins)])
    if not past.entries:
        return
    entry = past.entries[asked % len(past.entries)]
    named, seen, waiting = False, set(), [entry.id]
    while waiting:
        one = past.entry(waiting.pop())
        if one is None or one.id in seen:
            continue
        seen.add(one.id)
        digests = [*one.outputs.values(), *one.ingredients["inputs"].get("base", ())]
        named = named or f"sha256:{root}" in digests
        waiting += [made[d[7:]] for d in digests if d[7:] in made]
    past.withdraw(f"sha256:{root}")
    assert bool(past.blamed(entry.id)) == named
