"""A page that asks the model: written, opened in Chromium, and compared on every row."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mlopsctl.adapters import tools, web_bundle
from mlopsctl.adapters.browser import browse
from mlopsctl.adapters.store import hash_folder
from mlopsctl.adapters.tools import TOOLS, find
from mlopsctl.errors import ProviderError
from mlopsctl.providers.targets import web as target
from mlopsctl.types import Address, Observed, Resource, Status
from tests.providers.targets.bench import ROWS, Bench, described
from tests.providers.targets.models import write_mlp, write_tree

ONNX = {"kind": "onnx"}
LIMITS: dict[str, Any] = {"seconds": 120.0, "memory": 4 * 2**30}

pytestmark = pytest.mark.skipif(find("onnxruntime-web") is None, reason=TOOLS["onnxruntime-web"].install)
in_a_browser = pytest.mark.skipif(find("chromium") is None, reason=TOOLS["chromium"].install)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The page of a perceptron, with what apply said of it."""
    root = tmp_path_factory.mktemp("web")
    (root / "model").mkdir()
    write_mlp(root / "model" / "model.onnx")
    return Bench(root).make(target, root / "model", ONNX)


@pytest.fixture(scope="module")
def page(made: Any) -> Path:
    """Its folder. Never change it: copy it."""
    found: Path = made.outputs["artifact"]
    return found


@in_a_browser
def test_the_page_agrees_with_the_model_on_every_row(made: Any) -> None:
    facts = made.facts
    assert (facts["device"], facts["proof"], facts["n"], facts["agreement"]) == ("browser", "device-run", ROWS, "1")
    assert 0 <= float(facts["max_abs_diff"]) < 1e-5
    assert facts["metrics"]["drop"]["value"] == "0"
    assert float(facts["figures"]["latency_ms"]) > 0
    assert set(made.made_with) == {"onnxruntime", "onnxruntime-web", "chromium"}


def test_the_folder_needs_nothing_from_outside(page: Path) -> None:
    files = {path.name for path in page.iterdir()}
    assert files == {"artifact.json", "model.onnx", "model.js", "runtime.js"} | {
        f.name for f in web_bundle.PAGE.iterdir()
    }
    for name in ("index.html", "page.css", "page.js", "model.js"):
        text = (page / name).read_text(encoding="utf-8")
        assert not re.search(r"https?://", text), name
        assert set(re.findall(r'(?:src|href)="([^"]+)"', text)) <= {*files, "data:,"}
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', (page / "index.html").read_text())
    assert policy is not None
    assert "default-src 'none'" in policy[1] and "connect-src 'none'" in policy[1]
    assert "unsafe-inline" not in policy[1] and "'unsafe-eval'" not in policy[1]


def test_the_page_says_which_model_it_holds(page: Path) -> None:
    text = (page / "model.js").read_text(encoding="utf-8")
    about = json.loads(text.removeprefix("globalThis.mlopsctlModel = ").removesuffix(";\n"))
    model = (page / "model.onnx").read_bytes()
    assert about["sha256"] == hashlib.sha256(model).hexdigest()
    assert base64.b64decode(about["onnx"]) == model
    assert (about["features"], about["label"], about["classes"]) == (["a", "b", "c", "d"], "label", [0, 1, 2])
    assert "FusedGemm" in {node.op_type for node in onnx.load(page / "model.onnx").graph.node}
    assert described(page)["runtime"] == "web"


def test_another_time_and_place_give_the_same_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "find", lambda name: None)
    (tmp_path / "model").mkdir()
    write_mlp(tmp_path / "model" / "model.onnx")
    again = Bench(tmp_path).make(target, tmp_path / "model", ONNX)
    assert hash_folder(again.outputs["artifact"]) == hash_folder(page)
    for file in page.iterdir():
        assert str(page.parent).encode() not in file.read_bytes()


def test_without_a_browser_it_is_emitted_and_never_called_compared(
    bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "find", lambda name: None)
    write_mlp(folder / "model.onnx")
    facts = bench.make(target, folder, ONNX).facts
    assert (facts["proof"], facts["agreement"], facts["n"]) == ("emitted", None, 0)
    seen = Observed("sha256:0", {}, facts)  # type: ignore[arg-type]
    verdict = target.judge(Resource(Address("targets", "page"), "targets/web", target.Spec()), seen, ())
    assert verdict.status is Status.NOT_ASSESSED
    assert "apt-get install chromium" in verdict.text


PERSON = """
(async () => {
  const until = async (found) => {
    for (let i = 0; i < 200 && !found(); i++) await new Promise((resume) => setTimeout(resume, 20));
    return found();
  };
  const text = (choice) => document.querySelector(choice)?.textContent ?? "";
  const fill = async (values) => {
    document.getElementById("answer").replaceChildren();
    document.querySelectorAll("#fields input").forEach((field, i) => { field.value = values[i]; });
    document.getElementById("row").requestSubmit();
    await until(() => text("#answer .said") || text("#wrong"));
    const bars = document.querySelectorAll("#answer tr").length;
    return [text("#answer .said"), text("#wrong"), bars, document.querySelectorAll("[aria-invalid]").length];
  };
  const choose = async (content) => {
    const files = new DataTransfer();
    files.items.add(new File([content], "rows.csv"));
    const field = document.getElementById("file");
    field.files = files.files;
    field.dispatchEvent(new Event("change"));
    document.getElementById("found").replaceChildren();
    await until(() => text("#found") || text("#wrong-file"));
    const answers = [...document.querySelectorAll("tbody td:nth-child(2)")].map((cell) => cell.textContent);
    return [text("#found"), text("#wrong-file"), answers.join()];
  };
  document.title = JSON.stringify([ACTS]);
})()
"""


def do(page: Path, *acts: str) -> Any:
    """What a person finds after each of these acts, done in one visit of the page."""
    act = PERSON.replace("ACTS", ", ".join(f"await {one}" for one in acts))
    return json.loads(browse(page, {"x": np.zeros((1, 4), np.float32)}, act=act, **LIMITS).title)


def answer_of(page: Path, rows: list[list[float]]) -> list[int]:
    session = onnxruntime.InferenceSession(page / "model.onnx", providers=["CPUExecutionProvider"])
    return [int(row.argmax()) for row in session.run(None, {"x": np.array(rows, np.float32)})[0]]


@in_a_browser
def test_a_person_fills_in_a_row_and_reads_the_answer(page: Path) -> None:
    (want,) = answer_of(page, [[0.5, -1, 2, 0.25]])
    fine, wrong = do(page, 'fill(["0.5", "-1", "2e0", " .25 "])', 'fill(["0.5", "one", "2", "0"])')
    assert fine == [str(want), "", 3, 0]
    assert wrong == ["", "b: “one” is no number", 0, 1]


@in_a_browser
def test_a_file_of_rows_is_answered_in_the_page(page: Path) -> None:
    rows: list[list[float]] = [[0.5, -1, 2, 0.25], [-2, 1, 0, 3], [1, 1, 1, -4]]
    want = answer_of(page, rows)
    lines = ['label,b,"a",c,d', *(f"{want[0]},{row[1]},{row[0]},{row[2]},{row[3]}" for row in rows)]
    right = sum(label == want[0] for label in want)
    file, short, wrong = (
        json.dumps(text) for text in ("\r\n".join(lines), "a,b\n1,2\n", "a,b,c,d\n1,2,3,4\n1,2,x,4\n")
    )
    answered, missing, broken = do(page, f"choose({file})", f"choose({short})", f"choose({wrong})")
    assert answered[0] == f"3 rows answered. {right} of them ({100 * right / 3:.1f} %) as the column “label” says."
    assert answered[1:] == ["", ",".join(map(str, want))]
    assert missing[:2] == ["", "the file has no column c, d"]
    assert broken[:2] == ["", "line 3: c: “x” is no number"]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder on a plain web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@in_a_browser
def test_a_plain_web_server_is_enough(page: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(page / "model.onnx", providers=["CPUExecutionProvider"])
    with served(page) as address:
        ran = browse(page, {"x": rows}, page=f"{address}/index.html", **LIMITS)
    assert np.allclose(ran.outputs["p"], session.run(None, {"x": rows})[0], atol=1e-6)


@in_a_browser
def test_a_page_that_asks_for_an_address_outside_is_refused(page: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(page, tmp_path / "page"))
    text = (other / "index.html").read_text(encoding="utf-8")
    open_to_all = re.sub(r"<meta http-equiv[^>]+>", "", text)
    (other / "index.html").write_text(open_to_all.replace("</head>", '<img src="https://example.com/a.png"></head>'))
    with pytest.raises(ProviderError) as error:
        browse(other, {"x": np.zeros((1, 4), np.float32)}, **LIMITS)
    assert error.value.code == "MLO1496"
    assert "example.com" in error.value.message


@in_a_browser
def test_a_model_of_trees_keeps_its_labels_and_probabilities(bench: Bench, folder: Path) -> None:
    write_tree(folder / "model.onnx")
    made = bench.make(target, folder, ONNX)
    assert (made.facts["agreement"], made.facts["max_abs_diff"]) == ("1", "0")
    assert len(described(made.outputs["artifact"])["outputs"]) == 2


@in_a_browser
def test_types_batches_and_weights_beside_the_model_come_through(bench: Bench, folder: Path) -> None:
    """Whole numbers of 64 bits, truth values and doubles, for a model of exactly 7 rows with its weights in another file."""
    nodes = [
        helper.make_node("Cast", ["x"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Greater", ["x", "zero"], ["above"]),
        helper.make_node("Cast", ["x"], ["exact"], to=TensorProto.DOUBLE),
    ]
    kinds = {"whole": TensorProto.INT64, "above": TensorProto.BOOL, "exact": TensorProto.DOUBLE}
    graph = helper.make_graph(
        nodes,
        "kinds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 4])],
        [helper.make_tensor_value_info(name, kind, [7, 4]) for name, kind in kinds.items()],
        [helper.make_tensor("zero", TensorProto.FLOAT, [1, 4], [0.0, 0.5, -0.5, 0.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    made = bench.make(target, folder, ONNX)
    assert (made.facts["n"], made.facts["agreement"], made.facts["max_abs_diff"]) == (ROWS, "1", "0")
    assert described(made.outputs["artifact"])["batch"] == 7
    assert not (made.outputs["artifact"] / "model.onnx.data").exists()


def test_what_a_page_cannot_ask_is_refused_by_its_name(bench: Bench, folder: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("SequenceConstruct", ["x"], ["many"])],
        "sequence",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, ["N", 4])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "model.onnx"
    )
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX)
    assert error.value.code == "MLO1493"
    assert "'many' is of the type sequence" in error.value.message


def test_an_opaque_model_belongs_to_another_target(bench: Bench, folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"w")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, {"kind": "opaque"})
    assert "use: program" in error.value.hint


def test_another_archive_than_the_pinned_one_is_not_taken(
    page: Path, bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mlp(folder / "model.onnx")
    place = Path("content-v2/sha512") / TOOLS["onnxruntime-web"].archive[:2] / TOOLS["onnxruntime-web"].archive[2:4]
    cache = bench.root / "npm"
    monkeypatch.setenv("npm_config_cache", str(cache))
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, "none")
    assert (error.value.code, error.value.hint) == ("MLO1411", TOOLS["onnxruntime-web"].install)
    (cache / "_cacache" / place).mkdir(parents=True)
    (cache / "_cacache" / place / TOOLS["onnxruntime-web"].archive[4:]).write_bytes(b"something else")
    with pytest.raises(ProviderError) as error:
        bench.make(target, folder, ONNX, "other")
    assert error.value.code == "MLO1494"


@in_a_browser
def test_optimiser_and_browser_are_held_to_their_time_and_memory(bench: Bench, folder: Path) -> None:
    write_mlp(folder / "model.onnx")
    for name, limit in (("slow", {"timeout": 0.01}), ("large", {"memory": 60 * 2**20})):
        with pytest.raises(ProviderError) as error:
            bench.make(target, folder, ONNX, name, **limit)
        assert error.value.code in ("MLO1401", "MLO1402", "MLO1410")


@in_a_browser
def test_a_browser_that_has_no_room_says_so(page: Path) -> None:
    with pytest.raises(ProviderError) as error:
        browse(page, {"x": np.zeros((1, 4), np.float32)}, seconds=60.0, memory=20 * 2**20)
    assert error.value.code == "MLO1495"


def test_continuous_integration_fetches_the_pinned_archive() -> None:
    script = Path(__file__).parents[3] / ".ci" / "web-runtime"
    assert tools.TOOLS["onnxruntime-web"].package in script.read_text(encoding="utf-8")
