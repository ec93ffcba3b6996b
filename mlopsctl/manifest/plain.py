"""YAML as plain values, read with the manifest's care: size, aliases and duplicate keys are checked."""

from __future__ import annotations

from typing import Any

from .yaml_positions import decode, read_yaml


def read_plain(data: bytes, path: str) -> Any:
    """The value of a YAML document. Raises ManifestError with every finding and its place."""
    text, findings = decode(data, path)
    node = read_yaml(text, findings)
    findings.close()
    return node.plain()
