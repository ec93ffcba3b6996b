"""Which artifact ``version:`` of a deployment names, and what today's gates know of its model."""

from __future__ import annotations

from ..plan import Assessment
from ..provider import result_fields
from ..registry import provider
from ..releases import RELEASE, numbered
from ..types import GUARD, Address, Digest, Entry, Input, Need, Observed, Resource, Verdict
from ..versions import MOST, Version, artifact_of, asked
from .names import names_of
from .project import Project

_FETCH = "mlopsctl pull --trail-only fetches the trail"


def find_version(project: Project, want: Resource) -> Version:
    """What the deployment's ``version:`` stands for: an artifact of its target, by digest, by its entry or by a release."""
    word, need = asked(want.spec), artifact_of(want)
    if word.isdecimal() and len(word) <= len(str(MOST)):
        made = _by_number(project, int(word), want, need)
    else:
        made = _by_digest(project, word) if ":" in word else _by_entry(project, word, need)
    if isinstance(made, str):
        return Version(f"version: {word}, which {made}")
    entry, digest = made
    if entry.address not in [str(name) for name in names_of(project, need.address)]:
        return Version(f"version: {word}, which is of {entry.address} and not of {need.address}")
    output = next(name for name, value in entry.outputs.items() if value == digest)
    models = entry.ingredients.get("inputs", {}).get("model", ())
    artifact = Input(Need(need.role, Address.parse(entry.address), output), entry.observed())
    target = project.resource(str(need.address))
    guards: list[Input] = []
    # Also the target's own bars are those of today, on what was recorded of this artifact.
    verdicts: dict[Address, Verdict | None] = {
        need.address: provider(target.provider).judge(target, entry.observed(), ())
    }
    for one in want.needs:
        if one.role == GUARD and one.address.section == "gates":
            gate = project.resource(str(one.address))
            seen = measurement(project, gate, models[0], digest) if models else None
            guards.append(Input(one, seen))
            verdicts[one.address] = provider(gate.provider).judge(gate, seen, ()) if seen else None
    text = f"version: {word} is {digest[:20]}, which {entry.signer} made at {entry.at}"
    return Version(text, (artifact, *guards), verdicts)


def _by_digest(project: Project, word: str) -> tuple[Entry, Digest] | str:
    """The newest result of a target with an artifact of this digest, or why there is none."""
    found = project.trail.select(
        "id IN (SELECT id FROM outputs WHERE digest GLOB ?) AND kind = 'result' AND address GLOB 'targets.*'"
        " ORDER BY state DESC, seq DESC, id DESC",
        (f"{word}*",),
    )
    hits = {digest: entry for entry in reversed(found) for digest in _artifacts(entry) if digest.startswith(word)}
    if len(hits) > 1:
        return f"begins the digests of {len(hits)} artifacts: write more of it"
    return next(((entry, digest) for digest, entry in hits.items()), f"no artifact in this trail has: {_FETCH}")


def releases(project: Project, address: Address) -> dict[str, int]:
    """The number of each release of a deployment, under all of its names and oldest first, by the id of its entry."""
    trail = project.trail
    found: dict[str, int] = trail.remembered(
        f"releases of {address}",
        # What only this machine believes is no release to anybody else.
        lambda: numbered(one for one in trail.entries(str(address), ("result",)) if one.trusted),
    )
    return found


def with_release(project: Project, found: Assessment) -> Assessment:
    """A deployment with the number of the release that runs, also where an early version did not sign it."""
    if found.step.address.section != "deployments" or found.seen is None:
        return found
    number = releases(project, found.step.address).get(found.seen.entry)
    return found._replace(seen=found.seen._replace(facts={**found.seen.facts, RELEASE: number})) if number else found


def _by_number(project: Project, number: int, want: Resource, need: Need) -> tuple[Entry, Digest] | str:
    """The artifact that the release of this number put out, or why that is none."""
    known = releases(project, want.address)
    made = [_by_entry(project, entry, need) for entry, found in known.items() if found == number]
    if not made:
        last = max(known.values(), default=0)
        return f"is no release of {want.address}, which has had {last or 'none'}: {_FETCH}"
    artifacts = {one[1] for one in made if not isinstance(one, str)}
    if len(artifacts) > 1:
        ids = " and ".join(entry[:12] for entry, found in known.items() if found == number)
        return f"is the number of {ids}, which clones put out that did not know of each other: name one of them"
    return made[0]


def _by_entry(project: Project, word: str, need: Need) -> tuple[Entry, Digest] | str:
    """The artifact that a target's entry made, or that a deployment's entry put out; or why there is none."""
    found = project.trail.select("id GLOB ? LIMIT 2", (f"{word}*",))
    if len(found) != 1:
        return "begins several entries: write more of it" if found else f"begins no entry of this trail: {_FETCH}"
    entry = found[0]
    if entry.kind == "result" and entry.address.startswith("targets."):
        digest = entry.outputs.get(need.output)
        return (entry, digest) if digest else "is an entry without an artifact"
    given = entry.ingredients.get("inputs", {}).get("artifact", ())
    if entry.kind != "result" or not entry.address.startswith("deployments.") or len(given) != 1:
        return "is an entry of neither a target's artifact nor a deployment"
    made = project.trail.with_output(Digest(given[0]), "targets")
    return (made, Digest(given[0])) if made else f"is a deployment whose artifact this trail does not know: {_FETCH}"


def _artifacts(entry: Entry) -> list[Digest]:
    return [digest for name, digest in entry.outputs.items() if not name.endswith(".sig")]


def measurement(project: Project, gate: Resource, model: object, artifact: str) -> Observed | None:
    """The newest measurement of this model by a gate as it is today: another metric or view says nothing about its bars.

    A gate that measures artifacts must have measured this one.
    """
    asked_for = (gate.provider, result_fields(gate.spec))
    for entry in project.trail.entries(str(gate.address), ("result",), newest_first=True):
        parts = entry.ingredients
        same = (parts.get("provider"), parts.get("spec")) == asked_for
        given = parts.get("inputs", {})
        if same and model and model in given.get("model", ()) and artifact in given.get("artifact", (artifact,)):
            return entry.observed()
    return None
