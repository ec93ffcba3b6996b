"""``use: command``: a pinned program that answers one JSON request with one JSON object (docs/command-protocol.md)."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..canonical import canonical, decimal
from ..errors import EvidenceError, ProviderError, StaleError
from ..types import GUARD, Address, Digest, Input, Json
from .process import Finished, clean_env, run_logged, tail_lines
from .sandbox import ask_python, make_sandbox
from .store import check_name

PROTOCOL = 1
_ANSWER_LIMIT = 1 << 20
_FACTS_LIMIT = 4096
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


class Pinned(Protocol):
    """The Spec fields that every ``use: command`` has."""

    @property
    def program(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def args(self) -> tuple[str, ...]: ...
    @property
    def timeout(self) -> float: ...


class Share(Protocol):
    """What a program may use of the machine; None where nothing limits it."""

    @property
    def cpu(self) -> int | None: ...
    @property
    def memory(self) -> int | None: ...
    @property
    def gpu(self) -> int | None: ...


class Files(Protocol):
    def read(self, path: str) -> bytes: ...


class Outputs(Protocol):
    def checkout(self, digest: Digest, destination: Path) -> Path: ...


class Place(Protocol):
    """What is used of a provider's Context."""

    @property
    def root(self) -> Path: ...
    @property
    def state(self) -> Path: ...
    @property
    def scratch(self) -> Path: ...
    @property
    def tree(self) -> Files: ...
    @property
    def store(self) -> Outputs: ...
    @property
    def tell(self) -> Callable[[str], None]: ...
    @property
    def log(self) -> Path | None: ...
    @property
    def cards(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Answer:
    """What a program answered: files below the request's ``out`` by name, and facts whose decimals are text."""

    outputs: Mapping[str, Path]
    facts: Mapping[str, Json]
    isolation: str
    """``landlock``, ``namespaces`` or ``export``: what held the program while it ran."""
    usage: Mapping[str, Json]
    """Seconds of wall clock and of processor time, and the peak of its memory in bytes."""


@dataclass(frozen=True)
class Reach:
    """What a program gets beyond its own folder: variables by name, and paths it may read and write."""

    env: Sequence[str] = ()
    paths: Sequence[Path] = field(default=())


def load_program(spec: Pinned, tree: Files) -> bytes:
    """The bytes of the program, a file of the repository or an absolute path.

    Raises ProviderError where it is missing, EvidenceError where it has another digest than the manifest pins.
    """
    try:
        code = Path(spec.program).read_bytes() if spec.program.startswith("/") else tree.read(spec.program)
    except OSError as error:
        raise ProviderError(
            f"the program {spec.program} cannot be read: {error.strerror or 'there is no such file'}",
            hint="program: takes a file of this repository, as a path from its root, or an absolute path",
            code="MLO1060",
        ) from None
    check_digest(code, spec.digest, spec.program)
    return code


def check_digest(code: bytes, pinned: str, name: str) -> None:
    """Raises EvidenceError where the bytes are not those that are pinned."""
    found = "sha256:" + hashlib.sha256(code).hexdigest()
    if found != pinned:
        raise EvidenceError(
            f"the program {name} is not the pinned one: it has {found}, the manifest says {pinned}",
            hint=f"read what changed; if you want it, write digest: {found}",
            code="MLO7301",
        )


def ask(
    verb: str,
    address: Address,
    spec: Pinned,
    details: Mapping[str, Any],
    inputs: Sequence[Input],
    place: Place,
    *,
    code: bytes | None = None,
    reach: Reach = Reach(),
) -> Answer:
    """Runs the program once, confined to its own folders, and checks what it answers.

    ``details`` is the request's ``spec``. ``code`` is the program where it is already known, for example from the
    store. Raises ProviderError where the program fails, takes too long or does not keep to the protocol.
    """
    code = load_program(spec, place.tree) if code is None else code
    home = place.scratch / "program"
    folders = {name: home / name for name in ("bin", "in", "out", "work", "tmp")}
    if home.exists():
        shutil.rmtree(home)
    for folder in folders.values():
        folder.mkdir(parents=True)
    # The copy that was hashed is the copy that runs.
    executable = folders["bin"] / Path(spec.program).name
    executable.write_bytes(code)
    executable.chmod(0o700)
    request = {
        "protocol": PROTOCOL,
        "verb": verb,
        "address": str(address),
        "spec": dict(details),
        "inputs": _hand_over(inputs, folders["in"], place.store),
        "out": str(folders["out"]),
    }
    (home / "request.json").write_text(json.dumps(request, ensure_ascii=False) + "\n", encoding="utf-8")
    log = place.log or home / "log"
    share = getattr(spec, "resources", None)
    argv = [str(executable), *spec.args]
    ended, mode = _run(argv, home, place, spec.timeout, log, reach, interpreter_of(code), share)
    return _check(home, folders["out"], spec, ended, log, mode)


def _hand_over(inputs: Sequence[Input], folder: Path, store: Outputs) -> dict[str, list[Json]]:
    """Copies every input, so that a program can change nothing that others rely on."""
    given: dict[str, list[Json]] = {}
    for item in inputs:
        if item.role == GUARD or item.seen is None or item.digest is None:
            continue
        role = item.role.replace(" ", "_")
        known = given.setdefault(role, [])
        kind = item.seen.facts.get("format", "")
        suffix = f".{kind}" if item.digest.startswith("sha256:") and re.fullmatch("[a-z0-9]+", str(kind)) else ""
        path = store.checkout(item.digest, folder / role / str(len(known)) / f"{item.need.output}{suffix}")
        known.append({"path": str(path), "digest": item.digest, "facts": dict(item.seen.facts)})
    return given


def interpreter_of(code: bytes) -> Path | None:
    """The program that a ``#!`` line names, through ``env`` or directly; None where there is no such line."""
    words = code.split(b"\n", 1)[0][2:].decode("utf-8", "replace").split() if code.startswith(b"#!") else []
    if words and Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
    found = shutil.which(words[0]) if words else None
    return Path(found) if found else None


def _interpreters_files(interpreter: Path | None) -> list[Path]:
    """Where an interpreter's own libraries lie: a program that cannot read them cannot start."""
    if interpreter is None:
        return []
    found = ask_python(str(interpreter), ()) if interpreter.name.startswith("python") else None
    return [interpreter.parent, *(found.folders if found else ())]


def _run(
    argv: list[str],
    home: Path,
    place: Place,
    timeout: float,
    log: Path,
    reach: Reach,
    interpreter: Path | None,
    share: Share | None,
) -> tuple[Finished, str]:
    secrets = {name: os.environ[name] for name in reach.env if name in os.environ}
    work, temporary = home / "work", home / "tmp"
    env = clean_env({"HOME": str(work), "TMPDIR": str(temporary), "PWD": str(work), **secrets})
    if share is not None and share.cpu:
        env["OMP_NUM_THREADS"] = str(share.cpu)
    if share is not None and share.gpu is not None:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(place.cards)
    sandbox = make_sandbox(
        read=[home / "bin", home / "in", *_interpreters_files(interpreter)],
        write=[home / "out", work, temporary, *reach.paths],
        hidden=[place.root, place.state],
        path=env["PATH"],
        memory=share.memory if share else None,
        cpus=share.cpu if share else None,
    )
    ended = run_logged(
        argv,
        cwd=work,
        env=env,
        log=log,
        timeout=timeout,
        on_line=place.tell,
        secrets=tuple(secrets.values()),
        confined=sandbox,
        stdin=home / "request.json",
        stdout=home / "answer.json",
    )
    return ended, sandbox.mode


def _check(home: Path, out: Path, spec: Pinned, ended: Finished, log: Path, mode: str) -> Answer:
    if ended.timed_out:
        raise ProviderError(
            f"the program {spec.program} gave no answer within {spec.timeout:g} s and was ended",
            hint="look at its log: mlopsctl logs ADDRESS; or raise timeout:",
            code="MLO1061",
        )
    said = _answer(home / "answer.json", spec.program) if ended.returncode == 0 else _error_only(home / "answer.json")
    error = said.get("error")
    if error is not None or ended.returncode != 0:
        told = error if isinstance(error, dict) else {}
        # What it printed may hold rows of the data: shown to the person here, never kept in the trail.
        last = "".join(tail_lines(log, 1))
        words = f": {str(told['message'])[:500]}" if told.get("message") else ""
        hint = str(told.get("hint") or "look at its log: mlopsctl logs ADDRESS")[:500]
        if told.get("conflict") is True:
            raise StaleError(
                f"the program {spec.program} changed nothing, because something else runs there than was seen{words}",
                hint=str(told.get("hint") or "mlopsctl pull fetches what others signed; then plan and apply again")[
                    :500
                ],
                code="MLO6024",
            )
        raise ProviderError(
            f"the program {spec.program} failed (status {ended.returncode}){words}",
            hint=f"{hint}; it last said: {last[:500]}" if last and not words else hint,
            code="MLO1062",
        )
    strange = sorted(set(said) - {"outputs", "facts"})
    if strange:
        raise _broken(spec.program, f"unknown keys {', '.join(strange)}")
    usage = {
        "seconds": decimal(ended.seconds, 3),
        "cpu_seconds": decimal(ended.cpu_seconds, 3),
        "max_rss_bytes": ended.max_rss_bytes,
    }
    outputs = _outputs(said.get("outputs", {}), out, spec.program)
    return Answer(outputs, _facts(said.get("facts", {}), spec.program), mode, usage)


def _answer(path: Path, name: str) -> dict[str, Any]:
    if path.stat().st_size > _ANSWER_LIMIT:
        raise _broken(name, f"its answer is longer than {_ANSWER_LIMIT} bytes")

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON number")

    try:
        # Decimals stay the text they were: signed entries hold no floats.
        said = json.loads(path.read_bytes(), parse_float=str, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise _broken(name, f"its stdout is not one JSON object ({error})") from None
    if not isinstance(said, dict):
        raise _broken(name, "its stdout is not one JSON object")
    return said


def _error_only(path: Path) -> dict[str, Any]:
    """The answer of a program that failed, where it gave one."""
    try:
        return _answer(path, "")
    except (ProviderError, OSError):
        return {}


def _outputs(said: Any, out: Path, name: str) -> dict[str, Path]:
    if not isinstance(said, dict):
        raise _broken(name, "'outputs' is no object")
    found: dict[str, Path] = {}
    for output, relative in said.items():
        if not _NAME.fullmatch(output) or not isinstance(relative, str):
            raise _broken(name, f"'{output}' is no output: wanted is a name in lower case and a path below out")
        check_name(relative)
        path = out / relative
        if not path.exists() or path.resolve() != out.resolve() / relative:
            raise _broken(name, f"output '{output}' names {relative}, which is no file or folder below out")
        found[output] = path
    return found


def _facts(said: Any, name: str) -> dict[str, Json]:
    if not isinstance(said, dict):
        raise _broken(name, "'facts' is no object")
    try:
        size = len(canonical(said))
    except TypeError as error:
        raise _broken(name, f"'facts' hold what a signed entry cannot: {error}") from None
    if size > _FACTS_LIMIT:
        raise _broken(name, f"'facts' take {size} bytes; {_FACTS_LIMIT} are the most")
    return said


def _broken(name: str, what: str) -> ProviderError:
    return ProviderError(
        f"the program {name} does not keep to the protocol: {what}",
        hint='it answers on stdout with {"outputs": {…}, "facts": {…}} or {"error": {"message": …}}, and prints'
        " everything else on stderr; see docs/command-protocol.md",
        code="MLO1063",
    )


def number(facts: Mapping[str, Json], key: str, program: str) -> float:
    """A number of an answer. Raises ProviderError where it is missing or none."""
    try:
        return float(facts[key])
    except (KeyError, TypeError, ValueError):
        raise _broken(program, f"facts.{key} is missing or no number") from None


def require_output(answer: Answer, name: str, program: str) -> Path:
    """One output of an answer. Raises ProviderError where it is missing."""
    if name not in answer.outputs:
        raise _broken(program, f"it named no output '{name}'")
    return answer.outputs[name]
