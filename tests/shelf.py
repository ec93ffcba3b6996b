"""A shared deployment that needs no server: a pinned program that puts the artifact into a folder, its shelf."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from tests.quickstart import must

_SCRIPT = Path(__file__).parent / "providers" / "programs" / "shelf.py"
PROGRAM = f"#!{sys.executable} -I\n".encode() + _SCRIPT.read_bytes()
BEFORE = "SHELF_TOKEN=secret "


def block(shelf: Path, keys: str = "") -> str:
    """The manifest's entry of a deployment on this shelf; ``keys`` are more lines of it."""
    digest = hashlib.sha256(PROGRAM).hexdigest()
    lines = [
        "use: command", "program: tools/shelf.py", f"digest: sha256:{digest}", "target: cpu", f"to: {shelf}",
        "env: [SHELF_TOKEN]", f"paths: [{shelf}]", *keys.splitlines(),
    ]  # fmt: skip
    return "".join(f"    {line}\n" for line in lines)


def declare(project: Path, commit: str = "Deployments", **blocks: str) -> None:
    """Gives the manifest these deployments and no other ones, and commits that."""
    program = project / "tools" / "shelf.py"
    program.parent.mkdir(exist_ok=True)
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    manifest = project / "mlops.yaml"
    text = re.sub(r"\ndeployments:\n.*", "\n", manifest.read_text(), flags=re.DOTALL).rstrip("\n")
    entries = "".join(f"  {name}:\n{body}" for name, body in blocks.items())
    manifest.write_text(text + "\n" + (f"deployments:\n{entries}" if blocks else ""))
    must(f"git add -A && git commit -qm '{commit}'", project)


def on(shelf: Path) -> str:
    """What lies on the shelf, as a digest; "" for an empty one."""
    files = sorted(path for path in (shelf / "current").rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest() if files else ""
