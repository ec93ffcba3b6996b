"""An opaque model: any program that reads JSON lines and writes one for each."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mlopsctl.serving import program
from mlopsctl.serving.artifact import ArtifactRefused, listing, read_artifact
from mlopsctl.serving.program import ProgramModel
from mlopsctl.serving.protocol import ModelFailed

LINE_BY_LINE = """
import json, os, sys
for line in sys.stdin:
    row = json.loads(line)
    print(json.dumps({"sum": row["a"] + row["b"], "pid": os.getpid()}), flush=True)
"""
AT_THE_END = """
import json, sys
rows = [json.loads(line) for line in sys.stdin]
print("\\n".join(json.dumps(row["a"] * 2) for row in rows))
"""


def model(folder: Path, source: str) -> ProgramModel:
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(source)
    described = {
        "format": 1,
        "runtime": "program",
        "name": "writer",
        "inputs": [{"name": name, "dtype": "float64", "shape": [None]} for name in ("a", "b")],
        "outputs": [],
        "predict": [sys.executable, "{model}/program.py"],
    }
    (folder / "artifact.json").write_text(json.dumps(described))
    return ProgramModel(read_artifact(folder))


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ProgramModel]:
    found = model(tmp_path / "artifact", request.param)
    yield found
    found.close()
    assert found._process.poll() is not None


def columns(**values: list[float]) -> dict[str, np.ndarray]:
    return {name: np.array(column) for name, column in values.items()}


@pytest.mark.parametrize("made", [LINE_BY_LINE], indirect=True)
def test_one_process_answers_many_requests(made: ProgramModel) -> None:
    first = made.run(columns(a=[1, 2], b=[10, 20]), [])
    second = made.run(columns(a=[3], b=[30]), ["sum"])
    assert first["sum"].tolist() == [11, 22]
    assert second["sum"].tolist() == [33] and list(second) == ["sum"]
    third = made.run(columns(a=[5], b=[5]), [])
    assert third["pid"].tolist() == [first["pid"][0]]


@pytest.mark.parametrize("made", [AT_THE_END], indirect=True)
def test_a_program_that_answers_only_at_the_end_is_run_anew(
    made: ProgramModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "PATIENCE", 0.5)
    assert made.run(columns(a=[1, 2], b=[0, 0]), [])["output"].tolist() == [2, 4]
    begun = time.monotonic()
    assert made.run(columns(a=[3], b=[0]), ["answer"])["answer"].tolist() == [6]
    assert time.monotonic() - begun < 0.5, "it is known by now, so nothing is waited for"


@pytest.mark.parametrize("made", [LINE_BY_LINE], indirect=True)
def test_many_rows_do_not_block(made: ProgramModel) -> None:
    count = 20_000
    found = made.run(columns(a=list(range(count)), b=[1] * count), ["sum"])
    assert found["sum"].tolist() == [value + 1 for value in range(count)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("print('hello', flush=True); input()", "no JSON"),
        ("input(); raise SystemExit(3)", "0 lines for 1 rows"),
        ("import sys; sys.stdin.close()", "(ended before|0 lines)"),
        ("print('{}', flush=True); input()", "the program's answer has no 'sum'"),
    ],
)
def test_a_failing_program_is_a_failed_request_and_is_started_again(tmp_path: Path, source: str, message: str) -> None:
    made = model(tmp_path / "artifact", source)
    try:
        with pytest.raises(ModelFailed, match=message):
            made.run(columns(a=[1], b=[2]), ["sum"])
        (tmp_path / "artifact" / "program.py").write_text(LINE_BY_LINE)
        assert made.run(columns(a=[1], b=[2]), ["sum"])["sum"].tolist() == [3]
    finally:
        made.close()


def test_no_secret_of_ours_reaches_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    made = model(
        tmp_path / "artifact", "import os, json\nfor _ in range(1): input(); print(json.dumps(sorted(os.environ)))"
    )
    try:
        found = made.run(columns(a=[1], b=[2]), ["names"])
        assert "SECRET_TOKEN" in os.environ and "SECRET_TOKEN" not in str(found["names"])
    finally:
        made.close()


def test_a_program_leaves_no_bytecode_in_the_signed_folder(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "helper.py").write_text("two = 2\n")
    made = model(
        tmp_path / "artifact", "import helper, json\nwhile True:\n    input(); print(helper.two, flush=True)\n"
    )
    before = listing(tmp_path / "artifact")
    try:
        assert made.run(columns(a=[1], b=[2]), ["two"])["two"].tolist() == [2]
    finally:
        made.close()
    assert listing(tmp_path / "artifact") == before


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    folder.mkdir()
    described = {"format": 1, "runtime": "program", "name": "w", "predict": ["/nonexistent"]}
    (folder / "artifact.json").write_text(json.dumps(described))
    with pytest.raises(ArtifactRefused, match="cannot start"):
        ProgramModel(read_artifact(folder))
