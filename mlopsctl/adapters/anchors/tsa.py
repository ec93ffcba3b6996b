"""``tsa:URL``: a time-stamping authority (RFC 3161) says that a checkpoint existed at its time.

Whose word counts stands in ``~/.config/mlops/tsa/HOST.pem``: the authority's certificates up to its root, and if a line
``policy: OID`` stands before them, the only policy of the authority that is taken. Its token goes into the trail, and
into a receipt below ``~/.config/mlops/receipts``: the trail shows the time, the receipt finds a trail that was forged.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...errors import MlopsError
from ..files import write_atomically
from . import Checkpoint, Claim, Held, Left, Setup, cannot_leave
from .der import granting, in_order, token_in
from .file import MAX_BYTES

_SECONDS = 30
_POLICY = re.compile(r"^policy: (\d+(?:\.\d+)+)$", re.MULTILINE)


class Authority(NamedTuple):
    """Whose stamps count: certificates of the roots and of those below, and the required policy or ""."""

    host: str
    roots: tuple[Any, ...]
    others: tuple[Any, ...]
    policy: str = ""


class Stamp(NamedTuple):
    """``by`` says that something existed not later than ``at`` (UTC)."""

    at: str
    by: str


def leave(place: str, setup: Setup, checkpoint: Checkpoint) -> Left:
    """Has the checkpoint stamped, and keeps the receipt with the token in the user's own folder."""
    url = place.removeprefix("tsa:")
    authority = read_authority(setup.config, _host(url))
    path = _folder(setup, url) / checkpoint.file_name()
    if path.exists():
        return Left(str(path), "stamped before")
    token, stamp = request(url, checkpoint.message, authority)
    try:
        write_atomically(path, checkpoint.receipt((token,)), 0o444)
    except OSError as error:
        raise cannot_leave(place, error.strerror, f"make {path.parent} writable") from None
    return Left(str(path), f"existed not later than {stamp.at}, says {stamp.by}", tokens=(token,))


def seen(place: str, setup: Setup) -> Held:
    """The receipts with tokens of this authority that the user keeps."""
    url = place.removeprefix("tsa:")
    folder = _folder(setup, url)
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    claims = tuple(Claim(str(file), body=file.read_bytes()[:MAX_BYTES], authority=_host(url)) for file in files)
    if claims:
        return Held(claims)
    text = f"{place}: no receipt of this authority is kept here; --anchor file:PATH reads one from another machine"
    return Held((), (("MLO7182", text),))


def read_authority(config: Path, host: str) -> Authority:
    """The user's own word about an authority. Raises MlopsError where there is none or it can't be read."""
    path = config / "tsa" / f"{host}.pem"
    try:
        return _authority(path)
    except FileNotFoundError:
        why = "there is no such file"
    except (OSError, ValueError) as error:
        why = str(error)
    raise MlopsError(
        f"the certificates of the time-stamping authority {host} are not known: {path}: {why}",
        hint=f"get them from the authority itself, look at them, and put them up to the root into {path}",
        code="MLO7189",
    )


def authorities(config: Path) -> list[Authority]:
    """All that the user trusts; files that can't be read count for nothing."""
    found = []
    for path in sorted((config / "tsa").glob("*.pem")):
        try:
            found.append(_authority(path))
        except (OSError, ValueError):
            continue
    return found


def _authority(path: Path) -> Authority:
    from cryptography import x509

    text = path.read_bytes()
    certificates = x509.load_pem_x509_certificates(text)
    roots = tuple(one for one in certificates if one.issuer == one.subject)
    if not roots:
        raise ValueError("no root certificate, which is signed by itself, stands in it")
    policy = _POLICY.search(text.decode(errors="replace"))
    return Authority(
        path.stem, roots, tuple(one for one in certificates if one not in roots), policy[1] if policy else ""
    )


def request(url: str, message: bytes, authority: Authority) -> tuple[bytes, Stamp]:
    """A token over ``message`` and what it says. Raises MlopsError where none is given or it does not hold."""
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

    asked = TimestampRequestBuilder().data(message).hash_algorithm(HashAlgorithm.SHA512)
    query = asked.cert_request(cert_request=True).nonce(nonce=True).build()
    body = _post(url, query.as_bytes())
    try:
        token = in_order(token_in(body))
        stamp = _verified(decode_timestamp_response(granting(token)), message, authority, query.nonce)
    except Exception as error:  # noqa: BLE001 - as below
        raise cannot_leave(
            f"tsa:{url}", error, f"look at the certificates in tsa/{authority.host}.pem, and ask the authority"
        ) from None
    return token, stamp


def read_stamp(token: bytes, message: bytes, authority: Authority) -> Stamp | None:
    """What a token says over ``message``; None where it does not hold for this authority."""
    from rfc3161_client import decode_timestamp_response

    try:
        return _verified(decode_timestamp_response(granting(token)), message, authority, None)
    except Exception:  # noqa: BLE001 - a stranger's bytes: the parsers below raise errors of many kinds
        return None


def _verified(response: Any, message: bytes, authority: Authority, nonce: int | None) -> Stamp:
    """Signature, chain at the time of the stamp, key usage, imprint, nonce and policy. Raises VerificationError."""
    from cryptography import x509
    from rfc3161_client import VerifierBuilder

    builder = VerifierBuilder(
        policy_id=x509.ObjectIdentifier(authority.policy) if authority.policy else None,
        intermediates=list(authority.others),
        roots=list(authority.roots),
        nonce=nonce,
    )
    builder.build().verify_message(response, message)
    return Stamp(_bound(response.tst_info), authority.host)


def _bound(info: Any) -> str:
    """The latest moment that the stamp allows, in whole seconds upwards."""
    moment: datetime = info.gen_time.astimezone(UTC)
    accuracy = info.accuracy
    if accuracy is not None:
        moment += timedelta(
            seconds=accuracy.seconds or 0, milliseconds=accuracy.millis or 0, microseconds=accuracy.micros or 0
        )
    if moment.microsecond:
        moment = moment.replace(microsecond=0) + timedelta(seconds=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _post(url: str, query: bytes) -> bytes:
    import urllib.request
    from http.client import HTTPException

    asked = urllib.request.Request(url, query, {"Content-Type": "application/timestamp-query"})  # noqa: S310 - see _host
    try:
        with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read(MAX_BYTES)
            return body
    except (OSError, HTTPException, ValueError) as error:
        raise cannot_leave(f"tsa:{url}", error, "try again later, or name another authority") from None


def _host(url: str) -> str:
    """The authority's name, which is also that of its file. Raises MlopsError for no http address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    host = (parts.hostname or "").lower()
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", host):
        raise cannot_leave(f"tsa:{url}", "this is no http address", "write tsa:https://HOST/PATH")
    return host


def _folder(setup: Setup, url: str) -> Path:
    return setup.config / "receipts" / setup.log / f"tsa-{_host(url)}"
