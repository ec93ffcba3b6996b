"""``mlopsctl schema``: the JSON Schema of mlops.yaml, for editors and other tools."""

from __future__ import annotations

from . import console


def schema() -> int:
    """Prints the JSON Schema of mlops.yaml.

    Examples:

      mkdir -p .mlops && mlopsctl schema > .mlops/schema.json
    """
    from ..schema import text

    console.out(text().rstrip("\n"))
    return 0
