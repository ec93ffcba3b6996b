"""Who can sign, in the one spelling that a trust policy and the code use: an EC key, an OpenSSH key or an identity.

* ``MFkw…``: base64 of the DER SubjectPublicKeyInfo of an EC key on P-256, P-384 or P-521; signs DER ECDSA.
* ``ssh-ed25519 AAAA…``: type and base64 of an OpenSSH public key; signs in SSHSIG with the namespace ``mlopsctl``.
* ``sigstore:ISSUER#IDENTITY``: whoever an OIDC issuer says to be that identity; signs by Sigstore.
"""

from __future__ import annotations

import hashlib
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

SSH = r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
SSH_NAMESPACE = "mlopsctl"
RSA_BITS = 3072
"""What NIST SP 800-57 asks of RSA beyond 2030."""
IDENTITY = "sigstore:"

# DER heads of the three curves that model signing takes too: P-256, P-384, P-521.
_CURVES = (
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
    bytes.fromhex("3076301006072a8648ce3d020106052b81040022036200"),
    bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600"),
)


def public_key(text: str) -> str:
    """The one spelling of a public key: from PEM, base64 of DER, or an OpenSSH public key with or without a comment.

    Raises ValueError for anything else, also for EC keys on other curves.
    """
    words = text.split()
    if words and re.fullmatch(SSH, words[0]):
        return _ssh_key(words)
    lines = [line for line in text.strip().splitlines() if not line.startswith("-----")]
    der = _decoded("".join(lines))
    if not any(der.startswith(head) for head in _CURVES):
        raise ValueError("only EC keys on P-256, P-384 or P-521, and OpenSSH keys, can sign")
    return b2a_base64(der, newline=False).decode()


def _ssh_key(words: list[str]) -> str:
    blob = _decoded(words[1]) if len(words) > 1 else b""
    kind = words[0].encode()
    # The blob begins with its own type; another one would make two keys of one line.
    if blob[: 4 + len(kind)] != pack(kind):
        raise ValueError(f"this is no {words[0]} key")
    _check_fields(words[0], unpack(blob)[1:])
    return f"{words[0]} {b2a_base64(blob, newline=False).decode()}"


def _check_fields(kind: str, fields: list[bytes]) -> None:
    """Raises ValueError for a key with other fields than its type has, or with a short RSA modulus."""
    if kind == "ssh-rsa":
        numbers = [int.from_bytes(field, "big") for field in fields]
        if len(fields) != 2 or [mpint(number) for number in numbers] != fields or numbers[0] % 2 == 0:
            raise ValueError("this is no ssh-rsa key")
        if numbers[1].bit_length() < RSA_BITS:
            raise ValueError(f"an RSA key needs {RSA_BITS} bits or more; this one has {numbers[1].bit_length()}")
        return
    hardware = kind.startswith("sk-")
    if "ecdsa" in kind:
        curve = "nistp256" if hardware else kind.rpartition("-")[2]
        size = 1 + 2 * {"nistp256": 32, "nistp384": 48, "nistp521": 66}[curve]
        wanted = fields[:1] == [curve.encode()] and len(fields[1]) == size and fields[1][:1] == b"\x04"
    else:
        wanted = [len(field) for field in fields[:1]] == [32]
    # A hardware key ends with the application it was made for; OpenSSH's begin with "ssh:".
    if not wanted or len(fields) != 1 + ("ecdsa" in kind) + hardware or (hardware and fields[-1][:4] != b"ssh:"):
        raise ValueError(f"this is no {kind} key")


def pack(*fields: bytes) -> bytes:
    """Fields as the SSH protocol writes strings (RFC 4251, section 5): each behind its length."""
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def unpack(data: bytes, count: int = 0) -> list[bytes]:
    """The fields that ``pack`` wrote, ``count`` of them if given. Raises ValueError for anything short or trailing."""
    fields, place = [], 0
    while place < len(data):
        end = place + 4 + int.from_bytes(data[place : place + 4], "big")
        if place + 4 > len(data) or end > len(data):
            raise ValueError("a field is cut off")
        fields.append(data[place + 4 : end])
        place = end
    if count and len(fields) != count:
        raise ValueError(f"{len(fields)} fields instead of {count}")
    return fields


def mpint(number: int) -> bytes:
    """A number of zero or more as the SSH protocol writes it: as short as it can be, the first bit clear."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b""


def _decoded(text: str) -> bytes:
    try:
        return a2b_base64(text.encode("ascii"), strict_mode=True)
    except (UnicodeError, Base64Error):
        raise ValueError("the public key is neither PEM nor base64 nor an OpenSSH key") from None


def identity(name: str, issuer: str) -> str:
    """The spelling of an identity that ``issuer`` vouches for. Raises ValueError."""
    if not re.fullmatch(r"https?://[^\s#]+", issuer) or not re.fullmatch(r"\S+", name):
        raise ValueError("an identity has an issuer (a URL without #) and a name without spaces")
    return f"{IDENTITY}{issuer}#{name}"


def parts(key: str) -> tuple[str, str]:
    """(identity, issuer) of ``sigstore:…``."""
    issuer, _, name = key.removeprefix(IDENTITY).partition("#")
    return name, issuer


def is_identity(key: str) -> bool:
    return key.startswith(IDENTITY)


def asks_for_identity(text: str) -> bool:
    """Whether $MLOPS_KEY names no key but an identity: ``sigstore``, or ``sigstore:ISSUER#NAME`` for no other one."""
    return text == IDENTITY.rstrip(":") or is_identity(text)


def is_ssh(key: str) -> bool:
    return " " in key


def is_hardware(key: str) -> bool:
    """Whether the key says of itself that it lies in hardware and wants a touch for each signature."""
    return key.startswith("sk-")


def key_id(key: str) -> str:
    """sha256, in hex, of the DER form, of the OpenSSH blob, or of the text of an identity."""
    if is_identity(key):
        return hashlib.sha256(key.encode()).hexdigest()
    return hashlib.sha256(a2b_base64(key.rpartition(" ")[2])).hexdigest()


def pem(key: str) -> str:
    """What a person passes on of it: PEM of an EC key (RFC 7468, section 13), else the line itself."""
    if is_ssh(key) or is_identity(key):
        return key + "\n"
    lines = [key[start : start + 64] for start in range(0, len(key), 64)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def scheme(key: str) -> str:
    """The form of a signature by it, in words."""
    if is_identity(key):
        return "Sigstore"
    return f"SSHSIG by {key.partition(' ')[0]}" if is_ssh(key) else "ECDSA"


def strength(key: str, hardware: bool = False) -> str:
    """How strong a signature by it is, in words; whether an EC key lies in hardware is what the policy says."""
    if is_identity(key):
        return "identity + transparency log"
    return "hardware key" if hardware or is_hardware(key) else "self-held key"
