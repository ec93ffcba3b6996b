"""Ids of git blobs and trees, computed without git (both sha1 object format)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .types import TreeFile


def object_id(kind: str, body: bytes) -> str:
    """The id git gives an object of this kind. Source: gitformat-pack(5), loose object header."""
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()


def tree_oid(files: Mapping[str, TreeFile]) -> str:
    """The id of the git tree that holds exactly these files; keys are ``/`` paths."""
    return build_trees(files)[0]


def build_trees(files: Mapping[str, TreeFile]) -> tuple[str, dict[str, bytes]]:
    """The root tree's id, and the body of every tree object under it by id."""
    bodies: dict[str, bytes] = {}

    def build(prefix: str, names: list[str]) -> str:
        entries: dict[str, tuple[str, str]] = {}
        folders: dict[str, list[str]] = {}
        for name in names:
            head, slash, _ = name[len(prefix) :].partition("/")
            if slash:
                folders.setdefault(head, []).append(name)
            else:
                entries[head] = (files[name].mode, files[name].oid)
        for head, below in folders.items():
            entries[head] = ("40000", build(f"{prefix}{head}/", below))
        # Git sorts a folder as if its name ended in a slash.
        order = sorted(entries, key=lambda n: n.encode() + (b"/" if entries[n][0] == "40000" else b""))
        body = b"".join(
            entries[n][0].encode() + b" " + n.encode() + b"\0" + bytes.fromhex(entries[n][1]) for n in order
        )
        oid = object_id("tree", body)
        bodies[oid] = body
        return oid

    return build("", sorted(files)), bodies
