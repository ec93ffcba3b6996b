"""What JSON other programs may rely on: the schemas under schemas/, and the validator that knows them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "schemas"


def follows(name: str, text: str) -> Any:
    """The document in ``text``, which must be as ``schemas/NAME.schema.json`` says."""
    document = json.loads(text)
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    found = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]
    assert not found, found
    return document
