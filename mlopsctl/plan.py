"""manifest + observed -> Plan. Pure: ``world`` is asked, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from . import trials
from .controls import controls_on, unapproved
from .costs import cost, expected, times
from .drift import looked
from .errors import MlopsError
from .holds import Hold
from .looks import looks, nth_model, refuse_looks, sealed
from .provider import MEANING, Inputs, changes_since, fingerprint, ingredients, known_ingredients
from .reasons import in_words, is_unknown
from .registry import provider
from .renames import forgotten, renamed
from .selection import chosen, is_named
from .site import Site
from .soak import Wait, comes_after, ran
from .types import (
    GUARD,
    Action,
    Address,
    Change,
    Cost,
    Digest,
    Entry,
    Input,
    Json,
    LeftOut,
    Observed,
    Plan,
    Reason,
    Resource,
    Rule,
    Selection,
    Step,
    TreeFile,
    Verdict,
    is_unverified,
)
from .versions import Version, asked
from .world import World

EVERYTHING = Selection()
"""Nothing was asked beyond the manifest."""


class Assessment(NamedTuple):
    """One step with what stands behind it: apply works from this, a plan keeps only the step."""

    step: Step
    spec: Any
    seen: Observed | None
    inputs: Inputs
    parts: Mapping[str, Json] | None
    sources: Mapping[str, TreeFile]
    judged: Mapping[Address, Verdict | None] = {}
    """Of a deployment with ``version:``: what its gates say of that version, in place of the newest one."""
    held: bool = False
    """Of a deployment: whether it goes to an artifact that was agreed to before, so that nobody is asked again."""


def make_plan(
    project: str,
    manifest_digest: Digest,
    resources: Sequence[Resource],
    world: World,
    *,
    selection: Selection = EVERYTHING,
    warnings: Sequence[str] = (),
    commit: str = "",
    dirty: bool = False,
    trail_tips: Sequence[str] = (),
    why: bool = False,
) -> Plan:
    """What apply would do and why. ``resources`` stand in an order in which each follows what it needs.

    With ``why`` every step lists all that it is made from.
    """
    wanted, left_out = trials.chosen(*chosen(resources, selection), selection, world.last_result)
    if selection.trial:
        refuse_looks(wanted, world, "a trial", "leave such gates out: --exclude gates.NAME; mlopsctl apply measures")
    found = survey(wanted, world, selection)
    if selection.refresh:
        steps, nothing = _looked(found, world, selection)
        left_out += nothing
    else:
        steps = [one.step for one in found]
    if why:
        behind = {want.address: (want, one) for want, one in zip(wanted, found, strict=True)}
        steps = [_with_whys(step, *behind[step.address], world) for step in steps]
    if not selection.refresh_only:
        steps += _removals(resources, world, selection)
    if not (selection.refresh_only or selection.trial):
        steps = [renamed(step, old) if (old := world.moved_from(step.address)) else step for step in steps]
        steps += _forgotten(resources, steps, world, selection)
    return Plan(
        project,
        manifest_digest,
        tuple(steps),
        tuple(warnings),
        commit,
        dirty,
        tuple(trail_tips),
        selection,
        left_out,
    )


def _with_whys(step: Step, want: Resource, found: Assessment, world: World) -> Step:
    from .whys import facts

    before = world.last_result(want.address)
    old_tree = str(before.ingredients.get("tree", "")) if before else ""
    changed = world.changed_files(old_tree, found.sources) if found.sources or old_tree else ()
    inputs = facts(want, found.inputs, found.sources, before, changed, world.made_here(want))
    return step._replace(inputs=inputs, others=world.others(found.seen) if found.seen else ())


def survey(resources: Sequence[Resource], world: World, selection: Selection = EVERYTHING) -> list[Assessment]:
    """Every resource assessed in order; what an upstream step will make is unknown to those after it."""
    seen: dict[Address, Observed | None] = {}
    verdicts: dict[Address, Verdict | None] = {}
    found = []
    for want in resources:
        one = assess(want, seen, verdicts, world, selection)
        seen[want.address] = one.seen if one.step.action is Action.NOOP else None
        verdicts[want.address] = one.step.verdict
        found.append(one)
    return found


class _Given(NamedTuple):
    """What a step is made from, and what keeps it from being made of today's results."""

    inputs: Inputs
    verdicts: Mapping[Address, Verdict | None]
    held: bool
    """Whether signed words, and not the manifest, say what is deployed."""
    held_by: tuple[str, ...]
    pinned: Version | None


class _Bars(NamedTuple):
    """What bars a step, whom it waits for, and the rules of a deployment that say so."""

    blocked: tuple[str, ...]
    waiting: tuple[str, ...]
    rules: tuple[Rule, ...]
    free_at: str


def assess(
    want: Resource,
    seen: Mapping[Address, Observed | None],
    verdicts: Mapping[Address, Verdict | None],
    world: World,
    selection: Selection = EVERYTHING,
) -> Assessment:
    """What one resource needs now, given what stands behind the resources it needs."""
    given = _given(want, seen, verdicts, world)
    _check_outputs(want, given.inputs)
    sources = world.sources(want)
    parts = trials.marked(want, ingredients(want, sources, given.inputs), selection)
    made_from = fingerprint(parts) if parts is not None else None
    observed = world.read(want, made_from)
    swap = _swapped(want, observed, parts, world, selection) if observed and not (given.held or given.pinned) else ""
    if swap and observed:
        given = given._replace(
            inputs=world.inputs_of(observed.entry, want) or given.inputs,
            held=True,
            held_by=(*given.held_by, f"{swap}; mlopsctl apply --replace {want.address} takes it"),
        )
        parts, made_from = dict(observed.ingredients), observed.made_from
    action, reason = _wanted(want, given.inputs, observed, parts, sources, world, selection)
    site = world.site(want, observed) if want.address.section == "deployments" else Site()
    # Only its name changes: nothing is made, and whoever must agree to a release agrees to that too.
    moves = action is Action.NOOP and want.address.section == "deployments" and bool(world.moved_from(want.address))
    held_by = list(given.held_by)
    for other in _left_alone(want, action, site, selection):
        action, reason = Action.NOOP, Reason(other)
        held_by.append(other)
    busy = action is not Action.NOOP
    bars = _bars(want, given, observed, made_from, site, world, busy=busy, moves=moves)
    took, budget = expected(want.spec, lambda: world.last_result(want.address)) if busy else (None, None)
    nth = nth_model(given.inputs, world) if busy and want.address.section == "gates" else None
    by_name = provider(want.provider)
    notes: tuple[str, ...] = ()
    if busy:
        notes = by_name.notes(want, given.inputs) + looks(nth) + times(took, budget)
        notes += _left_behind(want, observed) + site.announced
    step = Step(
        want.address,
        want.provider,
        action,
        cost(want, by_name, action, reason, observed),
        reason,
        made_from,
        want.needs,
        # What is made anew replaces what stands: a saved plan does that once.
        _relies_on(given.inputs, observed if action in (Action.NOOP, Action.REPLACE) else None),
        bars.blocked,
        bars.waiting,
        "; ".join(held_by),
        None if busy or observed is None else trials.judged(want, observed, given.inputs, selection),
        notes,
        site.weakens,
        rules=bars.rules,
        took=took,
        budget=budget,
        free_at=bars.free_at,
        nth_model=nth,
    )
    judged = given.pinned.verdicts if given.pinned else {}
    return Assessment(step, want.spec, observed, given.inputs, parts, sources, judged, given.held)


def _given(
    want: Resource,
    seen: Mapping[Address, Observed | None],
    verdicts: Mapping[Address, Verdict | None],
    world: World,
) -> _Given:
    """What stands behind the needs today, or what a signed hold or the manifest's version puts in its place."""
    holds = world.holds(want) if want.address.section == "deployments" else ()
    held = _held_inputs(want, holds, world)
    pinned = world.version(want) if asked(want.spec) and not held else None
    today = tuple(Input(need, seen.get(need.address)) for need in want.needs)
    today += tuple(world.champion(want, today)) if getattr(want.spec, "against", "") else ()
    return _Given(
        held or (pinned.given(want) if pinned else today),
        verdicts if pinned is None else {**verdicts, **pinned.verdicts},
        bool(held),
        (*map(str, holds), *([pinned.text] if pinned and pinned.inputs else [])),
        pinned,
    )


def _wanted(
    want: Resource,
    inputs: Inputs,
    observed: Observed | None,
    parts: Mapping[str, Json] | None,
    sources: Mapping[str, TreeFile],
    world: World,
    selection: Selection,
) -> tuple[Action, Reason]:
    """What the provider, the options and the history say is to be done, wherever the deployment stands."""
    action, reason = provider(want.provider).diff(want, inputs, observed)
    if action is not Action.NOOP:
        # What was made here before says nothing about an endpoint that others made.
        before = None if is_unverified(observed) else world.last_result(want.address)
        return _explain(want, action, reason, inputs, parts, sources, world, before)
    if is_named(want.address, selection.replaced):
        return Action.REPLACE, Reason("made anew on purpose (--replace)")
    return action, reason


def _left_alone(want: Resource, action: Action, site: Site, selection: Selection) -> Iterator[str]:
    """Why a deployment is left as it is, whatever it should run."""
    if action is not Action.NOOP and (other := site.not_managed()):
        yield other
    if site.contested and not site.elsewhere and not is_named(want.address, selection.replaced):
        yield f"contested by {site.contested}; look at what runs, then: mlopsctl apply --replace {want.address}"


def _bars(
    want: Resource,
    given: _Given,
    observed: Observed | None,
    made_from: Digest | None,
    site: Site,
    world: World,
    *,
    busy: bool,
    moves: bool,
) -> _Bars:
    """What keeps a step from being done; ``busy`` where there is something to make, ``moves`` where only a name changes."""
    inputs, pinned = given.inputs, given.pinned
    # A rollback was judged when it was signed; what blocks today's model says nothing about the older one.
    blocked = () if given.held or site.elsewhere else _blockers(want, given.verdicts)
    blocked += _untrusted(want, inputs) + site.in_the_way(want)
    blocked += pinned.bars(changes=busy) if pinned and not site.elsewhere else ()
    blocked += world.withdrawn(inputs, None if busy else observed)
    blocked += (*world.lacks(want), *sealed(want, inputs, world)) if busy else ()
    if want.address.section != "deployments" or not (busy or moves):
        return _Bars(blocked, (), (), "")
    soak = Wait() if given.held or ran(observed, inputs) else comes_after(want, inputs, given.verdicts, world)
    more, waiting, rules = controls_on(want, inputs, given.verdicts, world, site)
    blocked += more
    if given.held:
        # Its artifact was agreed to when it went out first; whatever else would change was not.
        blocked, waiting, rules = blocked + unapproved(want, site, world), (), ()
    elif observed is not None and observed.made_from != made_from and site.ahead:
        blocked += (f"HEAD being an ancestor of what runs: mlopsctl rollback {want.address.typed} goes back",)
    return _Bars(blocked + ((soak.why,) if soak.why else ()), waiting, rules, "" if blocked else soak.free_at)


def _left_behind(want: Resource, observed: Observed | None) -> tuple[str, ...]:
    """What goes on running where a deployment was, once it is made at another place."""
    # What every clone has of its own lies with the clone, and moves along.
    shared = not getattr(provider(want.provider), "PER_CLONE", True)
    was = observed.facts.get("location") if observed is not None and shared else ""
    if not was or getattr(want.spec, "to", "") in ("", was):
        return ()
    return (f"what runs at {was} stays there; to take it down first: mlopsctl destroy --target {want.address.typed}",)


def _swapped(
    want: Resource, observed: Observed, parts: Mapping[str, Json] | None, world: World, selection: Selection
) -> str:
    """The change of winner that is all a deployment would follow: that is for people to say, with --replace."""
    if want.address.section != "deployments" or parts is None or is_named(want.address, selection.replaced):
        return ""
    return world.swapped(want, observed, parts) if observed.entry else ""


def _held_inputs(want: Resource, holds: Sequence[Hold], world: World) -> Inputs | None:
    """What a rollback in force wants deployed instead of what the manifest says."""
    for hold in reversed(holds):
        if hold.to:
            found = world.inputs_of(hold.to, want)
            if found is None:
                raise MlopsError(
                    f"{want.address} is held at entry {hold.to[:12]}, which this trail does not hold: {hold}",
                    hint=f"mlopsctl pull --trail-only, or mlopsctl resume {want.address.typed}",
                    code="MLO1010",
                )
            return found
    return None


def _check_outputs(want: Resource, inputs: Inputs) -> None:
    for item in inputs:
        if item.role != GUARD and item.seen is not None and item.digest is None:
            have = ", ".join(sorted(set(item.seen.outputs) - {MEANING})) or "nothing"
            raise MlopsError(
                f"{want.address} needs '{item.need.output}' of {item.need.address}, which has {have}",
                hint="for a view of data: add it to the dataset's split, for example split: {test: 0.2, val: 0.1}",
                where=want.where,
                code="MLO1011",
            )


def _relies_on(inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
    entries = [item.seen.entry for item in inputs if item.seen] + ([own.entry] if own else [])
    return tuple(sorted({entry for entry in entries if entry}))


def _blockers(want: Resource, verdicts: Mapping[Address, Verdict | None]) -> tuple[str, ...]:
    """Gates, and artifacts below their own bars, whose verdict is known and does not let this step through."""
    found = []
    for need in want.needs:
        verdict = verdicts.get(need.address)
        if verdict is not None and verdict.blocks:
            found.append(f"{need.address} {verdict.status.value}")
    return tuple(found)


def _untrusted(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """Nothing is deployed on the word of a key that the trust policy does not give the role."""
    if want.address.section != "deployments":
        return ()
    return tuple(f"{item.need.address} untrusted" for item in inputs if item.seen and not item.seen.trusted)


def _explain(
    want: Resource,
    action: Action,
    reason: Reason,
    inputs: Inputs,
    parts: Mapping[str, Json] | None,
    sources: Mapping[str, TreeFile],
    world: World,
    before: Entry | None,
) -> tuple[Action, Reason]:
    """Says what changed since the last result, and that a last attempt failed."""
    if before is not None:
        found = changes_since(before.ingredients, parts or known_ingredients(want, sources, inputs))
        changes = tuple(change for change in found if not is_unknown(change))
        files: tuple[Change, ...] = ()
        if any(change.field == "code" for change in changes):
            files = world.changed_files(str(before.ingredients.get("tree", "")), sources)
        if action is Action.CREATE and (found or parts is None):
            action = Action.UPDATE
        if changes:
            inputs_only = all(change.field.startswith("input ") for change in changes)
            swap = world.swapped(want, before.observed(), parts) if inputs_only and parts is not None else ""
            waits = f"; {reason.text}" if parts is None else ""
            reason = Reason((swap or in_words(want, changes, files)) + waits, found + files)
        elif found:
            reason = reason._replace(changes=found)
    last = world.last(want.address)
    if last is not None and last.kind == "failure":
        reason = reason._replace(text=f"{reason.text}; the last attempt failed: {last.facts.get('message', '')}")
    return action, reason


def _looked(found: Sequence[Assessment], world: World, selection: Selection) -> tuple[list[Step], tuple[LeftOut, ...]]:
    """The steps after a look at the world, and with --refresh-only those where nothing stands yet."""
    steps, left = [], []
    for one in found:
        at_rest = one.seen is not None and (one.step.action is Action.NOOP or selection.refresh_only)
        lost = world.lost(one.seen) if one.seen is not None and at_rest else ()
        uncached = world.uncached(one.sources) if at_rest else ()
        step = looked(one.step, one.seen, lost, only=selection.refresh_only, uncached=uncached)
        if step is None:
            left.append(LeftOut(one.step.address, "nothing stands yet"))
        else:
            steps.append(step)
    return steps, tuple(left)


def _removals(resources: Sequence[Resource], world: World, selection: Selection) -> list[Step]:
    """What left the manifest; a plan about named resources, or a trial, is about nothing else."""
    if selection.targets or selection.trial:
        return []
    declared = frozenset(want.address for want in resources)
    gone = world.undeclared(declared)
    return [removal(want, seen, world) for want, seen in gone if not is_named(want.address, selection.excluded)]


def _forgotten(resources: Sequence[Resource], steps: Sequence[Step], world: World, selection: Selection) -> list[Step]:
    """What else left the manifest; a plan about a part of it says nothing of that."""
    if selection.targets or selection.excluded:
        return []
    in_use = {step.made_from for step in steps if step.made_from}
    gone = world.forgettable(frozenset(want.address for want in resources))
    return [step for last in gone if (step := forgotten(last, in_use)) is not None]


def removal(want: Resource, observed: Observed, world: World) -> Step:
    """What is done to a deployment that the manifest no longer declares: another branch may still do so."""
    site = world.site(want, observed)
    other = site.not_managed() or (
        ""
        if site.descends
        else "not managed from here: no commit before this one declared it; mlopsctl destroy ends it"
    )
    blocked: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    if not other:
        blocked, waiting, rules = controls_on(want, (), {}, world, site, removes=observed.entry)
    return Step(
        want.address,
        want.provider,
        Action.NOOP if other else Action.DELETE,
        Cost.NOTHING if other else Cost.REMOVE,
        Reason(other or "no longer in the manifest"),
        observed.made_from,
        relies_on=(observed.entry,),
        blocked_by=blocked,
        waits_for=waiting,
        held_by=other,
        weakens=() if other else site.weakens,
        rules=rules,
    )
