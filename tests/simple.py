"""The smallest provider: writes its text to a file. Tests of plan and apply drive it through the whole seam."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from mlopsctl.budgets import Budget, budget
from mlopsctl.errors import ProviderError
from mlopsctl.provider import (
    Context,
    Inputs,
    Specs,
    Tree,
    diff_by_fingerprint,
    labelled,
    no_notes,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    result,
    run,
)
from mlopsctl.types import Mark, Need, Observed, Outcome, Resource, Status, TreeFile, Verdict

RESULT_VERSION = 1


@dataclass(frozen=True)
class Spec:
    """What to write, whether to fail, and a bar on its length."""

    text: str = result("", doc="what is written")
    retries: int = run(0, doc="enters no fingerprint")
    shortest: int = policy(0, doc="a bar, judged at every plan")
    echo: bool = result(False, doc="whether the digests of its inputs are written too")
    reproducible: str = policy("bitwise", doc="what must come out again")
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    version: str = run("", doc="the entry whose artifact a deployment stays on")
    file: str = run("", doc="a file of the tree that enters the result")


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    return ()


def sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    found = tree.file(want.spec.file) if want.spec.file else None
    return {want.spec.file: found} if found else {}


def judge(want: Resource, seen: Observed, inputs: Inputs) -> Verdict:
    if len(str(seen.facts.get("text", ""))) >= want.spec.shortest:
        return Verdict(Status.PASSED, "long enough")
    return Verdict(Status.FAILED, "too short", "write more", blocks=True)


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    if want.spec.text == "explode":
        raise ProviderError("it exploded", hint="write something else")
    made = ctx.scratch / "text"
    given = [str(item.digest) for item in inputs if item.digest] if want.spec.echo else []
    made.write_text("\n".join([want.spec.text.strip(), *given]))
    return Outcome({"text": made}, {"text": want.spec.text})


read = read_from_trail
diff = diff_by_fingerprint
notes = no_notes
verify = nothing_to_verify
remove = nothing_to_remove
attest = labelled


def changing(want: Resource, seen: Observed | None, ctx: Context) -> AbstractContextManager[Mark | None]:
    return nullcontext()
