"""``use: command``: a pinned program deploys, halts and removes (docs/command-protocol.md).

The program is an output of the deployment, and lies in its state folder: a halt needs neither manifest nor trail. So is
what it was called with, because paths name people's folders, and entries do not forget.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import EvidenceError, ProviderError
from ...intents import KINDS, half_done
from ...provider import (
    Context,
    Inputs,
    Probe,
    Specs,
    always_fine,
    fingerprint,
    ingredients,
    labelled,
    no_notes,
    no_sources,
    nothing_to_verify,
    policy,
    result,
    run,
)
from ...serving.files import read_json, write_json
from ...types import (
    ADOPTION,
    GUARD,
    Action,
    Address,
    Digest,
    Entry,
    Input,
    Json,
    Mark,
    Need,
    Observed,
    Outcome,
    Reason,
    Resource,
    is_unverified,
)
from ...versions import MOST, PATTERN
from .answered import not_serving, put_back, unanswered
from .command_home import LASTING, Pinned, attested, home_of, keep, known, name_at, named, running
from .controls import AFTER, BRANCH, GATES, VERSION, After, Approvals, artifact_and_guards, spelt_out
from .local_home import Home

RESULT_VERSION = 1
PER_CLONE = False
PROBE_RUNS = True
LATER_KEYS = (
    "region", "strategy", "halt", "protect", "consumers", "log",
    "monitor", "limits",
)  # fmt: skip

HANDED = ("program", "env", "paths")
"""Run fields that decide what the program is and can reach: a switch that brings others along says so."""

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_ARTIFACT = re.compile(r"(sha256|dirhash|gitoid):[0-9a-f]{40,64}")
_PLAIN = re.compile(r"[!-~]{0,300}")
"""What a program may say of something that nobody here deployed: it is kept in an entry, and shown to people."""

sources = no_sources
judge = always_fine
notes = no_notes
verify = nothing_to_verify
attest = labelled


@dataclass(frozen=True)
class Spec:
    """A deployment that a program makes, looks at, halts and removes."""

    program: str = run(doc="The program: a file of this repository, or an absolute path.")
    digest: str = result(doc="The program's sha256, as sha256sum prints it.", pattern="^sha256:[0-9a-f]{64}$")
    target: str = run(doc="The target whose artifact is deployed.", ref="targets")
    model: str = run("", doc="The model; may be left out where the target says it.", ref="train")
    version: str | int = run("", doc=VERSION, pattern=PATTERN, minimum=1, maximum=MOST)
    to: str = result("", doc="Where to deploy, in the program's own words.")
    args: tuple[str, ...] = result((), doc="Arguments of the program.")
    params: Mapping[str, Any] = result({}, doc="Settings, handed over in the request.")
    env: tuple[str, ...] = run((), doc="Names of environment variables that the program gets, such as API_TOKEN.")
    paths: tuple[str, ...] = run((), doc="Absolute paths that the program may read and write.", pattern="^/")
    timeout: float = run(600.0, doc="How long the program may take.", quantity="duration")
    approvals: Approvals | None = policy(  # noqa: RUF009 - a dataclass field
        None,
        doc="People who must agree to each release (mlopsctl approve); the deployment is a protected one then.",
        looser=Approvals,
    )
    branch: str = policy("", doc=BRANCH, looser="any")
    # How the guards follow from it is compared, not the list: see ratchet.
    gates: tuple[str, ...] | None = run(None, doc=GATES, ref="gates")
    after: After | str | None = policy(  # noqa: RUF009 - a dataclass field
        None, doc=AFTER, ref="deployments", looser=After
    )
    built_by: tuple[str, ...] = policy(
        (), doc="Only these signers' train, gate and compile entries count for this deployment.", looser="others"
    )

    def __post_init__(self) -> None:
        spelt_out(self)


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The target's artifact, and what has to be well before it is deployed."""
    return artifact_and_guards(spec, specs)


def read(want: Resource, made_from: Digest | None, ctx: Context) -> Observed | None:
    """What the trail says was deployed last: a plan runs no program, so ``status`` alone asks the world."""
    last = running(want.address, ctx)
    if last is None:
        return None
    # What was adopted lies there under a label that somebody else gave it.
    label = str(last.facts.get("label") or last.facts.get("intent", ""))
    mark = Mark(label, str(last.facts.get("artifact", ""))) if label else None
    # The program may have changed the place before it failed or was killed: what the last result says is a guess then.
    drift = half_done(ctx.trail.latest(want.address, (*KINDS, ADOPTION)))
    facts = {**last.facts, "address": str(want.address), **_other_name(named(last.facts, want.address), want.address)}
    return last.observed()._replace(facts=facts, mark=mark, drift=drift)


def _other_name(name: Address, today: Address) -> dict[str, Json]:
    """The name that the place knows, for an entry; nothing where it is today's."""
    return {"named": str(name)} if name != today else {}


def diff(want: Resource, inputs: Inputs, seen: Observed | None) -> tuple[Action, Reason]:
    """CREATE where nothing was deployed, UPDATE where something else was."""
    new = Action.CREATE if seen is None else Action.UPDATE
    parts = ingredients(want, {}, inputs)
    if parts is None:
        waits = sorted({str(item.need.address) for item in inputs if item.role != GUARD and item.digest is None})
        return new, Reason("waits for " + ", ".join(waits))
    if seen is None:
        return new, Reason("not deployed yet")
    if is_unverified(seen):
        return Action.UPDATE, Reason("replaces an adopted endpoint, of which nobody verified what it runs")
    if seen.made_from != fingerprint(parts):
        return new, Reason("another artifact, program or place is wanted")
    if seen.drift:
        return new, Reason(seen.drift)
    return Action.NOOP, Reason("up to date")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Verifies the artifact's signature and hands it to the program.

    Raises EvidenceError where the signature does not hold, ProviderError where the program fails.
    """
    from ...adapters.origin import check_again
    from ...adapters.program import load_program

    pinned = Pinned.of(want.spec)
    code = load_program(pinned, ctx.tree)
    artifact = next((item for item in inputs if item.role == "artifact" and item.digest is not None), None)
    if artifact is None or artifact.seen is None:
        raise ProviderError("there is no artifact to deploy", hint="mlopsctl plan says what is missing", code="MLO1502")
    signature = _verified(artifact, ctx)
    origin = check_again(artifact.seen, ctx.trail, ctx.store, ctx.scratch)
    home = home_of(want.address, ctx)
    last = ctx.trail.latest(want.address, ("result", ADOPTION))
    said = {
        "halted": ctx.halted or (read_json(home / "halt.json") or {}).get("reason"),
        "previous": dict(last.facts) if last else None,
        "label": ctx.label,
        "runs": ctx.runs.entry if ctx.runs else None,
    }
    name = name_at(want.address, pinned.place, ctx)
    if not (home / "command.json").is_file():
        keep(home, pinned, code, name)
    answer = _ask("apply", name, pinned, code, ctx, [artifact, signature], said)
    keep(home, pinned, code, name)
    if why := _silence(name, pinned, code, ctx):
        raise not_serving(want, why, put_back(want, artifact.digest, ctx, _again))
    facts: dict[str, Json] = {
        **({"origin": origin} if origin else {}),
        "address": str(want.address),
        **_other_name(name, want.address),
        "location": want.spec.to,
        "endpoint": str(answer.get("endpoint", "")),
        "artifact": artifact.digest,
        "target": str(artifact.need.address),
        "evidence": "external",
        "claimed": {key: value for key, value in answer.items() if key != "endpoint"},
    }
    return Outcome(_outputs(pinned, code, ctx), facts)


def _silence(name: Address, pinned: Pinned, code: bytes, ctx: Context) -> str:
    quiet = ctx._replace(log=None)
    return unanswered(lambda: _ask("probe", name, pinned, code, quiet), pinned.timeout)


def _again(want: Resource, last: Entry, inputs: Inputs, said: Mapping[str, Any], ctx: Context) -> str:
    pinned, code = attested(last.outputs, ctx)
    name = named(last.facts, want.address)
    _ask("apply", name, pinned, code, ctx._replace(log=None), inputs, said)
    keep(home_of(want.address, ctx), pinned, code, name)
    return _silence(name, pinned, code, ctx)


def _outputs(pinned: Pinned, code: bytes, ctx: Context) -> dict[str, Path | Digest]:
    """The program and what it is called with: whoever has the entry can halt and remove what it deployed."""
    program = ctx.scratch / "kept-program"
    program.write_bytes(code)
    command = ctx.scratch / "kept-command"
    command.write_text(json.dumps({"salt": os.urandom(16).hex(), "command": str(pinned)}), encoding="utf-8")
    return {"program": program, "command": command}


@contextmanager
def adopting(want: Resource, ctx: Context) -> Iterator[Outcome]:
    """What the program says of what runs at ``to:`` already, while this user's other clones are kept away from it.

    Raises ProviderError where nothing serves there, or where the answer can be neither compared nor kept.
    """
    from ...adapters.program import load_program

    pinned = Pinned.of(want.spec)
    code = load_program(pinned, ctx.tree)
    with _alone(want, None, ctx):
        name = name_at(want.address, pinned.place, ctx)
        facts = {**_running(want, _ask("probe", name, pinned, code, ctx)), **_other_name(name, want.address)}
        yield Outcome(_outputs(pinned, code, ctx), facts)
        # From here on a halt finds its program.
        keep(home_of(want.address, ctx), pinned, code, name)


def _running(want: Resource, said: Mapping[str, Json]) -> dict[str, Json]:
    """The answer of a probe as an entry may hold it. Raises ProviderError."""
    state = str(said.get("state"))
    if state != "serving":
        raise ProviderError(
            f"there is nothing at {want.spec.to or want.address} to take over: its program says {state[:40]!r}",
            hint="import takes over what serves; what is halted, somebody cut out on purpose",
            code="MLO1513",
        )
    kept: dict[str, Json] = {}
    for key, form in (("label", _LABEL), ("artifact", _ARTIFACT), ("endpoint", _PLAIN)):
        value = said.get(key)
        if value in (None, ""):
            continue
        if not isinstance(value, str) or form.fullmatch(value) is None:
            raise ProviderError(
                f"what runs at {want.spec.to or want.address} cannot be recorded: its program answers {key} {str(value)[:60]!r}",
                hint="answer probe with a label of at most 128 letters, digits and ._:/@+-, an artifact's digest, and an "
                "endpoint without spaces",
                code="MLO1514",
            )
        kept[key] = value
    claimed = {key: value for key, value in said.items() if key not in ("state", "label", "artifact", "endpoint")}
    return {
        "address": str(want.address), "location": want.spec.to, "evidence": "external", "endpoint": "", **kept,
        "claimed": claimed,
    }  # fmt: skip


@contextmanager
def changing(want: Resource, seen: Observed | None, ctx: Context) -> Iterator[Mark | None]:
    """Keeps this user's other clones away from ``to:``, and asks the program which label lies there."""
    with _alone(want, seen, ctx):
        yield _labelled(want, seen, ctx)


@contextmanager
def _alone(want: Resource, seen: Observed | None, ctx: Context) -> Iterator[None]:
    from ...adapters.lock import locked

    place = str(want.spec.to if want.spec is not None else seen.facts.get("location") if seen is not None else "")
    key = hashlib.sha256(f"{want.provider} {place or want.address}".encode()).hexdigest()[:32]
    with locked(_locks(ctx) / f"{key}.lock", "mlopsctl", f"changes {place or want.address}"):
        yield


def _locks(ctx: Context) -> Path:
    """Where locks of places lie: with the user, for all clones; where nothing can be written there, with this clone."""
    from ...adapters.keys import config_folder

    folder = config_folder() / "places"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ctx.state / "places"
    return folder if os.access(folder, os.W_OK) else ctx.state / "places"


def _labelled(want: Resource, seen: Observed | None, ctx: Context) -> Mark | None:
    """What the program says lies at the place; None where it names no label, or where nothing lies there yet.

    Raises ProviderError where it fails at a place that was deployed to: silence is not the same as no label.
    """
    from ...adapters.program import load_program

    if want.spec is not None:
        pinned = Pinned.of(want.spec)
        code = load_program(pinned, ctx.tree)
    elif seen is not None:
        pinned, code = attested(seen.outputs, ctx)
    else:
        return None
    place = want.spec.to if want.spec is not None else seen.facts.get("location") if seen is not None else ""
    name = name_at(want.address, str(place or ""), ctx)
    # A place that was never deployed to need not answer.
    known = seen is not None and str(seen.facts.get("location") or "") == str(place or "")
    found: Mapping[str, Json] = {}
    try:
        found = _ask("probe", name, pinned, code, ctx._replace(log=None))
    except ProviderError as error:
        if known and not ctx.over:
            raise _silent(want, error) from None
    label = found.get("label")
    return Mark(label, str(found.get("artifact") or "")) if label and isinstance(label, str) else None


def _silent(want: Resource, error: ProviderError) -> ProviderError:
    again = "" if want.spec is not None else "declare it again, and "
    return ProviderError(
        f"nobody knows what {want.address} runs, because its program failed to say so, and nothing was changed: "
        f"{error.message}",
        hint=f"mend what keeps probe from answering ({error.hint}); once you looked at what runs: "
        f"{again}mlopsctl apply --replace {want.address}",
        code="MLO1515",
    )


def _verified(artifact: Input, ctx: Context) -> Input:
    """Checks the artifact's signature and returns it as an input of its own. Raises EvidenceError."""
    from ...adapters.model_proof import verify_folder

    seen, name = artifact.seen, artifact.need.output + ".sig"
    if seen is None or artifact.digest is None or name not in seen.outputs:
        raise EvidenceError(
            f"the artifact of {artifact.need.address} is not signed, so it is not deployed",
            hint=f"make it anew: mlopsctl apply --replace {artifact.need.address}",
            code="MLO1501",
        )
    folder = ctx.store.checkout(artifact.digest, ctx.scratch / "verified")
    verify_folder(folder, ctx.store.path(seen.outputs[name]), ctx.public_key)
    return Input(artifact.need._replace(role="signature", output=name), seen)


def _ask(
    verb: str,
    address: Address,
    pinned: Pinned,
    code: bytes,
    ctx: Context,
    inputs: Inputs = (),
    said: Mapping[str, Any] | None = None,
) -> Mapping[str, Json]:
    import tempfile

    from ...adapters.program import Reach, ask, check_digest

    # The pin is checked again: a state folder or a store may have been written by others.
    check_digest(code, pinned.digest, pinned.program)
    reach = Reach(pinned.env, [Path(path) for path in pinned.paths])
    details = {**pinned.details, **(said or {})}
    # A halt or a probe comes without a step, and so without a scratch folder of its own.
    with tempfile.TemporaryDirectory(prefix="mlopsctl-") as scratch:
        place = ctx._replace(scratch=Path(scratch))
        return ask(verb, address, pinned, details, inputs, place, code=code, reach=reach).facts


def remove(seen: Observed, ctx: Context) -> Outcome:
    """Asks the program to take away what it deployed, from the entry alone."""
    address = Address.parse(str(seen.facts["address"]))
    pinned, code = attested(seen.outputs, ctx)
    answer = _ask(
        "remove",
        named(seen.facts, address),
        pinned,
        code,
        ctx,
        said={"previous": dict(seen.facts), "runs": ctx.runs.entry if ctx.runs else None},
    )
    Home(home_of(address, ctx)).remove()
    return Outcome(facts={"address": str(address), "location": seen.facts.get("location"), "claimed": dict(answer)})


def move(old: Address, new: Address, ctx: Context) -> str:
    """Another name in this clone; the place keeps the one that it was deployed under, so that no program is asked.

    Returns where it runs.
    """
    Home.of(ctx.state, old).rename(Home.of(ctx.state, new))
    last = ctx.trail.latest(old, LASTING)
    return str(last.facts.get("location") or "") if last is not None else ""


def halt(address: Address, reason: str, ctx: Context) -> None:
    """Asks the program to refuse every request. Raises ProviderError where it fails: then it is not halted."""
    pinned, code, name = known(address, ctx)
    _ask("halt", name, pinned, code, ctx, said={"reason": reason})
    home = home_of(address, ctx)
    keep(home, pinned, code, name)
    write_json(home / "halt.json", {"reason": reason, "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())})


def resume(address: Address, ctx: Context) -> None:
    """Asks the program to answer again."""
    pinned, code, name = known(address, ctx)
    _ask("resume", name, pinned, code, ctx)
    (home_of(address, ctx) / "halt.json").unlink(missing_ok=True)


def lives_at(address: Address, ctx: Context) -> str:
    """What ``to:`` was when this clone deployed last."""
    kept = read_json(home_of(address, ctx) / "command.json")
    return Pinned.read(str(kept["command"])).place if kept else ""


def glance(address: Address, ctx: Context) -> Probe:
    """What this clone did last: only the program knows more."""
    halted = read_json(home_of(address, ctx) / "halt.json")
    if halted is not None:
        return Probe("halted", f"halted: {halted.get('reason', '')}")
    return Probe("deployed", "not asked; mlopsctl status --refresh asks its program")


def probe(address: Address, ctx: Context) -> Probe:
    """Asks the program how its deployment is: ``serving``, ``halted`` or ``down``."""
    pinned, code, name = known(address, ctx)
    found = _ask("probe", name, pinned, code, ctx)
    state = str(found.get("state"))
    if state not in ("serving", "halted", "down"):
        raise ProviderError(
            f"the program {pinned.program} says that its deployment is '{state}'",
            hint="answer probe with facts.state: serving, halted or down",
            code="MLO1511",
        )
    label = found.get("label")
    said = (str(found.get("text", "")), f"as entry {label[:12]} announced" if label and isinstance(label, str) else "")
    return Probe(state, "; ".join(filter(None, said)), str(found.get("endpoint", "")))
