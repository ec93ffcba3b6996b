"""docs/operators.md, written from tests/data/operators.json: ``python -m tests.docs.operator_table > docs/operators.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from tests.operators import FOUND

HEAD = """\
# Operators

Which operators of ONNX each target takes, by the standard's own node tests (`onnx.backend.test`, {cases} cases of one node
each, with the outputs that the standard wants). `make operators` runs them and writes this page; tests run a part of them
again, and all of them with `make test-all`.

* A case passes where the artifact gives the wanted outputs within 1e-3 of each number or 1e-5 of the largest: for
  `onnxruntime` and `web` the optimised model, for `web` in the page in headless Chromium, for `tvm` what its
  importer and code generator make for x86-64, before kernels are arranged.
* `all`: every case passes. `3 of 7`: the others use a variant, a type or a version that the target does not have, or are
  random. `–`: no case passes.
* Left out are cases with types that numpy has not (bfloat16, 8, 4 and 2 bit floats and integers).
* A node stands under opset {opset} and IR version {ir}, or under the first opset that has it as it is.
* A target takes more than the table says where an operator is folded away, and less where sizes are open or rows are not the
  first axis: `use: tvm` wants fixed sizes.
* `int8` is the graph of whole numbers that targets for FPGA, ASIC and microcontrollers are made of. The node is put between
  QuantizeLinear and DequantizeLinear, its weights in 8 bits, with the first axis as rows; it passes where the graph gives
  what ONNX Runtime gives for the same model, within two units. A layer that such models have before others (Relu, Clip) is
  folded into it.

Made with {versions}.
"""
TARGETS = ("onnxruntime", "web", "tvm", "int8")


def page(found: Mapping[str, Any]) -> str:
    """The whole document."""
    from tests.operators import _IR, _OPSET

    rows = found["operators"]
    total = sum(len(row["cases"]) for row in rows.values())
    versions = ", ".join(f"{name} {version}" for name, version in found["made_with"].items())
    lines = [HEAD.format(cases=total, opset=_OPSET, ir=_IR, versions=versions)]
    lines.append("| operator | cases | " + " | ".join(TARGETS) + " |")
    lines.append("|---|---|" + "---|" * len(TARGETS))
    for op, row in rows.items():
        cells = [_cell(len(row["cases"]), len(row["failed"][target])) for target in TARGETS]
        lines.append(f"| {op} | {len(row['cases'])} | " + " | ".join(cells) + " |")
    taken = [sum(len(row["cases"]) - len(row["failed"][target]) for row in rows.values()) for target in TARGETS]
    lines.append(f"| **all** | {total} | " + " | ".join(map(str, taken)) + " |")
    return "\n".join(lines) + "\n"


def _cell(cases: int, failed: int) -> str:
    return "all" if not failed else "–" if failed == cases else f"{cases - failed} of {cases}"


if __name__ == "__main__":
    sys.stdout.write(page(json.loads(FOUND.read_text(encoding="utf-8"))))
