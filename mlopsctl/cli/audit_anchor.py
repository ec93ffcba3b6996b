"""``mlopsctl audit anchor`` and ``countersign``: leaving outside of the trail what it was."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..adapters.anchors import Checkpoint, Left, kind_of
from ..adapters.files import write_atomically
from ..adapters.git import find_repo
from ..audit.anchors import add_tokens, has, record_of
from ..audit.checkpoints import KIND, newest_checkpoint, write_checkpoint
from ..audit.checks import verify as verify_trail
from ..audit.dsse import pae
from ..audit.receipts import BadReceipt, read_receipt, write_receipt
from ..audit.receipts import countersign as seal_receipt
from ..audit.trail import TrailLog
from ..errors import EvidenceError, MlopsError, UsageError, worst
from ..types import Entry
from . import console
from .anchors import places_of, remember, setup_of
from .audit_source import audit_trail
from .options import Format, check_format
from .trail import signing_key


def anchor(
    places: Annotated[
        list[str] | None, typer.Argument(help="s3://BUCKET/PREFIX, tsa:URL, file:PATH; else those used before.")
    ] = None,
    tag: Annotated[str, typer.Option(help="Also make a signed git tag of this name that names the trail.")] = "",
    reason: Annotated[str, typer.Option(help="Why now, for the checkpoint and the tag.")] = "",
    retain: Annotated[int, typer.Option(min=1, help="Days for which a bucket locks the receipt.")] = 365,
    format: Format = "text",
) -> int:
    """Leave a receipt of the whole trail outside, where the owner's key cannot change it.

    Examples:

      mlopsctl audit anchor s3://acme-audit/digits --retain 3650

      mlopsctl audit anchor tsa:https://tsa.example.org/tsr file:/media/stick/

      mlopsctl audit anchor --tag v1.2
    """
    check_format(format)
    trail, repo = audit_trail(), find_repo(Path.cwd())
    if not trail.tips():
        raise EvidenceError(
            "this clone has no valid trail to anchor",
            hint="mlopsctl init starts one; in a clone: mlopsctl pull --trail-only",
            code="MLO7106",
        )
    log = trail.log_id()
    wanted = [_absolute(place) for place in places or ()]
    if not wanted and not tag:
        wanted, _ = places_of(trail, log, ())
    wanted += [f"tag:{tag}"] if tag else []
    if not wanted:
        raise UsageError(
            "no place is named, and none was used before",
            hint="mlopsctl audit anchor file:/media/stick/",
            code="MLO7187",
        )
    kinds = {place: kind_of(place) for place in wanted}
    entry = _checkpoint(trail, reason) if any(not place.startswith("tag:") for place in wanted) else None
    checkpoint = _to_leave(trail, entry, reason)
    setup = setup_of(trail, repo, log, retain)
    left: dict[str, Left] = {}
    errors: list[MlopsError] = []
    for place, kind in kinds.items():
        try:
            left[place] = kind.leave(place, setup, checkpoint)
        except MlopsError as error:
            errors.append(error)
            continue
        if entry is not None:
            add_tokens(trail, entry.id, left[place].tokens)
        remember(log, place)
    _show(format, entry, checkpoint, left)
    for failed in errors:
        console.show_error(failed)
    return worst([failed.exit_code for failed in errors])


def _absolute(place: str) -> str:
    """A remembered path must mean the same from every folder."""
    if not place.startswith("file:"):
        return place
    slash = "/" if place.endswith("/") else ""
    return f"file:{Path(place.removeprefix('file:')).expanduser().absolute()}{slash}"


def _checkpoint(trail: TrailLog, reason: str) -> Entry:
    entry = newest_checkpoint(trail)
    if entry is None:
        entry = write_checkpoint(trail, reason or "anchor")
    trail.flush()
    return entry


def _to_leave(trail: TrailLog, entry: Entry | None, reason: str) -> Checkpoint:
    trail.flush()
    if entry is None:
        return Checkpoint("", 0, tuple(trail.tips()), b"", lambda tokens: b"", reason)
    record = record_of(trail.ledger, entry.id)
    if record is None:
        raise EvidenceError(f"entry {entry.id[:12]} is gone", hint="mlopsctl audit verify", code="MLO7190")
    return Checkpoint(entry.id, entry.seq, (entry.id,), pae(record.payload), partial(write_receipt, record), reason)


def _show(format: str, entry: Entry | None, checkpoint: Checkpoint, left: dict[str, Left]) -> None:
    if format == "json":
        document = {
            "schema_version": 1,
            "checkpoint": checkpoint.id,
            "tips": list(checkpoint.tips),
            "left": [{"place": place, "where": one.where, "says": one.says} for place, one in left.items()],
            "warnings": [
                {"code": code, "message": text} for one in left.values() for code, text in one.warnings
            ],
        }  # fmt: skip
        console.out(json.dumps(document, indent=2, ensure_ascii=False))
        return
    if entry is not None:
        console.out(f"checkpoint {entry.id[:12]} over {entry.facts.get('entries')} entries")
    for one in left.values():
        console.out(f"{console.paint('left', 'green')} {one.where}" + (f": {one.says}" if one.says else ""))
        for code, text in one.warnings:
            console.note(f"{console.paint('warning', 'yellow')}[{code}] {text}")
    if left:
        console.note("  next: mlopsctl push --trail-only; audit verify looks at these places from now on")


def countersign(
    receipt: Annotated[str, typer.Argument(help="The receipt to sign; else one of the newest checkpoint here.")] = "",
    out: Annotated[str, typer.Option("--out", help="Where to keep the countersigned receipt.")] = "",
) -> int:
    """Sign what the trail is now with your own key, and keep it: a later forgery then shows against it.

    Your key need not be in the trust policy. Whoever verifies with your receipt needs your public key.

    Examples:

      mlopsctl audit countersign --out /media/stick/digits.json

      mlopsctl audit verify --anchor file:/media/stick/digits.json --countersigner bob.pub
    """
    if not out:
        raise UsageError("--out FILE is missing", hint="keep it where the trail's owner can't write", code="MLO7187")
    trail = audit_trail()
    verdict = verify_trail(trail.ledger)
    if not verdict.ok:
        raise EvidenceError(
            f"this trail has {len(verdict.findings)} findings, and is not countersigned",
            hint="mlopsctl audit verify names them",
            code="MLO7190",
        )
    body = _given(trail, receipt) if receipt else _newest(trail)
    signer = signing_key(trail.log_id())
    if Path(out).exists():
        raise MlopsError(f"{out} is there already", hint="name another file: receipts are kept", code="MLO7188")
    write_atomically(Path(out), seal_receipt(body, signer), 0o444)
    read = read_receipt(body)
    console.out(
        f"{console.paint('countersigned', 'green')} checkpoint {read.record.id[:12]} over {read.entries} entries with the "
        f"key '{signer.name}': {out}"
    )
    return 0


def _given(trail: TrailLog, path: str) -> bytes:
    body = Path(path).read_bytes()
    try:
        read = read_receipt(body)
    except BadReceipt as bad:
        raise EvidenceError(f"{path} is not countersigned: {bad}", hint="ask for it again", code="MLO7184") from None
    if read.log != trail.log_id() or not has(trail.ledger, read.record.id):
        raise EvidenceError(
            f"{path} is about checkpoint {read.record.id[:12]}, which is no entry of this trail",
            hint="mlopsctl pull --trail-only; if that does not bring it, the receipt is of another history",
            code="MLO7190",
        )
    return body


def _newest(trail: TrailLog) -> bytes:
    found = trail.entries(kinds=(KIND,), newest_first=True, limit=1)
    record = record_of(trail.ledger, found[0].id) if found else None
    if record is None:
        raise MlopsError(
            "the trail has no checkpoint yet",
            hint="somebody with the role govern writes one: mlopsctl audit anchor file:PATH",
            code="MLO7191",
        )
    return write_receipt(record)
