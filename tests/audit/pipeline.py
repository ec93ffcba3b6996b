"""The trail of a small pipeline, with chosen bytes, settings and signers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlopsctl.canonical import digest_of, plain
from mlopsctl.types import Digest, Entry, Json
from tests.audit.clone import Clone


def sha(word: str) -> str:
    """A digest that a word stands for."""
    return "sha256:" + word.encode().hex().ljust(64, "0")[:64]


def made(
    clone: Clone,
    address: str,
    output: str = "",
    *,
    spec: Mapping[str, Json] | None = None,
    facts: Mapping[str, Json] | None = None,
    kind: str = "result",
    status: str = "done",
    location: str = "",
    commit: str = "",
    code: str = "",
    **inputs: str | Sequence[str],
) -> Entry:
    """Appends one entry. ``inputs`` are words by role, ``output`` is the word for its bytes."""
    section = address.partition(".")[0]
    given = {role: [sha(word) for word in ([some] if isinstance(some, str) else some)] for role, some in inputs.items()}
    parts: dict[str, Any] = {"provider": f"{section}/x", "version": 1, "spec": plain(dict(spec or {})), "inputs": given}
    if code:
        parts["tree"] = "gitoid:" + code
    name = {"train": "model", "targets": "artifact", "data": "all"}.get(section, "out")
    trail = clone.trail
    entry = trail.append(
        kind,
        address=address,
        status=status,
        made_from=digest_of(parts) if kind == "result" else "",
        ingredients=parts,
        outputs={name: Digest(sha(output))} if output else {},
        facts=dict(facts or {}),
        location=location,
        commit=commit or clone.repo.rev("HEAD"),
    )
    trail.flush()
    return entry


def pipeline(clone: Clone) -> dict[str, Entry]:
    """Data, a failed run, a run, two gates, an artifact, and its deployment; another dataset beside it."""
    found = {
        "data": made(clone, "data.rows", "rows", facts={"rows": {"all": 100}}),
        "other": made(clone, "data.others", "others"),
        "failed": made(
            clone, "train.model", kind="failure", status="failed", spec={"params": {"lr": 5.0}}, data="rows",
            facts={"code": "MLO1211", "message": "it diverged"},
        ),
        "train": made(
            clone, "train.model", "model", spec={"run": "python train.py", "seed": 3, "params": {"lr": 0.05, "deep": {"a.b": [1]}}},
            data="rows", facts={"usage": {"seconds": "12.5"}, "claimed": {"accuracy": "0.999"}},
        ),
        "gate": made(
            clone, "gates.accuracy", status="passed", model="model", data="rows",
            facts={"value": "0.91", "ci": ["0.88", "0.94"], "n": 100, "metric": "accuracy", "view": "test"},
        ),
        "scan": made(clone, "gates.scan", status="passed", model="model"),
        "target": made(clone, "targets.cpu", "artifact", model="model", data="rows"),
    }  # fmt: skip
    found["live"] = made(
        clone, "deployments.local", artifact="artifact", location="here", facts={"artifact": sha("artifact"), "location": "here"}
    )  # fmt: skip
    return found
