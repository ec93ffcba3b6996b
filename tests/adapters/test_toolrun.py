from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.share import Share, sharing
from mlopsctl.adapters.toolrun import run_tool, version_of
from mlopsctl.errors import ProviderError


def told(folder: Path, code: str, seconds: float = 60) -> str:
    """What a program prints."""
    log = folder / "log"
    log.unlink(missing_ok=True)
    run_tool([sys.executable, "-c", code], folder, seconds=seconds, log=log, doing="counting", code="MLO1460", hint="x")
    return log.read_text("utf-8").strip()


def test_a_tool_gets_the_share_of_its_step(tmp_path: Path) -> None:
    count = "import os; print(len(os.sched_getaffinity(0)), os.environ['CUDA_VISIBLE_DEVICES'])"
    with sharing(Share(1, None, ("7",))):
        assert told(tmp_path, count) == "1 7"
    with sharing(Share(None, 300 << 20, None)), pytest.raises(ProviderError, match="MemoryError"):
        told(tmp_path, "bytearray(600 << 20)")


def test_failure_says_what_was_done_and_the_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"counting: python\S* failed \(status 3\): no more") as error:
        told(tmp_path, "print('no more'); raise SystemExit(3)")
    assert (error.value.code, error.value.hint) == ("MLO1460", "x")
    with pytest.raises(ProviderError, match="no end after 0.5 seconds"):
        told(tmp_path, "import time; time.sleep(60)", seconds=0.5)


def test_versions_are_the_first_number_with_a_point(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho 'a tool of 2020, version 1.24.3 (x)'\n", encoding="utf-8")
    tool.chmod(0o755)
    assert version_of(str(tool), tmp_path) == "1.24.3"
    tool.write_text("#!/bin/sh\necho none\n", encoding="utf-8")
    assert version_of(str(tool), tmp_path) == "unknown"
