"""The verbs, built only when typed, and the one place where errors become exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from ..errors import MlopsError
from . import console

# verb -> (module of mlopsctl.cli, function, the line that --help shows)
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("init", "init", "start a project from a template"),
    "validate": ("validate", "validate", "check manifests without running anything"),
    "plan": ("plan", "plan", "show what apply would do, and why"),
    "apply": ("apply", "apply", "make it so and record every step"),
    "diff": ("diff", "diff", "what changed between two revisions, in ML terms"),
    "status": ("status", "status", "where everything stands"),
    "show": ("show", "show", "one resource in full"),
    "graph": ("graph", "graph", "what depends on what"),
    "logs": ("logs", "logs", "the log of a step or deployment"),
    "add": ("add", "add", "write the smallest working block into the manifest"),
    "push": ("share", "push", "share the trail and the outputs"),
    "pull": ("share", "pull", "fetch the trail and the outputs"),
    "sign": ("sign", "sign", "sign a model file or folder"),
    "verify": ("sign", "verify", "verify a signed model file or folder"),
    "serve": ("serve", "serve", "serve a model in the foreground"),
    "predict": ("predict", "predict", "predictions for a file of rows"),
    "halt": ("halt", "halt", "cut a deployment out at once"),
    "resume": ("halt", "resume", "lift a halt or a rollback"),
    "rollback": ("rollback", "rollback", "go back to an earlier artifact and stay there"),
    "destroy": ("destroy", "destroy", "take deployments down"),
    "schema": ("schema", "schema", "the JSON Schema of mlops.yaml"),
    "doctor": ("doctor", "doctor", "is this machine ready, and what is missing"),
    "explain": ("explain", "explain", "the long form of an error code"),
    "completion": ("completion", "completion", "completion for bash, zsh or fish"),
}

# group -> its verbs, in the same form
GROUPS: dict[str, tuple[str, dict[str, tuple[str, str, str]]]] = {
    "data": (
        "datasets: add, ls, verify",
        {
            "add": ("data", "add", "pin a file or folder as a .dvc dataset"),
            "ls": ("data", "ls", "the datasets and their versions"),
            "verify": ("data", "verify", "re-hash datasets against what was attested"),
        },
    ),
    "gate": ("gates: run", {"run": ("gate", "run", "measure one gate now")}),
    "key": (
        "keys: new, show",
        {"new": ("key", "new", "make a signing key"), "show": ("key", "show", "show a public key")},
    ),
    "audit": (
        "the trail: log, show, verify, trace",
        {
            "log": ("audit", "log", "the entries, newest first"),
            "show": ("audit", "show", "one entry in full"),
            "verify": ("audit", "verify", "check every entry, signature and link"),
            "trace": ("audit", "trace", "from a deployment back to data, code and people"),
        },
    ),
}

ENVELOPE = "MLO1999"


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    # Help and errors of the command-line library stay plain: its rich mode costs more than most verbs do.
    os.environ.setdefault("TYPER_USE_RICH", "0")
    try:
        return _invoke(list(argv))
    except MlopsError as error:
        console.show_error(error)
        return error.exit_code
    except KeyboardInterrupt:
        console.note("interrupted: nothing is half-done; the next apply goes on from here")
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone: that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if "apply" in argv[:1]:
            console.note("stopped: nobody reads what apply prints; the next apply goes on from here")
            return 1
        return 0
    except OSError as error:
        return _environment_failed(error)
    except Exception as error:  # noqa: BLE001 - the last resort: a log and one line instead of a traceback
        return _unexpected(error)


def _invoke(argv: list[str]) -> int:
    import click

    from .verbs import root

    try:
        code = root().main(args=argv, prog_name="mlopsctl", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        console.note(error.format_message())
        return 64
    except click.exceptions.Abort:
        raise KeyboardInterrupt from None
    except click.exceptions.ClickException as error:
        console.note(f"{console.paint('error', 'red', sys.stderr)}[MLO6400] {error.format_message()}")
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "mlopsctl"
        console.note(f"  fix: {path} --help")
        return 64
    except SystemExit as ended:
        # How typer answers a closed pipe.
        if ended.code == 1:
            raise BrokenPipeError from None
        raise
    if code == 130:
        # How typer answers Ctrl-C: silently.
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _terminated(number: int, frame: Any) -> None:
    raise SystemExit(143)


def _environment_failed(error: OSError) -> int:
    """A full disk, a read-only folder, a missing permission: the system's words and a fix."""
    import errno

    hints = {
        errno.ENOSPC: "the disk is full: free some space and run the command again; nothing is half-written",
        errno.EROFS: "the file system is read-only: run this in a writable clone",
        errno.EACCES: "check the owner and the mode of that path",
        errno.EPERM: "check the owner and the mode of that path",
        errno.EISDIR: "that is a folder: name a file in it",
        errno.ENOTDIR: "a file stands where a folder is wanted: look at the path's spelling",
        errno.EEXIST: "a file stands where a folder is wanted: look at the path's spelling",
        errno.EDQUOT: "your disk quota is used up: free some space and run the command again",
    }
    if error.errno not in hints:
        return _unexpected(error)
    place = f"{error.filename}: " if error.filename else ""
    console.show_error(MlopsError(f"{place}{error.strerror}", hint=hints[error.errno], code="MLO1005"))
    return 1


def _unexpected(error: BaseException) -> int:
    """Anything nobody foresaw: a log with the traceback, and one line that names it."""
    import tempfile
    import traceback

    if "--debug" in sys.argv:
        traceback.print_exception(error)
        return 70
    with tempfile.NamedTemporaryFile("w", prefix="mlopsctl-", suffix=".log", delete=False) as log:
        traceback.print_exception(error, file=log)
    console.show_error(
        MlopsError(
            f"something unexpected happened: {type(error).__name__}: {error}",
            hint=f"please report it with the log {log.name}; --debug shows the traceback",
            code=ENVELOPE,
        )
    )
    return 70
