"""The import contracts hold, and they see a breach: a module in no layer, or one that looks up."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts over the package in ``folder``."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_hold() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


def test_a_breach_is_seen(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mlopsctl", tmp_path / "mlopsctl", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    types = tmp_path / "mlopsctl" / "types.py"
    types.write_text(types.read_text(encoding="utf-8") + "\nfrom . import plan\n", encoding="utf-8")
    (tmp_path / "mlopsctl" / "homeless.py").write_text('"""In no layer."""\n', encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert "mlopsctl.types -> mlopsctl.plan" in done.stdout
    assert "mlopsctl.homeless" in done.stdout


def test_no_module_is_longer_than_anybody_reads() -> None:
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in (ROOT / "mlopsctl").rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > 500} == {}
