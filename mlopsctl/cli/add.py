"""``mlopsctl add``: writes the smallest working block into mlops.yaml; comments stay as they are."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from ..adapters.files import reader, write_atomically
from ..errors import ManifestError, UsageError
from ..manifest import Manifest, check_views, load_manifest
from ..manifest.edit import insert
from ..registry import DEFAULT_USE, PROVIDERS
from . import console
from .validate import nearest

SECTIONS = {"data": "data", "train": "train", "gate": "gates", "target": "targets", "deployment": "deployments"}

# A place to start from where a metric has a natural scale; the others need max=… or min=… from the user.
BARS = {
    "accuracy": ("min", "0.8"),
    "balanced_accuracy": ("min", "0.8"),
    "f1": ("min", "0.8"),
    "roc_auc": ("min", "0.8"),
    "r2": ("min", "0.5"),
    "ece": ("max", "0.1"),
    "log_loss": ("max", "0.7"),
}


def add(
    what: Annotated[str, typer.Argument(help="data, train, gate, target or deployment.")],
    kind: Annotated[str, typer.Argument(help="A data path, a command, a metric, or a provider such as tvm or local.")],
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Further keys.")] = None,
    name: Annotated[str, typer.Option(help="The entry's name; without it, one that fits.")] = "",
) -> int:
    """Writes the smallest working block into mlops.yaml and keeps its comments.

    Examples:

      mlopsctl add data data/digits.csv label=digit

      mlopsctl add gate balanced_accuracy min=0.9

      mlopsctl add target tvm

      mlopsctl add deployment local target=cpu
    """
    if what not in SECTIONS:
        raise UsageError(f"'{what}' cannot be added", hint="one of " + ", ".join(SECTIONS), code="MLO6410")
    path = nearest()
    if not path.is_file():
        hint = "mlopsctl init --template quickstart my-project"
        raise ManifestError("there is no mlops.yaml here", hint=hint, code="MLO3032")
    before = path.read_bytes()
    manifest = load_manifest(before, str(path), reader(path.parent))
    section = SECTIONS[what]
    keys = {**_block(section, kind, manifest), **_settings(settings or [])}
    block = ", ".join(f"{key}: {value}" for key, value in keys.items())
    chosen = name or _name(kind, {want.address.name for want in manifest.resources if want.address.section == section})
    after = insert(before, section, chosen, block, str(path))
    check_views(load_manifest(after, str(path), reader(path.parent)).resources)
    write_atomically(path, after, path.stat().st_mode & 0o777)
    console.out(f"{section}.{chosen} written to {path}: {chosen}: {{{block}}}")
    console.note("see what it would do: mlopsctl plan")
    return 0


def _block(section: str, kind: str, manifest: Manifest) -> dict[str, str]:
    """The keys of the smallest block, as YAML text."""
    found: dict[str, str] = {}
    if f"{section}/{kind}" in PROVIDERS:
        if kind != DEFAULT_USE[section]:
            found["use"] = kind
    elif section == "data":
        found["path"] = _quoted(kind)
    elif section == "train":
        found["run"] = _quoted(kind)
    elif section == "gates":
        found["metric"] = kind
        if kind in BARS:
            found.update((BARS[kind],))
    else:
        uses = [provider.partition("/")[2] for provider in PROVIDERS if provider.startswith(section + "/")]
        raise UsageError(f"'{kind}' is no provider of {section}", hint="one of " + ", ".join(uses), code="MLO6410")
    if section == "deployments":
        targets = [want.address.name for want in manifest.resources if want.address.section == "targets"]
        if targets:
            found["target"] = targets[0]
    return found


def _settings(settings: list[str]) -> dict[str, str]:
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not re.fullmatch(r"[a-z_]+", key):
            raise UsageError(f"'{setting}' is no setting", hint="write KEY=VALUE, for example min=0.9", code="MLO6410")
        found[key] = value if re.fullmatch(r"[-+.\w]+", value) else _quoted(value)
    return found


def _quoted(text: str) -> str:
    """Text as a YAML scalar: bare where that is safe."""
    if re.fullmatch(r"[A-Za-z_/.][\w/. -]*", text) and text == text.strip():
        return text
    return "'" + text.replace("'", "''") + "'"


def _name(kind: str, taken: Collection[str]) -> str:
    """A name made of the kind, with a number where it is taken."""
    stem = Path(kind).stem if "/" in kind or "." in kind else kind.split()[-1] if kind.split() else kind
    base = re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).lstrip("-_0123456789").rstrip("-_") or "entry"
    number = 2
    found = base
    while found in taken:
        found, number = f"{base}-{number}", number + 1
    return found
