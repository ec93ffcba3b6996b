"""``against:``: judges a recorded comparison with a champion by today's ``max_drop``; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import EvidenceError, ManifestError
from ...provider import policy, run
from ...types import CHAMPION, Json, Status, Verdict
from .verdict import Bars, Measured, judge_measurement

_ORDER = (Status.PASSED, Status.INCONCLUSIVE, Status.NOT_ASSESSED, Status.FAILED)


def against_field() -> Any:
    """The field ``against:`` of a Spec."""
    doc = "A deployment whose last other model, the champion, is measured on the same rows."
    return run("", doc=doc, ref="deployments", looser="named")


def max_drop_field() -> Any:
    """The field ``max_drop:`` of a Spec."""
    return policy(
        None,
        doc="By how much it may be worse than the champion; the whole interval of the difference must be at most that.",
        minimum=0,
        looser="higher",
    )


def first_field() -> Any:
    """The field ``first:`` of a Spec."""
    return policy("pass", doc="What becomes of a model where there is no champion.", looser=("fail", "pass"))


def judge_all(spec: Any, facts: Mapping[str, Json]) -> Verdict:
    """The verdict by all bars of a gate: its own, and that against a champion."""
    warn = spec.inconclusive == "warn"
    if spec.max_drop is None:
        return judge_measurement(facts, Bars(spec.min, spec.max, warn))
    first_fails = spec.first == "fail"
    drop = judge_drop(facts, spec.against, spec.max_drop, first_fails=first_fails, warn=warn)
    if spec.min is None and spec.max is None and facts.get("value") is not None:
        return drop._replace(text=f"{Measured.of(facts)}; {drop.text}")
    return both(judge_measurement(facts, Bars(spec.min, spec.max, warn)), drop)


def check_keys(metric: str, against: str, max_drop: float | None, first: str) -> None:
    """Raises ManifestError where the keys about a champion make no sense together."""
    if bool(against) != (max_drop is not None):
        missing, there = ("max_drop", "against") if against else ("against", "max_drop")
        example = "write max_drop: 0.01" if against else "write against: DEPLOYMENT"
        raise ManifestError(f"'{there}' needs '{missing}'", hint=example, code="MLO1320")
    if first != "pass" and not against:
        raise ManifestError("'first' is about 'against', which is not there", hint="remove first:", code="MLO1320")
    if against and metric == "ece":
        raise ManifestError(
            "the difference of two calibration errors has no sound interval",
            hint="compare log_loss, and give ece a bar of its own: max: NUMBER",
            code="MLO1320",
        )


def judge_drop(facts: Mapping[str, Json], against: str, most: float, *, first_fails: bool, warn: bool) -> Verdict:
    """Passed where the whole interval of the drop is at most ``most``, failed where it is wholly more."""
    found = facts.get(CHAMPION)
    if not found:
        text = f"limitation no_champion: deployments.{against} ran no other model before"
        if first_fails:
            hint = "first: pass lets the first model through"
            return Verdict(Status.FAILED, text, hint, blocks=True)
        return Verdict(Status.PASSED, text)
    try:
        drop, n, dropped = found["drop"], int(found["n"]), int(found["dropped"])
        value = None if drop["value"] is None else float(drop["value"])
        ci = None if drop["ci"] is None else [float(limit) for limit in drop["ci"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the entry of this gate holds no comparison ({error!r})",
            hint="measure anew: mlopsctl apply --replace ADDRESS",
            code="MLO1312",
        ) from None
    aside = f", without {dropped} that it was trained on" if dropped else ""
    unknown = "; limitation champion_rows_unknown: which rows it was trained on is not recorded"
    more = unknown if found.get("rows") == "unknown" else ""
    model = f"the model of entry {str(found['entry'])[:12]}, the last other one of deployments.{against},"
    whose = f"than {model} on the same {n} rows{aside}{more}"
    if value is None or ci is None:
        text = f"no interval of the drop: {drop.get('reason')}; compared {whose}, allowed is {most:g}"
        return Verdict(Status.INCONCLUSIVE, text, "more rows in the view, or another metric", blocks=not warn)
    text = f"{value:.4g} [{ci[0]:.4g}, {ci[1]:.4g}] worse {whose}, allowed is {most:g}"
    if ci[1] <= most:
        return Verdict(Status.PASSED, text)
    if ci[0] > most:
        return Verdict(Status.FAILED, text, "improve the model, or give it better data", blocks=True)
    hint = "more rows in the view would narrow the interval; max_drop says what is allowed"
    return Verdict(Status.INCONCLUSIVE, text, hint, blocks=not warn)


def both(own: Verdict, drop: Verdict) -> Verdict:
    """The sterner of two verdicts, with the words of both."""
    worse = max(own, drop, key=lambda verdict: _ORDER.index(verdict.status))
    hint = "; ".join(verdict.hint for verdict in (own, drop) if verdict.hint)
    return Verdict(worse.status, f"{own.text}; {drop.text}", hint, own.blocks or drop.blocks)
