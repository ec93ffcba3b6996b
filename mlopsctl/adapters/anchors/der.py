"""The few bytes of DER around a time-stamp token (RFC 3161, section 2.4.2; RFC 5652, section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator

# PKIStatusInfo { status granted (0) }
_GRANTED = bytes.fromhex("3003020100")
_CERTIFICATES = 0xA0


def token_in(response: bytes) -> bytes:
    """The token of a response that grants one. Raises ValueError."""
    parts = [response[start:end] for start, _, end in _items(response, *_inside(response, 0))]
    if len(parts) != 2 or parts[0][4:5] != b"\0":
        raise ValueError(f"the authority did not grant the request: {response[:80].hex()}")
    return parts[1]


def granting(token: bytes) -> bytes:
    """The smallest response that grants a token."""
    body = _GRANTED + token
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    head = bytes([len(body)]) if len(body) < 128 else bytes([0x80 | len(size)]) + size
    return b"\x30" + head + body


def in_order(token: bytes) -> bytes:
    """The token with its certificates in the order that DER wants for a set.

    Authorities on OpenSSL send them in the order of the chain. They are not signed themselves: no signature changes.
    """
    _, content = _items(token, *_inside(token, 0))
    for start, inner, end in _items(token, *_first(token, content[1], content[2])):
        if token[start] == _CERTIFICATES:
            some = sorted(token[a:b] for a, _, b in _items(token, inner, end))
            return token[:inner] + b"".join(some) + token[end:]
    return token


def _inside(data: bytes, start: int) -> tuple[int, int]:
    return _first(data, start, len(data))


def _first(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the content of the first element there lies."""
    for _, inner, stop in _items(data, start, end):
        return inner, stop
    raise ValueError("the answer is empty")


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(start, start of the content, end) of each element. Raises ValueError for what is no DER."""
    while start < end:
        length, inner = data[start + 1 : start + 2], start + 2
        if not length:
            raise ValueError("the answer breaks off")
        size = length[0]
        if size >= 0x80:
            inner += size & 0x7F
            size = int.from_bytes(data[start + 2 : inner], "big")
        if inner + size > end:
            raise ValueError("the answer breaks off")
        yield start, inner, inner + size
        start = inner + size
