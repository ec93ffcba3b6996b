"""Small files of other tools, read as values only: nothing is constructed, imported or run."""

from __future__ import annotations

import json
import posixpath
from typing import Any

from ..errors import ManifestError
from ..manifest.yaml_positions import MAX_BYTES, Node, decode, read_yaml
from ..provider import Tree
from .proposal import NotUnderstood


def read_node(tree: Tree, path: str) -> Node:
    """A YAML file with the places of its values. Raises NotUnderstood, naming the place, where it cannot be read."""
    try:
        text, findings = decode(_bytes(tree, path), path)
        node = read_yaml(text, findings)
        findings.close()
    except ManifestError as error:
        raise NotUnderstood(f"{error.where or path}: {error.message.replace('the manifest', 'the file')}") from None
    return node


def read_values(tree: Tree, path: str) -> dict[str, Any]:
    """The values of a YAML, JSON or TOML file. Raises NotUnderstood."""
    suffix = posixpath.splitext(path)[1].lower()
    if suffix not in (".yaml", ".yml", ".json", ".toml"):
        raise NotUnderstood(f"{path} is neither YAML, JSON nor TOML")
    try:
        if suffix == ".json":
            found = json.loads(_bytes(tree, path))
        elif suffix == ".toml":
            import tomllib

            found = tomllib.loads(_bytes(tree, path).decode("utf-8"))
        else:
            found = read_node(tree, path).plain()
    except (ValueError, RecursionError) as error:
        raise NotUnderstood(f"{path} cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise NotUnderstood(f"{path} holds no names with values")
    return found


def _bytes(tree: Tree, path: str) -> bytes:
    if tree.file(path) is None:
        raise NotUnderstood(f"{path} is not in the repository, or is no plain file")
    body = tree.read(path, MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise NotUnderstood(f"{path} is larger than 1 MB")
    return body
