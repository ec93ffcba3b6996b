"""manifest + observed -> Plan. Pure: the world is asked through ``World`` and nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from . import trials
from .approvals import People
from .controls import controls_on, unapproved
from .costs import cost, expected, times
from .drift import looked
from .errors import MlopsError
from .holds import Hold
from .looks import Release, looks, nth_model, refuse_looks, sealed
from .provider import (
    MEANING,
    Inputs,
    changes_since,
    fingerprint,
    ingredients,
    known_ingredients,
    provider,
)
from .reasons import in_words, is_unknown
from .renames import forgotten, renamed
from .selection import chosen, is_named
from .site import Site
from .soak import Running, Wait, comes_after, ran
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

EVERYTHING = Selection()
"""Nothing was asked beyond the manifest."""


class World(Protocol):
    """What a plan may ask; every answer is read-only."""

    def sources(self, want: Resource) -> Mapping[str, TreeFile]: ...

    def read(self, want: Resource, made_from: Digest | None) -> Observed | None: ...

    def last(self, address: Address) -> Entry | None:
        """The newest attempt for the address, a result or a failure."""

    def last_result(self, address: Address) -> Entry | None: ...

    def holds(self, want: Resource) -> tuple[Hold, ...]: ...

    def version(self, want: Resource) -> Version:
        """What ``version:`` of a deployment stands for."""

    def site(self, want: Resource, observed: Observed | None) -> Site:
        """Where a deployment is looked at from; ``want`` has no Spec where it is no longer declared."""

    def swapped(self, want: Resource, before: Observed, parts: Mapping[str, Json]) -> str:
        """In words, the change of winner after a merge that alone tells parts from what was made; "" for any other."""

    def withdrawn(self, inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
        """The withdrawals in force that inputs, or a result that stands, follow from: one line each."""

    def inputs_of(self, entry_id: str, want: Resource) -> Inputs | None:
        """The inputs an older deployment was made of; None where the trail no longer knows them."""

    def changed_files(self, old_tree: str, sources: Mapping[str, TreeFile]) -> tuple[Change, ...]:
        """The files that differ from a code tree that the trail keeps."""

    def made_here(self, want: Resource) -> Mapping[str, str]:
        """The versions that would be recorded now, as far as no program has to be asked for them."""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]:
        """The digests of the models that were measured on the rows of a view, in the order in which they were."""

    def is_final(self, data: Address) -> bool:
        """Whether the manifest says ``final: true`` of a dataset."""

    def models_judged(self, address: Address, data: Observed) -> Release:
        """The models that the rows of a dataset have judged, ever and since the last release."""

    def others(self, seen: Observed) -> tuple[str, ...]:
        """Results of the same ingredients that are not in force, in words; they came in with a merge."""

    def people(self, want: Resource, inputs: Inputs) -> People:
        """Who made what the deployment rests on, and who approved it."""

    def under_review(self) -> str:
        """The pull request that this apply runs for, "" where it is none, and always for a plan."""

    def reviewed(self) -> str:
        """The pull request that this runs for, of a plan too: it says there what apply would refuse."""

    def root_pinned(self) -> bool:
        """Whether something outside of the trail says which root is the right one."""

    def unverified(self, inputs: Inputs) -> Sequence[str]:
        """One line an imported model behind the artifact among the inputs whose origin is not proved."""

    def champion(self, want: Resource, inputs: Inputs) -> Inputs:
        """What a gate with ``against:`` compares with, by the trail: no edge of the graph, and () where there is nothing."""

    def running(self, address: Address) -> Running:
        """What a declared deployment runs by the trail, and since when."""

    def now(self) -> str:
        """This moment in UTC."""

    def lacks(self, want: Resource) -> tuple[str, ...]:
        """What the step asks for and this machine has not, one line each."""

    def lost(self, seen: Observed) -> tuple[str, ...]:
        """The names of those outputs of a result that no store holds which can be reached from here."""

    def uncached(self, sources: Mapping[str, TreeFile]) -> tuple[str, ...]:
        """The files of DVC among these whose data is neither in the working folder nor in DVC's cache."""

    def moved_from(self, address: Address) -> Address | None:
        """The name that the resource had, until that is signed."""

    def forgettable(self, declared: frozenset[Address]) -> Sequence[Entry]:
        """The last results of what this branch declared once and does no more, deployments aside."""

    def undeclared(self, declared: frozenset[Address]) -> Sequence[tuple[Resource, Observed]]:
        """Deployments that run here and that the manifest no longer declares."""


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


def assess(
    want: Resource,
    seen: Mapping[Address, Observed | None],
    verdicts: Mapping[Address, Verdict | None],
    world: World,
    selection: Selection = EVERYTHING,
) -> Assessment:
    """What one resource needs now, given what stands behind the resources it needs."""
    holds = world.holds(want) if want.address.section == "deployments" else ()
    held = _held_inputs(want, holds, world)
    pinned = world.version(want) if asked(want.spec) and not held else None
    verdicts = verdicts if pinned is None else {**verdicts, **pinned.verdicts}
    today = tuple(Input(need, seen.get(need.address)) for need in want.needs)
    today += tuple(world.champion(want, today)) if getattr(want.spec, "against", "") else ()
    inputs = held or (pinned.given(want) if pinned else today)
    _check_outputs(want, inputs)
    by_name = provider(want.provider)
    sources = world.sources(want)
    parts = trials.marked(want, ingredients(want, sources, inputs), selection)
    made_from = fingerprint(parts) if parts is not None else None
    observed = world.read(want, made_from)
    held_by = [*map(str, holds), *([pinned.text] if pinned and pinned.inputs else [])]
    if not (held or pinned) and observed is not None and (swap := _swapped(want, observed, parts, world, selection)):
        held = inputs = world.inputs_of(observed.entry, want) or inputs
        parts, made_from = dict(observed.ingredients), observed.made_from
        held_by.append(f"{swap}; mlopsctl apply --replace {want.address} takes it")
    action, reason = by_name.diff(want, inputs, observed)
    if action is Action.NOOP and is_named(want.address, selection.replaced):
        action, reason = Action.REPLACE, Reason("made anew on purpose (--replace)")
    elif action is not Action.NOOP:
        # What was made here before says nothing about an endpoint that others made.
        before = None if is_unverified(observed) else world.last_result(want.address)
        action, reason = _explain(want, action, reason, inputs, parts, sources, world, before)
    site = world.site(want, observed) if want.address.section == "deployments" else Site()
    # Only its name changes: nothing is made, and whoever must agree to a release agrees to that too.
    moves = action is Action.NOOP and want.address.section == "deployments" and bool(world.moved_from(want.address))
    if action is not Action.NOOP and (other := site.not_managed()):
        action, reason = Action.NOOP, Reason(other)
        held_by.append(other)
    if site.contested and not site.elsewhere and not is_named(want.address, selection.replaced):
        contested = f"contested by {site.contested}; look at what runs, then: mlopsctl apply --replace {want.address}"
        action, reason = Action.NOOP, Reason(contested)
        held_by.append(contested)
    verdict = trials.judged(want, observed, inputs, selection) if action is Action.NOOP and observed else None
    # A rollback was judged when it was signed; what blocks today's model says nothing about the older one.
    blocked = (() if held or site.elsewhere else _blockers(want, verdicts)) + _untrusted(want, inputs)
    blocked += pinned.bars(changes=action is not Action.NOOP) if pinned and not site.elsewhere else ()
    blocked += world.withdrawn(inputs, observed if action is Action.NOOP else None)
    blocked += (*world.lacks(want), *sealed(want, inputs, world)) if action is not Action.NOOP else ()
    waiting: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    soak = Wait()
    if (action is not Action.NOOP or moves) and want.address.section == "deployments":
        if not (held or ran(observed, inputs)):
            soak = comes_after(want, inputs, verdicts, world)
        more, waiting, rules = controls_on(want, inputs, verdicts, world, site)
        blocked += more
        if held:
            # Its artifact was agreed to when it went out first; whatever else would change was not.
            blocked, waiting, rules = blocked + unapproved(want, site, world), (), ()
        elif observed is not None and observed.made_from != made_from and site.ahead:
            blocked += (f"HEAD being an ancestor of what runs: mlopsctl rollback {want.address.typed} goes back",)
    free_at = "" if blocked else soak.free_at
    blocked += (soak.why,) if soak.why else ()
    busy = action is not Action.NOOP
    took, budget = expected(want.spec, lambda: world.last_result(want.address)) if busy else (None, None)
    nth = nth_model(inputs, world) if busy and want.address.section == "gates" else None
    step = Step(
        want.address,
        want.provider,
        action,
        cost(want, by_name, action, reason, observed),
        reason,
        made_from,
        want.needs,
        # What is made anew replaces what stands: a saved plan does that once.
        _relies_on(inputs, observed if action in (Action.NOOP, Action.REPLACE) else None),
        blocked,
        waiting,
        "; ".join(held_by),
        verdict,
        (
            by_name.notes(want, inputs)
            + looks(nth)
            + times(took, budget)
            + _left_behind(want, observed)
            + site.announced
            if busy
            else ()
        ),
        site.weakens,
        rules=rules,
        took=took,
        budget=budget,
        free_at=free_at,
        nth_model=nth,
    )
    judged = pinned.verdicts if pinned else {}
    return Assessment(step, want.spec, observed, inputs, parts, sources, judged, bool(held))


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
        Cost.NOTHING if other else Cost.REDEPLOY,
        Reason(other or "no longer in the manifest"),
        observed.made_from,
        relies_on=(observed.entry,),
        blocked_by=blocked,
        waits_for=waiting,
        held_by=other,
        weakens=() if other else site.weakens,
        rules=rules,
    )
