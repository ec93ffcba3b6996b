"""What a plan may ask of a project; every answer is read-only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import cast

from ..adapters.ci import under_review
from ..approvals import KINDS as APPROVALS
from ..approvals import Maker, People
from ..audit.looks import measured_on
from ..audit.trace import SECTIONS, ancestry
from ..audit.trust import committer
from ..audit.winners import results, swapped, swapped_input
from ..errors import EvidenceError, MlopsError
from ..holds import Hold
from ..looks import Release
from ..provider import Context, Deployment, Inputs, Specs
from ..registry import provider
from ..site import Site
from ..slots import Machine, demand, lacks
from ..soak import KINDS as SOAK
from ..soak import Running, running
from ..types import GUARD, Address, Change, Digest, Entry, Input, Json, Need, Observed, Resource, TreeFile
from ..versions import Version
from . import withdrawn
from .given import chosen_by_its_rows, refuse_rows, set_aside, specs_of
from .messages import in_full
from .names import forgettable, names_of, renamed_deployment, unrecorded
from .overrides import overrides
from .project import Project
from .sites import Sites
from .versions import find_version


class ProjectWorld:
    """Answers from the trail, the tree and, for deployments, from what runs here."""

    def __init__(self, project: Project, *, refresh: bool = False, review: str = ""):
        self.project = project
        self._refresh = refresh
        self._review = review
        self._context = project.context()
        self._trail = project.trail
        self.sites = Sites(project, self._context)

    def sources(self, want: Resource) -> Mapping[str, TreeFile]:
        try:
            found = provider(want.provider).sources(want, self.project.tree)
            if want.address.section == "train":
                refuse_rows(want, found, self._set_aside)
            return found
        except MlopsError as error:
            # Files are looked for by name, so that a provider knows no place in the manifest.
            error.where = error.where or want.where
            raise

    @cached_property
    def _set_aside(self) -> Mapping[str, Address]:
        return set_aside(self.project.resources)

    def read(self, want: Resource, made_from: Digest | None) -> Observed | None:
        seen = provider(want.provider).read(want, made_from, self._context)
        if self._refresh and seen is not None and not seen.drift and want.address.section == "deployments":
            return self._asked(want, seen)
        return seen

    def _asked(self, want: Resource, seen: Observed) -> Observed:
        """What a running deployment itself says (``--refresh``): not answering is drift."""
        module = cast(Deployment, provider(want.provider))
        if module.PROBE_RUNS:
            return seen
        found = module.probe(want.address, self._context)
        return seen._replace(drift=f"it does not answer: {found.text}") if found.state == "down" else seen

    def last(self, address: Address) -> Entry | None:
        return in_full(self._newest(address, ("result", "failure")), self.project.state)

    def last_result(self, address: Address) -> Entry | None:
        return self._newest(address, ("result",))

    def _newest(self, address: Address, kinds: tuple[str, ...]) -> Entry | None:
        """The newest entry under the name of today, else under the one before."""
        found = self._trail.latest(address, kinds)
        if found is not None or address.section == "deployments":
            return found
        olds = names_of(self.project, address)[1:]
        return next((entry for old in olds if (entry := self._trail.latest(old, kinds)) is not None), None)

    def holds(self, want: Resource) -> tuple[Hold, ...]:
        return overrides(self._trail, want, self._context)

    def version(self, want: Resource) -> Version:
        return find_version(self.project, want)

    def site(self, want: Resource, observed: Observed | None) -> Site:
        return self.sites.at(want, observed)

    def swapped(self, want: Resource, before: Observed, parts: Mapping[str, Json]) -> str:
        # What is deployed follows from a long chain; to everything else the inputs themselves are enough.
        look = swapped if want.address.section == "deployments" else swapped_input
        found = look(self._trail, before, parts)
        return str(found) if found else ""

    def withdrawn(self, inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
        return withdrawn.lines(self._trail, inputs, own)

    def inputs_of(self, entry_id: str, want: Resource) -> Inputs | None:
        """The artifact that an older deployment ran, with today's guards."""
        entry = self._trail.entry(entry_id)
        if entry is None:
            return None
        given = []
        for role, digests in entry.ingredients.get("inputs", {}).items():
            for digest in digests:
                made = self._trail.with_output(digest, SECTIONS.get(role, ""))
                if made is None:
                    return None
                name = next(name for name, value in made.outputs.items() if value == digest)
                given.append(Input(Need(role, Address.parse(made.address), name), made.observed()))
        return tuple(given) + tuple(Input(need, None) for need in want.needs if need.role == GUARD)

    def changed_files(self, old_tree: str, sources: Mapping[str, TreeFile]) -> tuple[Change, ...]:
        oid = old_tree.removeprefix("gitoid:")
        old = self._trail.code_files(oid) if oid else {}
        names = sorted(name for name in {*old, *sources} if old.get(name) != sources.get(name)) if old else []
        return tuple(
            Change(name, old[name].oid if name in old else None, sources[name].oid if name in sources else None)
            for name in names
        )

    def made_here(self, want: Resource) -> Mapping[str, str]:
        look: Callable[[Resource, Context], Mapping[str, str]] | None
        look = getattr(provider(want.provider), "made_here", None)
        return look(want, self._context) if look else {}

    def measured(self, data: Observed, view: str) -> tuple[str, ...]:
        return measured_on(self._trail, data, view, self._meaning)

    def is_final(self, data: Address) -> bool:
        return data in self._final

    @cached_property
    def _final(self) -> frozenset[Address]:
        if not any(getattr(one.spec, "final", False) for one in self.project.resources):
            return frozenset()
        from .final import finals

        return finals(self.project.resources)

    def models_judged(self, address: Address, data: Observed) -> Release:
        from .final import release

        found: Release = self._trail.remembered(
            f"release of {address} {data.entry}",
            lambda: release(self.project, self.sites, address, data, self._meaning),
        )
        return found

    def _meaning(self, digest: Digest) -> Mapping[str, Json] | None:
        """What the store of this clone has of it; nothing is fetched for a count."""
        import json

        try:
            found = json.loads(self.project.store.path(digest).read_bytes())
        except (EvidenceError, OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def others(self, seen: Observed) -> tuple[str, ...]:
        same = results(self._trail, seen.made_from) if seen.entry else []
        return tuple(f"{one.id[:12]} by {one.signer}, {one.at}" for one in same if one.id != seen.entry)

    def people(self, want: Resource, inputs: Inputs) -> People:
        trail, repo = self._trail, self.project.repo
        behind = ancestry(trail, [item.seen.entry for item in inputs if item.seen and item.seen.entry])
        policy = trail.ledger.policy_in_force()
        log = self.project.manifest.project.log
        commits = {repo.rev("HEAD"), *(entry.commit for entry in behind if entry.address.startswith("train."))}
        authors: set[str] = set()
        for name, address in (repo.author(commit) for commit in sorted(commits) if commit):
            authors |= {name.lower(), address.partition("@")[0].lower(), committer(log, address)} if address else set()
        return People(
            tuple(Maker(entry.address, entry.signer) for entry in behind if not entry.address.startswith("data.")),
            tuple(trail.entries(str(want.address), APPROVALS)),
            frozenset(authors),
            {rule.name: rule.git for rule in policy.signers.values()} if policy else {},
            trail.clock(),
            repo.head()[2],
            frozenset(name for name in policy.signers if policy.may(name, "govern")) if policy else frozenset(),
            frozenset(name for name in policy.signers if policy.may(name, "approve")) if policy else frozenset(),
        )

    def under_review(self) -> str:
        return self._review

    def reviewed(self) -> str:
        return self._review or under_review()

    def root_pinned(self) -> bool:
        return bool(self._trail.ledger.expected.root)

    def unverified(self, inputs: Inputs) -> Sequence[str]:
        from ..adapters.origin import barred

        artifacts = [item.seen for item in inputs if item.role == "artifact" and item.seen]
        return [line for seen in artifacts for line in barred(seen, self._trail)]

    def champion(self, want: Resource, inputs: Inputs) -> Inputs:
        from .champion import champion

        candidate = next((item.digest for item in inputs if item.role == "model"), None)
        other = self.project.resource(f"deployments.{want.spec.against}")
        return champion(self._trail, candidate, self._releases(other, ("result",)))

    def _releases(self, want: Resource, kinds: Sequence[str]) -> Iterator[Entry]:
        """The entries of a deployment, the newest first; where each clone has one of its own, those of this one only."""
        module = cast(Deployment, provider(want.provider))
        here = module.lives_at(want.address, self._context) if module.PER_CLONE else ""
        found = self._trail.each(str(want.address), kinds, newest_first=True)
        return (entry for entry in found if not module.PER_CLONE or entry.location == here)

    def running(self, address: Address) -> Running:
        want = self.project.resource(str(address))
        entries = self._releases(want, SOAK)
        contested = self.sites.contested(want)
        held = [*map(str, self.holds(want)), *([f"contested by {contested}"] if contested else [])]
        return running(entries, "; ".join(held), self._witnessed)

    def _witnessed(self, entry: Entry) -> tuple[str, str]:
        from .anchors import witnesses

        found = witnesses(self._trail).assurance(entry)
        return found.not_after, found.by

    def now(self) -> str:
        return self._trail.clock()

    def lacks(self, want: Resource) -> tuple[str, ...]:
        return lacks(demand(want), self._machine) + chosen_by_its_rows(want, self._specs)

    @cached_property
    def _specs(self) -> Specs:
        return specs_of(self.project.resources)

    @cached_property
    def _machine(self) -> Machine:
        from ..adapters import watch
        from ..adapters.machine import this_machine

        watch.needs("the machine")
        return this_machine()

    def lost(self, seen: Observed) -> tuple[str, ...]:
        stores = [store for store in (self.project.store, self.project.mirror) if store is not None]
        return tuple(name for name, digest in seen.outputs.items() if not any(one.has(digest) for one in stores))

    def uncached(self, sources: Mapping[str, TreeFile]) -> tuple[str, ...]:
        pins = [name for name in sources if name.endswith(".dvc")]
        if not pins:
            return ()
        from ..providers.data.check import at_hand

        return tuple(name for name in pins if not at_hand(name, self.project.root, self.project.tree))

    def moved_from(self, address: Address) -> Address | None:
        if address.section == "deployments":
            return self._old_home(address)
        return unrecorded(self.project, address) if self.project.manifest.moved else None

    def _old_home(self, address: Address) -> Address | None:
        """Where each clone has a deployment of its own, each moves its own."""
        if len(self._trail.names(address)) == 1:
            return None
        want = self.project.resource(str(address))
        module = cast(Deployment, provider(want.provider))
        here = module.lives_at(address, self._context) if module.PER_CLONE else None
        old = renamed_deployment(self.project, want, here)
        return old if old is not None and not self.sites.at(want, None).not_managed() else None

    def forgettable(self, declared: frozenset[Address]) -> Sequence[Entry]:
        return forgettable(self.project, declared)

    def undeclared(self, declared: frozenset[Address]) -> Sequence[tuple[Resource, Observed]]:
        found = []
        # By an old name it is declared as well, and by one that it is about to have.
        known = {name for one in declared if one.section == "deployments" for name in self.project.names(one)}
        for address, name in self._trail.deployments():
            if address in known or not declared.isdisjoint(self.project.names(address)):
                continue
            want = Resource(address, name, None)
            seen = provider(name).read(want, None, self._context)
            if seen is not None:
                found.append((want, seen))
        return found
