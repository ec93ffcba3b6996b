"""``version:`` of a deployment: the artifact that the manifest names, in place of the newest one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .types import GUARD, Address, Input, Need, Resource, Verdict

PATTERN = r"^(((sha256|dirhash):)?[0-9a-f]{8,64}|[1-9][0-9]{0,6})$"
"""How an entry's id or an artifact's digest begins, fewer letters soon begin several; or the number of a release."""
MOST = 9_999_999
"""The greatest number of a release: what is longer begins an id."""


class Version(NamedTuple):
    """What ``version:`` stands for in this trail; where it stands for nothing, ``text`` says why."""

    text: str
    inputs: tuple[Input, ...] = ()
    """The artifact, and each gate with what it measured of that artifact's model."""
    verdicts: Mapping[Address, Verdict | None] = {}
    """What those measurements, and the artifact, are worth by today's bars; None where a gate never measured the model."""

    def given(self, want: Resource) -> tuple[Input, ...]:
        """The inputs of the deployment: unknown ones where the version stands for nothing."""
        return self.inputs or tuple(Input(need, None) for need in want.needs)

    def bars(self, *, changes: bool) -> tuple[str, ...]:
        """What stops it, one line each, apart from gates that it does not pass; what runs already is not measured again."""
        if not self.inputs:
            return (self.text,)
        unmeasured = (address for address, verdict in self.verdicts.items() if verdict is None)
        return tuple(f"{address}, which never measured this version" for address in unmeasured) if changes else ()


def asked(spec: Any) -> str:
    """The version that a deployment's Spec names, "" for the newest."""
    return str(getattr(spec, "version", ""))


def artifact_of(want: Resource) -> Need:
    """The need of a deployment for the artifact that it runs."""
    return next(need for need in want.needs if need.role != GUARD)
