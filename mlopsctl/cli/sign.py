"""``mlopsctl sign`` and ``verify``: OpenSSF signatures of model files and folders, in a project or without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..adapters.keys import Signer, key_path, load_signer
from ..errors import EvidenceError, MlopsError, UsageError
from ..verifiers import is_ssh, public_key, scheme
from . import console

if TYPE_CHECKING:
    from ..adapters.keyless_signer import IdentitySigner


def sign(
    path: Annotated[Path, typer.Argument(help="A model file or folder.", exists=True)],
    signature: Annotated[Path | None, typer.Option(help="Where the signature goes; default: PATH.sig.")] = None,
    key: Annotated[str, typer.Option(help="Name or path of the private key; default: the one that signs here.")] = "",
    identity: Annotated[
        bool, typer.Option("--identity", help="Sign as the identity of this CI job or login, by Sigstore.")
    ] = False,
) -> int:
    """Sign a model file or folder (OpenSSF model signing; any of its tools can verify it, unless an OpenSSH key signs).

    Examples:

      mlopsctl sign model/

      mlopsctl sign model.onnx --key alice --signature model.onnx.sig

      mlopsctl sign model/ --identity
    """
    from ..adapters.model_proof import sign_folder

    signer = _identity(key) if identity else _signer(key)
    target = signature or _beside(path)
    sign_folder(path, signer, target)
    console.out(f"signed {path} as '{signer.name}' ({signer.scheme}, key {signer.key_id[:12]}): {target}")
    if is_ssh(signer.key):
        console.note("  an SSHSIG is verified by mlopsctl only; OpenSSF's own tools take EC keys")
    return 0


def verify(
    path: Annotated[Path, typer.Argument(help="A signed model file or folder.")],
    signature: Annotated[Path | None, typer.Option(help="The signature; default: PATH.sig.")] = None,
    key: Annotated[
        Path | None, typer.Option(help="The signer's public key: PEM, base64 or OpenSSH's; default: the trust policy.")
    ] = None,
    identity: Annotated[str, typer.Option(help="Who signed by Sigstore: an address or a URL; with --issuer.")] = "",
    issuer: Annotated[str, typer.Option(help="The OIDC issuer (a URL) that vouches for the identity.")] = "",
    trust_config: Annotated[
        Path | None, typer.Option(help="Client trust config (JSON) of a Sigstore of your own; default: the public one.")
    ] = None,
) -> int:
    """Verify that every file is as it was signed. Needs no repository or network, only the public key or the identity.

    Examples:

      mlopsctl verify model/ --key alice.pub

      mlopsctl verify model/ --signature model.sig

      mlopsctl verify model/ --identity ada@example.com --issuer https://github.com/login/oauth
    """
    from ..adapters.model_proof import verify_folder

    target = signature or _beside(path)
    if identity or issuer or trust_config:
        return _verify_identity(path, target, key, (identity, issuer), trust_config)
    keys = {str(key): _public_key(key)} if key is not None else _trusted()
    failed: EvidenceError | None = None
    for name, spelled in keys.items():
        try:
            verify_folder(path, target, spelled)
        except EvidenceError as error:
            failed = failed or error
            continue
        console.out(f"ok: {path} is exactly what '{name}' signed ({scheme(spelled)})")
        return 0
    if failed is not None and len(keys) > 1:
        raise EvidenceError(
            f"none of the {len(keys)} signers of the trust policy signed {path} as it is now: {failed.message}",
            hint="--key names a signer's public key and tells more",
            code="MLO7110",
        )
    raise failed or EvidenceError("there is no key to verify with", hint="--key PUBLIC_KEY", code="MLO7114")


def _verify_identity(path: Path, target: Path, key: Path | None, who: tuple[str, str], trust: Path | None) -> int:
    from ..adapters.model_keyless import verify_folder
    from ..verifiers import identity

    try:
        if key is not None:
            raise ValueError("a signature is by a key or by an identity, not by both")
        spelled = identity(*who)
    except ValueError as error:
        raise UsageError(
            f"the identity to verify with cannot be used: {error}",
            hint="give both --identity NAME and --issuer https://…, and no --key",
            code="MLO7157",
        ) from None
    at = verify_folder(path, target, spelled, trust)
    console.out(f"ok: {path} is exactly what '{who[0]}' signed, as {who[1]} vouches, at the latest at {at} (witnessed)")
    return 0


def _identity(key: str) -> IdentitySigner:
    from ..adapters.keyless_signer import identity_signer
    from ..verifiers import asks_for_identity

    if key:
        raise UsageError("--key and --identity exclude each other", hint="leave one of them out", code="MLO7157")
    chosen = os.environ.get("MLOPS_KEY", "")
    return identity_signer(chosen if asks_for_identity(chosen) else "")


def _beside(path: Path) -> Path:
    return path.resolve().with_name(path.resolve().name + ".sig")


def _signer(key: str) -> Signer | IdentitySigner:
    if key:
        from .trail import announced

        return announced(load_signer(key_path(key)))
    from .project import open_project
    from .trail import signing_key

    try:
        return open_project().signer()
    except MlopsError as error:
        if not error.code.startswith("MLO100"):
            raise
    return signing_key()


def _public_key(path: Path) -> str:
    try:
        return public_key(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} holds no public key: {error}", hint="mlopsctl key show --public prints one", code="MLO6411"
        ) from None


def _trusted() -> dict[str, str]:
    """The signers whom the project's trust policy lets make data, models or artifacts: others sign other things."""
    from .project import open_project

    hint = "--key PUBLIC_KEY names the signer's key"
    try:
        trail = open_project().trail
        trail.sync()
        policy = trail.ledger.policy_in_force()
    except MlopsError as error:
        raise UsageError(f"no key to verify with: {error.message}", hint=hint, code="MLO6412") from None
    if policy is None:
        raise UsageError("no key to verify with: this clone has no trail", hint=hint, code="MLO6412")
    return {rule.name: rule.key for rule in policy.signers.values() if rule.roles & {"data", "train", "compile"}}
