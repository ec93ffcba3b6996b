"""``mlopsctl key``: signing keys of this user."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from ..adapters.keys import Signer, default_key, import_key, key_file, key_files, key_path, load_signer, new_key
from ..errors import EvidenceError
from ..verifiers import asks_for_identity
from . import console
from .options import Format, check_format

_NEXT = "  next: a holder of the root key adds it to trust.yaml; until then your results count on this machine only"


def new(
    name: Annotated[str, typer.Argument(help="The key's name, for example alice.")],
    encrypted: Annotated[
        bool, typer.Option("--encrypted", help="Ask for a passphrase, without which nothing can be signed.")
    ] = False,
) -> int:
    """Make a signing key (EC P-256) outside of every repository.

    Examples:

      mlopsctl key new alice

      mlopsctl key new alice --encrypted
    """
    passphrase = b""
    if encrypted:
        from ..adapters.passphrase import KEY_FILE, new_secret

        passphrase = new_secret(KEY_FILE, f"passphrase for the new key '{name}': ", "a passphrase for the new key")
    signer = new_key(key_file(name).with_suffix(".pem"), passphrase)
    console.out(f"made {signer.path} (only you can read it; keep a copy in a safe place)")
    _show(signer)
    console.note(_NEXT)
    return 0


def import_(
    name: Annotated[str, typer.Argument(help="The name that the key gets here, for example alice.")],
    source: Annotated[
        str, typer.Argument(help="An OpenSSH key, its .pub (the SSH agent signs), a PEM file, or a pkcs11: URI.")
    ],
) -> int:
    """Sign with a key that you have already; it stays where it is, and only its place is recorded.

    Examples:

      mlopsctl key import alice ~/.ssh/id_ed25519

      mlopsctl key import alice ~/.ssh/id_ed25519.pub

      mlopsctl key import card 'pkcs11:token=card;object=mlops?module-path=/usr/lib/softhsm/libsofthsm2.so'
    """
    signer = import_key(name, source)
    console.out(f"recorded {signer.path}: {signer.kind}")
    _show(signer)
    console.note(_NEXT)
    return 0


def show(
    name: Annotated[str, typer.Argument(help="The key's name or path; default: the one that signs here.")] = "",
    public: Annotated[bool, typer.Option("--public", help="The public half alone, as verify --key reads it.")] = False,
    format: Format = "text",
) -> int:
    """Show the public half of a key: what others need to verify what it signs.

    Examples:

      mlopsctl key show

      mlopsctl key show alice --public > alice.pub

      mlopsctl key show alice --format json
    """
    check_format(format)
    if not name and asks_for_identity(chosen := os.environ.get("MLOPS_KEY", "")):
        return _show_identity(chosen, format)
    path = key_path(name) if name else default_key()
    if path is None:
        raise EvidenceError(
            "there is no signing key on this machine, or more than one to choose from",
            hint="mlopsctl key show NAME, or mlopsctl key new NAME",
            code="MLO7102",
        )
    signer = load_signer(path)
    if format == "json":
        console.out(json.dumps({"schema_version": 1, **_fields(signer), "pem": signer.public_key_pem}, indent=2))
        return 0
    if not public:
        _show(signer)
    console.out(signer.public_key_pem.rstrip("\n"))
    return 0


def ls(format: Format = "text") -> int:
    """The keys of this user; the one that signs here is marked.

    Examples:

      mlopsctl key ls

      mlopsctl key ls --format json
    """
    check_format(format)
    chosen = default_key()
    signers = [load_signer(path) for path in key_files()]
    if format == "json":
        keys = [{**_fields(signer), "default": signer.path == chosen} for signer in signers]
        console.out(json.dumps({"schema_version": 1, "keys": keys}, indent=2))
        return 0
    rows = [
        ("* signs here" if signer.path == chosen else "", signer.name, signer.key_id[:12], signer.scheme, signer.kind)
        for signer in signers
    ]
    for line in console.table(rows):
        console.out(line)
    if not rows:
        console.note("no keys yet; next: mlopsctl key new NAME, or mlopsctl key import NAME SOURCE")
    return 0


def _fields(signer: Signer) -> dict[str, Any]:
    return {
        "name": signer.name,
        "id": signer.key_id,
        "key": signer.key,
        "kind": signer.kind,
        "signature": signer.scheme,
        "path": str(signer.path),
    }


def _show_identity(chosen: str, format: Format) -> int:
    """Who Sigstore says that this is, as trust.yaml names it; fetches a certificate."""
    from ..adapters.keyless_signer import identity_signer
    from ..verifiers import parts

    signer = identity_signer(chosen)
    name, issuer = parts(signer.key)
    if format == "json":
        shown = {"schema_version": 1, "name": name, "id": signer.key_id, "key": signer.key, "path": ""}
        console.out(json.dumps({**shown, "pem": signer.key + "\n"}, indent=2))
        return 0
    console.out(f"  identity  {name}")
    console.out(f"  issuer    {issuer}")
    console.out(f"  id        {signer.key_id}")
    return 0


def _show(signer: Signer) -> None:
    console.out(f"  name  {signer.name}")
    console.out(f"  id    {signer.key_id}")
    console.out(f"  key   {signer.key}")
    console.out(f"  kind  {signer.kind}; signs in {signer.scheme}")
