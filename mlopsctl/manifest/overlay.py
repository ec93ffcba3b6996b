"""``--set PATH=VALUE``: a manifest read with other values than it states, for a trial.

Works on the nodes of the document like ``each:``, so that what is set is checked by everything that checks a manifest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from ..errors import ManifestError, UsageError
from ..registry import PROVIDERS, implied_use, provider
from ..types import SECTIONS
from .conform import MAPPINGS, fields_of, type_of, union_members
from .each import Read
from .findings import did_you_mean
from .load import Manifest, load_manifest
from .yaml_positions import Node, decode, read_yaml

SETTABLE = SECTIONS[:-1]
"""What is set makes a trial, and a trial deploys nothing."""

_EXAMPLE = "write --set train.NAME.params.lr=0.01"


def load_overlaid(text: bytes, path: str, read: Read, settings: Sequence[str]) -> Manifest:
    """The manifest with the settings (``PATH=VALUE``) in place of what it says there; the later of two counts.

    Raises ManifestError for the file by itself, UsageError for a setting that names nothing or does not fit there.
    """
    load_manifest(text, path, read)
    try:
        return load_manifest(text, path, read, lambda root: overlaid(root, settings))
    except ManifestError as error:
        # The file alone is in order, so this is the command line's.
        paths = ", ".join(path_of(setting) for setting in settings)
        raise UsageError(f"--set {paths}: {error.message}", hint=error.hint, code="MLO6421") from None


def path_of(setting: str) -> str:
    """What a setting is about, without its value."""
    return setting.partition("=")[0].strip()


def overlaid(root: Node, settings: Sequence[str]) -> Node:
    """The document with every setting in it. Raises UsageError for one that names nothing."""
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.strip().split(".")
        if not equals or not all(keys):
            raise _refused(setting, "is no PATH=VALUE", _EXAMPLE)
        _check_resource(root, keys, path.strip())
        root = _with(root, keys, 0, _value(text, path.strip()), None)
    return root


def _refused(path: str, why: str, hint: str) -> UsageError:
    return UsageError(f"--set {path} {why}", hint=hint, code="MLO6420")


def _check_resource(root: Node, keys: Sequence[str], path: str) -> None:
    section, name = keys[0], keys[1] if len(keys) > 1 else ""
    if section == "deployments":
        raise _refused(
            path,
            "is about a deployment, and what is set makes a trial, which deploys nothing",
            "write it into mlops.yaml and commit it: that is what people approve",
        )
    if section not in SETTABLE:
        raise _refused(path, "names no section whose values can be set", did_you_mean(section, SETTABLE))
    block = root.get(section)
    known = block.value if block is not None and isinstance(block.value, dict) else {}
    if section == "data" and keys[2:] == ["final"]:
        raise _refused(
            path,
            "is what keeps trials away from these rows",
            "write it into mlops.yaml and commit it: that is what people approve",
        )
    if "[" in name:
        raise _refused(path, "names one instance, and a value is set for all of them", f"write {section}.NAME.KEY=…")
    if name not in known:
        names = [f"{section}.{one}" for one in known]
        raise _refused(path, "names nothing that the manifest declares", did_you_mean(f"{section}.{name}", names))
    if len(keys) < 3:
        raise _refused(path, "names a whole resource", f"name one of its keys: {path}.KEY=VALUE")


def _value(text: str, path: str) -> Node:
    """The value as YAML types it; an empty one is null."""
    if not text.strip():
        return Node(None, (1, 1), (1, 1))
    try:
        source, findings = decode(text.encode(), "--set")
        found = read_yaml(source, findings)
        findings.close()
    except ManifestError as error:
        raise UsageError(f"--set {path}: {error.message}", hint=error.hint, code="MLO6421") from None
    return found


def _with(node: Node, keys: Sequence[str], depth: int, value: Node, kind: Any) -> Node:
    """A copy of ``node`` with the value at the rest of the path; what aliases share stays as it is elsewhere."""
    if depth == len(keys):
        return value
    if depth == 2:
        kind = _spec_of(keys[0], node)
    items: dict[str, Node] = dict(node.value) if isinstance(node.value, dict) else {}
    key = keys[depth]
    inner = _inside(kind, items, keys, depth) if depth >= 2 else None
    below = items.get(key) or Node(None, node.at, node.end)
    items[key] = _with(below, keys, depth + 1, value, inner)
    places = {**node.keys, key: node.keys.get(key, node.at)}
    size = 1 + sum(1 + item.size for item in items.values())
    return Node(items, node.at, node.end, places, flow=node.flow, size=size)


def _spec_of(section: str, node: Node) -> Any:
    """The Spec of the entry's provider; None for a provider that nobody knows, which the manifest's checks report."""
    items = node.value if isinstance(node.value, dict) else {}
    use = items["use"].value if "use" in items else None
    name = f"{section}/{use or implied_use(section, lambda key: items[key].value, items)}"
    return provider(name).Spec if name in PROVIDERS else None


def _inside(kind: Any, items: Mapping[str, Node], keys: Sequence[str], depth: int) -> Any:
    """The type of what the next key names. Raises UsageError, with the nearest name, where it names nothing.

    A mapping of free names, such as ``params:``, has those that the manifest gives it: another one would be a slip.
    """
    path, key = ".".join(keys[: depth + 1]), keys[depth]
    if depth == 2 and key in ("use", "each"):
        return dict[str, Any]
    members = union_members(kind) if kind is not None else (Any,)
    specs = [member for member in members if dataclasses.is_dataclass(member)]
    known = {name: type_of(spec, item.name) for spec in specs for name, item in fields_of(spec).items()}  # type: ignore[arg-type]
    free = next((member for member in members if member is Any or get_origin(member) in MAPPINGS), None)
    if free is not None and not known:
        known = dict.fromkeys(items, Any if free is Any else get_args(free)[1])
    if key not in known:
        above = ".".join(keys[:depth])
        names = [f"{above}.{name}" for name in known]
        why = "names nothing that can be set" if names else f"goes on after {above}, which holds no keys"
        raise _refused(path, why, did_you_mean(path, names) or f"write {above}=VALUE")
    return known[key]
