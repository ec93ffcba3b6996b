"""Where templates and schemas lie: inside an installed wheel, or beside the package in a checkout."""

from __future__ import annotations

import re
from pathlib import Path

from . import __version__
from .errors import UsageError

_PACKAGE = Path(__file__).resolve().parent
_NOT_PROJECTS = ("ci", "hooks")
EXPLANATIONS = _PACKAGE / "explanations"
"""The long form of every error code, in paragraphs ``## MLO1234 title``."""


def data_dir(name: str) -> Path:
    """The folder ``templates`` or ``schemas``."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def template_names() -> list[str]:
    """The templates that ``init`` knows, sorted."""
    found = (item.name for item in data_dir("templates").iterdir() if item.is_dir())
    return sorted(name for name in found if name not in _NOT_PROJECTS)


def template_dir(name: str) -> Path:
    """The folder of one template. Raises UsageError for a name that is none."""
    names = template_names()
    if name not in names:
        raise UsageError(f"there is no template '{name}'", hint=f"take one of: {', '.join(names)}", code="MLO6451")
    return data_dir("templates") / name


def ci_job(host: str) -> str:
    """The CI job that ``init`` writes for ``github`` or ``gitlab``."""
    text = (data_dir("templates") / "ci" / f"{host}.yml").read_text(encoding="utf-8")
    return text.replace("{{ version }}", __version__)


def title_of(code: str) -> str:
    """What an error code stands for, in the few words of its explanation; "" for a code that has none."""
    for path in sorted(EXPLANATIONS.glob("*.md")):
        found = re.search(rf"^## {re.escape(code)} (\S.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return ""


def schema_text() -> str:
    """The JSON Schema of mlops.yaml, as it is in the repository."""
    return (data_dir("schemas") / "mlops.schema.json").read_text(encoding="utf-8")
