"""What a plan may ask about everything outside the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from .approvals import People
from .holds import Hold
from .looks import Release
from .provider import Inputs
from .site import Site
from .soak import Running
from .types import Address, Change, Digest, Entry, Json, Observed, Resource, TreeFile
from .versions import Version


class World(Protocol):
    """What a plan may ask; every answer is read-only."""

    def sources(self, want: Resource) -> Mapping[str, TreeFile]: ...

    def read(self, want: Resource, made_from: Digest | None) -> Observed | None: ...

    def last(self, address: Address) -> Entry | None:
        """The newest attempt for the address, a result or a failure."""

    def last_result(self, address: Address) -> Entry | None: ...

    def holds(self, want: Resource) -> tuple[Hold, ...]: ...

    def version(self, want: Resource) -> Version:
        """What ``version:`` of a deployment stands for."""

    def site(self, want: Resource, observed: Observed | None) -> Site:
        """Where a deployment is looked at from; ``want`` has no Spec where it is no longer declared."""

    def swapped(self, want: Resource, before: Observed, parts: Mapping[str, Json]) -> str:
        """In words, the change of winner after a merge that alone tells parts from what was made; "" for any other."""

    def withdrawn(self, inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
        """The withdrawals in force that inputs, or a result that stands, follow from: one line each."""

    def inputs_of(self, entry_id: str, want: Resource) -> Inputs | None:
        """The inputs an older deployment was made of; None where the trail no longer knows them."""

    def changed_files(self, old_tree: str, sources: Mapping[str, TreeFile]) -> tuple[Change, ...]:
        """The files that differ from a code tree that the trail keeps."""

    def made_here(self, want: Resource) -> Mapping[str, str]:
        """The versions that would be recorded now, as far as no program has to be asked for them."""

    def measured(self, data: Observed, view: str) -> tuple[str, ...]:
        """The digests of the models that were measured on the rows of a view, in the order in which they were."""

    def is_final(self, data: Address) -> bool:
        """Whether the manifest says ``final: true`` of a dataset."""

    def models_judged(self, address: Address, data: Observed) -> Release:
        """The models that the rows of a dataset have judged, ever and since the last release."""

    def others(self, seen: Observed) -> tuple[str, ...]:
        """Results of the same ingredients that are not in force, in words; they came in with a merge."""

    def people(self, want: Resource, inputs: Inputs) -> People:
        """Who made what the deployment rests on, and who approved it."""

    def under_review(self) -> str:
        """The pull request that this apply runs for, "" where it is none, and always for a plan."""

    def reviewed(self) -> str:
        """The pull request that this runs for, of a plan too: it says there what apply would refuse."""

    def root_pinned(self) -> bool:
        """Whether something outside of the trail says which root is the right one."""

    def unverified(self, inputs: Inputs) -> Sequence[str]:
        """One line an imported model behind the artifact among the inputs whose origin is not proved."""

    def champion(self, want: Resource, inputs: Inputs) -> Inputs:
        """What a gate with ``against:`` compares with, by the trail: no edge of the graph, and () where there is nothing."""

    def running(self, address: Address) -> Running:
        """What a declared deployment runs by the trail, and since when."""

    def now(self) -> str:
        """This moment in UTC."""

    def lacks(self, want: Resource) -> tuple[str, ...]:
        """What the step asks for and has not, one line each: of this machine, or rows that nobody chose a model by."""

    def lost(self, seen: Observed) -> tuple[str, ...]:
        """The names of those outputs of a result that no store holds which can be reached from here."""

    def uncached(self, sources: Mapping[str, TreeFile]) -> tuple[str, ...]:
        """The files of DVC among these whose data is neither in the working folder nor in DVC's cache."""

    def moved_from(self, address: Address) -> Address | None:
        """The name that the resource had, until that is signed."""

    def forgettable(self, declared: frozenset[Address]) -> Sequence[Entry]:
        """The last results of what this branch declared once and does no more, deployments aside."""

    def undeclared(self, declared: frozenset[Address]) -> Sequence[tuple[Resource, Observed]]:
        """Deployments that run here and that the manifest no longer declares."""
