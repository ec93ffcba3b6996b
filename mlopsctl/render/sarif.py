"""A report as SARIF 2.1.0, the OASIS format that code scanning reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from urllib.parse import quote

from .. import __version__
from ..resources import title_of
from ..types import Json, Where
from .report import Level, Remark, Report, worst_first

_LEVEL = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "note"}
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(report: Report) -> str:
    """One run of one tool. A finding without a place stands at the top of the manifest: code scanning wants one."""
    remarks = worst_first(report.remarks)
    codes = sorted({remark.code for remark in remarks})
    run = {
        "tool": {
            "driver": {
                "name": "mlopsctl",
                "semanticVersion": __version__,
                "rules": [_rule(code) for code in codes],
            }
        },
        "automationDetails": {"id": f"mlopsctl/{report.verb}/"},
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The top of the git repository."}}},
        "invocations": [{"executionSuccessful": report.documents is not None}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(remark, codes) for remark in remarks],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(code: str) -> dict[str, Json]:
    title = title_of(code) or code
    return {
        "id": code,
        "shortDescription": {"text": title},
        "help": {"text": f"{title}. `mlopsctl explain {code}` says more."},
    }


def _result(remark: Remark, codes: Sequence[str]) -> dict[str, Json]:
    message = f"{remark.message}. Fix: {remark.fix}" if remark.fix else remark.message
    where = remark.where or Where("mlops.yaml")
    location: dict[str, Json] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(where.file.encode("utf-8", "surrogateescape")), "uriBaseId": "SRCROOT"},
            "region": {"startLine": where.line, "startColumn": where.column},
        }
    }
    if remark.address:
        location["logicalLocations"] = [{"fullyQualifiedName": remark.address, "kind": "resource"}]
    mark = [remark.code, remark.address, where.file, remark.message]
    return {
        "ruleId": remark.code,
        "ruleIndex": codes.index(remark.code),
        "level": _LEVEL[remark.level],
        "message": {"text": message or remark.code},
        "locations": [location],
        "partialFingerprints": {
            "mlopsctl/v1": hashlib.sha256("\0".join(mark).encode("utf-8", "surrogateescape")).hexdigest()
        },
    }
