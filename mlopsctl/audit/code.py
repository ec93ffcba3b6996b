"""The code that results were made from, as the trail keeps it; and secrets, which it must never keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import EvidenceError
from ..gitobjects import build_trees, object_id
from ..provider import Tree
from ..types import TreeFile

_SECRET = (
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b"
    rb"|\bglpat-[A-Za-z0-9_-]{20,}\b|\bxox[abp]-[A-Za-z0-9-]{20,}\b|\bsk-[A-Za-z0-9]{40,}\b"
)


def without_secrets(text: str) -> str:
    """``text`` with what looks like a private key or an access token struck out."""
    return re.sub(_SECRET.decode(), "***", text)


def holds_secret(data: bytes) -> bool:
    """Whether something in it looks like a private key or an access token."""
    return re.search(_SECRET, data) is not None


class CodeTree(NamedTuple):
    """The code that a result was made from: the git tree's id and every object below it as (kind, body)."""

    oid: str
    objects: tuple[tuple[str, bytes], ...]


def code_tree(tree: Tree, sources: Mapping[str, TreeFile]) -> CodeTree:
    """Reads the sources as git objects, so that the trail can keep them.

    Raises EvidenceError where a file changed since it was hashed (MLO7121) or holds a secret (MLO7120).
    """
    oid, trees = build_trees(sources)
    objects = [("tree", body) for body in trees.values()]
    for path, file in sources.items():
        body = tree.read(path)
        if object_id("blob", body) != file.oid:
            raise EvidenceError(f"{path} changed while it was used", hint="run apply again", code="MLO7121")
        if holds_secret(body):
            raise EvidenceError(
                f"{path} seems to hold a secret, and the trail would keep it for ever",
                hint="move the secret into an environment variable and name it under env:",
                code="MLO7120",
            )
        objects.append(("blob", body))
    return CodeTree(oid, tuple(objects))
