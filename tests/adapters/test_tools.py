"""Tools are found by their files, and a missing one says how it is had."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adapters import tools
from mlopsctl.adapters.tools import Tool, find, missing, require
from mlopsctl.errors import ProviderError


@pytest.fixture(autouse=True)
def three_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that is here, a command and a package that are not."""
    here = tmp_path / "shaper"
    here.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    here.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    known = (Tool("shaper", "shaping", "x"), Tool("burner", "burning", "x"), Tool("no_such", "none", "x", module=True))
    monkeypatch.setattr(tools, "TOOLS", {tool.name: tool for tool in known})


def test_a_command_is_found_on_the_path(tmp_path: Path) -> None:
    assert find("shaper") == str(tmp_path / "shaper")
    assert find("burner") is None


def test_what_is_missing_comes_with_its_command() -> None:
    absent = missing(("shaper", "burner", "no_such"))
    assert [tool.install for tool in absent] == ["apt-get install burning", "pip install 'mlopsctl[none]'"]


def test_all_missing_tools_are_named_at_once() -> None:
    require(("shaper",), "use: forge")
    with pytest.raises(ProviderError, match="use: forge needs burner, no_such") as caught:
        require(("shaper", "burner", "no_such"), "use: forge")
    assert caught.value.hint == "apt-get install burning; pip install 'mlopsctl[none]'"
    assert caught.value.code == "MLO1411"


def test_every_tool_of_the_table_says_what_it_is_for() -> None:
    assert all(tool.purpose and tool.package for tool in tools._ALL)
    assert len({tool.name for tool in tools._ALL}) == len(tools._ALL)


def test_an_archive_is_found_in_npms_cache_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = "ab" * 64
    web = Tool("web", "web@1.0.0", "x", archive=digest)
    monkeypatch.setattr(tools, "TOOLS", {"web": web})
    monkeypatch.setenv("npm_config_cache", str(tmp_path))
    assert (find("web"), web.install) == (None, "npm cache add web@1.0.0")
    place = tmp_path / "_cacache" / "content-v2" / "sha512" / "ab" / "ab" / ("ab" * 62)
    place.parent.mkdir(parents=True)
    place.touch()
    assert find("web") == str(place)
