"""A moto server as the bucket's home, and the environment that leads there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def serving_buckets() -> Iterator[str]:
    """The server's URL while it answers."""
    started = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        started.stop()


def lead_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user of that server has in the environment."""
    for name, value in (
        ("AWS_ENDPOINT_URL", url), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
