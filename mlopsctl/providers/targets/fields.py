"""The keys that targets have in common: the rows of the comparison, its bars, and what 8-bit scales are fixed by."""

from __future__ import annotations

from typing import Any

from ...provider import policy, result


def view_field() -> Any:
    """The Spec field ``view``."""
    return result("test", doc="The rows on which artifact and model are compared.")


def tolerance_field() -> Any:
    """The Spec field ``tolerance``."""
    doc = "The largest difference of any output number, as a share of max(1, |original|); 8-bit forms have none."
    return policy(1e-4, doc=doc, minimum=0, looser="higher")


def agreement_field() -> Any:
    """The Spec field ``min_agreement``."""
    doc = "The least share of rows that get the same answer; 8-bit forms have none."
    return policy(1.0, doc=doc, minimum=0, maximum=1, looser="lower")


def calibration_field() -> Any:
    """The Spec field ``calibration``."""
    doc = "How many training rows 8-bit scales are calibrated on; never rows of the test view."
    return result(512, doc=doc, minimum=1, maximum=100_000)


def drop_field() -> Any:
    """The Spec field ``max_accuracy_drop``."""
    doc = "By how much an 8-bit form's accuracy (of a number: r2) may be below the model's; the whole interval counts."
    return policy(0.01, doc=doc, minimum=0, maximum=1, looser="higher")


def inconclusive_field() -> Any:
    """The Spec field ``inconclusive``."""
    doc = "Whether an 8-bit form whose interval holds max_accuracy_drop blocks what it is for."
    return policy("block", doc=doc, looser=("block", "warn"))
