"""Where a deployment is looked at from, and what governs it there. Pure."""

from __future__ import annotations

from typing import NamedTuple

from .approvals import Quorum, quorum_of
from .ratchet import Controls, deployment_fields
from .types import Json, Resource


class Site(NamedTuple):
    """What a clone knows of one deployment beyond the manifest: its branch, its commit and the controls in force."""

    elsewhere: str = ""
    """The branch that the deployment is managed from, where that is not the one here."""
    descends: bool = True
    """Whether HEAD is, or descends from, the commit that declared what runs."""
    ahead: str = ""
    """The commit that what runs was made from, where HEAD is an ancestor of it: the way there leads backwards."""
    in_force: Controls | None = None
    """The controls that the last deployment went through; None before the first one."""
    weakens: tuple[str, ...] = ()
    """What the manifest loosens of them."""
    announced: tuple[str, ...] = ()
    """Changes that others announced and nobody ended: apply waits for them."""
    contested: str = ""
    """The entries that claim to be what runs, where a merge brought several; only a deployment after all settles it."""

    called: str = ""
    """The name that it has now, where another branch renamed it."""

    otherwise: str = ""
    """What made the deployment that still runs under this name, where the manifest says another `use:` by now."""

    def not_managed(self) -> str:
        """Why nothing is done to the deployment from here, "" where it is managed from here."""
        if self.called:
            return f"not managed from here: it is called {self.called} now, and moved: can take that back"
        return f"not managed from here: branch {self.elsewhere} does that" if self.elsewhere else ""

    def in_the_way(self, want: Resource) -> tuple[str, ...]:
        """What has to be taken down before, because it would go on under the same name unseen."""
        if not self.otherwise:
            return ()
        return (
            f"what {self.otherwise} runs under this name: mlopsctl destroy --target {want.address.typed} ends it first",
        )

    def quorum(self, want: Resource) -> Quorum | None:
        """Who must agree to a change: what the manifest asks for, and never less than the controls in force do."""
        asked, before = quorum_of(want.spec), self._before()
        if before is None:
            return asked
        count = max(before.needed, asked.needed if asked else 0)
        valid = min((one.valid for one in (before, asked) if one and one.valid is not None), default=None)
        return Quorum(count, valid, "govern" if self.weakens else "")

    def _before(self) -> Quorum | None:
        said: Json = deployment_fields(self.in_force).get("approvals")
        if said is None:
            return None
        valid = said.get("valid")
        return Quorum(int(said.get("count", 1)), float(valid["float"]) if valid is not None else None)
