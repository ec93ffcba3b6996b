"""The page of operators is what was measured, and what was measured is still so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.tools import TOOLS, find
from tests.docs.operator_table import TARGETS, page
from tests.operators import FOUND, Case, apart, cases, in_a_browser, onnxruntime, passes, tvm
from tests.operators_int8 import takes

DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"
MEASURED: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8"))

pytestmark = pytest.mark.filterwarnings("ignore")  # numpy's, about what the standard's tests do on purpose


def test_the_page_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == page(MEASURED), "make operators writes it again"


def test_every_case_of_the_installed_standard_is_on_the_page() -> None:
    now = {case.name: case.op for case in cases()}
    assert now == {name: op for op, row in MEASURED["operators"].items() for name in row["cases"]}


def expected(target: str) -> dict[str, bool]:
    """What the page says of each case."""
    rows = MEASURED["operators"].values()
    return {name: name not in row["failed"][target] for row in rows for name in row["cases"]}


def a_part() -> list[Case]:
    """One case in 32, whichever they are: their names decide, so that other cases come with other names."""
    return [case for case in cases() if hashlib.sha256(case.name.encode()).digest()[0] % 32 == 0]


def require_browser() -> None:
    for tool in ("onnxruntime-web", "chromium"):
        if find(tool) is None:
            pytest.skip(TOOLS[tool].install)


def test_a_part_of_the_cases_through_onnxruntime() -> None:
    said = expected("onnxruntime")
    assert len(a_part()) > 20
    assert {case.name: passes(case, onnxruntime) for case in a_part()} == {
        case.name: said[case.name] for case in a_part()
    }


def test_a_part_of_the_cases_in_the_browser() -> None:
    require_browser()
    said = expected("web")
    assert in_a_browser([case.name for case in a_part()]) == {case.name: said[case.name] for case in a_part()}


def test_a_part_of_the_cases_in_whole_numbers() -> None:
    said = expected("int8")
    assert {case.name: takes(case) for case in a_part()} == {case.name: said[case.name] for case in a_part()}


def test_a_few_cases_through_tvm() -> None:
    pytest.importorskip("tvm")
    said, few = expected("tvm"), a_part()[::12]
    assert apart(few, tvm, 120) == {case.name: said[case.name] for case in few}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_all_cases(target: str) -> None:
    if target == "tvm":
        pytest.importorskip("tvm")
        found = apart(cases(), tvm, 120)
    elif target == "web":
        require_browser()
        found = in_a_browser([case.name for case in cases()])
    else:
        measures = {"onnxruntime": lambda case: passes(case, onnxruntime), "int8": takes}
        found = {case.name: measures[target](case) for case in cases()}
    assert found == expected(target)


def test_an_outcome_is_of_the_outputs_and_not_of_having_run() -> None:
    """The measure itself can fail: wrong numbers, types, shapes and numbers of outputs do not pass."""
    case = next(case for case in cases() if case.name == "test_add")
    right = case.sets[0][1]
    outputs: list[Any] = list(right)

    def run(one: Case, given: Any) -> list[Any]:
        return outputs

    assert passes(case, run)
    for wrong in ([right[0] + 1], [right[0].astype("float64")], [right[0][0]], [], [right[0], right[0]]):
        outputs = wrong
        assert not passes(case, run)
