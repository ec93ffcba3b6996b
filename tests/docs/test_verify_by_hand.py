"""docs/verify-by-hand.md needs git, openssl and coreutils only, and its lines fail once something was changed."""

from __future__ import annotations

import json
import re
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from tests.quickstart import must

from .blocks import blocks, commands

DOCUMENT = "docs/verify-by-hand.md"
LINES = [command.text for block in blocks(DOCUMENT) if block.info == "sh" for command in commands(block)]
BY_HAND = [line for line in LINES if not line.startswith("mlopsctl")]
TOOLS = {
    "git", "openssl", "base64", "cat", "cp", "cut", "fold", "mkdir", "printf", "sha256sum", "sort", "tail", "test", "tr",
    "uniq", "wc", "sed",
}  # fmt: skip
SHELL = {"while", "read", "do", "done"}


def run(folder: Path) -> str:
    """Runs the lines one by one without mlopsctl and Python in reach; the first that fails, else ""."""
    place = folder.parent / "tools"
    place.mkdir(exist_ok=True)
    for tool in TOOLS - {"printf", "test"}:
        found = must(f"command -v {tool}", folder).strip()
        if not (place / tool).exists():
            (place / tool).symlink_to(found)
    for line in BY_HAND:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", line],
            cwd=folder, env={"PATH": str(place), "HOME": str(folder)}, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            return line
    return ""


def test_it_uses_nothing_but_git_openssl_and_coreutils() -> None:
    for line in BY_HAND:
        plain = re.sub(r"'[^']*'", "''", line)
        words = re.findall(r"(?:^|[|;(]\s*|do\s+|LC_ALL=C\s+)([a-z][a-z0-9]*)", plain)
        assert words and set(words) <= TOOLS | SHELL, (set(words) - TOOLS - SHELL, line)


def test_a_trail_that_is_whole_passes(project: Path) -> None:
    assert run(project) == ""


def put(project: Path, lines: list[bytes]) -> None:
    (project / "body").write_bytes(b"".join(line + b"\n" for line in lines))
    must("git notes --ref=mlops add -f -C $(git hash-object -w body) HEAD", project)


def lines_of(project: Path) -> list[bytes]:
    return must("git notes --ref=mlops show HEAD", project).encode().splitlines()


def with_payload(line: bytes, change: tuple[bytes, bytes]) -> bytes:
    outer = json.loads(line)
    payload = b64decode(outer["dsse"]["payload"])
    assert change[0] in payload
    outer["dsse"]["payload"] = b64encode(payload.replace(*change)).decode()
    return json.dumps(outer, separators=(",", ":"), sort_keys=True).encode()


@pytest.mark.parametrize(
    "change",
    [(b'"agreement":"1"', b'"agreement":"0"'), (b'"signer":"', b'"signer":"x'), (b'"trust":"sha256:', b'"trust":"sha256:0')],
    ids=["a figure", "the signer", "the policy"],
)  # fmt: skip
def test_a_changed_entry_fails(project: Path, change: tuple[bytes, bytes]) -> None:
    *others, last = lines_of(project)
    put(project, [*others, with_payload(last, change)])
    assert run(project).startswith(("openssl dgst", "test"))


def test_a_signature_of_another_entry_fails(project: Path) -> None:
    *others, before, last = lines_of(project)
    signature = re.compile(rb'"sig":"[^"]*"')
    put(project, [*others, before, signature.sub(signature.findall(before)[0], last)])
    assert run(project).startswith("openssl dgst")


def test_an_entry_without_its_parent_fails(project: Path) -> None:
    *others, _, last = lines_of(project)
    put(project, [*others, last])
    assert "uniq -d" in run(project)


def test_a_changed_artifact_fails(project: Path) -> None:
    must("mlopsctl audit log targets.cpu --format json > log.json", project)
    outputs = json.loads((project / "log.json").read_text())["entries"][0]["outputs"]
    hexa = outputs["artifact"].partition(":")[2]
    store = project / ".git/mlops/store"
    first = (store / "dirhash" / hexa[:2] / hexa).read_text()[:64]
    place = store / "sha256" / first[:2] / first
    place.chmod(0o644)
    place.write_bytes(b"other bytes")
    assert "sha256sum --check" in run(project)


def test_a_signature_over_other_files_fails(project: Path) -> None:
    """Digest and listing hold, but the model's signature names another file."""
    lines = [line for line in BY_HAND if "by-hand/files" not in line]
    assert len(lines) == len(BY_HAND) - 2
    assert run(project) == ""
    files = project / "by-hand/files"
    files.write_text(files.read_text().replace("model.onnx", "other.onnx"))
    assert subprocess.run(["/bin/bash", "-c", BY_HAND[-1]], cwd=project, check=False).returncode == 1
