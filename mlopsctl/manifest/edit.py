"""Inserts a block into the text of a manifest and leaves every other character, comments too, as it is."""

from __future__ import annotations

from .yaml_positions import Node, decode, read_yaml


def insert(data: bytes, section: str, name: str, block: str, path: str = "mlops.yaml") -> bytes:
    """The manifest with ``name: {block}`` as the last entry of ``section``, which is added where it is missing.

    Raises ManifestError where ``data`` cannot be read. The result is not checked: load it before writing it.
    """
    return insert_line(data, section, f"{name}: {{{block}}}", path)


def insert_line(data: bytes, section: str, entry: str, path: str = "mlops.yaml") -> bytes:
    """The manifest with the one line ``entry`` (``key: value``) as the last of ``section``; see ``insert``."""
    text, findings = decode(data, path)
    root = read_yaml(text, findings)
    findings.close()
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.split(newline)
    node = root.get(section)
    if node is None:
        _append(lines, [f"{section}:", f"  {entry}"])
    elif isinstance(node.value, dict) and node.flow:
        _into_flow(lines, node, entry)
    elif isinstance(node.value, dict):
        indent = min(place[1] for place in node.keys.values()) - 1
        lines.insert(_last_line(node), " " * indent + entry)
    else:
        lines.insert(root.keys[section][0], f"  {entry}")
    bom = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    return bom + newline.join(lines).encode("utf-8")


def _append(lines: list[str], block: list[str]) -> None:
    while lines and not lines[-1].strip():
        lines.pop()
    lines.extend([*block, ""])


def _into_flow(lines: list[str], node: Node, entry: str) -> None:
    """Writes before the closing brace; an empty ``{}`` becomes a block of its own line."""
    row, column = node.end[0] - 1, node.end[1] - 2
    before, after = lines[row][:column], lines[row][column:]
    if node.value:
        lines[row] = f"{before.rstrip().removesuffix(',')}, {entry}{after}"
    else:
        lines[row] = f"{before}{entry}{after}"


def _last_line(node: Node) -> int:
    """The number of the last line that an entry of the mapping stands on."""
    last = max(place[0] for place in node.keys.values())
    for child in node.value.values():
        line, column = child.end
        # The end of a block of text is the start of the line after it.
        last = max(last, line - 1 if column == 1 else line)
    return last
