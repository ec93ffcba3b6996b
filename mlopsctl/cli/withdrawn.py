"""What people withdrew is no target of anything: asked by plan, and again wherever something is switched or served."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..adapters.git import find_repo
from ..audit.forward import TrailOrigins, standing
from ..audit.trail import TrailLog
from ..errors import GateError, MlopsError, ProviderError
from ..provider import Inputs
from ..types import GUARD, Address, Entry, Observed
from ..withdrawals import Found, reach

_FEW = 16


def withdrawn(trail: TrailLog, inputs: Inputs = (), own: Observed | None = None) -> tuple[Found, ...]:
    """The withdrawals in force that inputs, or a result that stands, follow from."""
    in_force = standing(trail)
    if not in_force:
        return ()
    seen = [item.seen for item in inputs if item.seen is not None]
    digests: list[str] = [
        item.digest for item in inputs if item.seen is not None and not item.seen.entry and item.digest
    ]
    if own is not None:
        seen.append(own)
        # What runs here may have no entry, or one that another clone wrote for other bytes.
        digests += [str(own.facts["artifact"])] if own.facts.get("artifact") else []
    return reach([one.entry for one in seen if one.entry], digests, in_force, TrailOrigins(trail))


def lines(trail: TrailLog, inputs: Inputs, own: Observed | None) -> tuple[str, ...]:
    """The same for a plan; where the result itself is named, with the way out."""
    found = withdrawn(trail, inputs, own)
    return tuple(f"{one}{_way_out(one) if own and one.entry == own.entry else ''}" for one in found)


def _way_out(found: Found) -> str:
    if found.origin.startswith("data."):
        return "; to go on: other data, or mlopsctl audit impact --lift " + found.withdrawal.entry[:12]
    return f"; to go on: mlopsctl apply --replace {found.origin}, or other inputs"


def refuse(found: Sequence[Found], what: str) -> None:
    """Raises GateError where something was found."""
    if found:
        raise GateError(
            f"{what} is not used: " + ", ".join(map(str, found)),
            hint=f"mlopsctl audit impact {found[0].withdrawal.entry[:12]} shows what else it reaches; "
            f"mlopsctl audit impact --lift {found[0].withdrawal.entry[:12]} ends it",
            code="MLO7250",
        )


def refuse_inputs(trail: TrailLog, inputs: Inputs, what: str) -> None:
    """Raises GateError where a deployment would switch to something withdrawn; guards are the plan's matter."""
    refuse(withdrawn(trail, [item for item in inputs if item.role != GUARD]), what)


def last_good(trail: TrailLog, address: Address, seen: Observed) -> Entry | None:
    """The newest deployment before the one seen that ran another artifact, and one that nobody withdrew."""
    for entry in trail.previous_deployments(address, seen):
        if not withdrawn(trail, own=entry.observed()):
            return entry
    return None


def refuse_path(path: Path) -> None:
    """Raises GateError where a model file or artifact folder is, by its bytes, one that was withdrawn."""
    trail = _trail_here()
    in_force = standing(trail) if trail is not None else ()
    if trail is not None and in_force:
        refuse(reach((), _digests(path), in_force, TrailOrigins(trail)), str(path))


def _trail_here() -> TrailLog | None:
    """The trail of the repository around the current folder; None outside of one."""
    from .project import open_project
    from .trail import open_trail

    try:
        return open_project().trail
    except MlopsError:
        pass
    try:
        repo = find_repo(Path.cwd())
    except MlopsError:
        return None
    return open_trail(repo, repo.common_dir / "mlops")


def _digests(path: Path) -> Iterable[str]:
    """What the bytes may be known as: the folder, the file, or the folder of a model that the file is all of."""
    from ..adapters.store import dirhash, hash_file, hash_folder, listing_of

    if path.is_dir():
        try:
            return [hash_folder(path)]
        except ProviderError:  # it holds links: no output of a step does
            return []
    own = hash_file(path)
    alone = dirhash(listing_of([("model.onnx", own.partition(":")[2])]))
    around = path.resolve().parent
    beside = [item for _, item in zip(range(_FEW + 1), around.iterdir(), strict=False)]
    small = len(beside) <= _FEW and all(item.is_file() and not item.is_symlink() for item in beside)
    return [own, alone, *([hash_folder(around)] if small else [])]
