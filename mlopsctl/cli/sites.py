"""What this clone knows of a deployment beyond the manifest: branch, commit, and the controls it went through last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import cast

from ..audit.called import ENTRIES, read_names
from ..audit.code import CodeTree
from ..audit.contest import LOOKED_AT, heads
from ..canonical import canonical, digest_of
from ..errors import EvidenceError
from ..gitobjects import build_trees, object_id
from ..provider import Context, Deployment
from ..ratchet import Controls, controls, deployment_fields, weakenings
from ..registry import provider
from ..site import Site
from ..types import Address, Entry, Json, Observed, Resource, TreeFile
from .announced import foreign_intents, is_shared
from .names import names_of
from .project import Project

FILE = "controls.json"


class Sites:
    """Answers for every deployment of one project; git is asked once."""

    def __init__(self, project: Project, ctx: Context):
        self._project = project
        self._context = ctx

    @cached_property
    def _head(self) -> tuple[str, str]:
        """Commit of HEAD and the branch that is checked out, "" where there is none."""
        return self._project.repo.where()

    def at(self, want: Resource, observed: Observed | None) -> Site:
        """Where the deployment stands, as it is declared or, with a Spec of None, no longer declared."""
        last = self.last(want)
        in_force = _by_name(self._unchanged(want, last) or self.in_force(last), str(want.address))
        commit = self._declared_by(want, last)
        head, repo = self._head[0], self._project.repo
        same = not commit or commit == head
        return Site(
            self._elsewhere(want, in_force),
            same or repo.is_ancestor(commit, head),
            commit if observed is not None and not same and repo.is_ancestor(head, commit) else "",
            in_force,
            self._weakens(want, in_force),
            self._announced(want),
            self.contested(want),
            self._called(want),
            f"use: {other.partition('/')[2]}" if (other := self.made_by_another(want)) else "",
        )

    def made_by_another(self, want: Resource) -> str:
        """The provider of what still runs under this name, where it is not the manifest's; "" for none.

        It would go on without anybody knowing of it, because a name has one provider.
        """
        if want.spec is None:
            return ""
        folders = [self._project.state / "deployments" / str(name) for name in self._project.names(want.address)]
        if is_shared(want.provider) and any((folder / "config.json").is_file() for folder in folders):
            return "deployments/local"
        last = self._project.trail.latest(want.address, ("result", "destroy"))
        made = str(last.ingredients.get("provider", "")) if last is not None and last.kind == "result" else ""
        return made if made not in ("", want.provider) and is_shared(made) else ""

    def _declared_by(self, want: Resource, last: Entry | None) -> str:
        """The commit that declared what runs last, by the name that it has."""
        moved = self._project.trail.latest(want.address, ("move",))
        newest = max((one for one in (last, moved) if one is not None), key=lambda one: one.seq, default=None)
        return newest.commit if newest is not None else ""

    def _called(self, want: Resource) -> str:
        """The other name that the deployment has here now, "" where this one is its own."""
        if not (trail := self._project.trail).called().now.get(str(want.address)):
            return ""
        module = cast(Deployment, provider(want.provider))
        here = module.lives_at(want.address, self._context) if module.PER_CLONE else None
        entries = (one for one in trail.select(ENTRIES) if here in (None, one.location))
        now = read_names(entries).now.get(str(want.address), "")
        return now if now not in trail.names(want.address) else ""

    def _announced(self, want: Resource) -> tuple[str, ...]:
        if not is_shared(want.provider):
            return ()
        return tuple(f"{one}; apply waits until that is ended" for one in foreign_intents(self._project, want.address))

    def contested(self, want: Resource) -> str:
        """The latest entries of a shared deployment that know nothing of each other; the program alone knows who won."""
        if cast(Deployment, provider(want.provider)).PER_CLONE:
            return ""
        newest = self._project.trail.entries(
            str(want.address), ("result", "destroy"), newest_first=True, limit=LOOKED_AT
        )
        found = heads(self._project.trail.ledger, newest)
        return " and ".join(f"entry {one.id[:12]} by {one.signer}" for one in found) if len(found) > 1 else ""

    def _unchanged(self, want: Resource, last: Entry | None) -> Controls | None:
        """Today's controls, where they are those in force: then nothing has to be read."""
        if want.spec is None or last is None or "controls" not in last.facts:
            return None
        today = controls(want, self._project.resources)
        return today if digest_of(cast(Json, today)) == last.facts["controls"] else None

    def last(self, want: Resource) -> Entry | None:
        """The newest deployment here, also where it was taken down since."""
        module = cast(Deployment, provider(want.provider))
        here = module.lives_at(want.address, self._context) if module.PER_CLONE else ""
        found = self._project.trail.each(str(want.address), ("result",), newest_first=True)
        return next((entry for entry in found if not module.PER_CLONE or entry.location == here), None)

    def in_force(self, last: Entry | None) -> Controls | None:
        """The controls of a deployment's entry. Raises EvidenceError where this clone does not have them."""
        if last is None or "controls" not in last.facts:
            return None
        file = self._project.trail.code_files(last.tree).get(FILE)
        found: Json = json.loads(self._project.repo.git("cat-file", "blob", file.oid)) if file else None
        if digest_of(found) != last.facts["controls"]:
            raise EvidenceError(
                f"the controls that {last.address} went through in entry {last.id[:12]} are not in this clone",
                hint="mlopsctl pull --trail-only fetches them with the trail",
                code="MLO1540",
            )
        return cast(Controls, found)

    def _elsewhere(self, want: Resource, in_force: Controls | None) -> str:
        said = getattr(want.spec, "branch", "") if want.spec is not None else deployment_fields(in_force).get("branch")
        per_clone = cast(Deployment, provider(want.provider)).PER_CLONE
        branch = str(said or ("" if per_clone else self._project.repo.default_branch()))
        commit, here = self._head
        if not branch or not commit or (here and fnmatchcase(here, branch)):
            return ""
        # What CI checks out is a commit and no branch: it counts as every branch that holds it.
        holding = () if here else self._project.repo.branches_with(commit)
        return "" if any(fnmatchcase(name, branch) for name in holding) else branch

    def _weakens(self, want: Resource, in_force: Controls | None) -> tuple[str, ...]:
        if in_force is None:
            return ()
        if want.spec is None:
            return (f"{want.address} is taken down",)
        today = controls(want, self._project.resources)
        return weakenings(in_force, today, self._names(in_force, today))

    def _names(self, before: Controls, today: Controls) -> Mapping[str, str]:
        """What the manifest, or what was signed of it, calls today what these controls call otherwise."""
        after = deployment_fields(before).get("after"), deployment_fields(today).get("after")
        # What comes first is none of what these controls are of, and may have another name too.
        first = [f"deployments.{one['deployment']}" for one in after[1:] if isinstance(one, dict) and after[0] != one]
        if not set(before["of"]) - set(today["of"]) and not first:
            return {}
        found = {}
        for address in (*today["of"], *first):
            for old in names_of(self._project, Address.parse(address))[1:]:
                found[str(old)] = address
        return found

    def to_record(self, want: Resource, *, held: bool) -> tuple[Mapping[str, Json], CodeTree]:
        """What the entry of a deployment says of its controls: the manifest's; while it is held, those in force stay."""
        before = _by_name(self.in_force(self.last(want)), str(want.address)) if held else None
        found = before or controls(want, self._project.resources)
        body = canonical(cast(Json, found))
        oid, trees = build_trees({FILE: TreeFile("100644", object_id("blob", body))})
        objects = [("tree", tree) for tree in trees.values()]
        return {"controls": digest_of(cast(Json, found))}, CodeTree(oid, (*objects, ("blob", body)))


def _by_name(found: Controls | None, now: str) -> Controls | None:
    """The controls of a deployment under the name that it has now."""
    if found is None or found["deployment"] == now:
        return found
    of = {now if address == found["deployment"] else address: one for address, one in found["of"].items()}
    return {**found, "deployment": now, "of": of}
