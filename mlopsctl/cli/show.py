"""``mlopsctl show``: one resource in full, or the manifest with every default."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated, Any

import typer

from ..audit.trace import entry_json
from ..errors import UsageError
from ..plan import Assessment, survey
from ..releases import RELEASE
from ..types import Entry, Json
from . import console
from .names import names_of
from .options import Format, check_format
from .project import Project, open_project, open_readable
from .versions import with_release
from .world import ProjectWorld


def show(
    address: Annotated[str | None, typer.Argument(help="An address; default: the whole manifest.")] = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print every field, defaults included.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List every attempt for the address.")] = False,
    format: Format = "text",
) -> int:
    """One resource in full: what is declared, what stands, what it was made from.

    Examples:

      mlopsctl show train.classifier

      mlopsctl show --resolved

      mlopsctl show gates.accuracy --history
    """
    check_format(format)
    if history and (address is None or resolved):
        what = "--resolved shows the manifest, --history the trail" if resolved else "--history is that of one address"
        raise UsageError(what, hint="mlopsctl show gates.accuracy --history", code="MLO6406")
    if address is None or resolved:
        _print(_resolved(open_project(), address), format)
        return 0
    project = open_readable()
    want = project.resource(address)
    project.need_trail()
    if history:
        names = names_of(project, want.address)
        entries = {one.id: one for name in names for one in project.trail.entries(address=str(name))}
        _history(str(want.address), sorted(entries.values(), key=lambda entry: (entry.seq, entry.id)), format)
        return 0
    found = next(one for one in survey(project.resources, ProjectWorld(project)) if one.step.address == want.address)
    _print(_one(with_release(project, found)), format)
    return 0


def _resolved(project: Project, address: str | None) -> dict[str, Json]:
    chosen = [project.resource(address)] if address else project.resources
    found: dict[str, Any] = {"project": _spec(project.manifest.project)}
    for want in chosen:
        _, _, name = str(want.address).partition(".")
        use = want.provider.partition("/")[2]
        found.setdefault(want.address.section, {})[name] = {"use": use, **_spec(want.spec)}
    return found


def _spec(spec: Any) -> dict[str, Json]:
    return {item.name: _value(getattr(spec, item.name)) for item in dataclasses.fields(spec)}


def _value(value: Any) -> Json:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _spec(value)
    if isinstance(value, tuple | list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _value(item) for key, item in value.items()}
    return value


def _one(found: Assessment) -> dict[str, Json]:
    step, seen = found.step, found.seen
    shown: dict[str, Json] = {
        "address": str(step.address),
        "provider": step.provider,
        "declared": _spec(found.spec),
        "made_from": step.made_from,
        "ingredients": found.parts,
        "files": {name: file.oid for name, file in found.sources.items()},
        "state": step.action.name.lower(),
        "reason": step.reason.text,
    }
    if seen is not None:
        shown |= {"entry": seen.entry, "at": seen.at, "outputs": dict(seen.outputs), "facts": dict(seen.facts)}
    if step.verdict is not None and step.verdict.text:
        shown["verdict"] = f"{step.verdict.status.value}: {step.verdict.text}"
    if step.held_by:
        shown["held_by"] = step.held_by
    return shown


def _history(address: str, entries: list[Entry], format: str) -> None:
    if format == "json":
        shown = {"schema_version": 1, "address": address, "entries": [entry_json(entry) for entry in entries]}
        console.out(json.dumps(shown, indent=2))
        return
    rows = [
        (entry.id[:12], entry.at[:19].replace("T", " "), entry.kind, entry.status, entry.signer, _figure(entry))
        for entry in reversed(entries)
    ]
    for line in console.table(rows, ("entry", "at", "kind", "status", "signer", "figures")):
        console.out(line)


def _figure(entry: Entry) -> str:
    if RELEASE in entry.facts:
        return f"release {entry.facts[RELEASE]}"
    if "value" in entry.facts:
        return f"{entry.facts.get('metric', 'value')} {entry.facts['value']} {entry.facts.get('ci', '')}"
    return str(entry.facts.get("message", ""))


def _print(shown: dict[str, Json], format: str) -> None:
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **shown}, indent=2))
        return
    import yaml

    console.out(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=110).rstrip())
