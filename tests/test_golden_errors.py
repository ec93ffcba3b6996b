"""What an error looks like, word for word: code, place, line, reason, fix and exit code (tests/texts.py)."""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mlopsctl.cli.main import run
from tests.quickstart import must
from tests.texts import same_as, unused

MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: small}
data:
  rows: {path: rows.csv, label: y, split: {test: 0.2, key: id}}
train:
  m: {run: "python train.py --rate {params.rate}", data: rows, params: {rate: 0.1}}
gates:
  accuracy: {metric: accuracy, min: 0.7}
targets:
  cpu: {}
deployments:
  live: {target: cpu}
"""
CIRCLE = """\
apiVersion: mlopsctl/v1
project: {name: small}
train:
  a: {run: "cp {train.b} {out}", produces: files}
  b: {run: "cp {train.a} {out}", produces: files}
"""


class Wrong(NamedTuple):
    """What is typed, in a project in which ``old`` was replaced by ``new``; the whole manifest where ``old`` is empty."""

    line: str = "validate"
    old: str = ""
    new: str = ""
    bare: bool = False
    """Whether there is no repository at all."""


CASES = {
    "unknown-key": Wrong(old="label: y", new="lable: y"),
    "unknown-section": Wrong(old="targets:", new="target:"),
    "unknown-provider": Wrong(old="cpu: {}", new="cpu: {use: onnx}"),
    "missing-key": Wrong(old="metric: accuracy, ", new=""),
    "wrong-type": Wrong(old="rate: 0.1}}", new="rate: 0.1}, seed: often}"),
    "out-of-range": Wrong(old="test: 0.2", new="test: 1.2"),
    "unknown-reference": Wrong(old="{target: cpu}", new="{target: gpu}"),
    "reference-to-a-view-for-tests": Wrong(old="data: rows, params", new="data: rows.test, params"),
    "circle-of-models": Wrong(old='"python train.py --rate {params.rate}"', new='"cp {train.n} {out}"}\n  n: {run: "cp {train.m} {out}"'),
    "circle": Wrong(new=CIRCLE),
    "unknown-step-in-a-command": Wrong(old="{params.rate}", new="{train.n}"),
    "unknown-parameter": Wrong(old="{params.rate}", new="{params.rat}"),
    "interpolated-environment": Wrong(old="path: rows.csv", new="path: '${env:HOME}'"),
    "path-outside": Wrong(old="path: rows.csv", new="path: ../rows.csv"),
    "name-with-a-space": Wrong(old="  cpu: {}", new="  c p u: {}"),
    "key-twice": Wrong(old="  cpu: {}", new="  cpu: {}\n  cpu: {}"),
    "no-yaml": Wrong(old="targets:\n", new="targets: [\n"),
    "tab": Wrong(old="  cpu: {}", new="\tcpu: {}"),
    "no-utf-8": Wrong(old="name: small", new="name: sm\udcffll"),
    "other-version": Wrong(old="mlopsctl/v1", new="mlopsctl/v2"),
    "newer-needed": Wrong(old="project: {name: small}", new='project: {name: small}\nrequires: ">=99"'),
    "two-documents": Wrong(old="deployments:", new="---\ndeployments:"),
    "empty": Wrong(new="\n"),
    "each-over-nothing": Wrong(old="cpu: {}", new="cpu: {each: {a: []}}"),
    "view-not-set-aside": Wrong(old="label: y, split: {test: 0.2, key: id}", new="label: y, split: none"),
    "validation-not-set-aside": Wrong(old="{metric: accuracy, min: 0.7}", new="{metric: accuracy, min: 0.7, view: val}"),
    "number-instead-of-keys": Wrong(old="live: {target: cpu}", new="live: {target: cpu, approvals: 2}"),
    "merge-conflict": Wrong(
        old="targets:\n", new="<<<<<<< HEAD\ntargets:\n=======\n  fast: {metric: f1, min: 0.7}\ntargets:\n>>>>>>> other\n"
    ),
    "key-for-later": Wrong(old="rate: 0.1}}", new="rate: 0.1}, budget: {time: 30m, cost: 5 EUR}}"),
    "each-without-a-file": Wrong(old="cpu: {}", new="cpu: {each: clients.csv}"),
    "wrong-duration": Wrong(old="rate: 0.1}}", new="rate: 0.1}, timeout: 30}"),
    "each-not-named": Wrong(old="cpu: {}", new='cpu: {each: {a: [x, y]}}'),
    "several-findings": Wrong(old="{metric: accuracy, min: 0.7}", new="{metric: acuracy, min: high, moddel: m}"),
    "far-right": Wrong(old="cpu: {}", new="cpu: {" + " " * 150 + "modle: m}"),
    "no-manifest": Wrong("plan", MANIFEST, ""),
    "no-repository": Wrong("plan", bare=True),
    "unknown-target": Wrong("plan --target train.n"),
    "nothing-left": Wrong("plan --exclude 'data.*'"),
    "two-options-that-fight": Wrong("plan --refresh-only --replace train.m"),
    "unknown-format": Wrong("plan --format yaml"),
    "unknown-verb": Wrong("paln"),
    "no-saved-plan": Wrong("apply mlops.yaml"),
    "no-trail": Wrong("apply -y"),
    "unknown-commit": Wrong("diff v1..HEAD"),
    "unknown-code": Wrong("explain MLO9999"),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mlops.yaml").write_text(MANIFEST)
    (tmp_path / "rows.csv").write_text("id,x,y\n1,2,0\n2,3,1\n")
    (tmp_path / "train.py").write_text("print()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CI", "true")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield tmp_path
    for number, action in before.items():
        signal.signal(number, action)


@pytest.mark.parametrize("name", CASES)
def test_what_an_error_says(name: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line, old, new, bare = CASES[name]
    assert MANIFEST.count(old) == 1 or not old, "it has to stand there once"
    text = MANIFEST.replace(old, new) if old else new or MANIFEST
    (project / "mlops.yaml").write_bytes(text.encode(errors="surrogateescape"))
    if not text:
        (project / "mlops.yaml").unlink()
    if not bare:
        must("git init -q && git add -A && git commit -q -m Start", project)
    code = run(shlex.split(line))
    shown = capsys.readouterr()
    assert code not in (0, 70) and "Traceback" not in shown.err
    errors = shown.err.count("error[MLO")
    assert errors and shown.err.count("\n  fix: ") == errors, "each error says what mends it"
    assert code != 3 or shown.err.count("mlops.yaml:") >= errors, "and where it is"
    said = re.sub(r"\b\d+\.\d+\.\d+\b", "VERSION", shown.err.replace(str(project), "/project"))
    same_as(f"errors/{name}.txt", f"$ mlopsctl {line}\n{shown.out}{said}exit {code}\n")


def test_no_file_is_left_of_a_case_that_is_gone() -> None:
    assert unused("errors", [f"{name}.txt" for name in CASES]) == []
