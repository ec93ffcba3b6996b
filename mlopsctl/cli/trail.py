"""Wires the trail of one clone: notes, journal, index, anchor, keys and pins."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..adapters import watch
from ..adapters.files import write_atomically
from ..adapters.git import Repo
from ..adapters.journal import AnchorFile, Journal
from ..adapters.keys import Signer, config_folder, default_key, load_signer, public_half
from ..adapters.notes import NotesLog
from ..adapters.signatures import verify_digest, verify_signature
from ..adapters.sigstore_trust import trust_stamp
from ..adapters.trail_index import TrailIndex
from ..audit.ledger import Ledger
from ..audit.policy_text import policy_yaml
from ..audit.signing import start_log
from ..audit.trail import TrailLog, now
from ..audit.trust import one_signer, read_policy
from ..audit.verify import Expected
from ..canonical import digest_of
from ..errors import EvidenceError, MlopsError, NotSharedError
from ..personal import Machine
from ..types import Entry
from ..verifiers import asks_for_identity, is_hardware
from . import console

if TYPE_CHECKING:
    from ..adapters.gitconfig import Setting
    from ..adapters.keyless_signer import IdentitySigner
    from ..audit.sharing import Pulled


ROOTS = ".mlops/roots"
"""The file that names root entries, ``LOG ROOT`` a line; it counts as the default branch has it, nowhere else."""


def pin_file(log_id: str) -> Path:
    """Where the user's own pin of a log's root is kept.

    Raises EvidenceError for an id of another form: a stranger's manifest must not name a file as the user's pin.
    """
    if not re.fullmatch(r"[0-9a-f]{32}", log_id):
        raise EvidenceError(
            f"log: {log_id!r} is no id of a trail",
            hint="restore the line log: of mlops.yaml that mlopsctl init wrote; git log -p mlops.yaml shows it",
            code="MLO7116",
        )
    return config_folder() / "trust" / f"{log_id}.json"


def read_pin(log_id: str) -> dict[str, str]:
    """``{"root": id, "key": name}`` as ``init`` wrote it, else {}."""
    try:
        pin = json.loads(pin_file(log_id).read_bytes()) if log_id else {}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise EvidenceError(
            f"the pin {pin_file(log_id)} cannot be read: {error}",
            hint="remove it and pin the root anew with MLOPS_TRUST_ROOT, or restore it",
            code="MLO7109",
        ) from None
    return {str(name): str(value) for name, value in pin.items()} if isinstance(pin, dict) else {}


def signing_key(log_id: str = "") -> Signer | IdentitySigner:
    """The key that signs here, or the identity that $MLOPS_KEY asks for. Raises EvidenceError where there is none."""
    if asks_for_identity(chosen := os.environ.get("MLOPS_KEY", "")):
        from ..adapters.keyless_signer import identity_signer

        return identity_signer(chosen)
    path = default_key(read_pin(log_id).get("key", ""))
    if path is None:
        raise EvidenceError(
            "there is no signing key on this machine, or more than one to choose from",
            hint="mlopsctl key new NAME makes one; MLOPS_KEY=NAME chooses one",
            code="MLO7102",
        )
    return announced(load_signer(path))


def announced(signer: Signer) -> Signer:
    """The signer, after one line to the person where it will wait for a touch."""
    if is_hardware(signer.key):
        _wait_for_touch(signer.name)
    return signer


@cache
def _wait_for_touch(name: str) -> None:
    console.note(f"  '{name}' is a hardware key: touch it when it blinks, once for each signature")


def open_trail(repo: Repo, state: Path, log_id: str = "") -> TrailLog:
    """The trail of this clone; ``log_id`` is the one that the manifest names."""
    pin = read_pin(log_id)
    path = default_key(pin.get("key", ""))
    own = public_half(path) if path is not None else ""
    root = os.environ.get("MLOPS_TRUST_ROOT", "") or pin.get("root", "") or _root_of_default_branch(repo, log_id)
    ledger = Ledger(
        log=NotesLog(repo),
        journal=Journal(state / "journal"),
        index=TrailIndex(state / "index.db"),
        anchor=AnchorFile(state / "anchor.json"),
        expected=Expected(log_id, root, own, trust_stamp()),
        check=verify_signature,
        check_digest=verify_digest,
        progress=console.Patience(),
    )
    # Kept for the next entry: reading a private key takes longer than signing with it.
    return TrailLog(ledger, cache(lambda: signing_key(log_id)), _clock, machine=this_machine())


def _clock() -> str:
    """The moment, of which no answer may be kept that asked for it."""
    watch.needs("the clock")
    return now()


def this_machine() -> Machine:
    """What of this machine must not be signed for ever: the home folder and, unless it is an everyday name, the host."""
    host, home = os.uname().nodename, str(Path.home())
    return Machine("" if home == "/" else home, "" if host.startswith("localhost") else host)


def _root_of_default_branch(repo: Repo, log_id: str) -> str:
    """The root entry that the default branch names for this log, "" where it names none."""
    for line in repo.on_default_branch(ROOTS).decode(errors="replace").splitlines() if log_id else ():
        if re.fullmatch(rf"{re.escape(log_id)} [0-9a-f]{{64}}", line):
            return line.split()[1]
    return ""


def new_log_id() -> str:
    """128 random bits, in hex."""
    from secrets import token_hex

    return token_hex(16)


def init_trail(repo: Repo, state: Path, log_id: str, signer: Signer) -> tuple[TrailLog, Entry, str]:
    """Starts a log with one signer who holds every role: the trail, its root entry and the text of trust.yaml.

    Pins the root for this user. Raises EvidenceError where the clone has a trail already.
    """
    policy = read_policy(one_signer(signer.name, signer.key))
    trail = open_trail(repo, state, log_id)
    trail.signer = lambda: signer
    root = start_log(trail, log_id, policy, repo.rev("HEAD"))
    pin = {"log": log_id, "root": root.id, "key": signer.name}
    write_atomically(pin_file(log_id), json.dumps(pin, indent=1).encode() + b"\n", 0o600)
    return open_trail(repo, state, log_id), root, policy_yaml(policy.content)


def fetch_first(repo: Repo, trail: TrailLog, remotes: Sequence[str]) -> None:
    """Fetches the trail of a clone that never saw it. Raises MlopsError where that cannot be done."""
    from ..audit.sharing import adopt_fetched, fetch_state

    if fetch_state(trail) != "missing":
        return
    if trail.ledger.log.tracking():
        # A plain git fetch brought it already: nobody has to be asked.
        warn(adopt_fetched(trail))
    if fetch_state(trail) != "missing":
        return
    unreached = [error for remote in remotes if (error := _fetched_from(repo, trail, remote)) is not None]
    if fetch_state(trail) != "missing":
        return
    if unreached:
        raise MlopsError(
            f"this clone has not fetched the trail, and without it everything would seem unmade: {unreached[0].message}",
            hint="mlopsctl pull --trail-only once the remote can be reached; --offline plans without the trail",
            code="MLO8005",
        )
    if holding := sorted(trail.ledger.log.tracking()):
        # It is there and counts for nothing here: that must not look like a project in which nothing was made.
        raise MlopsError(
            f"the trail of '{holding[0]}' was fetched, and nothing in it is a valid trail of this project, so everything "
            "would seem unmade",
            hint=f"mlopsctl pull --trail-only --remote {holding[0]} names what is wrong; compare log: in mlops.yaml with "
            "who ran init",
            code="MLO8022",
        )
    asked = "', '".join(remotes)
    console.note(
        f"'{asked}' holds no trail yet, so nothing is known to be made; whoever ran init pushes it: mlopsctl push"
    )


def _fetched_from(repo: Repo, trail: TrailLog, remote: str) -> NotSharedError | None:
    """Fetches the trail of one remote, if none of those before it had it; why that could not be done."""
    from ..audit.sharing import fetch_state, pull_trail

    if fetch_state(trail) != "missing":
        return None
    refuse_programs(repo, remote)
    console.note(f"fetching the audit trail from '{remote}' …")
    try:
        warn(pull_trail(trail, remote, only_reading=True))
    except NotSharedError as error:
        return error
    return None


def refuse_programs(repo: Repo, remote: str) -> None:
    """Raises MlopsError where the repository itself names a program that talking to ``remote`` would run.

    Nobody typed pull or push here: a repository that somebody sent must not run anything because a plan was asked
    for. What the user's own configuration names is the user's; what ``allow_programs`` remembers is too.
    """
    from ..adapters.gitconfig import programs

    found = programs(repo, remote)
    if not found or _allowed().get(str(repo.common_dir)) == _programs_digest(found):
        return
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise MlopsError(
        f"talking to '{remote}' would run what the repository's own {first.origin or '.git/config'} names under "
        f"{first.key!r}{more}, and that is done on purpose only",
        hint=f"look at it: git config --show-origin --get-all {shlex.quote(first.key)}; if it is yours: "
        "mlopsctl pull --trail-only, which allows it in this clone",
        code="MLO8010",
    )


def allow_programs(repo: Repo, remote: str) -> None:
    """Remembers for this user that pull or push was typed with the programs that the repository names now."""
    from ..adapters.gitconfig import programs

    found = programs(repo, remote)
    allowed = _allowed()
    if found and allowed.get(str(repo.common_dir)) != _programs_digest(found):
        allowed[str(repo.common_dir)] = _programs_digest(found)
        write_atomically(_allowed_file(), json.dumps(allowed, indent=1, sort_keys=True).encode() + b"\n", 0o600)


def _allowed_file() -> Path:
    return config_folder() / "allowed-programs.json"


def _allowed() -> dict[str, str]:
    """Repository -> digest of the settings allowed there; {} where nothing can be read, which allows nothing."""
    try:
        found = json.loads(_allowed_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _programs_digest(found: Sequence[Setting]) -> str:
    return str(digest_of([[one.key, one.value] for one in found]))


def warn(pulled: Pulled) -> None:
    """Names what a pull refused, took back, and took with a warning."""
    if pulled.recovered:
        console.note(f"took back {pulled.recovered} entries that were gone from this clone's trail")
    for finding in pulled.refused:
        console.note(f"refused[{finding.code}] entry {finding.entry[:12]}: {finding.message}")
    for finding in pulled.warnings:
        console.note(f"warning[{finding.code}] entry {finding.entry[:12] or '-'}: {finding.message}")
