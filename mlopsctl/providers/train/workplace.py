"""The folder a training command runs in: its code, its views of the data, what it may write, and how it ended."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from ...adapters.argv import find_python
from ...adapters.process import Finished, clean_env, run_logged, tail_lines
from ...adapters.sandbox import Interpreter, Sandbox, ask_python, make_sandbox
from ...canonical import decimal
from ...errors import ProviderError
from ...gitobjects import object_id
from ...provider import Context, Inputs
from ...types import Address, Input, Json, Resource, TreeFile
from .code import declared_code, undeclared, unseen
from .command_line import as_text, commands, environment, fill, find_program, is_python
from .shell import scripts, started

if TYPE_CHECKING:
    from .local import Spec

PACKAGES = ("numpy", "onnx", "onnxruntime", "scikit-learn", "skl2onnx", "torch", "xgboost", "lightgbm", "tensorflow")
"""The packages whose versions are recorded where the trainer's Python has them."""

_LINES_SHOWN = 15


@dataclass(frozen=True)
class Workplace:
    """``work`` stands for the project's folder, ``cwd`` is the working folder in it, ``out`` is ``$MLOPS_OUT``; ``files`` are
    the code."""

    work: Path
    cwd: Path
    out: Path
    log: Path
    commands: tuple[tuple[str, ...], ...]
    env: Mapping[str, str]
    secrets: tuple[str, ...]
    sandbox: Sandbox
    interpreter: Interpreter | None
    files: Mapping[str, TreeFile]


def prepare(want: Resource, inputs: Inputs, ctx: Context, files: Mapping[str, TreeFile], attempt: int = 0) -> Workplace:
    """Lays out a fresh workplace.

    Raises ProviderError for a missing program or secret, data among the code, and code that changed meanwhile.
    """
    spec: Spec = want.spec
    base = ctx.scratch / f"attempt-{attempt + 1}"
    work, out, home, tmp, given = (base / name for name in ("work", "out", "home", "tmp", "given"))
    cwd = work / spec.cwd
    for folder in (cwd, out, home, tmp, given):
        folder.mkdir(parents=True)
    _export(files, work, ctx)
    values, env = {"out": str(out), "seed": str(spec.seed)}, {}
    values |= {f"params.{name}": as_text(value) for name, value in spec.params.items()}
    for item in inputs:
        alike = {other.need.address.bare for other in inputs if other.need.address.name == item.need.address.name}
        variable, path = _give(item, _word(item.need.address, alone=len(alike) == 1), files, work, given, ctx)
        env[variable] = str(path)
        # Of a dataset that is shared out a placeholder names the training view, which comes first.
        values.setdefault(str(item.need.address), str(path))
    (given / "params.json").write_text(json.dumps(dict(spec.params), ensure_ascii=False), encoding="utf-8")
    declared, secrets = environment(spec.env)
    env = _environment(spec, home, tmp, work, cwd, ctx.cards) | declared | env
    env |= {"MLOPS_OUT": str(out), "MLOPS_PARAMS": str(given / "params.json"), "MLOPS_SEED": str(spec.seed)}
    if spec.shell:
        lines, more = started(spec.run, values)
        python = find_python("python", ctx.root)
        # A shell looks on PATH alone, and shall find the Python that a command without it gets.
        env |= more | {"PATH": f"{Path(python).parent}:{env['PATH']}" if python else env["PATH"]}
    else:
        lines = [fill(words, values) for words in commands(spec.run)]
    programs = [find_program(words[0], ctx.root, cwd, env["PATH"]) for words in lines]
    if not spec.shell:
        python = next(filter(None, map(_python_of, programs)), None)
    interpreter = ask_python(python, PACKAGES) if python else None
    sandbox = make_sandbox(
        read=[given, *(interpreter.folders if interpreter else ())],
        write=[work, out, home, tmp],
        hidden=_hidden(ctx),
        path=env["PATH"],
        memory=spec.resources.memory if spec.resources else None,
        cpus=spec.resources.cpu if spec.resources else None,
    )
    log = ctx.log or ctx.scratch / "log"
    if attempt == 0:
        log.unlink(missing_ok=True)
    argvs = tuple((path, *words[1:]) for words, path in zip(lines, programs, strict=True))
    return Workplace(work, cwd, out, log, argvs, env, tuple(secrets), sandbox, interpreter, files)


def _export(files: Mapping[str, TreeFile], work: Path, ctx: Context) -> None:
    for name, file in files.items():
        body = ctx.tree.read(name)
        if object_id("blob", body) != file.oid:
            raise ProviderError(
                f"{name} was changed after this apply had looked at it",
                hint="plan and apply again; training starts from the files as they are then",
                code="MLO1225",
            )
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.chmod(0o755 if file.mode == "100755" else 0o644)


def _word(address: Address, *, alone: bool) -> str:
    """What an input is called in its folder and, in capitals, its variable: an instance as its name, where it is alone.

    So one script serves every instance of a repeated step.
    """
    return address.name if alone else re.sub(r"[^A-Za-z0-9]", "_", address.bare.rstrip("]"))


def _give(
    item: Input, word: str, files: Mapping[str, TreeFile], work: Path, given: Path, ctx: Context
) -> tuple[str, Path]:
    """Puts one input where the command finds it: (the variable that names it, its path)."""
    if item.seen is None or item.digest is None:
        raise ProviderError(
            f"{item.need.address} has no output '{item.need.output}' to train on",
            hint="add the view to the dataset's split: split: {test: 0.2, val: 0.1}",
            code="MLO1222",
        )
    name = word.upper().replace("-", "_")
    if item.role == "base":
        path = ctx.store.checkout(item.digest, given / f"train-{word}")
        return f"MLOPS_TRAIN_{name}", path
    where = str(item.seen.facts["path"])
    for file in files:
        if file == where or file.startswith(where + "/"):
            raise ProviderError(
                f"{file} counts as code of this training step, but it is the dataset {item.need.address}",
                hint=f"name it {{{item.need.address}}} in run:, and leave it out of code:; test rows would be seen",
                code="MLO1210",
            )
    path = work / where if item.role == "data" else given / "val" / word / Path(where).name
    path.parent.mkdir(parents=True, exist_ok=True)
    ctx.store.checkout(item.digest, path)
    return f"MLOPS_DATA_{name}" + ("_VAL" if item.role == "validation" else ""), path


def _environment(spec: Spec, home: Path, tmp: Path, work: Path, cwd: Path, cards: Sequence[str]) -> dict[str, str]:
    # A hash seed makes the order of sets of text repeatable; without buffering the log shows progress as it happens.
    env = clean_env({"HOME": str(home), "TMPDIR": str(tmp), "PWD": str(cwd), "PYTHONHASHSEED": str(spec.seed)})
    roots = [str(path) for path in (work, work / "src") if path.is_dir()]
    env |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ":".join(roots)}
    if spec.resources and spec.resources.cpu:
        env["OMP_NUM_THREADS"] = str(spec.resources.cpu)
    if spec.resources and spec.resources.gpu is not None:
        # No other step that asks for cards sees these, and none are seen where none were asked for.
        env["CUDA_VISIBLE_DEVICES"] = ",".join(cards)
    return env


def _python_of(program: str) -> str | None:
    """The interpreter behind a program: itself, or that of the virtual environment it is installed in."""
    path = Path(program)
    if is_python(program):
        return program
    return str(path.with_name("python")) if (path.parent.parent / "pyvenv.cfg").is_file() else None


def _hidden(ctx: Context) -> list[Path]:
    """The project, the repository around it, and git's folder with the store and all views."""
    around = [folder for folder in (ctx.root, *ctx.root.parents) if (folder / ".git").exists()]
    return [ctx.root, *around, ctx.state, ctx.state.parent]


def run_all(place: Workplace, spec: Spec, ctx: Context) -> dict[str, Json]:
    """Runs the commands in order: seconds, processor seconds and the peak of memory. Raises ProviderError."""
    begun, cpu, peak = time.monotonic(), 0.0, 0
    texts = [[text] for text in scripts(spec.run)] if spec.shell else commands(spec.run)
    for argv, words in zip(place.commands, texts, strict=True):
        left = max(begun + spec.timeout - time.monotonic(), 0.0) if spec.timeout is not None else None
        ended = run_logged(
            argv,
            cwd=place.cwd,
            env=place.env,
            log=place.log,
            timeout=left,
            on_line=ctx.tell,
            secrets=place.secrets,
            confined=place.sandbox,
        )
        cpu, peak = cpu + ended.cpu_seconds, max(peak, ended.max_rss_bytes)
        if ended.returncode != 0 or ended.timed_out:
            raise _failure(ended, words, place, spec, ctx)
    seconds = decimal(time.monotonic() - begun, 3)
    return {"seconds": seconds, "cpu_seconds": decimal(cpu, 3), "max_rss_bytes": peak}


def _failure(ended: Finished, words: Sequence[str], place: Workplace, spec: Spec, ctx: Context) -> ProviderError:
    """What went wrong; the log stands in the hint, because messages are kept in the trail for ever and logs are not."""
    first, *more = " ".join(words).strip().split("\n")
    shown = f"{first} …" if more else first
    lines = tail_lines(place.log, _LINES_SHOWN)
    said = "\nthe last it printed:" + "".join(f"\n  | {line}" for line in lines) if lines else "\nit printed nothing"

    def error(code: str, what: str, hint: str) -> ProviderError:
        return ProviderError(f"'{shown}' {what}", hint=hint + said, code=code)

    if ended.timed_out:
        what = f"was not done after {spec.timeout:g} s and was ended"
        return error("MLO1216", what, "raise timeout:, or make the work smaller")
    text = "\n".join(tail_lines(place.log, 200))
    others = frozenset(ctx.tree.files()) - set(place.files)
    missing = undeclared(text, others, [str(place.work), str(ctx.root)], spec.cwd)
    if missing:
        what = f"reads {missing}, which is not declared: it runs in a folder that holds only its code"
        return error(
            "MLO1212", what, f"add {declared_code(place.files, missing)}; if it is data, declare it under data:"
        )
    ignored = unseen(text, ctx.root, place.work, spec.cwd)
    if ignored:
        what = f"reads {ignored}, which is here but not in the repository: no other clone could train"
        hint = f"git add {ignored} (git check-ignore -v {ignored} says why it is not seen), or declare it under data:"
        return error("MLO1212", what, hint)
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        why = ": most likely memory ran out" if name == "SIGKILL" else ""
        what = f"was ended by {name}{why} (it used {ended.max_rss_bytes / 2**20:,.0f} MiB)"
        return error("MLO1221", what, "use smaller batches, or a machine with more memory")
    hint = f"all it printed: mlopsctl logs {quote(place.log.name.removesuffix('.log'))}"
    lacking = re.findall(r"^ModuleNotFoundError: No module named '([\w.]+)'", text, re.MULTILINE)
    if lacking:
        name = lacking[-1].partition(".")[0]
        hint = f"neither the repository nor the command's python has {name}: git add it, or pip install it; {hint}"
    return error("MLO1211", f"exited with status {ended.returncode}", hint)


def add_program(files: Mapping[str, TreeFile], place: Workplace) -> None:
    """Copies the files that ``predict:`` runs into the model's folder. Raises ProviderError where a name is taken."""
    for name in files:
        target = place.out / name
        if target.exists():
            if target.read_bytes() == (place.work / name).read_bytes():
                continue
            raise ProviderError(
                f"the training command wrote {name} to $MLOPS_OUT, the name of a file that predict: runs",
                hint="write it under another name",
                code="MLO1224",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place.work / name, target)
