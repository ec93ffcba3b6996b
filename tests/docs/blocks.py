"""The fenced blocks of the documents, and what stands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    if path.is_file()
)
_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs between two runs of the same command: digests, ids, numbers, and how wide a column is.
_VOLATILE = re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b|\d+(?:[.:,T-]\d+)*Z?")


@dataclass(frozen=True)
class Block:
    """One fenced block; ``info`` is what stands behind the back ticks."""

    document: str
    line: int
    info: str
    body: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a document with the exit code and the lines it promises."""

    text: str
    exit_code: int = 0
    promised: tuple[str, ...] = ()


def blocks(document: str) -> Iterator[Block]:
    """Every fenced block of a document, top to bottom."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for match in _FENCE.finditer(text):
        yield Block(document, text[: match.start()].count("\n") + 1, match["info"].strip(), match["body"])


def commands(block: Block) -> Iterator[Command]:
    """The commands of a ``sh`` block (every line), or of a ``console`` block (``$ …`` and the output below it).

    ``# exit N`` at the end of a command promises that exit code.
    """
    joined = block.body.replace("\\\n", " ")
    if block.info == "sh":
        for line in joined.splitlines():
            if line.strip() and not line.startswith("#"):
                yield _command(line, [])
        return
    head, *rest = re.split(r"^\$ ", joined, flags=re.MULTILINE)
    assert not head.strip(), f"{block}: output before the first command"
    for part in rest:
        first, *output = part.splitlines()
        yield _command(first, output)


def _command(line: str, output: list[str]) -> Command:
    text, _, comment = line.partition("  #")
    code = re.search(r"exit (\d+)", comment)
    return Command(text.strip(), int(code[1]) if code else 0, tuple(item for item in output if item.strip()))


def steady(line: str) -> str:
    """A line of output without what another run would print differently."""
    return " ".join(_VOLATILE.sub("#", line).split())
