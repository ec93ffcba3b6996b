"""docs/predicates.md says what entries say, and the reference library reads every entry of a real pipeline."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from mlopsctl.audit.entry import _OPTIONAL, _REQUIRED
from mlopsctl.audit.statement import SLSA, TEST_RESULT, predicate_type
from mlopsctl.audit.trust import KINDS, RESULT_KINDS
from mlopsctl.audit.vsa import VSA
from mlopsctl.types import SECTIONS
from tests.quickstart import must, shell

TEXT = (Path(__file__).parents[2] / "docs/predicates.md").read_text(encoding="utf-8")
COMMON, RESERVED = "`mlopsctl_entry`", "Reserved"


def documented() -> dict[str, set[str]]:
    """Predicate type -> the fields of its table."""
    found = {}
    for part in TEXT.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        rows = [line.split("|")[1] for line in body.splitlines() if line.startswith("| `")]
        found[title.strip("`")] = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    return found


def reserved() -> set[str]:
    return set(re.findall(r"urn:mlopsctl:attestation:[a-z]+:v1", TEXT.partition("## Reserved")[2]))


def written() -> set[str]:
    """Every type that the code can give an entry."""
    found = {predicate_type(kind, f"{section}.x") for kind in RESULT_KINDS for section in SECTIONS}
    return found | {predicate_type(kind, "") for kind in KINDS if kind not in RESULT_KINDS}


def test_every_type_is_documented_and_no_other() -> None:
    listed = {title for title in documented() if ":" in title and "mlopsctl_entry" not in title}
    assert listed | reserved() == written() | {VSA}
    assert not listed & reserved()


def test_every_type_has_a_version() -> None:
    assert all(re.search(r"[:/]v[0-9.]+$", uri) for uri in written() | {VSA})


def test_the_members_of_an_entry_are_documented() -> None:
    fields = next(fields for title, fields in documented().items() if "mlopsctl_entry" in title)
    assert fields == set(_REQUIRED) | set(_OPTIONAL)


# --- A real pipeline ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def statements(applied: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The payloads of a trail with a pipeline, a failure, a failed gate, and a change of mind or two."""
    folder = tmp_path_factory.mktemp("pipeline") / "digits"
    must(f"cp -r {applied} {folder}", applied)
    must("printf '\\ndeployments:\\n  local: {target: cpu}\\n' >> mlops.yaml && git commit -qam deploy", folder)
    try:
        must("mlopsctl apply -y", folder)
        must("mlopsctl halt local --reason drill && mlopsctl resume local --reason over", folder)
        must("sed -i 's/0.93/0.999/; s/metric: accuracy/metric: balanced_accuracy/' mlops.yaml", folder)
        must("git commit -qam stricter", folder)
        assert shell("mlopsctl apply -y", folder).returncode == 4
        must("echo 'raise SystemExit(1)' >> train.py && git commit -qam broken", folder)
        assert shell("mlopsctl apply -y", folder).returncode == 1
    finally:
        must("mlopsctl destroy --all -y", folder)
    return [b64decode(json.loads(line)["payload"]) for line in must("mlopsctl audit export", folder).splitlines()]


def parsed(predicate: dict[str, Any], module: str, message: str) -> Any:
    """The predicate as the library's own type; what it does not know is ours."""
    json_format: Any = import_module("google.protobuf.json_format")
    kind: Callable[[], Any] = getattr(import_module(f"in_toto_attestation.predicates.{module}_pb2"), message)
    return json_format.ParseDict(predicate, kind(), ignore_unknown_fields=True)


def test_the_library_reads_every_entry_of_a_pipeline(statements: list[bytes]) -> None:
    json_format: Any = import_module("google.protobuf.json_format")
    reference: Any = import_module("in_toto_attestation.v1.statement").Statement
    message_type: Any = import_module("in_toto_attestation.v1.statement_pb2").Statement
    seen = set()
    for payload in statements:
        message = json_format.Parse(payload, message_type())
        reference.copy_from_pb(message).validate()
        predicate, kind = json.loads(payload)["predicate"], message.predicate_type
        entry = predicate["mlopsctl_entry"]
        seen.add((entry["kind"], entry.get("address", "").partition(".")[0]))
        if kind == SLSA:
            found = parsed(predicate, "provenance.v1.provenance", "Provenance")
            assert found.build_definition.build_type and found.build_definition.resolved_dependencies
            assert found.run_details.builder.id and found.run_details.metadata.finished_on.seconds
        elif kind == TEST_RESULT:
            found = parsed(predicate, "test_result.v0.test_result", "TestResult")
            assert found.result in ("PASSED", "FAILED", "WARNED") and found.configuration
            assert list(found.failed_tests) == ([entry["address"]] if found.result == "FAILED" else [])
        else:
            assert kind.startswith("urn:mlopsctl:attestation:") and predicate.keys() == {"mlopsctl_entry"}
    assert seen >= {
        ("root", ""), ("result", "data"), ("result", "train"), ("result", "gates"), ("result", "targets"),
        ("result", "deployments"), ("failure", "train"), ("halt", "deployments"), ("resume", "deployments"),
        ("destroy", "deployments"),
    }  # fmt: skip


def test_every_fact_of_a_pipeline_is_documented(statements: list[bytes]) -> None:
    fields = documented()
    for payload in statements:
        statement = json.loads(payload)
        facts = statement["predicate"]["mlopsctl_entry"].get("facts", {})
        known = fields[statement["predicateType"]]
        if statement["predicateType"].endswith((":failure:v1", ":destroy:v1")):
            known = set.union(*fields.values())
        assert set(facts) <= known, (statement["predicateType"], set(facts) - known)


# --- The verification summary ------------------------------------------------------------------------------------


def summary(project: Path) -> tuple[dict[str, Any], list[str]]:
    *lines, last = must("mlopsctl audit export targets.cpu --vsa", project).splitlines()
    statement: dict[str, Any] = json.loads(b64decode(json.loads(last)["payload"]))
    return statement, lines


def test_a_summary_is_signed_names_what_it_rests_on_and_is_read_by_the_library(project: Path) -> None:
    statement, lines = summary(project)
    reference: Any = import_module("in_toto_attestation.v1.statement").Statement
    message_type: Any = import_module("in_toto_attestation.v1.statement_pb2").Statement
    json_format: Any = import_module("google.protobuf.json_format")
    reference.copy_from_pb(json_format.ParseDict(statement, message_type())).validate()
    predicate = statement["predicate"]
    assert statement["predicateType"] == VSA and statement["subject"][0]["name"] == "artifact"
    assert predicate["verifiedLevels"] == ["MLOPSCTL_TRAIL", "MLOPSCTL_GATES"]
    # The library's type has one level as text, where the specification has a list.
    found = parsed({**predicate, "verifiedLevels": predicate["verifiedLevels"][0]}, "vsa.v1.vsa", "VerificationSummary")
    assert found.verification_result == "PASSED" and found.time_verified.seconds and found.verifier.id
    rests_on = {item["digest"]["sha256"] for item in predicate["inputAttestations"]}
    assert rests_on == {hashlib.sha256(line.encode()).hexdigest() for line in lines}
    fields = {name.partition(".")[0] for name in documented()[VSA]}
    assert set(predicate) == fields - {"PASSED"}


def test_a_failed_gate_fails_the_summary(project: Path) -> None:
    must("sed -i 's/min: 0.93/min: 0.999/; s/metric: accuracy/metric: balanced_accuracy/' mlops.yaml", project)
    must("git commit -qam stricter", project)
    assert shell("mlopsctl apply -y", project).returncode == 4
    predicate = summary(project)[0]["predicate"]
    assert (predicate["verificationResult"], predicate["verifiedLevels"]) == ("FAILED", ["FAILED"])


def test_only_an_artifact_is_summed_up(project: Path) -> None:
    for words, code in (("data.digits", 0), ("gates.accuracy", 1), ("", 64)):
        done = shell(f"mlopsctl audit export {words} --vsa", project)
        assert done.returncode == code and (code == 0 or "MLO724" in done.stdout)
