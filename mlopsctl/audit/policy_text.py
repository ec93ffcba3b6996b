"""trust.yaml for a policy, with a word on what it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import Json

_HEAD = (
    "# Who may attest what. A change here is a proposal: it counts once the root keys have signed it into the trail",
    "# (mlopsctl trust apply).",
)


def policy_yaml(content: Mapping[str, Json]) -> str:
    """The text of trust.yaml; reading it back gives ``content``."""
    lines = [*_HEAD, "root:", f"  threshold: {content['root']['threshold']}", "  keys:"]
    lines += [f"    - {_word(key)}" for key in content["root"]["keys"]]
    lines.append("signers:" if content["signers"] else "signers: {}")
    for name, rule in content["signers"].items():
        lines += [f"  {_word(name)}:", *(f"    {line}" for line in _members(rule))]
    for name in ("retired", "anchors"):
        if content.get(name):
            lines.append(f"{name}:")
            for item in content[name]:
                first, *rest = _members(item) if isinstance(item, dict) else [_word(item)]
                lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def _members(rule: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {_value(value)}" for name, value in rule.items()]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"[{', '.join(map(_word, value))}]" if isinstance(value, list) else _word(value)


def _word(text: str) -> str:
    """Plain where YAML reads it as the same text, else quoted."""
    import json
    import re

    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9+/=@._:-]*( [A-Za-z0-9+/=]+)?", text) and not text.endswith(":")
    safe = plain and ": " not in text and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    return text if safe else json.dumps(text, ensure_ascii=False)
