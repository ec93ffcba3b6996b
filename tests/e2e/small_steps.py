"""A project whose steps copy files: each takes no longer than its bookkeeping."""

from __future__ import annotations

from pathlib import Path

from mlopsctl.cli.project import open_project
from tests.quickstart import must

MANIFEST = """\
apiVersion: mlopsctl/v1
project: {name: small-steps}
data:
  rows: {path: rows.csv}
train:
  a: {run: "cp {data.rows} {out}/rows", produces: files}
  b: {run: "cp {data.rows} {out}/others", produces: files}
  c: {run: "cp {train.a}/rows {train.b}/others {out}", produces: files, data: rows}
"""
ADDRESSES = {"data.rows", "train.a", "train.b", "train.c"}


def make_small_steps(folder: Path) -> Path:
    """The project in a repository of its own, with a trail and a commit; nothing is made yet."""
    folder.mkdir()
    (folder / "mlops.yaml").write_text(MANIFEST)
    (folder / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    must("git init -q && mlopsctl init --ci none && git add -A && git commit -q -m Start", folder)
    return folder


def results(folder: Path) -> dict[str, str]:
    """Address -> entry of every result in the trail; each address has one."""
    made = [(entry.address, entry.id) for entry in open_project(folder).trail.entries(kinds=("result",))]
    assert len(made) == len(dict(made)), f"something was made twice: {made}"
    return dict(made)
