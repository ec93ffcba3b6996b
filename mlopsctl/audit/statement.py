"""What an entry says, as an in-toto Statement v1 that other tools can read.

Subjects are the git commit and every output. The predicate is SLSA Provenance v1 for what was built, in-toto
test-result for gates, and our own for the rest; our fields ride along as the one extra member ``mlopsctl_entry``.
Sources: https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance,
https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..canonical import canonical, digest_of
from ..types import Json

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
SLSA = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
OWN = "urn:mlopsctl:attestation:{kind}:v1"
MEMBER = "mlopsctl_entry"

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Git's id of the tree without files: what entries hang on before the first commit."""

ALGORITHMS = {"sha256": "sha256", "dirhash": "dirHash", "gitoid": "gitTree"}


@lru_cache(maxsize=1024)
def predicate_type(kind: str, address: str) -> str:
    """The type URI for an entry of this kind about this resource."""
    section = address.partition(".")[0]
    if kind == "result" and section in ("train", "targets"):
        return SLSA
    if kind == "result" and section == "gates":
        return TEST_RESULT
    if kind == "result":
        return OWN.format(kind={"deployments": "deployment"}.get(section, section or "result"))
    return OWN.format(kind=kind)


def subjects(commit: str, outputs: Mapping[str, str]) -> list[Json]:
    """The commit first (it is the note's path), then every output by name."""
    first = {"name": "commit", "digest": {"gitCommit": commit}}
    if not commit or commit == EMPTY_TREE:
        first = {"name": "no commit yet", "digest": {"gitTree": EMPTY_TREE}}
    return [first, *[{"name": name, "digest": digest_set(outputs[name])} for name in sorted(outputs)]]


def digest_set(digest: str) -> dict[str, str]:
    """in-toto's DigestSet for one of our digests. Raises ValueError for an unknown algorithm."""
    algorithm, _, value = digest.partition(":")
    if algorithm not in ALGORITHMS or not value:
        raise ValueError(f"{digest!r} is no digest: write sha256:…, dirhash:… or gitoid:…")
    return {ALGORITHMS[algorithm]: value}


def statement(fields: Mapping[str, Json], commit: str) -> bytes:
    """The payload to be signed: canonical JSON. ``fields`` are our members, empty ones left out."""
    kind, address = fields["kind"], fields.get("address", "")
    kind_uri = predicate_type(kind, address)
    if kind_uri == SLSA:
        predicate = _provenance(fields)
    elif kind_uri == TEST_RESULT:
        predicate = _test_result(fields)
    else:
        predicate = {}
    predicate[MEMBER] = dict(fields)
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects(commit, fields.get("outputs", {})),
            "predicateType": kind_uri,
            "predicate": predicate,
        }
    )


def _dependencies(ingredients: Mapping[str, Any]) -> list[Json]:
    """What went in, as resource descriptors: inputs by role, and the tree of code."""
    found: list[Json] = []
    for role, digests in sorted((ingredients.get("inputs") or {}).items()):
        for digest in digests if isinstance(digests, list) else [digests]:
            found.append({"name": role, "digest": digest_set(digest)})
    if ingredients.get("tree"):
        found.append({"name": "code", "digest": digest_set(ingredients["tree"])})
    return found


def _provenance(fields: Mapping[str, Any]) -> dict[str, Json]:
    ingredients = fields.get("ingredients", {})
    section = fields["address"].partition(".")[0]
    return {
        "buildDefinition": {
            "buildType": f"urn:mlopsctl:build:{section}:v1",
            "externalParameters": {
                "address": fields["address"],
                "provider": ingredients.get("provider", ""),
                "spec": ingredients.get("spec", {}),
            },
            "internalParameters": {"made_with": fields.get("made_with", {})},
            "resolvedDependencies": _dependencies(ingredients),
        },
        "runDetails": {
            "builder": {"id": f"urn:mlopsctl:builder:{fields['signer']}"},
            "metadata": {"invocationId": fields.get("made_from", ""), "finishedOn": fields["at"]},
        },
    }


def _test_result(fields: Mapping[str, Any]) -> dict[str, Json]:
    name, status = fields["address"], fields.get("status", "")
    result = {"passed": "PASSED", "failed": "FAILED"}.get(status, "WARNED")
    ingredients = fields.get("ingredients", {})
    configuration: list[Json] = [{"name": "spec", "digest": digest_set(digest_of(ingredients.get("spec", {})))}]
    return {
        "result": result,
        "configuration": configuration + _dependencies(ingredients),
        "passedTests": [name] if result == "PASSED" else [],
        "warnedTests": [name] if result == "WARNED" else [],
        "failedTests": [name] if result == "FAILED" else [],
    }
