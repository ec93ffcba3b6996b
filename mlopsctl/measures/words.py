"""The recorded metrics of an artifact in words: read by every plan, so nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..types import Json
from .names import SHARES


def metrics_words(facts: Mapping[str, Json]) -> str:
    """``accuracy 0.9722 [0.9497, 0.9848], the model's 0.9750 [0.9531, 0.9868]``; empty where none was recorded."""
    found: Any = facts.get("metrics") or {}
    metric = found.get("metric")
    if not metric:
        return ""
    return f"{metric} {_figure(metric, found['artifact'])}, the model's {_figure(metric, found['original'])}"


def _figure(metric: str, said: Mapping[str, Any]) -> str:
    def show(text: str) -> str:
        return f"{float(text):.4f}" if metric in SHARES else f"{float(text):.4g}"

    if said.get("value") is None:
        return "undefined"
    ci = said.get("ci")
    return show(said["value"]) + (f" [{show(ci[0])}, {show(ci[1])}]" if ci else "")
