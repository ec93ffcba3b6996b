"""Before a shared deployment is touched: the trail is pulled, an intent is signed and pushed, and foreign ones are heeded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..audit.sharing import pull_trail, push_trail
from ..errors import MlopsError, NotSharedError, StaleError
from ..holds import Hold
from ..intents import INTENT
from ..provider import Inputs
from ..types import Address, Entry, Resource
from . import console
from .announced import announced_here, foreign_intents, is_shared, open_intents
from .overrides import overrides
from .project import Project
from .share import share_trail
from .trail import refuse_programs, warn


def freshen(project: Project) -> None:
    """Pulls the trail before a plan that may change a shared deployment; where that fails, its announcement will say so."""
    remote = next(iter(project.repo.remotes()), "")
    if remote and any(want.address.section == "deployments" and is_shared(want.provider) for want in project.resources):
        try:
            refuse_programs(project.repo, remote)
            warn(pull_trail(project.trail, remote))
        except MlopsError as error:
            console.note(f"what others signed was not fetched: {error.message}")


class _Known(NamedTuple):
    """What decides whether a deployment is still what was planned for."""

    last: Entry | None
    holds: tuple[Hold, ...]
    policy: str
    called: str

    @classmethod
    def of(cls, project: Project, want: Resource) -> _Known:
        policy = project.trail.ledger.policy_in_force()
        return cls(
            project.trail.latest(want.address, ("result", "destroy")),
            overrides(project.trail, want, project.context()),
            policy.digest if policy is not None else "",
            project.trail.called().today(str(want.address)),
        )


class Announcer:
    """Announces the changes of one verb, and knows which of them no entry ended yet."""

    def __init__(self, project: Project, *, offline: bool = False):
        self._project = project
        self._offline = offline
        self._known: dict[Address, _Known] = {}
        self._open: dict[Address, str] = {}
        self._own = project.state / "intents"
        """Ids of what was announced in this clone: whoever holds its lock knows that no other one is at work on them."""

    def plan_from_here(self, wanted: Sequence[Resource]) -> None:
        """Remembers how the shared ones among these stand: nothing may come between this and their change."""
        for want in wanted:
            if want.address.section == "deployments" and is_shared(want.provider):
                self._known[want.address] = _Known.of(self._project, want)

    def announce(self, want: Resource, inputs: Inputs) -> str:
        """The id of the intent that a change is announced by, "" where nobody else could touch the deployment.

        Raises StaleError where somebody else did or is about to, MlopsError where the intent cannot be shared.
        """
        if not is_shared(want.provider):
            return ""
        remote = self.look_around(want)
        announced = self._sign(want, inputs)
        if remote:
            self._share(want, remote, push=True)
            # Pushes come one after the other: whoever lands second has the other's entries by now, and gives way.
            self._refuse_change(want)
            self._refuse_foreign(want)
        return announced

    def look_around(self, want: Resource) -> str:
        """Pulls, and heeds what others did or announced; the remote to push to, "" for none.

        Raises StaleError where somebody else did or is about to, MlopsError where the remote cannot be reached.
        """
        self._known.setdefault(want.address, _Known.of(self._project, want))
        remote = next(iter(self._project.repo.remotes()), "")
        if remote and self._offline:
            console.note(f"{want.address}: not announced on '{remote}', as --offline says: nobody there knows of this")
            remote = ""
        if remote:
            self._share(want, remote, push=False)
        self._refuse_change(want)
        self._refuse_foreign(want)
        return remote

    def ended(self, address: Address) -> str:
        """The intent that an entry about the deployment ends, "" where none is open."""
        return self._open.get(address, "")

    def forget(self, address: Address) -> None:
        """The entry that ends it was signed."""
        announced = self._open.pop(address, "")
        self._keep([one for one in announced_here(self._project) if one != announced])

    def tell(self) -> None:
        """Pushes how it ended where it came to nothing: others wait for that. What does not arrive is shown."""
        if not self._offline:
            share_trail(self._project.trail, self._project.repo)

    def _sign(self, want: Resource, inputs: Inputs) -> str:
        last = self._known[want.address].last
        artifact = next((str(item.digest) for item in inputs if item.role == "artifact" and item.digest), "")
        left = [one.entry for one in open_intents(self._project, want.address)]
        facts = {
            "does": "deploy" if inputs else "remove",
            **({"artifact": artifact} if artifact else {}),
            **({"after": last.id} if last else {}),
            **({"lifts": left} if left else {}),
        }
        commit = self._project.repo.rev("HEAD")
        # What is taken down lies where it was deployed, whatever the manifest says since.
        wanted = getattr(want.spec, "to", "") if inputs else ""
        location = str(wanted or (last.location if last else ""))
        entry = self._project.trail.append(
            INTENT, address=str(want.address), facts=facts, commit=commit, location=location, before=self._own_too
        )
        self._open[want.address] = entry.id
        self._keep([one for one in announced_here(self._project) if one not in left])
        return entry.id

    def _own_too(self, announced: str) -> None:
        """Known as this clone's before it can be seen: after a kill in between it would wait for itself."""
        self._keep([*announced_here(self._project), announced])

    def _share(self, want: Resource, remote: str, *, push: bool) -> None:
        trail = self._project.trail
        try:
            refuse_programs(self._project.repo, remote)
            warn(push_trail(trail, remote) if push else pull_trail(trail, remote))
        except NotSharedError as error:
            raise MlopsError(
                f"{want.address} was not touched, because nobody can be told before: {error.message}",
                hint="once the remote can be reached, apply again; --offline goes on without telling anybody",
                code="MLO8021",
            ) from None

    def _refuse_change(self, want: Resource) -> None:
        """Raises StaleError where what was pulled is news about this deployment."""
        before, now = self._known[want.address], _Known.of(self._project, want)
        if now == before:
            return
        if now.last is not None and now.last != before.last:
            verb = "took it down" if now.last.kind == "destroy" else "deployed to it"
            what = f"{now.last.signer} {verb} at {now.last.at} (entry {now.last.id[:12]})"
        elif now.called != before.called:
            what = f"it is called {now.called} now"
        elif now.holds != before.holds:
            what = "; ".join(str(one) for one in now.holds if one not in before.holds) or "what held it was lifted"
        else:
            what = "the trust policy in force is another one"
        raise StaleError(
            f"{want.address} is not what it was when this was planned: {what}; nothing was changed",
            hint="look at it and apply again: mlopsctl plan && mlopsctl apply",
            code="MLO6023",
        )

    def _refuse_foreign(self, want: Resource) -> None:
        """Raises StaleError where somebody else announced a change that nobody ended."""
        if foreign := foreign_intents(self._project, want.address):
            raise StaleError(
                f"{want.address} is being changed by somebody else: {'; '.join(map(str, foreign))}; nothing was changed",
                hint="wait until that is done and plan again; if whoever it is has gone: "
                f"mlopsctl unlock {want.address.typed}",
                code="MLO6022",
            )

    def _keep(self, ids: Sequence[str]) -> None:
        from ..adapters.files import write_atomically

        write_atomically(self._own, "".join(f"{one}\n" for one in ids).encode(), 0o600)
