"""Fixed-point numbers: a factor as multiplier and shift, and rounding that favours no side.

``multiplier / 2**shift`` is the nearest such number with 16 significant bits, so it is off by at most one part in 2**17. From
there on everything is exact: the same bits in numpy, in Verilog and in C.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from .graph import Refused, Requant

if TYPE_CHECKING:
    from .graph import Array

BITS = 16
LEAST_SHIFT, MOST_SHIFT = 1, 62


class Fixed(NamedTuple):
    """The number ``multiplier / 2**shift``."""

    multiplier: int
    shift: int


def nearest(value: Fraction) -> Fixed:
    """The fixed-point number nearest to a value >= 0, ties to the even multiplier.

    Zero where the value is so small that no int32 sum times it rounds to anything else. Raises Refused above 2**15.
    """
    if value < 0 or value >= 1 << (BITS - LEAST_SHIFT):
        raise Refused(
            f"its factor {float(value):g} is outside of what 16 bits and a shift hold; scales are out of proportion"
        )
    if value < Fraction(1, 1 << (MOST_SHIFT - BITS)):
        return Fixed(0, LEAST_SHIFT)
    # 2**(BITS - 1) <= value * 2**shift < 2**BITS
    shift = BITS - (value.numerator.bit_length() - value.denominator.bit_length())
    while value * (1 << shift) >= 1 << BITS:
        shift -= 1
    shift = min(shift, MOST_SHIFT)
    multiplier = round(value * (1 << shift))  # Python rounds half to even
    if multiplier == 1 << BITS:
        multiplier, shift = multiplier >> 1, shift - 1
    if shift < LEAST_SHIFT:
        raise Refused(
            f"its factor {float(value):g} is outside of what 16 bits and a shift hold; scales are out of proportion"
        )
    return Fixed(multiplier, shift)


def requant(factors: Sequence[Fraction], zero_point: int, low: int, high: int) -> Requant:
    """A Requant by one factor for all channels or one each; equal factors become one."""
    found = [nearest(factor) for factor in factors]
    if len(set(found)) == 1:
        found = found[:1]
    return Requant(tuple(f.multiplier for f in found), tuple(f.shift for f in found), zero_point, low, high)


def half_even(product: Any, shift: Any) -> Any:
    """``product / 2**shift`` rounded to the nearest whole number, halves to the even one; shift >= 1.

    Works on Python's whole numbers and on int64 arrays alike. What is added before the shift is half a unit less one, and the
    last bit of the result to be: halves of odd results go up, of even ones down.
    """
    return (product + ((1 << (shift - 1)) - 1) + ((product >> shift) & 1)) >> shift


def scaled(sums: Array, by: Requant, axis: int) -> Array:
    """Requantises int64 sums; ``axis`` is that of the channels. Exact: |sum| < 2**31 keeps all products in int64."""
    import numpy as np

    form = [1] * sums.ndim
    form[axis] = len(by.multiplier)
    multiplier = np.array(by.multiplier, np.int64).reshape(form)
    shift = np.array(by.shift, np.int64).reshape(form)
    found = half_even(sums * multiplier, shift) + by.zero_point
    result: Array = np.clip(found, by.low, by.high)
    return result
