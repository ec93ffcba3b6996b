"""``mlopsctl sign`` and ``verify``: OpenSSF signatures of model files and folders, in a project or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..adapters.keys import Signer, key_path, load_signer
from ..errors import EvidenceError, MlopsError, UsageError
from ..verifiers import is_ssh, public_key, scheme
from . import console


def sign(
    path: Annotated[Path, typer.Argument(help="A model file or folder.", exists=True)],
    signature: Annotated[Path | None, typer.Option(help="Where the signature goes; default: PATH.sig.")] = None,
    key: Annotated[str, typer.Option(help="Name or path of the private key; default: the one that signs here.")] = "",
) -> int:
    """Sign a model file or folder (OpenSSF model signing; any of its tools can verify it, unless an OpenSSH key signs).

    Examples:

      mlopsctl sign model/

      mlopsctl sign model.onnx --key alice --signature model.onnx.sig
    """
    from ..adapters.model_signature import sign_folder

    signer = _signer(key)
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
) -> int:
    """Verify that every file is as it was signed. Needs no repository, only the public key.

    Examples:

      mlopsctl verify model/ --key alice.pub

      mlopsctl verify model/ --signature model.sig
    """
    from ..adapters.model_signature import verify_folder

    target = signature or _beside(path)
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


def _beside(path: Path) -> Path:
    return path.resolve().with_name(path.resolve().name + ".sig")


def _signer(key: str) -> Signer:
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
