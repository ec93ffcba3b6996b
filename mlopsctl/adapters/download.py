"""One file from an https URL, held to the digest that is pinned for it while it comes in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import EvidenceError, ProviderError
from ..types import Digest

MOST_BYTES = 256 * 2**30
_CHUNK = 1 << 20
_IDLE_SECONDS = 60.0


def download(url: str, digest: Digest, out: Path, tell: Callable[[str], None], most: int = MOST_BYTES) -> None:
    """Writes the bytes behind ``url`` to ``out``; with a digest they must have it.

    Raises ProviderError (MLO1232) where they cannot be had, EvidenceError (MLO7280) where they are other bytes.
    """
    import http.client
    import urllib.error
    import urllib.request

    class OnlyHttps(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *given: Any) -> Any:
            if not str(given[-1]).startswith("https://"):
                raise _failed(url, f"it leads to {given[-1]}, which is not https")
            return super().redirect_request(*given)

    total, done = hashlib.sha256(), 0
    try:
        # No file:, ftp: or plain http: behind a redirect either.
        opener = urllib.request.build_opener(OnlyHttps())
        with opener.open(url, timeout=_IDLE_SECONDS) as answer, out.open("xb") as file:
            while chunk := answer.read(_CHUNK):
                done += len(chunk)
                if done > most:
                    raise _failed(url, f"it has more than {most:,} bytes")
                total.update(chunk)
                file.write(chunk)
                if not done % (256 * _CHUNK):
                    tell(f"fetched {done >> 20:,} MiB")
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        raise _failed(url, str(error)) from None
    found = Digest("sha256:" + total.hexdigest())
    if digest and found != digest:
        raise EvidenceError(
            f"{url} gave other bytes than the pinned ones: {found} instead of {digest}",
            hint=f"find out what changed; if you want it, write digest: {found}",
            code="MLO7280",
        )


def _failed(url: str, why: str) -> ProviderError:
    return ProviderError(
        f"{url} cannot be fetched: {why}",
        hint="look at the address and the network; a file put into the repository needs neither",
        code="MLO1232",
    )
