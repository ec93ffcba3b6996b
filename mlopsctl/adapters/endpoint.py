"""Asks a server of the Open Inference Protocol about the rows of a table, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import MlopsError

if TYPE_CHECKING:
    import numpy as np

    from .table import Table

    Array = np.ndarray[Any, Any]

BATCH = 1000


@dataclass(frozen=True)
class Told:
    """What the server said about all rows: outputs [rows, …], its classes, and which artifacts and decisions that was."""

    outputs: dict[str, Array]
    classes: list[Any]
    artifacts: frozenset[str]
    decisions: list[str]


def ask_endpoint(endpoint: str, name: str, table: Table, features: Sequence[str]) -> Told:
    """Raises MlopsError where the server does not answer, or not in the protocol."""
    import numpy as np

    from ..serving.client import NoAnswer, infer, metadata
    from .features import feed

    try:
        described = metadata(endpoint, name)
        ports = described.get("inputs") or [_port(key, values) for key, values in table.columns.items()]
        known = [key for key in features if key in table.columns]
        feeds = feed(table, {"features": known}, [_described(port) for port in ports])
        fixed = [port["shape"][0] for port in ports if port["shape"] and port["shape"][0] > 0]
        size = fixed[0] if fixed else BATCH
        parts: list[dict[str, Array]] = []
        decisions, artifacts = [], set()
        for start in range(0, table.rows, size):
            tensors = [_tensor(port, feeds[port["name"]][start : start + size], fixed) for port in ports]
            answer = infer(endpoint, name, tensors)
            if answer.status != 200:
                raise NoAnswer(answer.error or f"HTTP {answer.status}")
            outputs = answer.body["outputs"]
            parts.append({item["name"]: np.array(item["data"]).reshape(item["shape"]) for item in outputs})
            decisions.append(answer.headers.get("x-decision-id", ""))
            artifacts.add(answer.headers.get("x-artifact-digest", "an artifact it does not name"))
        joined = {key: np.concatenate([part[key] for part in parts])[: table.rows] for key in parts[0]}
        classes = list((described.get("parameters") or {}).get("classes") or ())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MlopsError(
            f"{endpoint} does not answer in the Open Inference Protocol: {error!r}",
            hint="ask a server of this protocol: URL/v2/models/NAME",
            code="MLO1532",
        ) from error
    except NoAnswer as error:
        raise MlopsError(
            f"{endpoint} gave no predictions: {error}",
            hint="mlopsctl status shows what runs; a halted deployment answers again after mlopsctl resume",
            code="MLO1532",
        ) from None
    return Told(joined, classes, frozenset(artifacts), decisions)


def _tensor(port: Mapping[str, Any], rows: Array, fixed: list[int]) -> dict[str, Any]:
    import numpy as np

    if fixed and len(rows) < fixed[0]:
        rows = np.concatenate([rows, np.repeat(rows[-1:], fixed[0] - len(rows), axis=0)])
    return {
        "name": port["name"],
        "datatype": port["datatype"],
        "shape": list(rows.shape),
        "data": rows.ravel().tolist(),
    }


def _described(port: Mapping[str, Any]) -> dict[str, Any]:
    """A port of the protocol in the words of ``adapters.features``."""
    from ..serving.protocol import NUMPY

    dtype = NUMPY[port["datatype"]][0].name
    shape = [None if size < 0 else size for size in port["shape"]]
    return {"name": port["name"], "dtype": "string" if dtype == "object" else dtype, "shape": shape}


def _port(name: str, values: Array) -> dict[str, Any]:
    datatype = {"b": "BOOL", "i": "INT64", "u": "INT64", "f": "FP64"}.get(values.dtype.kind, "BYTES")
    return {"name": name, "datatype": datatype, "shape": [-1]}
