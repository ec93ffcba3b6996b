"""What each verb's outcome says as a report. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from ..audit.verify import Finding, Verdict
from ..errors import ManifestError
from ..types import Action, Address, Json, Plan, Resource, Status, Step, Where
from ..types import Verdict as Judgement
from ..workshop import Event
from .markdown import code, folded, table, text
from .plan import counts, last_line, partial, plan_json, rule_lines, value, work_lines
from .report import Case, Level, Remark, Report, Result, of_errors

_NOT_PASSED = "look at the figures: mlopsctl show {}"


def places(resources: Sequence[Resource]) -> dict[str, Where]:
    """Where in the manifest each resource stands."""
    return {str(want.address): want.where for want in resources if want.where is not None}


# --- plan ------------------------------------------------------------------------------------------------------


def plan_report(plan: Plan, where: Mapping[str, Where]) -> Report:
    """A remark for what stops, waits or warns; a case for each step."""
    remarks = tuple(Remark(Level.WARNING, "MLO1079", warning) for warning in plan.warnings)
    remarks += tuple(remark for step in plan.steps for remark in _stops(step, where))
    return Report(
        "plan",
        f"{plan.project}: {last_line(plan)}",
        remarks,
        tuple(_planned(step) for step in plan.steps),
        (plan_json(plan),),
        (*plan_markdown(plan), *(f"* {text(line.strip())}" for line in (*work_lines(plan), *partial(plan)))),
        gitlab_counts(plan),
    )


def _stops(step: Step, where: Mapping[str, Where]) -> Iterator[Remark]:
    address = str(step.address)
    place = where.get(address)
    if step.blocked_by:
        level, code = (Level.WARNING, "MLO1077") if step.free_at else (Level.ERROR, "MLO1076")
        yield Remark(level, code, "blocked by " + ", ".join(step.blocked_by), "", address, place)
    if step.verdict is not None and step.verdict.blocks:
        yield _verdict(address, step.verdict, place)
    for what in step.weakens:
        yield Remark(Level.WARNING, "MLO3035", f"weakens: {what}", "", address, place)
    for what in step.waits_for:
        yield Remark(Level.WARNING, "MLO1077", f"waits for {what}", "", address, place)


def _verdict(address: str, verdict: Judgement, place: Where | None) -> Remark:
    fix = verdict.hint or _NOT_PASSED.format(address)
    words = f"{verdict.status.value}: {verdict.text}" if verdict.text else verdict.status.value
    return Remark(Level.ERROR, "MLO1078", words, fix, address, place)


def _planned(step: Step) -> Case:
    name, group = str(step.address), step.address.section
    if step.blocked_by:
        return Case(
            name,
            Result.SKIPPED if step.free_at else Result.FAILED,
            "blocked by " + ", ".join(step.blocked_by),
            group=group,
        )
    if step.verdict is not None and step.verdict.blocks:
        return Case(name, Result.FAILED, f"{step.verdict.status.value}: {step.verdict.text}", group=group)
    if step.waits_for:
        return Case(name, Result.SKIPPED, "waits for " + ", ".join(step.waits_for), group=group)
    return Case(name, group=group)


def gitlab_counts(plan: Plan) -> dict[str, int]:
    """How many resources a merge request creates, updates and deletes."""
    found = counts(plan)
    return {
        "create": found["create"],
        "update": found["update"] + found["replace"],
        "delete": found["delete"],
    }


def plan_markdown(plan: Plan) -> list[str]:
    """The steps that do something, what changed behind them folded away, and how many stay."""
    busy = [step for step in plan.steps if step.action is not Action.NOOP or step.blocked_by or step.held_by]
    lines: list[str] = []
    if busy:
        lines += table(("", "resource", "what", "why"), map(_step_row, busy))
    changed = [(step, change) for step in busy for change in step.reason.changes]
    if changed:
        rows = [(code(str(step.address)), code(c.field), code(value(c.old)), code(value(c.new))) for step, c in changed]
        lines += ["", *folded("Every input that differs", table(("resource", "what", "old", "new"), rows))]
    return lines


def _step_row(step: Step) -> tuple[str, str, str, str]:
    word = "blocked" if step.blocked_by else step.action.name.lower() if step.action is not Action.NOOP else "unchanged"
    cost = f" ({step.cost.value})" if step.cost.value else ""
    why = [step.reason.text] if step.action is not Action.NOOP else []
    why += ["blocked by " + ", ".join(step.blocked_by)] if step.blocked_by else []
    why += [f"weakens: {what}" for what in step.weakens]
    why += [f"waits for {what}" for what in step.waits_for] + rule_lines(step)
    why += [f"held: {step.held_by}"] if step.held_by else []
    return f"`{step.action.value}`", code(str(step.address)), f"{word}{cost}", text("; ".join(why))


# --- apply -----------------------------------------------------------------------------------------------------

_ENDS = {
    "done": Result.PASSED,
    "skip": Result.SKIPPED,
    "wait": Result.SKIPPED,
    "soak": Result.SKIPPED,
    "block": Result.FAILED,
    "verdict": Result.FAILED,
    "fail": Result.ERROR,
    "stale": Result.ERROR,
}


def apply_report(
    plan: Plan, events: Sequence[Event], documents: Sequence[Json], said: str, where: Mapping[str, Where]
) -> Report:
    """A remark for each failure and whatever stops a step; a case for each step, as it ended."""
    cases = {str(step.address): Case(str(step.address), group=step.address.section) for step in plan.steps}
    remarks = [Remark(Level.WARNING, "MLO1079", warning) for warning in plan.warnings]
    rows = []
    for event in events:
        remarks += _of_event(event, where)
        if event.event not in _ENDS:
            continue
        blocks = event.verdict is not None and event.verdict.blocks
        words = _event_words(event)
        result = Result.FAILED if blocks else _ENDS[event.event]
        group = event.address.partition(".")[0]
        cases[event.address] = Case(event.address, result, words, event.seconds, group)
        rows.append((code(event.address), event.event, f"{event.seconds:.1f} s" if event.seconds else "", text(words)))
    body = table(("resource", "what", "took", ""), rows) if rows else []
    return Report(
        "apply",
        f"{plan.project}: {said}",
        tuple(remarks),
        tuple(cases.values()),
        tuple(documents),
        tuple(body),
        gitlab_counts(plan),
    )


def _of_event(event: Event, where: Mapping[str, Where]) -> Iterator[Remark]:
    place = where.get(event.address)
    if event.error is not None:
        for remark in of_errors([event.error]):
            yield remark._replace(address=event.address, where=remark.where or place)
    elif event.event == "block":
        yield Remark(Level.ERROR, "MLO1076", f"blocked by {event.text}", "", event.address, place)
    elif event.event in ("wait", "soak"):
        yield Remark(Level.WARNING, "MLO1077", f"waits for {event.text}", "", event.address, place)
    if event.verdict is not None and event.verdict.blocks:
        yield _verdict(event.address, event.verdict, place)


def _event_words(event: Event) -> str:
    if event.error is not None:
        return f"{event.error.code}: {event.error.message}"
    if event.verdict is not None and event.verdict.text:
        return f"{event.verdict.status.value}: {event.verdict.text}"
    return event.text


# --- validate, gate run, audit verify ----------------------------------------------------------------------------


def validate_report(
    files: Sequence[str], findings: Sequence[ManifestError], warnings: Sequence[str], document: Json
) -> Report:
    """A case for each file; a remark for each finding."""
    remarks = of_errors(findings)
    bad: dict[str, list[str]] = {}
    for remark in remarks:
        name = remark.where.file if remark.where else ""
        bad.setdefault(name, []).append(f"{remark.where}: {remark.message}" if remark.where else remark.message)
    cases = [
        Case(file, Result.FAILED if file in bad else Result.PASSED, "\n".join(bad.pop(file, ()))) for file in files
    ]
    cases += [Case(name or "manifest", Result.FAILED, "\n".join(words)) for name, words in bad.items()]
    many = f"{len(remarks)} finding{'s' * (len(remarks) != 1)}"
    title = f"{len(files)} manifest{'s' * (len(files) != 1)}: {many if remarks else 'valid'}"
    remarks += tuple(map(_warning, warnings))
    return Report("validate", title, remarks, tuple(cases), (document,))


def _warning(line: str) -> Remark:
    """A warning of the manifest, which begins with its place."""
    found = re.fullmatch(r"(.+?):(\d+):(\d+): (.*)", line, re.DOTALL)
    if found is None:
        return Remark(Level.WARNING, "MLO3033", line)
    return Remark(Level.WARNING, "MLO3033", found[4], where=Where(found[1], int(found[2]), int(found[3])))


def gate_report(want: Resource, verdict: Judgement, document: Mapping[str, Json]) -> Report:
    """One case; a remark where it does not pass."""
    address = str(want.address)
    passed = verdict.status is Status.PASSED
    result = Result.FAILED if verdict.blocks else Result.PASSED if passed else Result.SKIPPED
    remark = _verdict(address, verdict, want.where)
    level = Level.ERROR if verdict.blocks else Level.WARNING
    words = ("metric", "value", "ci", "confidence", "min", "max", "n", "view", "method")
    rows = [(word, code(str(document[word]))) for word in words if document.get(word) is not None]
    return Report(
        "gate run",
        f"{address}: {verdict.status.value}",
        () if passed else (remark._replace(level=level),),
        (Case(address, result, f"{verdict.status.value}: {verdict.text}", group="gates"),),
        (document,),
        (text(verdict.text), "", *table(("what", ""), rows)),
    )


def audit_report(verdict: Verdict, document: Json, lines: Sequence[str]) -> Report:
    """Each finding is a failed case of its own, beside the one for the trail as a whole."""
    found = [*verdict.findings, *verdict.warnings]
    levels = [Level.ERROR] * len(verdict.findings) + [Level.WARNING] * len(verdict.warnings)
    whole = f"{verdict.entries} valid entries, root {verdict.root}, freshness {verdict.freshness}"
    cases = [Case("trail", Result.PASSED if verdict.ok else Result.FAILED, whole)]
    cases += [Case(f"{one.code} {one.entry}", Result.FAILED, one.message) for one in verdict.findings]
    return Report(
        "audit verify",
        f"audit trail: {'ok' if verdict.ok else 'NOT OK'}, {whole}",
        tuple(_of_finding(level, one) for level, one in zip(levels, found, strict=True)),
        tuple(cases),
        (document,),
        tuple(f"* {text(line)}" for line in lines),
    )


def _of_finding(level: Level, found: Finding) -> Remark:
    return Remark(level, found.code, found.message, f"mlopsctl explain {found.code}", found.entry[:64])


# --- status ----------------------------------------------------------------------------------------------------

_BAD = {"failed": Level.ERROR, "blocked": Level.ERROR, "down": Level.ERROR, "halted": Level.WARNING}


def status_report(
    title: str,
    rows: Sequence[tuple[Address, str, str]],
    ruled_out: Mapping[Address, Sequence[str]],
    document: Json,
    where: Mapping[str, Where],
) -> Report:
    """``rows`` are address, state and details; ``ruled_out`` what is withdrawn of what is live."""
    remarks, cases = [], []
    for address, state, details in rows:
        name, place = str(address), where.get(str(address))
        if state in _BAD:
            number = "MLO1074" if address.section == "deployments" and state != "blocked" else "MLO1076"
            number = "MLO1078" if address.section == "gates" else number
            fix = f"mlopsctl status {name}"
            remarks.append(Remark(_BAD[state], number, f"{state}: {details}", fix, name, place))
        remarks += [
            Remark(Level.ERROR, "MLO1074", f"withdrawn: {line}", f"mlopsctl status {name}", name, place)
            for line in ruled_out.get(address, ())
        ]
        good = {"outdated": Result.SKIPPED, "absent": Result.SKIPPED, "halted": Result.SKIPPED}
        result = Result.FAILED if _BAD.get(state) is Level.ERROR else good.get(state, Result.PASSED)
        cases.append(Case(name, result, f"{state}: {details}", group=address.section))
    shown = [(code(str(address)), state, text(details)) for address, state, details in rows]
    body = table(("resource", "state", ""), shown)
    return Report("status", title, tuple(remarks), tuple(cases), (document,), tuple(body))
