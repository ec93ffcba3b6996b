"""A Plan as JSON for programs and as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from ..adapters.times import in_words
from ..planned import Work, bound_to, digest, work
from ..types import Action, Digest, Json, Need, Plan, Selection, Step
from . import groups
from .text import one_line, short

SCHEMA_VERSION = 1

Paint = Callable[[str, str], str]
"""Puts a colour on a text where colours are shown."""

_COLOUR = {
    Action.CREATE: "green",
    Action.UPDATE: "yellow",
    Action.REPLACE: "yellow",
    Action.DELETE: "red",
}


def plan_json(plan: Plan) -> dict[str, Json]:
    """The plan as ``plan --format json`` prints it and ``plan -o`` saves it; see schemas/plan.schema.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "project": plan.project,
        "plan_digest": digest(plan),
        "manifest_digest": plan.manifest_digest,
        "commit": plan.commit,
        "dirty": plan.dirty,
        "trail_tips": list(plan.trail_tips),
        "selection": selection_json(plan.selection),
        "steps": [_step_json(step) for step in plan.steps],
        "left_out": [{"address": str(one.address), "reason": one.reason} for one in plan.left_out],
        "summary": counts(plan),
        "work": _work_json(work(plan)),
        "warnings": list(plan.warnings),
    }


def selection_json(selection: Selection) -> dict[str, Json]:
    """What was asked beyond the manifest: a saved plan is planned again with the same."""
    return {
        "targets": list(selection.targets),
        "excluded": list(selection.excluded),
        "replaced": list(selection.replaced),
        "refresh": selection.refresh,
        "refresh_only": selection.refresh_only,
        "quick": selection.quick,
        "set": list(selection.settings),
    }


def read_selection(found: Mapping[str, Json]) -> Selection:
    """The inverse of ``selection_json``. Raises KeyError for what is missing."""
    targets, excluded, replaced, settings = (
        tuple(map(str, found[name])) for name in ("targets", "excluded", "replaced", "set")
    )
    refresh, only, quick = (bool(found[name]) for name in ("refresh", "refresh_only", "quick"))
    return Selection(targets, excluded, replaced, refresh, only, quick, settings)


def read_digest(found: Mapping[str, Json]) -> Digest:
    """The digest of the steps in a saved plan. Raises KeyError and TypeError for what is missing."""
    steps = [
        (
            str(step["address"]),
            str(step["action"]).upper(),
            None if step["made_from"] == {"unknown": True} else str(step["made_from"]),
            list(map(str, step["relies_on"])),
        )
        for step in found["steps"]
    ]
    return bound_to(str(found["manifest_digest"]), steps)


def _step_json(step: Step) -> dict[str, Json]:
    return {
        "address": str(step.address),
        "provider": step.provider,
        "action": step.action.name.lower(),
        "cost": step.cost.value,
        "reason": step.reason.text,
        "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in step.reason.changes],
        "made_from": step.made_from if step.made_from is not None else {"unknown": True},
        "needs": [_need_json(need) for need in step.needs],
        "relies_on": list(step.relies_on),
        "blocked_by": list(step.blocked_by),
        "free_at": step.free_at or None,
        "waits_for": list(step.waits_for),
        "held_by": step.held_by or None,
        "weakens": list(step.weakens),
        "verdict": {"status": step.verdict.status.value, "text": step.verdict.text} if step.verdict else None,
        "notes": list(step.notes),
        "inputs": [fact._asdict() for fact in step.inputs],
        "others": list(step.others),
        "rules": [{"name": rule.name, "text": rule.text, "met": rule.met} for rule in step.rules],
        "took": step.took,
        "budget": step.budget,
        "nth_model": step.nth_model,
    }


def _work_json(found: Work) -> dict[str, Json]:
    return {
        "costs": dict(found.costs),
        "seconds": round(found.seconds, 3),
        "chain": round(found.chain, 3),
        "untimed": found.untimed,
    }


def _need_json(need: Need) -> dict[str, Json]:
    return {"role": need.role, "address": str(need.address), "output": need.output}


def counts(plan: Plan) -> dict[str, int]:
    """How many steps there are of each action, and how many of them are blocked."""
    found = Counter(step.action.name.lower() for step in plan.steps)
    words = tuple(action.name.lower() for action in Action)
    return {
        **{word: found[word] for word in words},
        "blocked": sum(bool(step.blocked_by) for step in plan.steps),
        "waiting": sum(bool(step.waits_for) for step in plan.steps),
    }


def plan_text(plan: Plan, paint: Paint, *, why: bool = False) -> list[str]:
    """The plan as aligned lines; ``why`` adds every field that differs, with old and new value."""
    lines = [f"{paint('warning:', 'yellow')} {one_line(warning)}" for warning in plan.warnings]
    if lines:
        lines.append("")
    headed = [(str(step.address), step) for step in plan.steps] if why else list(groups.lines(plan.steps))
    width = max((len(head) for head, _ in headed), default=0)
    for head, step in headed:
        lines += _step_lines(step, head, width, paint, why)
    return [*lines, "", last_line(plan), *work_lines(plan), *partial(plan)]


def _step_lines(step: Step, head: str, width: int, paint: Paint, why: bool) -> list[str]:
    word = "unchanged" if step.action is Action.NOOP else step.action.name.lower()
    word = "blocked" if step.blocked_by else word
    colour = "red" if step.blocked_by else _COLOUR.get(step.action, "grey")
    cost = f"{step.cost.value}: " if step.cost.value else ""
    text = one_line(f"{cost}{step.reason.text}") if step.action is not Action.NOOP else ""
    if step.blocked_by:
        text = one_line("by " + ", ".join(step.blocked_by))
    head = f"  {step.action.value} {head:<{width}}  {word:<9}"
    lines = [f"{paint(head, colour)}  {text}".rstrip()]
    indent = " " * (width + 17)
    if step.verdict is not None and step.verdict.text:
        blocks = step.verdict.blocks
        verdict = one_line(f"{step.verdict.status.value}: {step.verdict.text}")
        if step.blocked_by or text:
            lines.append(indent + verdict)
        else:
            lines[0] = f"{paint(head, 'red' if blocks else 'grey')}  {verdict}"
        if blocks and step.verdict.hint:
            lines.append(f"{indent}what would help: {one_line(step.verdict.hint)}")
    lines += [f"{indent}{paint('weakens', 'yellow')} {one_line(what)}" for what in step.weakens]
    lines += [f"{indent}waits for {one_line(what)}" for what in step.waits_for]
    lines += [f"{indent}{line}" for line in rule_lines(step)]
    if step.held_by:
        lines.append(f"{indent}held: {one_line(step.held_by)}")
    if step.action is not Action.NOOP:
        lines += [f"{indent}{one_line(note)}" for note in step.notes]
    if why:
        lines += [f"{indent}{line}" for line in _why_lines(step)]
    return lines


_TOLD = ("approvals", "built_by")


def rule_lines(step: Step) -> list[str]:
    """The rules that people want to know of before they begin, and each that does not hold."""
    words = {True: "policy", False: "policy, not met", None: "policy, known after apply"}
    told = [rule for rule in step.rules if rule.name in _TOLD or rule.met is False]
    return [f"{words[rule.met]}: {one_line(rule.text)}" for rule in told]


def work_lines(plan: Plan) -> list[str]:
    """What an apply is in for: how many steps of each cost, and how long that took the last time."""
    found = work(plan)
    if not found.costs:
        return []
    line = ", ".join(word if many == 1 else f"{word} × {many}" for word, many in found.costs.items())
    if found.seconds:
        line += f"; took {in_words(found.seconds)} the last time"
        line += f", {in_words(found.chain)} of it one after another" if found.chain < found.seconds * 0.9 else ""
        line += f", {found.untimed} not timed yet" if found.untimed else ""
    return [f"Work: {line}."]


_KINDS = {"spec": "", "input": "input ", "read_with": "", "file": "file ", "provider": "", "made_with": "made with "}


def _why_lines(step: Step) -> list[str]:
    """All that the step is made from: what differs with both values, what doesn't with the one."""
    lines = []
    for fact in step.inputs:
        name = one_line(f"{_KINDS[fact.kind]}{fact.name}")
        if fact.kind == "made_with":
            lines.append(f"{name}: {value(fact.old)} -> {value(fact.new)} (never a reason)")
        elif fact.old == fact.new:
            lines.append(f"{name}: {value(fact.new)}")
        else:
            lines.append(f"{name}: {value(fact.old)} -> {value(fact.new)}")
    if not step.inputs:
        lines += [f"{c.field}: {value(c.old)} -> {value(c.new)}" for c in step.reason.changes]
    lines += [f"also made: {one_line(other)}" for other in step.others]
    return [*lines, f"made from {step.made_from or '(known after apply)'}"]


def value(item: Json) -> str:
    """A value as people read it: digests shortened, one-element lists opened, floats as numbers."""
    if item is None:
        return "(none)"
    if isinstance(item, list):
        return value(item[0]) if len(item) == 1 else "[" + ", ".join(value(one) for one in item) + "]"
    if item == {"unknown": True}:
        return "(known after apply)"
    if isinstance(item, dict):
        return str(item["float"]) if set(item) == {"float"} else ", ".join(f"{k} {value(v)}" for k, v in item.items())
    return short(one_line(str(item)))


_LISTED = 10


def partial(plan: Plan) -> list[str]:
    """Says that the plan is about a part of the manifest only, and what it leaves out."""
    trial = ["Trial: what it makes is read by other trials only, and never deployed."] if plan.selection.trial else []
    if plan.selection.settings:
        trial.append(f"Set on the command line: {one_line(', '.join(plan.selection.settings))}")
    if not plan.selection.targets and not plan.selection.excluded:
        return trial
    only = f"only {', '.join(plan.selection.targets)} and what that needs" if plan.selection.targets else ""
    without = f"without {', '.join(plan.selection.excluded)} and what needs that" if plan.selection.excluded else ""
    word = "resource is" if len(plan.left_out) == 1 else "resources are"
    lines = [*trial, f"Partial: {', '.join(filter(None, (only, without)))}; {len(plan.left_out)} {word} left out."]
    listed = [one for one in plan.left_out if one.reason != "not named by --target"]
    lines += [f"  left out: {one.address} ({one.reason})" for one in listed[:_LISTED]]
    return lines + ([f"  and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else [])


def last_line(plan: Plan) -> str:
    """How many steps there are of each action, in one line."""
    found = counts(plan)
    stopped = [str(step.address) for step in plan.steps if step.verdict and step.verdict.blocks]
    if found["read"] and found["noop"] + found["read"] == len(plan.steps):
        return f"Drift: {found['read']} of {len(plan.steps)} resources are not as they were attested."
    if plan.selection.refresh_only:
        return f"No drift: {_are(plan)} as {'it was' if len(plan.steps) == 1 else 'they were'} attested."
    if found["noop"] == len(plan.steps):
        word = f", and {', '.join(stopped)} not passed" if stopped else ""
        word += f", {found['blocked']} blocked" if found["blocked"] else ""
        return f"No changes: {_are(plan)} as the manifest says{word}."
    words = ("create", "update", "replace", "import", "move", "delete", "forget")
    named = [f"{found[word]} to {word}" for word in words if found[word]]
    tail = f", {found['read']} drifted" if found["read"] else ""
    tail += "".join(f", {found[word]} {word}" for word in ("blocked", "waiting") if found[word])
    return f"Plan: {', '.join(named)}, {found['noop']} unchanged{tail}."


def _are(plan: Plan) -> str:
    return "1 resource is" if len(plan.steps) == 1 else f"{len(plan.steps)} resources are"
