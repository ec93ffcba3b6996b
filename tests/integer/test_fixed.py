from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.integer.fixed import half_even, nearest, requant, scaled
from mlopsctl.integer.graph import Refused, Requant


@given(st.fractions(min_value=Fraction(1, 1 << 44), max_value=Fraction((1 << 15) - 1)))
def test_a_factor_has_16_significant_bits(value: Fraction) -> None:
    found = nearest(value)
    assert 0 < found.multiplier < 1 << 16
    assert 1 <= found.shift <= 62
    assert abs(Fraction(found.multiplier, 1 << found.shift) / value - 1) <= Fraction(1, 1 << 16)


def test_factors_at_the_ends() -> None:
    assert nearest(Fraction(1)) == (1 << 15, 15)
    assert nearest(Fraction((1 << 16) - 1, 1 << 16)) == ((1 << 16) - 1, 16)
    assert nearest(Fraction((1 << 18) - 1, 1 << 18)) == (1 << 15, 15)  # rounds up to the next power
    assert nearest(Fraction(0)) == nearest(Fraction(1, 1 << 60)) == (0, 1)
    for wrong in (Fraction(1 << 15), Fraction((1 << 31) - 1, 1 << 16), Fraction(-1)):
        with pytest.raises(Refused, match="out of proportion"):
            nearest(wrong)


@given(st.integers(-(1 << 47), 1 << 47), st.integers(1, 60))
def test_halves_go_to_the_even_number(product: int, shift: int) -> None:
    assert half_even(product, shift) == round(Fraction(product, 1 << shift))
    assert int(half_even(np.int64(product), np.int64(shift))) == half_even(product, shift)


def test_equal_channels_share_one_factor_and_others_have_their_own() -> None:
    assert requant([Fraction(1, 2)] * 3, 4, -128, 127) == Requant((1 << 15,), (16,), 4, -128, 127)
    by = requant([Fraction(1, 2), Fraction(1, 4)], 0, -128, 127)
    sums = np.array([[3, 2], [5, 6], [1000, -1000]])
    assert scaled(sums, by, 1).tolist() == [[2, 0], [2, 2], [127, -128]]
