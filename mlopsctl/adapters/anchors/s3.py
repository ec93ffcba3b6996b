"""``s3://BUCKET/PREFIX``: receipts in a bucket with object lock, where nobody can change or remove them for a while.

Each checkpoint has a key of its own, which carries its id, and is written once, in compliance mode. What a server makes
of that is probed, never assumed. All versions of all keys are read, so that delete markers hide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from ...errors import MlopsError, UsageError
from . import Checkpoint, Claim, Held, Left, Setup, Unreachable, cannot_leave
from .file import MAX_BYTES

_KEY = re.compile(r"\d{12}-([0-9a-f]{64})\.json")
NOT_LOCKED = "not_locked"


def leave(place: str, setup: Setup, checkpoint: Checkpoint) -> Left:
    """Writes the receipt under its own key and tries to remove it: where that works, it says ``not_locked``."""
    bucket, prefix = _parts(place)
    key, body = f"{prefix}{setup.log}/{checkpoint.file_name()}", checkpoint.receipt(())
    until = datetime.now(UTC) + timedelta(days=setup.retain_days)
    where = f"s3://{bucket}/{key}"
    with _client(place) as s3:
        try:
            version = _write(s3, bucket, key, body, until)
            locked = _held(s3, bucket, key, version)
            if locked is None:
                _write(s3, bucket, key, body, None)  # where trying removed it
        except _errors() as error:
            raise cannot_leave(place, error, "look at the bucket's name and your credentials (AWS_…)") from None
    if locked is not None:
        return Left(where, f"locked until {locked:%Y-%m-%d}")
    text = f"{where}: not_locked: whoever may write to the bucket can remove the receipt"
    return Left(where, NOT_LOCKED, (("MLO7183", text),))


def seen(place: str, setup: Setup) -> Held:
    """Every checkpoint of this log that was ever written there; bodies are read of those that the trail lacks."""
    bucket, prefix = _parts(place)
    claims: dict[str, Claim] = {}
    first: dict[str, str] = {}
    with _client(place) as s3:
        try:
            for key, version in _versions(s3, bucket, f"{prefix}{setup.log}/"):
                found = _KEY.fullmatch(key.rpartition("/")[2])
                if found is None:
                    continue
                body = b"" if setup.known(found[1]) else _body(s3, bucket, key, version)
                # The oldest version, which is listed last, counts: others were written over it.
                claims[key] = Claim(f"s3://{bucket}/{key}", setup.log, (found[1],), body)
                first[key] = version
            warnings = _unlocked(s3, bucket, *max(first.items())) if first else ()
        except _errors() as error:
            raise Unreachable(f"{place} cannot be asked: {error}") from None
    return Held(tuple(claims[key] for key in sorted(claims)), warnings)


def _write(s3: Any, bucket: str, key: str, body: bytes, until: datetime | None) -> str:
    """Writes a key once, locked where ``until`` is given and the bucket can: its version, "" on a bucket without."""
    from botocore.exceptions import ClientError

    # Some servers ignore the condition below; this look is for them.
    if (there := _there(s3, bucket, key)) is not None:
        return there
    how: dict[str, Any] = {}
    if until is not None:
        how = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until, "ChecksumAlgorithm": "SHA256"}
    try:
        done = s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json", IfNoneMatch="*", **how)
    except ClientError as error:
        if _code(error) in ("PreconditionFailed", "412"):
            return _there(s3, bucket, key) or ""
        if until is not None and _code(error) in ("InvalidRequest", "InvalidArgument", "NotImplemented"):
            return _write(s3, bucket, key, body, None)
        raise
    return str(done.get("VersionId", ""))


def _there(s3: Any, bucket: str, key: str) -> str | None:
    """The version of a key that is there, None for a key that is not."""
    from botocore.exceptions import ClientError

    try:
        return str(s3.head_object(Bucket=bucket, Key=key).get("VersionId", ""))
    except ClientError as error:
        if _code(error) in ("404", "NoSuchKey", "NotFound"):
            return None
        raise


def _held(s3: Any, bucket: str, key: str, version: str) -> datetime | None:
    """Until when this version is locked in compliance mode; None too where the server lets us remove it all the same."""
    from botocore.exceptions import ClientError

    until = _retained(s3, bucket, key, version)
    if until is None:
        return None
    try:
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        return until if _code(error) in ("AccessDenied", "403", "InvalidRequest", "ObjectLocked") else None
    return None


def _retained(s3: Any, bucket: str, key: str, version: str) -> datetime | None:
    """Until when the server says that it keeps this version in compliance mode."""
    from botocore.exceptions import ClientError

    if not version:
        return None
    try:
        found = s3.head_object(Bucket=bucket, Key=key, VersionId=version)
        until: datetime = found["ObjectLockRetainUntilDate"]
        return until if found["ObjectLockMode"] == "COMPLIANCE" and until > datetime.now(UTC) else None
    except (ClientError, KeyError):
        return None


def _unlocked(s3: Any, bucket: str, key: str, version: str) -> tuple[tuple[str, str], ...]:
    if _retained(s3, bucket, key, version) is not None:
        return ()
    text = f"s3://{bucket}/{key}: not_locked (any more): a receipt that is missing there proves nothing"
    return (("MLO7183", text),)


def _versions(s3: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    """(key, version) of everything ever written, the newest version of a key first."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for one in page.get("Versions", ()):
            version = str(one.get("VersionId", ""))
            yield one["Key"], "" if version == "null" else version


def _body(s3: Any, bucket: str, key: str, version: str) -> bytes:
    which = {"VersionId": version} if version else {}
    body: bytes = s3.get_object(Bucket=bucket, Key=key, **which)["Body"].read(MAX_BYTES)
    return body


@contextmanager
def _client(place: str) -> Iterator[Any]:
    """A client as the user's environment and configuration of AWS set it up. Raises MlopsError without boto3."""
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise MlopsError(
            f"{place} needs boto3, which is not installed", hint="pip install 'mlopsctl[s3]'", code="MLO7188"
        ) from None
    quick = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 2})
    try:
        client = boto3.client("s3", config=quick)
    except _errors() as error:
        raise Unreachable(f"{place} cannot be asked: {error}", hint="AWS_REGION and AWS_… say how") from None
    try:
        yield client
    finally:
        client.close()


def _errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _parts(place: str) -> tuple[str, str]:
    """Bucket and prefix (with a slash at its end, or empty). Raises UsageError."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not place.startswith("s3://") or not re.fullmatch(r"[A-Za-z0-9._-]{3,255}", bucket):
        raise UsageError(f"'{place}' names no bucket", hint="s3://BUCKET/PREFIX", code="MLO7187")
    return bucket, prefix.strip("/") + "/" if prefix.strip("/") else ""
