"""What the documents show is true: every YAML block is a valid manifest, every command runs and prints what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlopsctl.manifest import load_manifest
from mlopsctl.manifest.yaml_positions import decode, read_yaml
from tests.quickstart import make_quickstart, shell, take_down

from .blocks import DOCUMENTS, ROOT, Block, Command, blocks, commands, steady

BASE = yaml.safe_load(
    (ROOT / "templates/quickstart/mlops.yaml").read_text(encoding="utf-8").replace("{{ name }}", "digits")
)

# Commands about this repository itself; .ci/run runs the first four.
ELSEWHERE = re.compile(
    r"make (demo|test|lint|help|test-all|bench|schema|reference|lock|clean)\b|git clone |cd mlopsctl$|pip install "
)


def of_kind(*kinds: str) -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document) if block.info.split(" ")[0] in kinds]


@pytest.mark.parametrize("block", of_kind("yaml"), ids=str)
def test_yaml_blocks_are_valid(block: Block) -> None:
    """A block with an info word besides ``yaml`` is another file; others are manifests or parts of the quickstart's."""
    document = yaml.safe_load(block.body)
    if block.info != "yaml":
        assert isinstance(document, dict | list)
        return
    document = read_yaml(*decode(block.body.encode(), block.document)).plain()  # YAML 1.2, where on is a word
    if "apiVersion" in document:
        load_manifest(block.body.encode(), block.document)
        return
    whole: dict[str, Any] = {**BASE}
    for section, entries in document.items():
        whole[section] = {**(BASE.get(section) or {}), **entries} if isinstance(entries, dict) else entries
    load_manifest(yaml.safe_dump(whole).encode(), block.document)


def to_run(document: str) -> list[Command]:
    found = [command for block in blocks(document) if block.info in ("sh", "console") for command in commands(block)]
    return [command for command in found if not ELSEWHERE.match(command.text)]


@pytest.mark.parametrize("document", [document for document in DOCUMENTS if to_run(document)])
def test_commands_run(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each document in a fresh quickstart and home of its own, top to bottom; ``cd`` holds for the lines after it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    (tmp_path / "home").mkdir()
    folder = tmp_path / "digits"
    if not any("mlopsctl init" in command.text for command in to_run(document)):
        make_quickstart(folder)
    here = folder if folder.exists() else tmp_path
    try:
        for command in to_run(document):
            moved = re.fullmatch(r"cd (\S+)", command.text)
            if moved:
                here = here / moved[1]
                assert here.is_dir(), command.text
                continue
            _check(command, here)
    finally:
        take_down(folder)


def _check(command: Command, folder: Path) -> None:
    done = shell(command.text, folder)
    shown = f"$ {command.text}\n{done.stdout}"
    assert done.returncode == command.exit_code, f"{shown}\nexit {done.returncode}, not {command.exit_code}"
    printed = {steady(line) for line in done.stdout.splitlines()}
    for line in command.promised:
        assert line.strip() in ("…", "...") or steady(line) in printed, f"{shown}\nnot printed: {line}"


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", text):
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"
