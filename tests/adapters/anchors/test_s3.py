"""Receipts in buckets, with and without a lock; a moto server is the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from mlopsctl.adapters.anchors import Checkpoint, Setup, Unreachable
from mlopsctl.adapters.anchors.s3 import leave, seen
from mlopsctl.adapters.git import Repo
from mlopsctl.errors import MlopsError, UsageError

from .bucket import lead_there, serving_buckets

LOG = "0" * 32


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving_buckets() as url:
        yield url


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client; the environment names the same server for everybody."""
    lead_there(server, monkeypatch)
    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    """A bucket with object lock."""
    name = request.node.name.replace("_", "-")[:60].strip("-")
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return str(name)


def setup(*known: str) -> Setup:
    nowhere = Path("/nonexistent")
    return Setup(LOG, Repo(nowhere, nowhere, nowhere), nowhere, lambda entry: entry in known, 30)


def checkpoint(seq: int) -> Checkpoint:
    entry = f"{seq:064x}"
    return Checkpoint(entry, seq, (entry,), b"", lambda tokens: b"receipt %d" % seq)


def test_a_receipt_is_locked(s3: Any, bucket: str) -> None:
    left = leave(f"s3://{bucket}/audit", setup(), checkpoint(5))
    assert left.says.startswith("locked until ") and not left.warnings
    key = f"audit/{LOG}/{checkpoint(5).file_name()}"
    found = s3.head_object(Bucket=bucket, Key=key)
    assert found["ObjectLockMode"] == "COMPLIANCE" and found["ObjectLockRetainUntilDate"] > datetime.now(UTC)
    with pytest.raises(ClientError):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=found["VersionId"])
    again = leave(f"s3://{bucket}/audit", setup()._replace(retain_days=400), checkpoint(5))
    assert again.says == left.says, "as often as you like, and it says what is, not what was asked for"
    assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1, "never written over"


def test_every_receipt_is_seen_and_only_those_lost_are_read(s3: Any, bucket: str) -> None:
    place = f"s3://{bucket}"
    for seq in (2, 3):
        leave(place, setup(), checkpoint(seq))
    s3.put_object(Bucket=bucket, Key=f"{LOG}/note.txt", Body=b"something else")
    held = seen(place, setup(checkpoint(2).id))
    assert [claim.tips for claim in held.claims] == [checkpoint(2).tips, checkpoint(3).tips]
    assert [claim.body for claim in held.claims] == [b"", b"receipt 3"]
    assert not held.warnings
    assert seen(f"s3://{bucket}/elsewhere", setup()).claims == ()


def test_a_receipt_that_somebody_hid_or_wrote_over_is_seen_as_it_was(s3: Any, bucket: str) -> None:
    place, key = f"s3://{bucket}", f"{LOG}/{checkpoint(7).file_name()}"
    leave(place, setup(), checkpoint(7))
    s3.put_object(Bucket=bucket, Key=key, Body=b"another receipt")
    s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    held = seen(place, setup())
    assert [claim.body for claim in held.claims] == [b"receipt 7"]
    assert not held.warnings


def test_a_bucket_without_a_lock_is_said_to_be_none(s3: Any) -> None:
    s3.create_bucket(Bucket="plain-bucket")
    left = leave("s3://plain-bucket", setup(), checkpoint(1))
    assert left.says == "not_locked" and [code for code, _ in left.warnings] == ["MLO7183"]
    held = seen("s3://plain-bucket", setup(checkpoint(1).id))
    assert len(held.claims) == 1 and [code for code, _ in held.warnings] == ["MLO7183"]
    left = leave("s3://plain-bucket", setup(), checkpoint(1))
    assert left.says == "not_locked"


def test_versions_alone_are_no_lock(s3: Any) -> None:
    s3.create_bucket(Bucket="versioned-bucket")
    s3.put_bucket_versioning(Bucket="versioned-bucket", VersioningConfiguration={"Status": "Enabled"})
    assert leave("s3://versioned-bucket/x", setup(), checkpoint(1)).says == "not_locked"
    assert leave("s3://versioned-bucket/x", setup(), checkpoint(1)).says == "not_locked"
    assert len(seen("s3://versioned-bucket/x", setup()).claims) == 1
    assert len(s3.list_object_versions(Bucket="versioned-bucket")["Versions"]) == 1


def test_a_lock_that_the_server_does_not_keep_is_found_by_trying(
    s3: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.s3.models import FakeKey

    monkeypatch.setattr(FakeKey, "is_locked", lambda self, governance_bypass: False)
    left = leave(f"s3://{bucket}", setup(), checkpoint(1))
    assert left.says == "not_locked"
    assert len(seen(f"s3://{bucket}", setup()).claims) == 1, "the receipt is there all the same"


def test_places_and_buckets_that_are_none(s3: Any) -> None:
    for place in ("s3://", "s3://a", "s3:bucket", "s3://no bucket/x"):
        with pytest.raises(UsageError):
            leave(place, setup(), checkpoint(1))
    with pytest.raises(MlopsError) as error:
        leave("s3://no-such-bucket", setup(), checkpoint(1))
    assert error.value.code == "MLO7188"
    with pytest.raises(Unreachable):
        seen("s3://no-such-bucket", setup())


def test_a_server_that_is_away(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(Unreachable):
        seen("s3://some-bucket", setup())
