"""``use: local``: runs a training command on this machine, in a folder that holds its code and its training rows only."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...budgets import Budget, Resources, budget, priority_field, resources_field
from ...errors import ManifestError, ProviderError
from ...provider import (
    Context,
    Inputs,
    Specs,
    Tree,
    always_fine,
    diff_by_fingerprint,
    nothing_to_remove,
    nothing_to_verify,
    policy,
    read_from_trail,
    result,
    result_fields,
)
from ...provider import run as run_field
from ...types import Address, Json, Need, Outcome, Resource, TreeFile
from . import taken, toolchain
from .code import code_files
from .command_line import check_inside, commands, references, renamed
from .given import materials, only_to_choose_by, views_of

if TYPE_CHECKING:
    from .workplace import Workplace

RESULT_VERSION = 1
LATER_KEYS = ("search", "output", "threshold", "max_age")

read = read_from_trail
diff = diff_by_fingerprint
judge = always_fine
adopt = taken.adopt
verify = nothing_to_verify
remove = nothing_to_remove


@dataclass(frozen=True)
class Spec:
    """A command that makes a model: it writes ``model.onnx`` to the folder in ``$MLOPS_OUT``."""

    run: str | tuple[str, ...] = result(
        doc="The command, split into words without a shell, or a list of them.", placeholders=("out", "seed")
    )
    cwd: str = result("", doc="The folder in which the commands run, from the project's; default: the project's.")
    shell: bool = result(False, doc="Whether run: is a script of sh; plan shows it.")
    params: Mapping[str, Any] = result({}, doc="Settings of the script: {params.NAME}, and the JSON file MLOPS_PARAMS.")
    data: str | tuple[str, ...] = run_field(
        "", doc="The datasets it trains on, [] for none; default: those that run: names, else the only one.", ref="data"
    )
    validation: str | tuple[str, ...] = run_field(
        "",
        doc="The datasets it may choose by, [] for none; default: the val view of the data that it trains on.",
        ref="data",
    )
    code: tuple[str, ...] = run_field(
        (), doc="Globs of its code; default: the files that run: names and the repository's modules they import."
    )
    lock: str | None = run_field(None, doc="The file that pins its packages; default: found, '' for none.")
    toolchain: str | Mapping[str, str] = result(
        {}, doc='Programs and their versions, {gcc: "12"}, or a file that says them; others are refused at the start.'
    )
    env: Mapping[str, str] = result({}, doc="Environment variables; env:NAME takes a secret by its name.")
    secret_version: int = result(0, doc="Raise it where a changed secret must count as a change.", minimum=0)
    seed: int = result(0, doc="The seed: {seed} and MLOPS_SEED.", minimum=0, maximum=2**32 - 1)
    produces: Literal["model", "files"] = result("model", doc="A model, or files for another training step.")
    predict: str = result(
        "", doc="For a model that is not ONNX: reads JSON lines, prints one line a row.", placeholders=("model",)
    )
    formats: tuple[str, ...] = result((), doc="File suffixes that a model with predict: may hold; default: no pickles.")
    reproducible: Literal["bitwise", "metrics", "none"] = policy(
        "bitwise",
        doc="What must come out again where lost outputs are made anew: the bytes, its gates' figures, or neither.",
        looser=("bitwise", "metrics", "none"),
    )
    budget: Budget | None = budget()  # noqa: RUF009 - a dataclass field
    timeout: float | None = run_field(None, doc="How long one attempt may take.", quantity="duration")
    retries: int = run_field(0, doc="How often a failed command is tried again.", minimum=0, maximum=100)
    resources: Resources | None = resources_field()  # noqa: RUF009
    priority: int = priority_field()


def needs(spec: Spec, specs: Specs) -> tuple[Need, ...]:
    """The training view of each dataset, the rows it may choose by, and the models it starts from.

    Raises ManifestError where several datasets could be meant, and where one is for testing.
    """
    toolchain.check_declared(spec.toolchain)
    check_inside(spec.cwd)
    texts = [spec.run] if isinstance(spec.run, str) else list(spec.run)
    named = references(texts)
    chosen = [spec.data] if isinstance(spec.data, str) and spec.data else list(spec.data)
    others = [name for section, name in named if section == "data"]
    trained = [name for name in others if name in chosen or not only_to_choose_by(name, spec.validation, specs)]
    names = list(dict.fromkeys([*chosen, *trained]))
    known = specs.get("data", {})
    left = [name for name in known if not only_to_choose_by(name, spec.validation, specs)]
    if not names and spec.data == "" and len(left) > 1:
        raise ManifestError(
            f"which data? there are {len(left)} datasets: {', '.join(left)}",
            hint=f"add data: {left[0]}, or name them in the command: {{data.{left[0]}}}",
            code="MLO1207",
        )
    found = views_of(names or (left if spec.data == "" else ()), spec.validation, specs)
    found += [Need("base", Address.of("train", name), "model") for section, name in named if section == "train"]
    return tuple(found)


def sources(want: Resource, tree: Tree) -> Mapping[str, TreeFile]:
    """The code of the command and of ``predict:``, and the lock file; data is no part of it."""
    spec: Spec = want.spec
    found = code_files(parsed(spec), spec.code, spec.lock, tree, shell=spec.shell, cwd=spec.cwd)
    return found | toolchain.files_of(spec.toolchain, tree) | _program(spec, tree)


def parsed(spec: Spec) -> list[list[str]]:
    """Each command of ``run:`` as its words."""
    if not spec.shell:
        return commands(spec.run)
    from .shell import commands_in

    return commands_in(spec.run)


def notes(want: Resource, inputs: Inputs) -> tuple[str, ...]:
    """That a shell reads the command: whoever looks at the plan shall see all that it runs."""
    if not want.spec.shell:
        return ()
    from .shell import scripts

    found: list[str] = []
    for text in scripts(want.spec.run):
        # Each line stands by itself: in one line the first comment would seem to hold all that follows it.
        first, *more = text.strip().split("\n")
        found += (
            [f"runs in a shell: {first}"] if not more else ["runs in a shell:", *(f"| {one}" for one in (first, *more))]
        )
    return tuple(found)


def nameless(want: Resource) -> dict[str, Json]:
    """The result fields with placeholders by the place of what they name among the step's inputs: names may change.

    Neither ``code:`` nor ``lock:`` is among them, because the files themselves are what counts.
    """
    fields = result_fields(want.spec)
    places: dict[str, str] = {}
    counted: dict[str, int] = {}
    for need in want.needs:
        if need.role in ("data", "base", "validation") and str(need.address) not in places:
            word = need.role if need.role == "validation" else need.address.section
            places[str(need.address)] = f"{{{word}:{counted.get(need.role, 0)}}}"
            counted[need.role] = counted.get(need.role, 0) + 1
    if "run" in fields:
        fields["run"] = renamed(fields["run"], places)
    return fields


def _program(spec: Spec, tree: Tree) -> dict[str, TreeFile]:
    """The files that ``predict:`` runs; ``code:`` narrows them not, because the model takes them along."""
    return code_files(commands(spec.predict), (), "", tree) if spec.predict else {}


def apply(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:
    """Runs the command, as often as ``retries:`` allows, and takes over what it wrote to ``$MLOPS_OUT``.

    Raises ProviderError where it fails, takes too long or leaves no model that loads.
    """
    try:
        return _train(want, materials(inputs), ctx)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = (
            "free some space: df -h" if full else "look at free memory and the limit of processes: free -h; ulimit -u"
        )
        raise ProviderError(
            f"{want.address} could not be trained on this machine: {error.strerror or error}", hint=hint, code="MLO1223"
        ) from error


def _train(want: Resource, inputs: Inputs, ctx: Context) -> Outcome:

    from .workplace import prepare, run_all

    spec: Spec = want.spec
    for attempt in range(spec.retries + 1):
        place = prepare(want, inputs, ctx, sources(want, ctx.tree), attempt)
        if attempt == 0:
            tools = toolchain.check(toolchain.versions(spec.toolchain, ctx.tree), place, ctx.root)
        try:
            usage = run_all(place, spec, ctx)
            break
        except ProviderError as error:
            if attempt == spec.retries:
                raise
            ctx.tell(f"{error.message.splitlines()[0]}; trying again ({attempt + 1} of {spec.retries})")
    facts: dict[str, Json] = {
        "isolation": place.sandbox.mode,
        "usage": usage,
        **_take_over(want, inputs, place, ctx.tree),
    }
    made_with = _platform()
    if place.interpreter:
        made_with |= {"python": place.interpreter.python, **place.interpreter.packages}
    return Outcome({"model": place.out}, facts, made_with | tools)


def made_here(want: Resource, ctx: Context) -> Mapping[str, str]:
    """The platform, and the versions that the project's Python would have, read off its folders."""
    from ...adapters.argv import find_python
    from ...adapters.environment import versions
    from .workplace import PACKAGES

    word = "python" if want.spec.shell else commands(want.spec.run)[0][0]
    program = find_python(word, ctx.root)
    return _platform() | (versions(Path(program), PACKAGES) if program else {})


def _platform() -> dict[str, str]:
    """Asked of the kernel itself: the standard library's ``platform`` starts a program for some of it."""
    here = os.uname()
    return {"platform": f"{here.sysname}-{here.release}-{here.machine}", "machine": here.machine}


def _take_over(want: Resource, inputs: Inputs, place: Workplace, tree: Tree) -> dict[str, Json]:
    """Checks what was written and says what it is."""
    from . import contract
    from .workplace import add_program

    spec: Spec = want.spec
    out, work = place.out, place.work
    known = {*place.files, *(str(item.seen.facts.get("path")) for item in inputs if item.seen)}
    claimed = contract.take_claims(out)
    facts: dict[str, Json] = {"claimed": claimed} if claimed else {}
    if spec.produces == "files":
        contract.require_files(out, work, known)
        return {"kind": "files", **facts}
    if spec.predict:
        names = contract.require_files(out, work, known)
        contract.check_formats(out, names, spec.formats)
        add_program(_program(spec, tree), place)
        allowed = {"formats": list(spec.formats)} if spec.formats else {}
        return {"kind": "opaque", "predict": commands(spec.predict)[0], **allowed, **facts}
    found = contract.inspect(contract.require_model(out, work, known))
    data = [item.seen.facts for item in inputs if item.role == "data" and item.seen]
    if len(data) == 1:
        contract.check_features(found, data[0])
    return {
        "kind": "onnx",
        "opset": found["opset"],
        "ir": found["ir"],
        "inputs": found["inputs"],
        "outputs": found["outputs"],
        **facts,
    }
