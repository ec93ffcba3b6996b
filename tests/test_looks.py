"""Which model it is that is measured on the same rows."""

from __future__ import annotations

import pytest

from mlopsctl.looks import looks, nth_model, ordinal
from mlopsctl.types import Address, Digest, Input, Need, Observed

ROWS = Observed(Digest("sha256:d"), {"test": Digest("sha256:t")})


class Known:
    """Rows that two models were measured on."""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]:
        assert (data, view) == (ROWS, "test")
        return ("dirhash:a", "dirhash:b")


def given(model: str | None, data: Observed | None = ROWS) -> tuple[Input, Input]:
    made = Observed(Digest("sha256:m"), {"model": Digest(model)}) if model else None
    return (
        Input(Need("model", Address("train", "m"), "model"), made),
        Input(Need("data", Address("data", "d"), "test"), data),
    )


@pytest.mark.parametrize(("model", "place"), [("dirhash:a", 1), ("dirhash:b", 2), ("dirhash:c", 3), (None, 3)], ids=str)
def test_a_model_keeps_its_place_and_a_new_one_comes_last(model: str | None, place: int) -> None:
    assert nth_model(given(model), Known()) == place


def test_nothing_is_said_of_rows_that_nobody_knows_or_asks_for() -> None:
    assert nth_model(given("dirhash:a", None), Known()) is None
    assert nth_model(given("dirhash:a")[:1], Known()) is None
    assert looks(None) == ()


def test_ordinals_are_words() -> None:
    numbers = (1, 2, 3, 4, 11, 12, 13, 21, 22, 103, 111)
    assert [ordinal(one) for one in numbers] == [
        "first", "second", "third", "4th", "11th", "12th", "13th", "21st", "22nd", "103rd", "111th",
    ]  # fmt: skip
