"""The node tests of ONNX itself (``onnx.backend.test``) through the targets: which operator each of them really takes.

``python -m tests.operators`` runs all of them and writes ``tests/data/operators.json``, which docs/operators.md is made of.
A case is one node with inputs and the outputs that the standard wants; it passes where the artifact gives these.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.operators_int8 import takes

FOUND = Path(__file__).parent / "data" / "operators.json"
_TVM_SECONDS = 60
_OPSET, _IR = 21, 10
_ATOL = 1e-5


class Case(NamedTuple):
    """One node test; ``sets`` are pairs of inputs and wanted outputs, each in the order of the graph's."""

    name: str
    op: str
    model: Any
    sets: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def inputs(self) -> list[str]:
        return [item.name for item in self.model.graph.input]


Runner = Callable[[Case, Sequence[Any]], list[Any]]
"""The outputs of a case's artifact for one set of inputs; raises where the target does not take it."""


@cache
def cases() -> tuple[Case, ...]:
    """All cases of one node: loaded once, because onnx makes them while it imports its tests."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, about what the tests do on purpose
        return tuple(_of_one_node(load_model_tests(kind="node")))


def _of_one_node(found: Iterable[Any]) -> Iterator[Case]:
    seen = set()
    for one in found:
        nodes = one.model.graph.node
        # An expanded function is a test of other operators.
        if len(nodes) != 1 or "_expanded" in one.name or one.name in seen or not _plain(one.model):
            continue
        seen.add(one.name)
        domain = nodes[0].domain
        op = f"{domain}::{nodes[0].op_type}" if domain not in ("", "ai.onnx") else nodes[0].op_type
        sets = [
            ([_array(item) for item in given], [_array(item) for item in wanted]) for given, wanted in one.data_sets
        ]
        yield Case(one.name, op, _as_exported(one.model), sets, one.rtol, one.atol)


def _plain(model: Any) -> bool:
    """Whether all that goes in and comes out is of a type that numpy has: rows of tables are."""
    from onnx import TensorProto as T

    plain = {T.UNDEFINED, T.FLOAT, T.FLOAT16, T.DOUBLE, T.BOOL, T.STRING}
    plain |= {T.INT8, T.INT16, T.INT32, T.INT64, T.UINT8, T.UINT16, T.UINT32, T.UINT64}
    return all(item.type.tensor_type.elem_type in plain for item in (*model.graph.input, *model.graph.output))


def _array(item: Any) -> Any:
    from onnx import TensorProto, numpy_helper

    if isinstance(item, TensorProto):
        return numpy_helper.to_array(item)
    return np.asarray(item) if isinstance(item, np.generic) else item


def _as_exported(model: Any) -> Any:
    """The same node under the versions that exporters write, where the checker finds it right under them.

    The tests name the newest versions, also for nodes that have long been what they are, and no runtime takes those yet.
    """
    from onnx import ModelProto, checker, defs

    found = ModelProto()
    found.CopyFrom(model)
    found.ir_version = min(found.ir_version, _IR)
    node = found.graph.node[0]
    for item in found.opset_import:
        if item.domain in ("", "ai.onnx") and node.domain in ("", "ai.onnx"):
            newest = item.version
            since = defs.get_schema(node.op_type, newest, "").since_version
            for version in sorted({min(newest, _OPSET), since}):
                item.version = version
                with contextlib.suppress(Exception):  # onnx raises kinds of its own
                    checker.check_model(found, full_check=True)
                    break
            else:
                item.version = newest
    return found


def passes(case: Case, run: Runner) -> bool:
    """Whether the artifact gives what the standard wants, for every set."""
    try:
        return all(_alike(case, wanted, run(case, given)) for given, wanted in case.sets)
    except Exception:  # noqa: BLE001 — whatever a target refuses with, it does not take the node
        return False


def _alike(case: Case, wanted: Sequence[Any], found: Sequence[Any]) -> bool:
    if len(wanted) != len(found):
        return False
    for before, after in zip(wanted, found, strict=True):
        if isinstance(before, list | tuple):
            if not isinstance(after, list | tuple) or not _alike(case, before, after):
                return False
            continue
        one, other = np.asarray(before), np.asarray(after)
        if one.shape != other.shape or (one.dtype.kind in "biufc" and one.dtype != other.dtype):
            return False
        if one.dtype.kind in "OUS":
            if one.astype(str).tolist() != other.astype(str).tolist():
                return False
        elif not np.allclose(one, other, rtol=case.rtol, atol=max(case.atol, _ATOL * _largest(one)), equal_nan=True):
            return False
    return True


def _largest(wanted: Any) -> float:
    """The size of the numbers at hand, at least 1: a zero that comes of large ones is as exact as they are."""
    finite = wanted[np.isfinite(wanted)] if wanted.dtype.kind in "fc" else wanted
    return max(1.0, float(np.abs(finite).max(initial=0)) if wanted.dtype.kind in "fc" else 1.0)


# --- The targets ---------------------------------------------------------------------------------------------------


def optimised(case: Case, folder: Path) -> Path:
    """The model as the targets onnxruntime and web have it."""
    import onnx

    from mlopsctl.workers.ort_optimise import optimise

    onnx.save(case.model, folder / "model.onnx")
    optimise(str(folder / "model.onnx"), str(folder / "optimised.onnx"))
    return folder / "optimised.onnx"


def onnxruntime(case: Case, given: Sequence[Any]) -> list[Any]:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as name:
        session = runtime.InferenceSession(optimised(case, Path(name)), options, providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(None, dict(zip(case.inputs, given, strict=True)))
    return found


class Page:
    """A page of ``use: web`` in Chromium, whose model is another one for each case."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._bundle, self._seconds = folder, seconds
        self._home = tempfile.TemporaryDirectory(prefix="mlopsctl-operators-")
        self._open()

    def _open(self) -> None:
        from mlopsctl.adapters.browser import _confined
        from mlopsctl.workers.browse import Browser

        home = Path(tempfile.mkdtemp(dir=self._home.name))
        self._browser = Browser(_confined(self._bundle, home, 4 * 2**30), str(home), self._seconds)
        self._browser.open((self._bundle / "index.html").as_uri())
        self._browser.value("mlopsctl.ready")

    def close(self) -> None:
        self._browser.close()
        self._home.cleanup()

    def run(self, case: Case, given: Sequence[Any]) -> list[Any]:
        import base64

        from mlopsctl.workers.browse import Failed, decode, encode

        arrays = [np.asarray(one) for one in given]
        feeds = {name: encode(one, _kind(one)) for name, one in zip(case.inputs, arrays, strict=True)}
        with tempfile.TemporaryDirectory() as name:
            model = base64.b64encode(optimised(case, Path(name)).read_bytes()).decode()
        # The page's own names: its classic scripts share them.
        load = f'ort.InferenceSession.create(bytesOf("{model}"), {{executionProviders: ["wasm"], graphOptimizationLevel: "disabled"}})'
        try:
            answers = self._browser.value(
                f"(async () => {{ session = await {load}; return mlopsctl.run({json.dumps(feeds)}); }})()"
            )
        except Failed as failed:
            if str(failed) in ("the browser ended", "the page did not answer in time"):
                self._browser.close()
                self._open()
            raise
        return [decode(answers[item.name]) for item in case.model.graph.output]


def _kind(array: Any) -> str:
    return "string" if array.dtype.kind in "OUS" else str(array.dtype)


def tvm(case: Case, given: Sequence[Any]) -> list[Any]:
    """TVM's importer and code generator for this processor, with the sizes of the case."""
    import tvm as compiler
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    module = from_onnx(case.model, keep_params_in_input=False)
    built = relax.build(module, target=compiler.target.Target({"kind": "llvm", "mcpu": "x86-64-v3"}))
    machine = relax.VirtualMachine(built, compiler.cpu())
    found = machine["main"](*(compiler.runtime.tensor(np.asarray(one)) for one in given))
    return [one.numpy() for one in (found if hasattr(found, "__len__") and not hasattr(found, "numpy") else [found])]


def apart(found: Iterable[Case], run: Runner, seconds: float) -> dict[str, bool]:
    """The outcome of each case in a process of its own: a compiler may take its process down."""
    outcomes: dict[str, bool] = {}
    forking = multiprocessing.get_context("fork")
    for case in found:
        with tempfile.TemporaryDirectory() as name:
            said = Path(name) / "passed"
            child = forking.Process(target=_tell, args=(case, run, said))
            child.start()
            child.join(seconds)
            if child.is_alive():
                child.kill()
                child.join()
            outcomes[case.name] = said.exists()
    return outcomes


def _tell(case: Case, run: Runner, said: Path) -> None:
    silent = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(silent, number)
    if passes(case, run):
        said.touch()


def in_a_browser(names: Sequence[str]) -> dict[str, bool]:
    """The outcome of each named case in a page. In a process of its own: a browser is driven over descriptors 3 and 4."""
    with tempfile.TemporaryDirectory(prefix="mlopsctl-operators-") as name:
        asked, told = Path(name) / "names.json", Path(name) / "told.json"
        asked.write_text(json.dumps(list(names)), encoding="utf-8")
        command = [sys.executable, "-W", "ignore", "-m", "tests.operators", "--page", str(asked), str(told)]
        subprocess.run(command, cwd=FOUND.parents[2], check=True, capture_output=True)
        found: dict[str, bool] = json.loads(told.read_text(encoding="utf-8"))
    return found


def _in_this_process(names: Collection[str]) -> dict[str, bool]:
    with tempfile.TemporaryDirectory() as name, contextlib.closing(Page(bundle(Path(name)), 3600)) as page:
        return {case.name: passes(case, page.run) for case in cases() if case.name in names}


# --- All of it -----------------------------------------------------------------------------------------------------


def bundle(folder: Path) -> Path:
    """A page of ``use: web`` in ``folder``."""
    from mlopsctl.adapters.inference import inspect_model
    from mlopsctl.adapters.web_bundle import write_bundle
    from tests.providers.targets.models import write_mlp

    write_mlp(folder / "model.onnx")
    about = inspect_model(folder / "model.onnx")
    write_bundle(folder, name="m", description=about, classes=(), features=("a", "b", "c", "d"), label="")
    return folder


def measure(targets: Collection[str]) -> dict[str, Any]:
    """Operator -> target -> how many of its cases pass, with the names of those that do not."""
    everything = cases()
    outcomes: dict[str, dict[str, bool]] = {}
    if "onnxruntime" in targets:
        outcomes["onnxruntime"] = {case.name: passes(case, onnxruntime) for case in everything}
    if "web" in targets:
        outcomes["web"] = in_a_browser([case.name for case in everything])
    if "tvm" in targets:
        import tvm as _  # noqa: F401 — once, for all processes that are forked

        outcomes["tvm"] = apart(everything, tvm, _TVM_SECONDS)
    if "int8" in targets:
        outcomes["int8"] = {case.name: takes(case) for case in everything}
    kept = json.loads(FOUND.read_text()) if FOUND.is_file() else {"made_with": {}, "operators": {}}
    for case in everything:
        row = kept["operators"].setdefault(case.op, {"cases": [], "failed": {}})
        row["cases"] = sorted({*row["cases"], case.name})
    for target, passed in outcomes.items():
        kept["made_with"] |= _versions(target)
        for row in kept["operators"].values():
            row["failed"][target] = [name for name in row["cases"] if not passed[name]]
    return {"made_with": dict(sorted(kept["made_with"].items())), "operators": dict(sorted(kept["operators"].items()))}


def _versions(target: str) -> dict[str, str]:
    from importlib.metadata import version

    if target == "int8":
        return {}
    if target == "web":
        from mlopsctl.adapters.web_bundle import VERSION

        return {"onnxruntime-web": VERSION}
    return {target: version("apache-tvm" if target == "tvm" else target), "onnx": version("onnx")}


def main(words: Sequence[str]) -> None:
    if words[:1] == ["--page"]:
        names = json.loads(Path(words[1]).read_text(encoding="utf-8"))
        Path(words[2]).write_text(json.dumps(_in_this_process(names)), encoding="utf-8")
        return
    written = measure(words or ("onnxruntime", "web", "tvm", "int8"))
    FOUND.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
