"""Where the OIDC token comes from that says who signs: a file, the CI system, or the user in a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import EvidenceError

TOKEN_FILE = "MLOPS_ID_TOKEN_FILE"  # noqa: S105 - the name of a variable
AUDIENCE = "sigstore"


def identity_token(config: Callable[[], Any]) -> Any:
    """A token for Sigstore (sigstore's IdentityToken): from $MLOPS_ID_TOKEN_FILE, from the CI system around us (GitHub,
    GitLab, Buildkite, CircleCI, Google Cloud), or where a person sits at the terminal, from their login in a browser.

    ``config`` gives sigstore's ClientTrustConfig; only a login asks for it. Raises EvidenceError: MLO7150 no token to be had, MLO7151 an unusable one.
    """
    from sigstore.oidc import IdentityError, IdentityToken, detect_credential

    try:
        raw = _from_file() or detect_credential(AUDIENCE)
    except IdentityError as error:
        # In a CI job that was not allowed a token, or whose own service does not answer.
        raise _none(str(error)) from None
    if raw is None:
        return _login(config)
    try:
        return IdentityToken(raw, AUDIENCE)
    except IdentityError as error:
        raise EvidenceError(
            f"the identity token cannot be used: {error}" + (f" ({error.__cause__})" if error.__cause__ else ""),
            hint=f"Sigstore wants a fresh OIDC token whose audience is '{AUDIENCE}'; see docs/keyless.md",
            code="MLO7151",
        ) from None


def _from_file() -> str:
    named = os.environ.get(TOKEN_FILE, "")
    if not named:
        return ""
    try:
        return Path(named).read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise EvidenceError(
            f"the identity token {named} cannot be read: {error}",
            hint=f"{TOKEN_FILE} names a file that holds an OIDC token; unset it to use the CI system's, or to log in",
            code="MLO7151",
        ) from None


def _login(config: Callable[[], Any]) -> Any:
    """Opens a browser; where there is none, prints an address and asks for the code that is shown there."""
    from sigstore.errors import NetworkError
    from sigstore.oidc import IdentityError, Issuer, IssuerError

    if os.environ.get("CI") or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise _none("no token file, no CI system that gives one, and nobody at a terminal to log in")
    try:
        return Issuer(config().signing_config.get_oidc_url()).identity_token()
    except (NetworkError, IssuerError, IdentityError) as error:
        raise _none(f"the login failed: {error or type(error).__name__}") from None


def _none(why: str) -> EvidenceError:
    return EvidenceError(
        f"there is no identity to sign with: {' '.join(why.split())}",
        hint="GitHub needs 'permissions: id-token: write', GitLab SIGSTORE_ID_TOKEN under id_tokens; see docs/keyless.md",
        code="MLO7150",
    )
