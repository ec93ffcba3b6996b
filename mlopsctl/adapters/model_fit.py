"""Whether a compiler can take an ONNX model at all: asked before it is started, answered with the name of the node."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..errors import ProviderError

_SHOWN = 4


class Limits(NamedTuple):
    """What can be taken; ``workers/model_check.py`` says what each of these means."""

    ops: tuple[str, ...] | None = None
    opset: tuple[int, int] | None = None
    fixed: bool = False
    external: bool = False
    finite: bool = False
    max_elements: int = 2**28


def require_fit(
    model: Path,
    who: str,
    limits: Limits = Limits(),  # noqa: B008 — a named tuple does not change
    *,
    hint: str = "export the model anew without it, or choose another use:",
    seconds: float = 600.0,
    memory: int = 4 * 2**30,
) -> None:
    """Raises ProviderError (MLO1430) unless ``who`` (``use: fpga``) can take the model, naming the nodes that it cannot.

    ``hint`` says what the user can do instead.
    """
    from ..workers import model_check
    from .worker import run_worker

    room = memory + 4 * sum(file.stat().st_size for file in model.parent.rglob("*") if file.is_file())
    request = {"model": str(model.resolve()), "limits": limits._asdict()}
    answer = run_worker(
        Path(model_check.__file__), request, seconds=seconds, memory=room, task=f"looking through {model.name}"
    )
    if "error" in answer:
        raise ProviderError(f"{model.name} can not be read: {answer['error']}", hint=hint, code="MLO1430")
    refuse(who, [str(item["what"]) for item in answer["findings"]], hint)


def refuse(who: str, findings: list[str], hint: str) -> None:
    """Raises ProviderError (MLO1430) where something was found."""
    if findings:
        more = f" (and {len(findings) - _SHOWN} more)" if len(findings) > _SHOWN else ""
        raise ProviderError(
            f"{who} can not take the model: {'; '.join(findings[:_SHOWN])}{more}", hint=hint, code="MLO1430"
        )
