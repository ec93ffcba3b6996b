"""The program that docs/command-protocol.md shows is a gate that works, and its request is the one that is sent."""

from __future__ import annotations

import json
from pathlib import Path

from mlopsctl.providers.gates import command as gate
from mlopsctl.types import Address, Resource, Status
from tests.providers.test_command import MODEL, TEST, Bench, make_model, make_rows

from .blocks import blocks

DOCUMENT = "docs/command-protocol.md"


def test_the_program_shown_is_a_gate_that_works(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    make_rows(bench)
    make_model(bench)
    shown = next(block.body for block in blocks(DOCUMENT) if block.info == "python")
    spec = bench.program(shown.partition("\n")[2])
    made = bench.make("gates.majority", gate, MODEL, TEST, **spec, metric="majority_share", max=0.9)
    assert 0 < float(made.facts["ci"][0]) < float(made.facts["value"]) < float(made.facts["ci"][1])
    want = Resource(Address("gates", "majority"), "gates/command", gate.Spec(**spec, metric="majority_share", max=0.9))
    assert gate.judge(want, bench.made["gates.majority"], ()).status is Status.PASSED


def test_the_request_shown_has_the_keys_that_are_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    make_rows(bench)
    make_model(bench)
    program = """
import json, sys
request = json.load(sys.stdin)
del request["inputs"]["model"][0]["facts"], request["inputs"]["data"][0]["facts"]
json.dump({"facts": {"value": 1, "ci": None, "n": 1, "request": json.dumps(request)}}, sys.stdout)
"""
    made = bench.make("gates.majority", gate, MODEL, TEST, **bench.program(program), metric="majority_share", max=0.9)
    sent = json.loads(made.facts["claimed"]["request"])
    shown = next(json.loads(block.body) for block in blocks(DOCUMENT) if block.info == "json")
    assert sent.keys() == shown.keys()
    assert sent["spec"] == shown["spec"]
    for role in ("model", "data"):
        assert {*sent["inputs"][role][0], "facts"} == set(shown["inputs"][role][0])
        tail = sent["inputs"][role][0]["path"].split("/program/")[1]
        assert shown["inputs"][role][0]["path"].endswith(tail)
