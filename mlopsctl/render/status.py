"""Where everything stands, as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..looks import looks
from ..plan import Assessment
from ..provider import Probe
from ..releases import RELEASE
from ..types import Action, Address, Json, Observed, is_unverified
from .plan import SCHEMA_VERSION
from .text import one_line


def state_of(found: Assessment, probe: Probe | None) -> str:
    """One word: what a deployment does, what a gate decided, whether a result is current."""
    step = found.step
    if probe is not None and probe.state == "deployed" and is_unverified(found.seen):
        return "unverified"
    if probe is not None:
        return "contested" if "contested by " in step.held_by and probe.state in ("deployed", "absent") else probe.state
    if step.blocked_by:
        return "blocked"
    if step.action is Action.NOOP:
        return step.verdict.status.value if step.verdict and step.verdict.text else "current"
    return "absent" if found.seen is None and step.action is Action.CREATE else "outdated"


def status_json(
    survey: Sequence[Assessment],
    probes: Mapping[Address, Probe],
    about: Mapping[str, str],
    shared: Sequence[tuple[str, int]] = (),
    withdrawn: Mapping[Address, Sequence[str]] = MappingProxyType({}),
    announced: Mapping[Address, Sequence[str]] = MappingProxyType({}),
) -> dict[str, Json]:
    """As ``status --format json`` prints it; see schemas/status.schema.json.

    ``shared`` are pairs of a remote and how many entries it does not have; ``withdrawn`` is about what is live,
    ``announced`` about changes of it that are under way.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "project": dict(about),
        "trail": {"remotes": [{"name": name, "unpushed": count} for name, count in shared]},
        "resources": [
            _row(
                found,
                probes.get(found.step.address),
                withdrawn.get(found.step.address, ()),
                announced.get(found.step.address, ()),
            )
            for found in survey
        ],
    }


def _row(found: Assessment, probe: Probe | None, withdrawn: Sequence[str], announced: Sequence[str]) -> dict[str, Json]:
    step, seen = found.step, found.seen
    row: dict[str, Json] = {
        "address": str(step.address),
        "state": state_of(found, probe),
        "made_from": step.made_from,
        "outputs": dict(seen.outputs) if seen else {},
        "attested_by": seen.entry if seen else None,
        "at": seen.at if seen else None,
    }
    if probe is not None and probe.endpoint:
        row["endpoint"] = probe.endpoint
    if seen is not None and "proof" in seen.facts:
        row["proof"] = seen.facts["proof"]
    if seen is not None and seen.facts.get("origin"):
        row["origin"] = origin_of(seen)
    if seen is not None and isinstance(adopted := seen.facts.get("adopted"), dict):
        row["adopted"] = str(adopted.get("state"))
    if step.address.section == "deployments" and seen is not None and RELEASE in seen.facts:
        row["release"] = seen.facts[RELEASE]
    if step.nth_model is not None:
        row["nth_model"] = step.nth_model
    if step.held_by:
        row["held_by"] = step.held_by
    if step.action is Action.DELETE:
        row["undeclared"] = True
    if withdrawn:
        row["withdrawn"] = list(withdrawn)
    if announced:
        row["announced"] = list(announced)
    return row


def origin_of(seen: Observed) -> Json:
    """Of an imported model ``verified by NAME`` or ``unverified``; of a deployment that for each import it runs."""
    origin = seen.facts["origin"]
    if "state" not in origin:
        return dict(origin)
    return f"{origin['state']} by {origin['by']}" if "by" in origin else origin["state"]


def _imports(seen: Observed | None) -> str:
    origin = origin_of(seen) if seen is not None and seen.facts.get("origin") else {}
    return ", ".join(f"runs {address}, imported, {text}" for address, text in origin.items())


def _adopted(seen: Observed | None) -> str:
    if not is_unverified(seen) or seen is None:
        return ""
    return f"adopted, and unverified: {seen.facts['adopted'].get('why', '')}"


def heading(about: Mapping[str, str]) -> str:
    """What the project is for and who answers for it, in one line; empty where the manifest says neither."""
    said = [about.get("purpose", ""), *(f"{key} {about[key]}" for key in ("owner", "license") if key in about)]
    text = "; ".join(part for part in said if part)
    return f"{about['name']}: {text}" if text else ""


def details(found: Assessment, probe: Probe | None) -> str:
    """What a person wants to know beside the state, in one line."""
    step, seen = found.step, found.seen
    if probe is not None:
        left = step.reason.text if step.action is Action.DELETE else ""
        said = (probe.endpoint, probe.text, left, step.held_by, _imports(seen), _adopted(seen))
        return one_line(", ".join(text for text in said if text))
    if step.blocked_by:
        return one_line("by " + ", ".join(step.blocked_by))
    if step.verdict is not None and step.verdict.text:
        return one_line("; ".join((step.verdict.text, *looks(step.nth_model))))
    if step.action is not Action.NOOP or seen is None:
        return one_line(step.reason.text)
    return _figures(step.address.section, seen)


def _figures(section: str, seen: Observed) -> str:
    facts = seen.facts
    if section == "data" and isinstance(facts.get("rows"), dict):
        return ", ".join(f"{view} {rows} rows" for view, rows in facts["rows"].items())
    if section == "train" and "origin" in facts:
        return f"{facts.get('kind', 'model')}, imported {seen.at[:16].replace('T', ' ')}, {origin_of(seen)}"
    if section == "train":
        return f"{facts.get('kind', 'model')}, trained {seen.at[:16].replace('T', ' ')}, {facts.get('isolation', '')}"
    if section == "targets":
        parts = (
            facts.get("proof"),
            f"agreement {facts['agreement']} on {facts['n']} rows" if "agreement" in facts else "",
        )
        return ", ".join(str(part) for part in parts if part)
    return ""
