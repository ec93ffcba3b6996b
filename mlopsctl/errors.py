"""Every error a user can meet: a stable code, what, where, why, the fix; one exit code a class."""

from __future__ import annotations

from .types import Where


class MlopsError(Exception):
    """What went wrong, in one sentence.

    ``code`` is stable (``MLO1234``, see ``mlopsctl explain``), ``hint`` is the command or edit that mends it,
    ``where`` the place in a file and ``line`` the text that stands there.
    """

    exit_code = 1
    code = "MLO1000"

    def __init__(
        self, message: str, *, hint: str = "", where: Where | None = None, code: str = "", line: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.line = line
        if code:
            self.code = code


class ManifestError(MlopsError):
    """The manifest is not valid; ``others`` holds further findings of the same file."""

    exit_code = 3
    code = "MLO3000"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        where: Where | None = None,
        code: str = "",
        line: str = "",
        others: tuple[ManifestError, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, where=where, code=code, line=line)
        self.others = others


class GateError(MlopsError):
    """A gate, a contract, a budget or a policy failed, or a blocking result is missing."""

    exit_code = 4
    code = "MLO4000"


class ApprovalError(MlopsError):
    """An approval is missing."""

    exit_code = 5
    code = "MLO5000"


class StaleError(MlopsError):
    """The plan is stale, another process holds the lock, or somebody else's intent is newer."""

    exit_code = 6
    code = "MLO6000"


class RebuiltError(StaleError):
    """What was lost came out otherwise and was recorded in its place: what follows from it is not what was planned."""

    code = "MLO6017"


class EvidenceError(MlopsError):
    """A signature, a digest, the trust policy or the trail does not hold."""

    exit_code = 7
    code = "MLO7000"


class NotSharedError(MlopsError):
    """Done here, but the trail or an output did not reach the remote."""

    exit_code = 8
    code = "MLO8000"


class UsageError(MlopsError):
    """The command line itself is wrong."""

    exit_code = 64
    code = "MLO6400"


class ProviderError(MlopsError):
    """A provider could not do its work: a broken input, a failed command, a missing tool."""

    code = "MLO1100"


# When several failures meet in one command, the earliest in this list decides (docs/cli.md).
PRECEDENCE = (130, 143, 70, 64, 3, 7, 6, 5, 4, 1, 8, 2, 0)


def worst(codes: list[int]) -> int:
    """The exit code that a command with these outcomes returns."""
    return min(codes, key=PRECEDENCE.index, default=0)
