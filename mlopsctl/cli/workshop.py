"""Where apply makes steps and records them: scratch folders, the store, signatures and the trail."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple, Self, cast

from ..adapters.children import watched
from ..adapters.ci import under_review
from ..adapters.files import left_behind
from ..adapters.steps import Left, StepJournal, end_group
from ..adapters.store import storing
from ..audit.code import CodeTree, code_tree, without_secrets
from ..controls import settings
from ..errors import MlopsError
from ..personal import claims
from ..provider import Context, Deployment, Inputs
from ..registry import provider
from ..releases import RELEASE, following
from ..resources import title_of
from ..types import Address, Digest, Json, Observed, Outcome, Resource, TreeFile
from .announce import Announcer
from .messages import keep_message
from .project import Project
from .versions import releases
from .withdrawn import refuse_inputs
from .world import ProjectWorld


def on_record(section: str, facts: Mapping[str, Json]) -> dict[str, Json]:
    """Facts as an entry may hold them: nothing in them quotes a row.

    Messages quote rows, labels and what programs print, so that a failure gets the title of its code. Of what programs
    claim that have seen rows, figures are kept; one that deploys has seen none.
    """
    kept = dict(facts)
    if "message" in kept:
        kept["message"] = title_of(str(kept.get("code", ""))) or "it could not be assessed"
    if isinstance(kept.get("claimed"), dict) and section != "deployments":
        kept["claimed"] = claims(kept["claimed"])
    return kept


class Interrupted(NamedTuple):
    """A step that an earlier command left unfinished: after how many seconds, and how many processes it left running."""

    address: str
    seconds: float
    processes: int


class ProjectWorkshop:
    """The workshop of one apply; use it as a context manager, which ends with the trail written out."""

    def __init__(
        self, project: Project, tell: Callable[[Address, str], None], *, refresh: bool = False, offline: bool = False
    ):
        self.project = project
        self.world = ProjectWorld(project, refresh=refresh, review=under_review())
        self._tell = tell
        self._scratch: dict[Address, Path] = {}
        self._journal = StepJournal(project.state / "steps.jsonl")
        self._signing = Lock()
        self.interrupted: tuple[Interrupted, ...] = ()
        self._failed = False
        self._announcer = Announcer(project, offline=offline)
        self._signer = project.signer()
        self._commit, _, dirty = project.repo.head()
        # Whoever looks for the commit of an entry must know that it alone did not make the result.
        self._made_with = {"worktree": "differs from the commit"} if dirty else {}

    def __enter__(self) -> Self:
        self.interrupted = tuple(self._take_up())
        self._sweep()
        self._announcer.plan_from_here(self.project.resources)
        return self

    def __exit__(self, *failure: object) -> None:
        for address in list(self._scratch):
            self.release(address)
        # What was interrupted in good order left no process behind; what did is ended here.
        for left in self._journal.left():
            self._end(left)
        self._journal.trim()
        self._journal.close()
        # An interrupt may have come between the making of a scratch folder and its being known here.
        self._sweep()
        try:
            self.project.trail.flush()
        except MlopsError:
            # What the step could not do, for want of room say, the trail cannot do either: one message is enough, and
            # the signed entries wait in the journal, which every reader counts in.
            if not self._failed:
                raise

    def _sweep(self) -> None:
        """Takes away what killed commands left; without the lock that is held here only ``gate run`` works there."""
        for left in (self.project.state / "work").glob("*"):
            with suppress(FileNotFoundError):
                if not left.name.startswith("run-") or left_behind(left):
                    shutil.rmtree(left, ignore_errors=True)

    def _take_up(self) -> Iterator[Interrupted]:
        """Ends what killed commands left running, and says which of their steps did not come to an end."""
        for left in self._journal.left():
            ended = self._end(left)
            if not (left.made_from and self.project.trail.result(Digest(left.made_from))):
                yield Interrupted(left.address, left.seconds, ended)

    def _end(self, left: Left) -> int:
        ended = sum(end_group(number, mark) for number, mark in left.groups)
        self._journal.finished(left.address, "")
        return ended

    def started(self, address: Address, made_from: Digest) -> None:
        with storing(self.project.state):
            self._journal.started(str(address), made_from)

    @contextmanager
    def working(self, address: Address, cancelled: Event) -> Iterator[None]:
        with watched(cancelled, lambda number: self._journal.group(str(address), number)):
            yield

    def alive(self) -> None:
        self._journal.alive()

    def release(self, address: Address) -> None:
        place = self._scratch.pop(address, None)
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)

    def context(self, address: Address, inputs: Inputs = ()) -> Context:
        if address.section == "deployments":
            refuse_inputs(self.project.trail, inputs, f"what {address} would run")
        self.release(address)
        # A key that cannot sign is better known before the work than after it.
        self._signer.ready()
        label = self._announced(address, inputs) if address.section == "deployments" else ""
        work = self.project.state / "work"
        work.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch[address] = Path(tempfile.mkdtemp(prefix=f"{address.section}-{address.name}-", dir=work))
        log = self.project.log_file(address)
        log.parent.mkdir(parents=True, exist_ok=True)
        self._bring_imports(inputs)
        reading = self.project.context(scratch, lambda line: self._tell(address, line))
        key, halted = self._key_behind(inputs), self._halted(address)
        return reading._replace(log=log, public_key=key, halted=halted, label=label)

    def _announced(self, address: Address, inputs: Inputs) -> str:
        """The intent to change a deployment, where others could do so too; what was pulled for it is heeded."""
        want = next((one for one in self.project.resources if one.address == address), None)
        if want is None:
            want = Resource(address, dict(self.project.trail.deployments())[address], None)
        elif other := self.world.sites.made_by_another(want):
            want = Resource(address, other, None)
        label = self._announcer.announce(want, inputs)
        if label:
            refuse_inputs(self.project.trail, inputs, f"what {address} would run")
        return label

    def look_around(self, want: Resource) -> None:
        """Before what everybody should see of a shared deployment is signed. Raises StaleError where others are at work on it."""
        self._announcer.look_around(want)

    def _halted(self, address: Address) -> str:
        want = next((one for one in self.project.resources if one.address == address), None)
        if want is None or address.section != "deployments":
            return ""
        return next((hold.reason or str(hold) for hold in self.world.holds(want) if hold.kind == "halt"), "")

    def _bring_imports(self, inputs: Inputs) -> None:
        """A deployment checks the imported models behind its artifact again, on a clone too that never had them."""
        artifacts = [item.seen for item in inputs if item.role == "artifact" and item.seen]
        if artifacts:
            from ..adapters.origin import imports_behind

            for entry in (one for seen in artifacts for one in imports_behind(seen, self.project.trail)):
                for digest in entry.outputs.values():
                    self.here(digest)

    def _key_behind(self, inputs: Inputs) -> str:
        """PEM of the key that signed the entry of the artifact among the inputs."""
        entries = [item.seen.entry for item in inputs if item.role == "artifact" and item.seen]
        return self.project.trail.signer_key(entries[0]) if entries else ""

    def tell(self, address: Address, line: str) -> None:
        self._tell(address, line)

    def keep(self, outputs: Mapping[str, Path | Digest]) -> dict[str, Digest]:
        kept: dict[str, Digest] = {}
        # All at once, because the disk takes as long for one.
        with self.project.store.taking() as intake:
            for name, made in outputs.items():
                kept[name] = intake.put(made) if isinstance(made, Path) else made
                if isinstance(made, Path) and kept[name] in intake.listings:
                    kept[name + ".sig"] = intake.put_bytes(self._sign(made.name, intake.listings[kept[name]]))
        return kept

    def _sign(self, name: str, files: Mapping[str, str]) -> bytes:
        """Signs what the store took, by the hashes of the very bytes that it wrote."""
        from ..adapters.model_proof import sign_files

        # Agents and tokens answer one question at a time.
        with self._signing:
            return sign_files(name, files, self._signer)

    def record(
        self,
        kind: str,
        want: Resource,
        *,
        status: str = "",
        made_from: Digest | None = None,
        parts: Mapping[str, Json] | None = None,
        outputs: Mapping[str, Digest] | None = None,
        outcome: Outcome | None = None,
        facts: Mapping[str, Json] | None = None,
        sources: Mapping[str, TreeFile] | None = None,
        held: bool = False,
    ) -> Observed:
        self._failed = self._failed or kind == "failure"
        given = dict(facts or (outcome.facts if outcome else {}))
        said = without_secrets(str(given.get("message", "")))
        given = on_record(want.address.section, given)
        superseded = [str(given.pop("supersedes"))] if "supersedes" in given else []
        code = self._code(want, sources or {})
        if kind == "result" and want.address.section == "deployments":
            held = held or any(hold.to for hold in self.world.holds(want))
            controls, code = self.world.sites.to_record(want, held=held)
            number = following(releases(self.project, want.address).values())
            given |= {**controls, "settings": settings(want), RELEASE: number}
        if announced := self._announcer.ended(want.address):
            given["intent"] = announced
        entry = self.project.trail.append(
            kind,
            address=str(want.address),
            status=status,
            made_from=made_from or Digest(""),
            ingredients=dict(parts or {}),
            outputs=dict(outputs or {}),
            facts=given,
            made_with={**(outcome.made_with if outcome else {}), **self._made_with},
            commit=self._commit,
            code=code,
            location=str(given.get("location", "")),
            supersedes=superseded,
        )
        self._journal.finished(str(want.address), entry.id)
        if announced:
            self._announcer.forget(want.address)
        elif kind == "result" and want.address.section == "deployments":
            # Without room the place stays without the id, and the next plan finds it by its fingerprint.
            with suppress(OSError):
                cast(Deployment, provider(want.provider)).attest(want.address, entry.id, self.project.context())
        if said:
            keep_message(self.project.state, entry, said)
        return entry.observed()

    def failed(self, want: Resource, error: MlopsError) -> None:
        """Records that a change of a deployment came to nothing, where it was announced, and says so to whoever waits."""
        if self._announcer.ended(want.address):
            facts = {"code": error.code, "message": error.message[:500]}
            self.record("failure", want, status="failed", facts=facts)
            self._announcer.tell()

    def admit(self, want: Resource, sources: Mapping[str, TreeFile]) -> None:
        self._code(want, sources)

    def _code(self, want: Resource, sources: Mapping[str, TreeFile]) -> CodeTree | None:
        """The code to keep in the trail itself: amend, squash and gc lose nothing that a result was made from."""
        code_of = getattr(provider(want.provider), "code_of", None)
        code = code_of(want, sources) if code_of else sources
        return code_tree(self.project.tree, code) if code and want.address.section != "data" else None

    def here(self, digest: Digest) -> bool:
        store, mirror = self.project.store, self.project.mirror
        if store.has(digest):
            return True
        if mirror is not None and mirror.has(digest):
            mirror.copy_to(store, digest)
            return True
        return False
