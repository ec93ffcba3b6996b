"""Small repositories of other tools."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlopsctl.adapters.git import WorkTree, find_repo
from mlopsctl.adopt.repository import Found, read_repository
from mlopsctl.adopt.text import manifest_text
from mlopsctl.manifest import Manifest, load_manifest
from mlopsctl.registry import provider


def repository(folder: Path, files: Mapping[str, str]) -> WorkTree:
    """A repository with these files, not committed yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return WorkTree(find_repo(folder), folder)


def proposed(folder: Path, files: Mapping[str, str]) -> tuple[Found, Manifest]:
    """What is proposed for a repository with these files; its manifest is valid and the code of each step is found."""
    tree = repository(folder, files)
    found = read_repository(tree)
    manifest = load_manifest(manifest_text("mine", found.proposal, found.read).encode())
    for path, body in found.files.items():
        (folder / path).write_text(body)
    now = WorkTree(tree.repo, folder)
    for want in manifest.resources:
        if want.address.section == "train":
            assert provider(want.provider).sources(want, now) is not None
    return found, manifest


def spec(manifest: Manifest, address: str) -> Any:
    """The Spec of one resource."""
    return next(want.spec for want in manifest.resources if str(want.address) == address)


def addresses(manifest: Manifest) -> list[str]:
    return [str(want.address) for want in manifest.resources]


def notebook(*cells: str | tuple[str, int] | tuple[str, int, str], language: str = "python") -> str:
    """The text of a notebook with these code cells: (source, execution count, what the notebook shows of its value)."""
    found = []
    for item in cells:
        source, count, shown = ((item, None, None) if isinstance(item, str) else (*item, None, None))[:3]
        result = {
            "output_type": "execute_result",
            "data": {"text/plain": shown},
            "execution_count": count,
            "metadata": {},
        }
        outputs = [result] if shown else []
        found.append(
            {"cell_type": "code", "source": source, "execution_count": count, "outputs": outputs, "metadata": {}}
        )
    kernel = {"kernelspec": {"name": "k", "display_name": "k", "language": language}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": found})
