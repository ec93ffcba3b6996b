"""docs/cli.md is what ``--help`` says."""

from __future__ import annotations

from .blocks import ROOT
from .cli_reference import reference


def test_the_reference_is_current() -> None:
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "make reference writes it again"
