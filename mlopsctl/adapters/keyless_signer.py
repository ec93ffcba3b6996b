"""Signing by an identity: a key that lives as long as the process, a certificate for it, an entry in the log.

Nothing is kept on disk. One certificate (ten minutes at the public Sigstore) serves all that a process signs meanwhile.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import EvidenceError
from ..verifiers import identity, is_identity, key_id, parts, scheme
from .identity_token import identity_token
from .keyless import payload_of, trust_config, verified, verifier
from .sigstore_trust import Source, trust_source

ATTEMPTS = 3
TIMEOUT = 30.0
"""Seconds that one answer may take; the library itself would wait for ever, and the trail's lock is held meanwhile."""
_SPARE = timedelta(seconds=30)
_NEVER = datetime.min.replace(tzinfo=UTC)
_ISSUER_OID = "1.3.6.1.4.1.57264.1.1"


def identity_signer(text: str = "", given: Path | None = None) -> IdentitySigner:
    """The one signer of this process for ``sigstore`` or ``sigstore:ISSUER#NAME``; asks nobody before it is used.

    Raises EvidenceError: MLO7152 for another spelling, MLO7153 for an unreadable trust config.
    """
    wanted = text if is_identity(text) else ""
    try:
        if wanted:
            identity(*parts(wanted))
    except ValueError as error:
        raise EvidenceError(
            f"{wanted} names no identity: {error}", hint="export MLOPS_KEY=sigstore:ISSUER#NAME", code="MLO7152"
        ) from None
    return _signer(wanted, trust_source(given))


@lru_cache(maxsize=4)
def _signer(wanted: str, source: Source) -> IdentitySigner:
    return IdentitySigner(wanted, source)


@dataclass
class IdentitySigner:
    """Signs as whoever the token says, or where ``wanted`` names an identity, as this one only."""

    wanted: str
    source: Source
    _config: Any = field(default=None, repr=False)
    _current: Any = field(default=None, repr=False)
    _until: datetime = _NEVER
    _key: str = ""

    @property
    def key(self) -> str:
        """``sigstore:ISSUER#NAME``, as the certificate has it. The first question fetches one; raises as ``seal``."""
        self._certified()
        return self._key

    @property
    def name(self) -> str:
        return parts(self.key)[0]

    @property
    def key_id(self) -> str:
        return key_id(self.key)

    @property
    def scheme(self) -> str:
        """The form of its signatures, in words."""
        return scheme(self.key)

    def ready(self) -> None:
        """Fetches a certificate now, so that work is not done in vain for want of one. Raises as ``seal``."""
        self._certified()

    def seal(self, message: bytes) -> tuple[bytes, dict[str, Any]]:
        """The signature, and the bundle that proves it. ``message`` is DSSE's encoding of an in-toto statement.

        Raises EvidenceError: MLO7150 to MLO7152 there is no (or another) identity, MLO7154 Sigstore was not reached,
        MLO7155 what it gave proves nothing. Nothing was written then but, perhaps, an entry in Sigstore's own log.
        """
        bundle = self.sign_statement(payload_of(message))
        envelope = bundle.pop("dsseEnvelope")
        return b64decode(envelope["signatures"][0]["sig"]), {"sigstore": bundle}

    def sign_statement(self, payload: bytes) -> dict[str, Any]:
        """The whole bundle around an in-toto statement, verified. Raises as ``seal``."""
        statement = _exactly(payload)
        made = _patiently("sign", lambda: self._certified().sign_dsse(statement))
        bundle: dict[str, Any] = json.loads(made.to_json())
        try:
            verified(verifier(self.source), self._key, bundle)
        except EvidenceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong, an entry that nobody can verify must not be kept
            raise EvidenceError(
                f"what Sigstore gave does not prove the signature: {error}",
                hint="run the command again; where it stays so, the trust config and the services do not belong together",
                code="MLO7155",
            ) from None
        return bundle

    def _certified(self) -> Any:
        """sigstore's Signer, with a certificate that lasts for a while yet."""
        if datetime.now(UTC) + _SPARE >= self._until:
            self._certify()
        return self._current

    def _trusted(self) -> Any:
        if self._config is None:
            self._config = _patiently("fetch its trust root", lambda: trust_config(self.source, refresh=True))
        return self._config

    def _certify(self) -> None:
        from sigstore.sign import Signer, SigningContext

        token = identity_token(self._trusted)
        context = _patiently("use its configuration", lambda: SigningContext.from_trust_config(self._trusted()))
        _bound(context)
        current = _patiently("give a certificate", lambda: Signer(token, context))
        certificate = current._signing_cert()
        key = _key_of(certificate)
        for wanted in (self.wanted, self._key):
            if wanted and wanted != key:
                raise EvidenceError(
                    f"Sigstore certified {key}, and not {wanted}",
                    hint="set MLOPS_KEY to the identity that this job has, or run it where the wanted one is given",
                    code="MLO7152",
                )
        self._current, self._key, self._until = current, key, certificate.not_valid_after_utc


def _exactly(payload: bytes) -> Any:
    """sigstore's Statement around these bytes. Its own check knows only hashes as subjects, and ours has a commit."""
    from sigstore.dsse import Statement

    statement = Statement.__new__(Statement)
    statement._contents = payload
    return statement


def _key_of(certificate: Any) -> str:
    """Who the certificate is for, in the spelling of trust policies. Raises EvidenceError (MLO7155)."""
    from cryptography.x509 import ObjectIdentifier, SubjectAlternativeName
    from sigstore.verify.policy import Identity

    try:
        extensions = certificate.extensions
        name = str(extensions.get_extension_for_class(SubjectAlternativeName).value[0].value)
        issuer = extensions.get_extension_for_oid(ObjectIdentifier(_ISSUER_OID)).value.value.decode()
        Identity(identity=name, issuer=issuer).verify(certificate)
        return identity(name, issuer)
    except Exception as error:  # noqa: BLE001 - a certificate of any form, read by two libraries
        raise EvidenceError(
            f"Sigstore's certificate names nobody that a trust policy can name: {error}",
            hint="an identity is an address or a URL without spaces, its issuer a URL; see docs/keyless.md",
            code="MLO7155",
        ) from None


def _patiently(what: str, ask: Callable[[], Any]) -> Any:
    """The answer of a service, asked again a little later where it fails. Raises EvidenceError (MLO7154)."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return ask()
        except EvidenceError:
            raise
        except Exception as error:  # noqa: BLE001 - requests', urllib3's and five clients' own, without a common class
            if attempt == ATTEMPTS:
                why = " ".join(f"{error or type(error).__name__}".split())
                raise EvidenceError(
                    f"Sigstore could not {what}: {why}",
                    hint="nothing was recorded; run the command again when Sigstore can be reached",
                    code="MLO7154",
                ) from None
        time.sleep(attempt * 0.5)
    raise AssertionError("unreachable")


def _bound(context: Any) -> None:
    """Gives every request of Fulcio's and Rekor's clients a time limit."""
    from requests.adapters import HTTPAdapter

    class Bounded(HTTPAdapter):
        def send(self, *args: Any, **options: Any) -> Any:
            options["timeout"] = options.get("timeout") or TIMEOUT
            return super().send(*args, **options)

    for session in (context._fulcio.session, context._rekor._session):
        for prefix in ("https://", "http://"):
            session.mount(prefix, Bounded())
