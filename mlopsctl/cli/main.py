"""Where a command line begins and ends: signals, errors, exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..errors import MlopsError
from . import console

UNEXPECTED = "MLO1999"
TERMINATED = 143


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        # A terminal that is closed ends the steps in good order too; under nohup they go on.
        signal.signal(signal.SIGHUP, _terminated)
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
    except SystemExit as ended:
        if ended.code == TERMINATED:
            with suppress(OSError):  # of a terminal that was closed
                console.note("terminated: nothing is half-done; the next apply goes on from here")
        raise
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
        from .habits import habit

        context = getattr(error, "ctx", None)
        path = context.command_path if context else "mlopsctl"
        console.note(f"  fix: {habit(error) or f'{path} --help'}")
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
    # Once is enough: the end of a session sends both, and the second must not stop what ends the steps.
    signal.signal(signal.SIGTERM, _ending)
    signal.signal(signal.SIGHUP, _ending)
    raise SystemExit(TERMINATED)


def _ending(number: int, frame: Any) -> None:
    """Does nothing, and unlike an ignored signal is not handed down to the programs that are started."""


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
            code=UNEXPECTED,
        )
    )
    return 70
