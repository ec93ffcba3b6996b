"""The completion scripts are what the shells themselves accept, and complete verbs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.cli.completion import SHELLS, completion
from mlopsctl.errors import UsageError

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_for_every_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert completion(shell) == 0
    assert f"complete_{shell}" in capsys.readouterr().out


def test_bash_completes_verbs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    completion("bash")
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    ask = f'source {script}; COMP_WORDS=(mlopsctl expl); COMP_CWORD=1; _mlopsctl_completion mlopsctl; echo "$COMPREPLY"'
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "explain"


def test_another_shell_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no completion for 'tcsh'"):
        completion("tcsh")
