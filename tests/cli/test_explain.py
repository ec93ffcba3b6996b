"""Every code a user can meet is explained, and stands for one kind of failure."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mlopsctl
from mlopsctl.cli.explain import FOLDER, explain, explanations
from mlopsctl.errors import UsageError

PACKAGE = Path(mlopsctl.__file__).parent
CODE = re.compile(r"MLO\d{4}")


def codes_in_source() -> dict[str, set[str]]:
    """Code -> files in which it stands as a whole string."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
                found.setdefault(node.value, set()).add(path.relative_to(PACKAGE).as_posix())
    return found


def test_every_code_is_explained() -> None:
    missing = {code: sorted(files) for code, files in codes_in_source().items() if code not in explanations()}
    assert not missing


def test_nothing_is_explained_that_cannot_happen() -> None:
    assert set(explanations()) <= set(codes_in_source())


def test_a_code_is_explained_once() -> None:
    headings = [
        match[1]
        for path in FOLDER.glob("*.md")
        for match in re.finditer(r"^## (MLO\d{4}) ", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(headings) == sorted(set(headings))


def test_every_explanation_says_something() -> None:
    for one in explanations().values():
        assert len(one.text) > 40, one.code


def test_shows_the_long_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("mlo3003") == 0
    assert capsys.readouterr().out.startswith("MLO3003: ")
    assert explain("3003") == 0
    assert "indentation" in capsys.readouterr().out


def test_lists_all_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain() == 0
    assert len(capsys.readouterr().out.splitlines()) == len(explanations())


def test_an_unknown_code_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no error code"):
        explain("MLO0000")
