"""The targets of a model side by side: what a program reads, and what a person does."""

from __future__ import annotations

import json
import re

from mlopsctl.render.targets import cells, document, lines, markdown, size, target_json
from mlopsctl.render.targets_html import page
from mlopsctl.types import Status, Verdict
from tests.cli.contract import follows

SIDE = {"value": "0.9722", "ci": ["0.9497", "0.9848"], "method": "wilson"}
FACTS = {
    "device": "fpga",
    "arch": "ecp5-25k",
    "runtime": "verilog",
    "proof": "emulated",
    "view": "test",
    "n": 335,
    "agreement": "0.997014925",
    "max_abs_diff": "0.03125",
    "metrics": {
        "metric": "accuracy",
        "n": 335,
        "confidence": "0.95",
        "artifact": SIDE,
        "original": {**SIDE, "value": "0.975"},
        "drop": {"value": "0.0028", "ci": ["-0.01", "0.02"]},
    },
    "size": 20144,
    "figures": {"cycles": 2895, "fmax_mhz": "57.25", "resources": {"luts": 261, "dsp": 1}, "lanes": 1, "seeded": True},
}
HOSTILE = '<script>alert("x")</script> | `a` \x1b[31m\n::error::'


def row(**more: object) -> dict[str, object]:
    return target_json("targets.fpga", "classifier", FACTS, verdict=Verdict(Status.PASSED, "fine"), **more)  # type: ignore[arg-type]


def test_decimals_of_signed_entries_are_numbers_of_json_and_nested_figures_have_one_name() -> None:
    found = follows(
        "report-targets", json.dumps(document([row(), target_json("targets.new", "m", None, state="not made")]))
    )
    first, second = found["targets"]
    assert (first["agreement"], first["max_abs_diff"], first["metric"]["artifact"]["ci"]) == (
        0.997014925,
        0.03125,
        [0.9497, 0.9848],
    )
    assert first["figures"] == {
        "cycles": 2895,
        "fmax_mhz": 57.25,
        "resources.luts": 261,
        "resources.dsp": 1,
        "lanes": 1,
        "seeded": True,
    }
    assert (second["proof"], second["agreement"], second["signed"]) == (None, None, None)


def test_figures_stand_under_speed_and_room_and_nothing_is_lost() -> None:
    told = "\n".join(lines([row(signed={"by": "ada"}, made_with={"yosys": "0.23"})]))
    for text in (
        "agreement           99.7 % of 335 rows",
        "metric              accuracy 0.9722 [0.9497, 0.9848]",
        "speed               cycles 2895, fmax_mhz 57.25",
        "room                resources.luts 261, resources.dsp 1",
        "other               lanes 1, seeded true",
        "signed              by ada",
        "tools               yosys 0.23",
        "verdict             passed: fine",
    ):
        assert text in told


def test_a_table_has_no_column_that_says_nothing_and_notes_what_did_not_pass() -> None:
    failed = target_json(
        "targets.page", "classifier", {**FACTS, "figures": {}}, verdict=Verdict(Status.FAILED, "too far")
    )
    text = markdown("two", [failed])
    head = text.splitlines()[2]
    assert "speed" not in head and "room" not in head and "model" not in head
    assert "* `targets.page`: too far" in text
    assert "| classifier |" in markdown("two", [failed, {**row(), "model": "other"}])


def test_what_was_never_run_is_not_called_compared() -> None:
    facts = {"proof": "emitted", "agreement": None, "n": 0, "not_assessed": "no tool", "size": 10}
    words = dict(
        zip(("target", "model", "device", "proof", "agreement"), cells(target_json("t", "m", facts)), strict=False)
    )
    assert (words["proof"], words["agreement"]) == ("emitted", "not assessed")


def test_words_of_others_act_nowhere() -> None:
    facts = {**FACTS, "arch": HOSTILE, "figures": {HOSTILE: HOSTILE}}
    one = target_json(HOSTILE, HOSTILE, facts, verdict=Verdict(Status.FAILED, HOSTILE), made_with={HOSTILE: HOSTILE})
    html, text = page(HOSTILE, [one], HOSTILE), markdown(HOSTILE, [one])
    for told in (html, text, "\n".join(lines([one]))):
        assert "\x1b" not in told and "\n::error" not in told
    assert "<script" not in html.lower()
    assert "<script" not in re.sub("``.+?``", "", text).lower()


def test_the_page_needs_nothing_else() -> None:
    html = page("q: targets", [row(signed={"by": "ada", "entry": "e" * 64, "at": "2026-01-01T00:00:00Z"})], "note")
    assert not re.search(r"https?://|src=|@import|url\(", html)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None and "default-src 'none'" in policy[1] and "unsafe" not in policy[1]
    assert "style=" not in html
    for text in ("targets.fpga", "emulated", "2895", "passed: fine", "e" * 64):
        assert text in html


def test_sizes_in_words() -> None:
    assert [size(count) for count in (0, 1023, 20144, 19_087_277)] == ["0 B", "1023 B", "19.7 KiB", "18.2 MiB"]
