"""``mlopsctl key``: signing keys of this user."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..adapters.keys import Signer, default_key, key_file, load_signer, new_key
from ..errors import EvidenceError
from . import console
from .options import Format, check_format


def new(name: Annotated[str, typer.Argument(help="The key's name, for example alice.")]) -> int:
    """Make a signing key (EC P-256) outside of every repository.

    Examples:

      mlopsctl key new alice
    """
    signer = new_key(key_file(name))
    console.out(f"made {signer.path} (only you can read it; keep a copy in a safe place)")
    _show(signer)
    console.note(
        "  next: a holder of the root key adds it to trust.yaml; until then your results count on this machine only"
    )
    return 0


def show(
    name: Annotated[str, typer.Argument(help="The key's name; default: the one that signs here.")] = "",
    format: Format = "text",
) -> int:
    """Show the public half of a key: what others need to verify what it signs.

    Examples:

      mlopsctl key show

      mlopsctl key show alice --format json
    """
    check_format(format)
    path = key_file(name) if name else default_key()
    if path is None:
        raise EvidenceError(
            "there is no signing key on this machine, or more than one to choose from",
            hint="mlopsctl key show NAME, or mlopsctl key new NAME",
            code="MLO7102",
        )
    signer = load_signer(path)
    if format == "json":
        shown = {"schema_version": 1, "name": signer.name, "id": signer.key_id, "key": signer.key, "path": str(path)}
        console.out(json.dumps({**shown, "pem": signer.public_key_pem}, indent=2))
        return 0
    _show(signer)
    console.out(signer.public_key_pem.rstrip("\n"))
    return 0


def _show(signer: Signer) -> None:
    console.out(f"  name  {signer.name}")
    console.out(f"  id    {signer.key_id}")
    console.out(f"  key   {signer.key}")
