"""What a step starts is held to its share, whoever starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.inference import run_program
from mlopsctl.adapters.process import clean_env
from mlopsctl.adapters.sandbox import make_sandbox
from mlopsctl.adapters.share import Share, share, sharing
from mlopsctl.adapters.worker import run_worker
from mlopsctl.budgets import Resources, share_of
from mlopsctl.providers.gates import metric, scan
from mlopsctl.providers.targets import onnxruntime, program, tvm
from mlopsctl.providers.train import local
from mlopsctl.types import Address, Resource

SAID = """
import json, os, resource
try:
    bytearray(400 << 20); full = False
except MemoryError:
    full = True
said = [len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES"), full]
"""
HELD = Share(1, 300 << 20, ())


def by_program(folder: Path) -> object:
    (folder / "say.py").write_text(f"{SAID}\nprint(json.dumps(said))\n")
    (said,) = run_program(["python", "say.py"], folder, [{}])
    return said


def by_worker(folder: Path) -> object:
    (folder / "work.py").write_text(f"{SAID}\njson.dump({{'said': said}}, open('answer.json', 'w'))\n")
    return run_worker(folder / "work.py", {}, seconds=30, memory=1 << 32, task="saying")["said"]


@pytest.mark.parametrize("ask", [by_program, by_worker])
def test_programs_and_workers_are_held_to_the_share(
    ask: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert callable(ask)
    with sharing(HELD):
        assert ask(tmp_path) == [1, "1", "", True]
    said = ask(tmp_path)
    assert said[0] == len(os.sched_getaffinity(0)) and said[3] is False, "and only until the step ends"


def test_the_narrower_limit_holds() -> None:
    with sharing(Share(2, 1000)):
        made = make_sandbox(read=[], write=[], hidden=[], path=os.environ["PATH"], memory=500, cpus=4)
    assert (made.memory, made.cpus) == (500, 2)
    free = make_sandbox(read=[], write=[], hidden=[], path=os.environ["PATH"])
    assert (free.memory, free.cpus) == (None, None) and share() == Share()
    with sharing(Share(cards=("3", "4"))):
        assert clean_env()["CUDA_VISIBLE_DEVICES"] == "3,4"
    assert sys.executable


@pytest.mark.parametrize(
    ("section", "spec"),
    [
        ("gates", metric.Spec(metric="accuracy", min=0.5)),
        ("gates", scan.Spec()),
        ("targets", onnxruntime.Spec()),
        ("targets", tvm.Spec()),
        ("targets", program.Spec()),
    ],
    ids=lambda item: type(item).__module__ if not isinstance(item, str) else item,
)
def test_a_gate_and_a_target_have_a_share(section: str, spec: object) -> None:
    import dataclasses

    asked = Resources(cpu=2, memory=4096, gpu=1)
    held = dataclasses.replace(spec, resources=asked)  # type: ignore[type-var]
    want = Resource(Address(section, "it"), "", held)
    assert share_of(want, ("7",)) == Share(2, 4096, ("7",))
    none = dataclasses.replace(spec, resources=Resources(gpu=0))  # type: ignore[type-var]
    assert share_of(Resource(Address(section, "it"), "", none), None) == Share(None, None, ())
    assert share_of(Resource(Address(section, "it"), "", spec), ("7",)) == Share()


def test_a_training_command_has_its_share_by_its_own_sandbox() -> None:
    want = Resource(Address("train", "it"), "", local.Spec(run="a", resources=Resources(memory=1)))
    assert share_of(want, ()) == Share()
