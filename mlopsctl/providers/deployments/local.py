"""``use: local``: a supervised inference server on this machine, which outlives the command that started it."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import EvidenceError, ManifestError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Probe,
    Specs,
    always_fine,
    fingerprint,
    ingredients,
    no_sources,
    nothing_to_verify,
    policy,
    result,
    run,
)
from ...serving.files import write_json
from ...types import GUARD, Action, Address, Digest, Input, Json, Mark, Need, Observed, Outcome, Reason, Resource
from ...verifiers import is_identity
from ...versions import MOST, PATTERN
from .controls import AFTER, BRANCH, GATES, VERSION, After, Approvals, artifact_and_guards, deployed, spelt_out
from .local_home import Home, location, make_location
from .local_serve import TO, serve

RESULT_VERSION = 1
PER_CLONE = True
PROBE_RUNS = False
LATER_KEYS = (
    "region",
    "strategy",
    "halt",
    "protect",
    "consumers",
    "log",
    "monitor",
    "limits",
)

sources = no_sources
judge = always_fine
verify = nothing_to_verify
SWITCHES = True
"""A running server takes another artifact over without being started anew."""


@dataclass(frozen=True)
class Spec:
    """A model served on this machine over the Open Inference Protocol (HTTP, JSON)."""

    target: str = run(doc="The target whose artifact is served.", ref="targets")
    model: str = run("", doc="The model; may be left out where the target says it.", ref="train")
    version: str | int = run("", doc=VERSION, pattern=PATTERN, minimum=1, maximum=MOST)
    to: str = result(
        "",
        doc="host:port to listen on; left out: any free port of 127.0.0.1, which later releases keep.",
        pattern=f"^{TO.replace('?P<host>', '?:').replace('?P<port>', '?:')}$",
    )
    timeout: float = run(60.0, doc="How long the server may take to verify and load an artifact.", quantity="duration")
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


def warnings(spec: Spec) -> tuple[str, ...]:
    """What is allowed and still worth a word."""
    match = re.fullmatch(TO, spec.to)
    if match is None or match["host"] in ("", "localhost", "[::1]") or match["host"].startswith("127."):
        return ()
    return (
        f"to: {spec.to} listens beyond this machine, and the server asks nobody who they are: put a proxy before it",
    )


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """As every deployment; raises ManifestError where the target is made for something else than a server here."""
    chosen = deployed(spec, specs, served=True)
    if made_for := str(getattr(specs.get("targets", {}).get(chosen), "made_for", "")):
        raise ManifestError(
            f"targets.{chosen} is made for {made_for}, which no server on this machine loads",
            hint="name a target for this machine, or one as fallback: of that target; what is made for other devices is handed over by use: command",
            code="MLO1546",
        )
    return artifact_and_guards(spec, specs, served=True)


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """The warnings, beside the step that makes them true; and which target stands in for the one that is named."""
    instead = [str(item.need.address) for item in inputs if item.role == "artifact"]
    own = str(Address.of("targets", want.spec.target))
    stands_in = [f"{name} stands in for {own}" for name in instead if name != own]
    return (*warnings(want.spec), *stands_in)


def read(want: Resource, made_from: Digest | None, ctx: Context) -> Observed | None:
    """What this clone deployed here last, and whether it still is what runs: no socket and no process is used."""
    here, home = location(ctx.state), _home(want.address, ctx)
    if not here:
        return None
    config = home.read("config")
    last = ctx.trail.latest(want.address, ("result", "destroy"))
    entry = last if last is not None and last.facts.get("location") == here else None
    if entry is not None and entry.kind == "destroy":
        # What was deployed after that and never signed must not look like nothing.
        return _unattested(want, home) if config else None
    if entry is None and config:
        # Another machine deployed after this one: what runs here is found by what it was made from.
        found = ctx.trail.result(Digest(str(config.get("made_from"))))
        names = map(str, ctx.names(want.address))
        entry = found if found is not None and found.address in names else None
    if entry is None:
        return _unattested(want, home) if config else None
    named = {**entry.facts, "address": str(want.address)}
    facts = {**named, "location": here, "endpoint": home.endpoint or entry.facts.get("endpoint", "")}
    return entry.observed()._replace(facts=facts, drift=home.trouble(entry.made_from), mark=home.mark())


def _unattested(want: Resource, home: Home) -> Observed:
    """A deployment that was interrupted before it was signed, or whose entry this trail does not hold."""
    config, drift = home.read("config"), "what runs here has no entry in this trail"
    facts: dict[str, Json] = {"address": str(want.address), "artifact": config.get("artifact")}
    return Observed(Digest(str(config.get("made_from"))), {}, facts, drift=drift, mark=home.mark())


def diff(want: Resource, inputs: Inputs, seen: Observed | None) -> tuple[Action, Reason]:
    """CREATE where nothing of this clone's is here, UPDATE where it differs or does not run."""
    parts = ingredients(want, {}, inputs)
    if parts is None:
        waits = sorted({str(item.need.address) for item in inputs if item.role != GUARD and item.digest is None})
        return Action.CREATE if seen is None else Action.UPDATE, Reason("waits for " + ", ".join(waits))
    if seen is None:
        return Action.CREATE, Reason("not deployed from this clone yet")
    if seen.made_from != fingerprint(parts):
        return Action.UPDATE, Reason("another artifact or address is wanted")
    if seen.drift:
        return Action.UPDATE, Reason(seen.drift)
    return Action.NOOP, Reason("up to date")


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Checks the artifact out, verifies its signature, starts the server or switches it, and asks it once.

    Raises EvidenceError where the signature does not hold, ProviderError where the server cannot serve the artifact;
    then what ran before goes on.
    """
    from ...adapters.origin import check_again

    home, artifact = _home(want.address, ctx), _artifact(inputs)
    home.forget_name()
    digest = str(artifact.digest)
    here = make_location(ctx.state)
    origin = check_again(artifact.seen, ctx.trail, ctx.store, ctx.scratch) if artifact.seen else {}
    release = _check_out(home, artifact, ctx)
    before = home.read("config")
    parts = ingredients(want, {}, inputs)
    config = {
        "address": str(want.address),
        "artifact": digest,
        "made_from": fingerprint(parts) if parts else "",
        "to": want.spec.to,
        "request": os.urandom(8).hex(),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if ctx.halted and not (home.folder / "halt.json").exists():
        halt(want.address, ctx.halted, ctx)
    serve(home, config, before, want.spec, ctx, release)
    kept = {release}
    if before and before["artifact"] != digest:
        kept.add(_release(home, before["artifact"]))
    home.prune(kept)
    facts: dict[str, Json] = {
        **({"origin": origin} if origin else {}),
        "address": str(want.address),
        "location": here,
        "endpoint": home.endpoint,
        "artifact": digest,
        "target": str(artifact.need.address),
    }
    if artifact.seen and "model" in artifact.seen.facts:
        facts["model"] = artifact.seen.facts["model"]
    return Outcome(facts=facts)


def _artifact(inputs: Inputs) -> Input:
    for item in inputs:
        if item.role == "artifact" and item.seen is not None and item.digest is not None:
            if item.need.output + ".sig" not in item.seen.outputs:
                raise EvidenceError(
                    f"the artifact of {item.need.address} is not signed, so it is not served",
                    hint=f"make it anew: mlopsctl apply --replace {item.need.address}",
                    code="MLO1501",
                )
            return item
    raise ProviderError("there is no artifact to serve", hint="mlopsctl plan says what is missing", code="MLO1502")


def _release(home: Home, digest: str) -> Path:
    return home.folder / "releases" / digest.partition(":")[2][:16]


def _check_out(home: Home, artifact: Input, ctx: Context) -> Path:
    """Artifact, signature and public key side by side in the state folder, verified. Raises EvidenceError."""
    from ...adapters.model_proof import verify_folder
    from ...serving.artifact import ArtifactRefused
    from ...serving.artifact import verify as verify_signature

    seen, digest = artifact.seen, artifact.digest
    if seen is None or digest is None:
        raise ProviderError("there is no artifact to serve", hint="mlopsctl plan says what is missing", code="MLO1502")
    release = _release(home, digest)
    # Made aside and renamed: a server that starts again meanwhile never sees a half-written release.
    fresh = release.with_name(f".{release.name}.{os.urandom(4).hex()}")
    try:
        fresh.mkdir(parents=True)
        ctx.store.checkout(digest, fresh / "artifact", synced=True)
        shutil.copyfile(ctx.store.path(seen.outputs[artifact.need.output + ".sig"]), fresh / "artifact.sig")
        (fresh / "key.pub").write_text(ctx.public_key)
        ctx.tell("verifying the artifact's signature")
        if is_identity(ctx.public_key):
            # The server repeats the rest of the check only: it loads nothing of ours, and has no trust root.
            verify_folder(fresh / "artifact", fresh / "artifact.sig", ctx.public_key)
        verify_signature(fresh / "artifact", fresh / "artifact.sig", fresh / "key.pub", digest)
        if not _same(release, fresh):
            if release.exists():
                release.rename(release.with_name(f".{release.name}.{os.urandom(4).hex()}"))
            fresh.rename(release)
    except ArtifactRefused as error:
        raise EvidenceError(
            f"the artifact of {artifact.need.address} is not served: {error}",
            hint="mlopsctl audit verify shows whose signature it carries; "
            f"mlopsctl apply --replace {artifact.need.address} makes it anew",
            code="MLO1503",
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return release


def _same(release: Path, fresh: Path) -> bool:
    """Whether a release lies here already, unchanged: a program that runs in its folder keeps it."""
    from ...serving.artifact import ArtifactRefused, listing

    try:
        if listing(release / "artifact") != listing(fresh / "artifact"):
            return False
        return all((release / name).read_bytes() == (fresh / name).read_bytes() for name in ("artifact.sig", "key.pub"))
    except (ArtifactRefused, FileNotFoundError):
        return False


@contextmanager
def changing(want: Resource, seen: Observed | None, ctx: Context) -> Iterator[Mark | None]:
    """Holds the deployment's own lock, whoever broke that of the clone, and reads its state folder again."""
    from ...adapters.lock import locked

    home = _home(want.address, ctx)
    with locked(home.lock, "mlopsctl", f"changes {want.address}"):
        yield home.mark()


def attest(address: Address, entry: str, ctx: Context) -> None:
    """Puts the entry's id into the state folder."""
    _home(address, ctx).attest(entry)


def move(old: Address, new: Address, ctx: Context) -> str:
    """Gives what runs another name, beside which it notices nothing; the id of this clone."""
    from ...adapters.lock import locked

    was = Home.of(ctx.state, old)
    with locked(was.lock, "mlopsctl", f"renames {old}"):
        was.rename(Home.of(ctx.state, new))
    return location(ctx.state)


def remove(seen: Observed, ctx: Context) -> Outcome:
    """Ends the processes by their ids and removes the state folder, releases and halt with it."""
    facts = {name: seen.facts[name] for name in ("address", "location", "artifact") if name in seen.facts}
    home = _home(Address.parse(str(seen.facts["address"])), ctx)
    home.stop()
    home.remove()
    return Outcome(facts={**facts, "location": location(ctx.state)})


def halt(address: Address, reason: str, ctx: Context) -> None:
    """Refuses every request from now on, until ``resume``: needs nothing but the state folder.

    Raises ProviderError where nothing was deployed here.
    """
    home = _deployed(address, ctx)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        write_json(home.folder / "halt.json", {"reason": reason, "since": since})
    except OSError:  # a full disk: the file's name alone halts, and takes no space
        (home.folder / "halt.json").touch()


def resume(address: Address, ctx: Context) -> None:
    """Answers again. Raises ProviderError where nothing was deployed here."""
    (_deployed(address, ctx).folder / "halt.json").unlink(missing_ok=True)


def _deployed(address: Address, ctx: Context) -> Home:
    home = _home(address, ctx)
    if not home.folder.is_dir():
        raise ProviderError(
            f"nothing of {address} runs on this machine",
            hint="mlopsctl status shows what does; a deployment of another machine is halted there",
            code="MLO1510",
        )
    return home


def _home(address: Address, ctx: Context) -> Home:
    """The state folder: that of the name, or of the one before until the move is made."""
    homes = [Home.of(ctx.state, name) for name in ctx.names(address)]
    return next((home for home in homes if home.folder.is_dir()), homes[0])


def lives_at(address: Address, ctx: Context) -> str:
    """The id of this clone."""
    return location(ctx.state)


def glance(address: Address, ctx: Context) -> Probe:
    """What the state folder and the process table say."""
    home = _home(address, ctx)
    if not home.endpoint:
        return Probe("down", "never started here")
    halted = f"halted: {home.read('halt').get('reason', '')}" if (home.folder / "halt.json").exists() else ""
    if trouble := home.trouble(Digest(home.read("config").get("made_from", ""))):
        return Probe("down", "; ".join(text for text in (halted, trouble) if text))
    return Probe("halted" if halted else "serving", halted, home.endpoint)


def probe(address: Address, ctx: Context) -> Probe:
    """Asks the server how it is (at most 2 s)."""
    from ...serving.client import NoAnswer, ask

    home = _home(address, ctx)
    if not home.endpoint:
        return Probe("down", "never started here")
    halted = home.read("halt")
    try:
        answer = ask(home.endpoint, "GET", "/v2/health/ready", timeout=2)
    except NoAnswer as error:
        text = f"halted: {halted['reason']}; " if halted else ""
        return Probe("down", text + (home.trouble(Digest(home.read("config").get("made_from", ""))) or str(error)))
    if answer.status == 200:
        return Probe("serving", "", home.endpoint)
    return Probe("halted" if answer.error.startswith("halted") else "down", answer.error, home.endpoint)
