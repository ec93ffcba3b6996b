"""``--format`` and ``--write FORMAT=PATH``: a verb says what it found once, and gets every format for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..adapters import memo, watch
from ..adapters.files import is_stream, write_atomically
from ..errors import MlopsError, UsageError, worst
from ..types import Where
from . import console

if TYPE_CHECKING:
    from ..render.report import Remark, Report

_EVERY_VERB = ("json", "markdown", "junit", "sarif", "github", "gitlab")
_PLANNING = ("terraform-report",)

Write = Annotated[
    list[str] | None,
    typer.Option(
        "--write",
        metavar="FORMAT=PATH",
        help="Also write a file: json, markdown, junit, sarif, github, gitlab, terraform-report. Repeatable.",
    ),
]
ReportFormat = Annotated[str, typer.Option("--format", help="text, json, markdown, junit, sarif, github or gitlab.")]


class Faces:
    """Where the report of one run goes. Raises UsageError, before any work, for what cannot be written."""

    def __init__(self, verb: str, format: str, write: Iterable[str], taken: Iterable[Path], *, plans: bool):
        self.verb = verb
        self.make: Callable[[], Report] | None = None
        known = _EVERY_VERB + (_PLANNING if plans else ())
        if format not in ("text", *known):
            hint = "one of " + ", ".join(("text", *known))
            raise UsageError(f"--format {format} is not written here", hint=hint, code="MLO6401")
        # JSON is streamed or printed by the verb itself; a text is no rendering of a report.
        self._shown = format if format not in ("text", "json") else ""
        self._files = _targets(write, known, {path.resolve() for path in taken})

    def finish(self, error: BaseException | None = None) -> bool:
        """Prints and writes what was asked for; False where a file could not be written."""
        if not self._shown and not self._files:
            return True
        report = self._report(error)
        written = True
        if self._shown:
            sys.stdout.write(_rendered(self._shown, report).decode())
        for name, path in self._files:
            try:
                _put(path, _rendered(name, report))
            except OSError as problem:
                written = False
                text = f"{path} could not be written: {problem.strerror or problem}"
                console.show_error(MlopsError(text, hint="look at its folder, or name another one", code="MLO1072"))
        if "github" in (self._shown, *(name for name, _ in self._files)):
            _summarise(report)
        return written

    def _report(self, error: BaseException | None) -> Report:
        from ..render.report import Report

        report = self.make() if self.make is not None else Report(self.verb, f"mlopsctl {self.verb}")
        remarks = report.remarks + (_remarks(error) if error is not None else ())
        return report._replace(remarks=tuple(one._replace(where=in_repository(one.where)) for one in remarks))


_open: list[Faces] = []


def written(verb: str, *, plans: bool = False) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Gives a verb with the options ``format`` and ``write`` all formats, also where it fails or is interrupted."""

    def around(function: Callable[..., int]) -> Callable[..., int]:
        @wraps(function)
        def run(*args: Any, **options: Any) -> int:
            taken = [value for value in options.values() if isinstance(value, Path)]
            faces = Faces(verb, options.get("format", "text"), options.get("write") or (), taken, plans=plans)
            _open.append(faces)
            try:
                code = _run(lambda: function(*args, **options))
            except BaseException as error:
                faces.finish(error)
                raise
            finally:
                _open.remove(faces)
            return code if faces.finish() else worst([code, 1])

        return run

    return around


def _run(verb: Callable[[], int]) -> int:
    """Runs a verb; what it says is remembered where it found nothing to do and ``__main__`` would ask for that."""
    if not memo.wanted():
        return verb()
    with watch.watched() as seen:
        code = verb()
    if code == 0 and seen.settled:
        memo.keep(seen)
    return code


def reports(make: Callable[[], Report]) -> None:
    """What the verb at work has to say; asked for at its end, and only where a file or format wants it."""
    if _open:
        _open[-1].make = make


def in_repository(where: Where | None) -> Where | None:
    """The place by its path below the top of the repository, as code hosts want it; None for a file that is not there."""
    if where is None:
        return None
    here = Path.cwd()
    for folder in (here, *here.parents):
        path = folder / where.file
        if path.is_file():
            top = next((one for one in path.resolve().parents if (one / ".git").exists()), None)
            return where._replace(file=path.resolve().relative_to(top).as_posix()) if top else where
        if (folder / ".git").exists():
            break
    return None


def _targets(write: Iterable[str], known: tuple[str, ...], taken: set[Path]) -> list[tuple[str, Path]]:
    found = []
    for item in write:
        name, equals, text = item.partition("=")
        if not equals or not text or name not in known:
            what = f"--write {item} is not FORMAT=PATH" if not equals or not text else f"no format '{name}' here"
            hint = f"--write {known[0]}=FILE; formats are {', '.join(known)}"
            raise UsageError(what, hint=hint, code="MLO1070")
        path = Path(text)
        check_target(path, taken)
        taken.add(path.resolve())
        found.append((name, path))
    return found


def check_target(path: Path, taken: Collection[Path] = ()) -> None:
    """Raises UsageError for a path that cannot be written, or must not be."""
    folder = path.parent
    if is_stream(path):
        return
    if path.name == "-":
        hint = "name a file; on stdout: --format json"
        raise UsageError(f"{path} stands for no file here", hint=hint, code="MLO1072")
    if any(_is_gits(above) for above in path.resolve().parents):
        hint = "name a file outside of .git"
        raise UsageError(f"{path} lies among git's own files", hint=hint, code="MLO1072")
    if path.resolve() in taken:
        raise UsageError(f"{path} is named twice", hint="give each file a name of its own", code="MLO1071")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", hint=f"mkdir -p {folder}", code="MLO1072")
    if path.is_dir():
        raise UsageError(f"{path} is a folder", hint=f"name a file in it: {path / 'report'}", code="MLO1072")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} is not writable for you", hint="name another folder", code="MLO1072")
    if path.is_file() and _tracked(path):
        hint = "write to a file that git does not track"
        raise UsageError(f"{path} is tracked by git and would be overwritten", hint=hint, code="MLO1073")


def _is_gits(folder: Path) -> bool:
    """Whether a folder is a git directory, under whatever name."""
    held = (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()
    return folder.name == ".git" or held


def _tracked(path: Path) -> bool:
    from ..adapters.git import git

    return git(path.parent, "ls-files", "--error-unmatch", "--", path.name, check=False).returncode == 0


def _rendered(name: str, report: Report) -> bytes:
    """The report as UTF-8; of file names that are none, the bytes are spelt out."""
    from ..render.formats import FORMATS

    return FORMATS[name].render(report).encode("utf-8", "backslashreplace")


def _put(path: Path, body: bytes) -> None:
    sys.stdout.flush()  # /dev/stdout may lead to where this program prints
    write_atomically(path, body)


def _summarise(report: Report) -> None:
    """Adds the page to the summary of the running step of GitHub Actions, where there is one."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    from ..render.github import SUMMARY_BYTES, step_summary

    try:
        with open(place, "ab") as stream:
            stream.write(step_summary(report, SUMMARY_BYTES - stream.tell()).encode())
    except OSError as problem:
        console.note(f"the summary of the step could not be written: {problem.strerror or problem}")


def _remarks(error: BaseException) -> tuple[Remark, ...]:
    from ..render.report import Level, Remark, of_errors

    if isinstance(error, MlopsError):
        return of_errors([error])
    words = "it was interrupted" if isinstance(error, KeyboardInterrupt | SystemExit) else str(error)
    return (Remark(Level.ERROR, "MLO1075", f"the command did not finish: {words or type(error).__name__}"),)
