"""A verdict follows from the recorded measurement and today's bars alone."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.errors import EvidenceError
from mlopsctl.providers.gates.power import half_width, power_line
from mlopsctl.providers.gates.verdict import Bars, judge_measurement
from mlopsctl.types import Status


def facts(
    value: str | None, lo: str = "", hi: str = "", n: int = 360, metric: str = "accuracy", **more: Any
) -> dict[str, Any]:
    ci = [lo, hi] if lo else None
    return {"metric": metric, "value": value, "ci": ci, "n": n, "view": "test", "confidence": "0.95", **more}


def test_the_whole_interval_above_the_bar_passes() -> None:
    found = judge_measurement(facts("0.972222", "0.949799", "0.984814"), Bars(0.93, None))
    assert found.status is Status.PASSED
    assert found.text == "accuracy 0.9722 [0.9498, 0.9848] on 360 rows, needs >= 0.93"
    assert not found.blocks


def test_the_whole_interval_below_the_bar_fails() -> None:
    found = judge_measurement(facts("0.9", "0.86", "0.925"), Bars(0.93, None))
    assert (found.status, found.blocks) == (Status.FAILED, True)
    assert "misses 0.93 by 0.0300" in found.hint
    assert "near miss" in found.hint


def test_an_interval_that_holds_the_bar_is_inconclusive_and_blocks() -> None:
    found = judge_measurement(facts("0.95", "0.9225", "0.9680"), Bars(0.93, None))
    assert (found.status, found.blocks) == (Status.INCONCLUSIVE, True)
    # 360 x (0.0275 / 0.02)^2 = 681
    assert found.hint.startswith("a near miss: about 690 rows would settle it if the value holds")


def test_no_share_beyond_one_is_asked_for() -> None:
    hint = judge_measurement(facts("0.8605", "0.7274", "0.9344", n=43), Bars(0.9, None)).hint
    assert "43 rows are too few to show it" in hint and "1.0" not in hint
    assert "about 0.9575" in judge_measurement(facts("0.95", "0.9225", "0.9680"), Bars(0.93, None)).hint


def test_only_an_inconclusive_result_can_be_let_through() -> None:
    assert not judge_measurement(facts("0.95", "0.92", "0.97"), Bars(0.93, None, warn=True)).blocks
    assert judge_measurement(facts("0.8", "0.7", "0.9"), Bars(0.93, None, warn=True)).blocks
    assert judge_measurement(facts(None, reason="empty"), Bars(0.93, None, warn=True)).blocks


def test_a_perfect_score_passes_up_to_its_lower_limit() -> None:
    perfect = facts("1", "0.989442", "1")
    assert judge_measurement(perfect, Bars(0.98, None)).status is Status.PASSED
    assert judge_measurement(perfect, Bars(0.99, None)).status is Status.INCONCLUSIVE
    assert judge_measurement(perfect, Bars(1.0, None)).status is Status.INCONCLUSIVE


def test_losses_have_their_bar_above() -> None:
    loss = facts("0.5", "0.4", "0.6", metric="rmse")
    assert judge_measurement(loss, Bars(None, 0.7)).status is Status.PASSED
    assert judge_measurement(loss, Bars(None, 0.6)).status is Status.PASSED
    assert judge_measurement(loss, Bars(None, 0.55)).status is Status.INCONCLUSIVE
    assert judge_measurement(loss, Bars(None, 0.3)).status is Status.FAILED


def test_two_bars_must_both_be_cleared() -> None:
    value = facts("0.9", "0.85", "0.95")
    assert judge_measurement(value, Bars(0.8, 0.99)).status is Status.PASSED
    assert judge_measurement(value, Bars(0.8, 0.9)).status is Status.INCONCLUSIVE
    assert judge_measurement(value, Bars(0.8, 0.84)).status is Status.FAILED
    assert judge_measurement(value, Bars(0.8, 0.99)).text.endswith("needs >= 0.8 and <= 0.99")


def test_no_interval_is_inconclusive_with_the_reason() -> None:
    found = judge_measurement(facts("0.99", n=50, metric="f1", reason="50 units are too few"), Bars(0.9, None))
    assert (found.status, found.blocks) == (Status.INCONCLUSIVE, True)
    assert "no interval: 50 units are too few" in found.text


def test_no_value_is_not_assessed() -> None:
    found = judge_measurement(facts(None, n=0), Bars(0.9, None))
    assert (found.status, found.blocks) == (Status.NOT_ASSESSED, True)


def test_a_model_that_answers_nan_failed() -> None:
    found = judge_measurement(facts(None, invalid=3, reason="3 of 360 rows are NaN"), Bars(0.9, None))
    assert (found.status, found.blocks) == (Status.FAILED, True)


def test_calibration_is_shown_beside_its_null() -> None:
    found = judge_measurement(facts("0.03", "0.01", "0.05", metric="ece", null="0.028"), Bars(None, 0.05))
    assert "(a perfectly calibrated model shows 0.0280 here)" in found.text


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"metric": "accuracy", "ci": ["x", "1"], "n": 3, "value": "1"},
        {"metric": "f1", "ci": [], "n": 1, "value": "1"},
    ],
)
def test_an_entry_without_measurement_is_no_evidence(broken: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError) as caught:
        judge_measurement(broken, Bars(0.9, None))
    assert caught.value.code == "MLO1312"


shares = st.floats(0, 1).map(lambda value: round(value, 4))


@given(st.tuples(shares, shares, shares).map(sorted), shares, shares)
def test_a_higher_bar_never_passes_what_a_lower_one_stopped(limits: list[float], one: float, other: float) -> None:
    lo, value, hi = limits
    measured = facts(str(value), str(lo), str(hi))
    order = [Status.PASSED, Status.INCONCLUSIVE, Status.FAILED]
    low, high = sorted((one, other))
    assert order.index(judge_measurement(measured, Bars(low, None)).status) <= order.index(
        judge_measurement(measured, Bars(high, None)).status
    )


def test_power_is_said_beforehand() -> None:
    assert power_line("accuracy", 360, 0.93, 0.95) == "resolves ±0.026 at 360 rows; ±0.01 needs about 2,500"
    assert power_line("accuracy", 360, 1.0, 0.95).startswith("resolves ±0.0038 at 360 rows")
    assert power_line("accuracy", 0, 0.93, 0.95) == "the view has no rows: nothing can be measured"
    assert power_line("rmse", 120, 3, 0.95) == "120 rows: too few for an interval, which takes 200"
    assert power_line("rmse", 500, 3, 0.95) == ""


@given(st.floats(0.01, 0.99), st.integers(10, 10**6))
def test_four_times_the_rows_halve_the_width(share: float, n: int) -> None:
    if min(share, 1 - share) > 0.5 / n:
        assert half_width(share, 4 * n, 0.95) == pytest.approx(half_width(share, n, 0.95) / 2)


def test_judging_and_planning_import_no_numpy() -> None:
    code = "import sys, mlopsctl.providers.gates.metric, mlopsctl.providers.gates.scan; print('numpy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
