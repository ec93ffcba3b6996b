from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsctl.adapters.table import read_table
from mlopsctl.errors import EvidenceError, ManifestError
from mlopsctl.providers.gates import table as gate
from mlopsctl.types import Address, Digest, Observed, Resource, Status, Verdict

ROWS = "a,b,c\n1,x,0.5\n2,,1\n1,x,0.5\n3,,\n3,,\n"


@pytest.fixture
def facts(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "rows.csv").write_text(ROWS)
    return gate.figures(read_table(tmp_path / "rows.csv", "csv"))


def verdict(facts: dict[str, Any], **bars: Any) -> Verdict:
    want = Resource(Address("gates", "fit"), "gates/table", gate.Spec(data="rows", **bars))
    return gate.judge(want, Observed(Digest("sha256:0"), {}, facts), ())


def test_rows_gaps_and_repetitions_are_counted(facts: dict[str, Any]) -> None:
    assert facts["rows"] == 5
    assert facts["missing"] == {"column": "b", "cells": 3, "share": "0.6"}
    # A gap repeats a gap, whether it was a word or a number.
    assert facts["duplicates"] == {"rows": 2, "share": "0.4"}


@pytest.mark.parametrize(
    ("bar", "holds", "breaks"), [("min_rows", 5, 6), ("max_missing", 0.6, 0.59), ("max_duplicates", 0.4, 0.39)]
)
def test_each_bar_fails_what_is_beyond_it(facts: dict[str, Any], bar: str, holds: float, breaks: float) -> None:
    assert verdict(facts, **{bar: holds}).status is Status.PASSED
    failed = verdict(facts, **{bar: breaks})
    assert (failed.status, failed.blocks) == (Status.FAILED, True)
    assert bar in failed.text


def test_an_empty_table_has_no_shares_and_too_few_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    facts = gate.figures(read_table(tmp_path / "rows.csv", "csv"))
    assert (facts["rows"], facts["missing"]["share"], facts["duplicates"]["share"]) == (0, "0", "0")
    assert verdict(facts, min_rows=1).blocks


def test_a_gate_without_a_bar_and_an_entry_without_figures_are_errors() -> None:
    with pytest.raises(ManifestError, match="lets everything through"):
        gate.needs(gate.Spec(data="rows"), {})
    with pytest.raises(EvidenceError):
        verdict({"rows": 3}, min_rows=1)
