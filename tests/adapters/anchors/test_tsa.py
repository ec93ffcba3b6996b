"""Time stamps are taken from authorities that the user trusts, and from nobody else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlopsctl.adapters.anchors.tsa import authorities, read_authority, read_stamp, request
from mlopsctl.errors import MlopsError

from .authority import POLICY, Authority, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    made = Authority(tmp_path_factory.mktemp("tsa") / "here")
    with serving(made) as url:
        made.url = url
        yield made


@pytest.fixture
def config(tmp_path: Path, authority: Authority) -> Path:
    """The configuration of a user who trusts the authority."""
    return trusting(tmp_path, authority.certificates)


def trusting(folder: Path, text: str) -> Path:
    (folder / "tsa").mkdir(exist_ok=True)
    (folder / "tsa" / "127.0.0.1.pem").write_text(text)
    return folder


def test_a_stamp_says_what_existed_not_later_than_when(authority: Authority, config: Path, tmp_path: Path) -> None:
    known = read_authority(config, "127.0.0.1")
    token, stamp = request(authority.url, b"a checkpoint", known)
    assert stamp.by == "127.0.0.1"
    moment = datetime.strptime(stamp.at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert timedelta(0) <= moment - datetime.now(UTC) + timedelta(seconds=60) < timedelta(seconds=120)
    assert read_stamp(token, b"a checkpoint", known) == stamp
    assert read_stamp(token, b"another one", known) is None
    assert read_stamp(token[:-1], b"a checkpoint", known) is None
    assert read_stamp(b"", b"a checkpoint", known) is None


@pytest.mark.parametrize("step", [1, 0x20, 0x80])
def test_a_token_that_was_changed_anywhere_proves_nothing_new(authority: Authority, config: Path, step: int) -> None:
    known = read_authority(config, "127.0.0.1")
    token, stamp = request(authority.url, b"a checkpoint", known)
    for place in range(0, len(token), 7):
        changed = bytearray(token)
        changed[place] ^= step
        assert read_stamp(bytes(changed), b"a checkpoint", known) in (None, stamp)


def test_openssl_reads_the_token_too(authority: Authority, config: Path, tmp_path: Path) -> None:
    token, _ = request(authority.url, b"a checkpoint", read_authority(config, "127.0.0.1"))
    (tmp_path / "token").write_bytes(token)
    (tmp_path / "data").write_bytes(b"a checkpoint")
    told = subprocess.run(
        [
            "openssl",
            "ts",
            "-verify",
            "-in",
            "token",
            "-token_in",
            "-data",
            "data",
            "-CAfile",
            authority.folder / "ca.crt",
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr.decode()


def test_an_answer_to_an_earlier_request_is_refused(authority: Authority, config: Path) -> None:
    known = read_authority(config, "127.0.0.1")
    request(authority.url, b"a checkpoint", known)
    authority.replay = True
    try:
        with pytest.raises(MlopsError, match="[Nn]once"):
            request(authority.url, b"a checkpoint", known)
    finally:
        authority.replay = False


def test_only_the_policy_that_the_user_names_is_taken(authority: Authority, tmp_path: Path) -> None:
    config = trusting(tmp_path, f"policy: {POLICY}\n" + authority.certificates)
    token, _ = request(authority.url, b"x", read_authority(config, "127.0.0.1"))
    strict = read_authority(trusting(tmp_path, "policy: 1.2.3.4.2\n" + authority.certificates), "127.0.0.1")
    assert read_stamp(token, b"x", strict) is None
    with pytest.raises(MlopsError, match="[Pp]olicy"):
        request(authority.url, b"x", strict)


def test_an_authority_that_the_user_does_not_know_proves_nothing(
    authority: Authority, config: Path, tmp_path: Path
) -> None:
    token, _ = request(authority.url, b"x", read_authority(config, "127.0.0.1"))
    stranger = Authority(tmp_path / "stranger")
    other = read_authority(trusting(tmp_path, stranger.certificates), "127.0.0.1")
    assert read_stamp(token, b"x", other) is None
    with pytest.raises(MlopsError, match="MLO7188|certificate"):
        request(authority.url, b"x", other)


def test_a_certificate_that_is_not_for_time_stamps_is_refused(tmp_path: Path) -> None:
    careless = Authority(tmp_path / "careless", extensions="careless")
    config = trusting(tmp_path, careless.certificates)
    with serving(careless) as url, pytest.raises(MlopsError) as error:
        request(url, b"x", read_authority(config, "127.0.0.1"))
    assert error.value.code == "MLO7188"


def test_an_authority_that_refuses_or_is_away_is_an_error_with_a_code(authority: Authority, config: Path) -> None:
    known = read_authority(config, "127.0.0.1")
    authority.last, authority.replay = bytes.fromhex("30053003020102"), True
    try:
        for body in (authority.last, b"nonsense", b""):
            authority.last = body
            with pytest.raises(MlopsError) as error:
                request(authority.url, b"x", known)
            assert error.value.code == "MLO7188"
    finally:
        authority.replay = False
    with pytest.raises(MlopsError) as error:
        request("http://127.0.0.1:1/tsr", b"x", known)
    assert error.value.code == "MLO7188"


def test_certificates_come_from_the_user(config: Path, tmp_path: Path) -> None:
    for text in ("", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        (config / "tsa" / "bad.pem").write_text(text)
        with pytest.raises(MlopsError) as error:
            read_authority(config, "bad")
        assert error.value.code == "MLO7189"
    with pytest.raises(MlopsError, match="no such file"):
        read_authority(config, "unknown")
    assert [one.host for one in authorities(config)] == ["127.0.0.1"], "a bad file costs nothing else"
