"""Manifests that people start from, read with the real providers; and what reading one may import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mlopsctl.errors import ManifestError
from mlopsctl.manifest import load_manifest
from mlopsctl.manifest.yaml_positions import decode, read_yaml
from mlopsctl.registry import PROVIDERS, provider
from mlopsctl.types import GUARD
from tests.manifest.test_load import MINIMAL
from tests.test_schema import ODD, changed, places, schema_findings

ROOT = Path(__file__).parent.parent.parent
SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "mlops.schema.json").read_text()))

ONE_OF_EACH = """\
apiVersion: mlopsctl/v1
requires: ">=0.1"
project: {name: credit, owner: risk-ml@example.com, purpose: Score loan applications, license: Apache-2.0}
store: ../store
data:
  applications:
    path: data/applications.csv
    label: defaulted
    positive: true
    split: {test: 0.2, val: 0.1, by: customer_id, seed: 42}
train:
  scorer:
    run: "python train.py --lr {params.lr} --data {data.applications} --seed {seed}"
    params: {lr: 1e-3, depth: 6}
    code: [train.py, src/**]
    resources: {cpu: 2, memory: 4GiB}
    retries: 2
    timeout: 30m
  writer:
    run: ["python fetch.py {out}", "python tune.py {out}"]
    predict: "python chat.py {model}"
gates:
  auc: {model: scorer, metric: roc_auc, min: 0.78, confidence: 0.9}
  calibrated: {model: scorer, metric: ece, max: 0.05, inconclusive: warn}
  looked-through: {model: writer, use: scan}
targets:
  server: {model: scorer}
  fast: {model: scorer, use: tvm}
  page: {model: scorer, use: web}
  chat: {model: writer, use: program}
deployments:
  production: {target: server, to: "127.0.0.1:8080"}
  chat: {target: chat}
"""


def plain(text: str) -> Any:
    return read_yaml(*decode(text.encode(), "f")).plain()


@pytest.mark.parametrize("text", [MINIMAL, ONE_OF_EACH])
def test_examples_are_valid_by_both_judges(text: str) -> None:
    assert load_manifest(text.encode()).resources
    assert [error.message for error in SCHEMA.iter_errors(plain(text))] == []


def test_the_minimal_manifest_guards_its_deployment() -> None:
    *_, deployment = load_manifest(MINIMAL.encode()).resources
    assert str(deployment.address) == "deployments.local"
    assert [str(need.address) for need in deployment.needs if need.role == GUARD] == ["gates.accuracy", "gates.scan"]


def deploying(lines: str) -> str:
    return MINIMAL[: MINIMAL.index("deployments:")] + "deployments:\n" + lines


def test_what_comes_first_stands_in_step_and_is_no_name_that_is_not_there() -> None:
    text = deploying(
        "  staging: {each: {region: [eu, us]}, target: cpu}\n"
        "  production: {each: {region: [eu, us]}, target: cpu, after: {deployment: staging, for: 2h}}\n"
    )
    *_, last = load_manifest(text.encode()).resources
    assert str(last.address) == "deployments.production[us]"
    assert str(last.needs[-1].address) == "deployments.staging[us]" and last.spec.after.for_ == 7200
    with pytest.raises(ManifestError, match="'deployment' names 'staging', which is not in 'deployments'"):
        load_manifest(deploying("  live: {target: cpu, after: {deployment: staging}}\n").encode())
    with pytest.raises(ManifestError, match="wait for each other"):
        load_manifest(deploying("  live: {target: cpu, after: live}\n").encode())


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("  live: {target: cpu, gates: []}\n", "MLO1543"),
        ("  live: {target: cpu, gates: [nowhere]}\n", "MLO3020"),
        ("  live: {target: cpu, after: staging}\n  staging: {target: other}\n", "MLO1544"),
        ("  live: {target: edge}\n", "MLO1546"),
        ("  live: {target: page}\n", "MLO1546"),
    ],
)
def test_guards_that_cannot_be(lines: str, code: str) -> None:
    text = deploying(lines).replace(
        "targets:\n", "targets:\n  other: {}\n  edge: {use: tvm, arch: arm64}\n  page: {use: web}\n"
    )
    with pytest.raises(ManifestError) as caught:
        load_manifest(text.encode())
    assert caught.value.code == code


def test_every_template_is_valid() -> None:
    found = list((ROOT / "templates").glob("*/mlops.yaml"))
    assert found
    for path in found:
        text = path.read_bytes().replace(b"{{ name }}", b"my-project")
        assert load_manifest(text).project.name == "my-project"


def test_what_the_design_plans_for_later_is_said_to_be_not_yet() -> None:
    text = ONE_OF_EACH.replace("retries: 2", "search: {space: {depth: [4, 6]}}").replace(
        "max: 0.05", "max: 0.05, slices: [x]"
    )
    text = (
        text.replace("memory: 4GiB", "tpu: 1")
        .replace("server: {", "server: {arch: arm64, ")
        .replace("roc_auc", "latency_p95")
    )
    with pytest.raises(ManifestError) as caught:
        load_manifest(text.encode())
    later = {item.message for item in (caught.value, *caught.value.others) if item.code == "MLO3019"}
    words = ("search", "slices", "tpu", "arch: arm64", "metric: latency_p95")
    assert later == {f"'{word}' is not yet supported" for word in words}


def test_reading_a_manifest_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from mlopsctl.manifest import load_manifest; "
        "load_manifest(pathlib.Path(sys.argv[1]).read_bytes()); print(*sorted(sys.modules))"
    )
    path = tmp_path / "mlops.yaml"
    path.write_text(MINIMAL)
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"numpy", "onnx", "onnxruntime", "dvc", "cryptography", "jsonschema", "structlog", "typing_extensions"}
    heavy |= {"importlib.metadata", "difflib", "sigstore", "uvicorn", "asyncio", "socket", "mlopsctl.schema"}
    assert loaded & heavy == set()


def test_only_the_providers_a_manifest_names_are_imported() -> None:
    program = (
        "import sys; from mlopsctl.manifest import load_manifest; "
        "load_manifest(sys.argv[1].encode()); print(*sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program, MINIMAL], capture_output=True, text=True, check=True)
    unnamed = {
        "targets/tvm",
        "targets/web",
        "targets/fpga",
        "targets/asic",
        "targets/program",
        "targets/command",
        "gates/command",
        "train/command",
        "data/command",
    }
    assert not set(done.stdout.split()) & {PROVIDERS[name] for name in unnamed}


def test_the_pre_commit_hook_needs_only_the_light_core(tmp_path: Path) -> None:
    (tmp_path / "mlops.yaml").write_text(MINIMAL)
    command = [sys.executable, "-X", "importtime", "-m", "mlopsctl", "validate", "mlops.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    ours = {
        "mlopsctl",
        "yaml",
        "typer",
        "click",
        "typing_extensions",
        "annotated_doc",
        "shellingham",
        "rich",
        "org",
    }  # copy asks for Jython's org
    # What this machine's interpreter loads by itself is no need of the hook.
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    ours |= {name.split(".")[0] for name in bare.stdout.split()}
    foreign = {name for name in loaded - ours if name and not name.startswith("_") and " " not in name}
    assert foreign <= set(sys.stdlib_module_names) | {"site", "sitecustomize", "usercustomize"}


def test_the_hooks_are_what_pre_commit_reads() -> None:
    (hook,) = plain((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language", "files"} <= set(hook)
    assert hook["entry"] == "mlopsctl validate"
    ids = [
        hook["id"] for repo in plain((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]
    ]
    assert "mlopsctl-validate" in ids


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(places(plain(ONE_OF_EACH))), ODD | st.just("remove") | st.just("rename"))
def test_one_change_to_a_real_manifest_is_seen_by_both_judges(path: tuple[str, ...], new: Any) -> None:
    document = changed(plain(ONE_OF_EACH), path, new)
    found = schema_findings(document)
    assert SCHEMA.is_valid(document) == (not found), [item.message for item in found]


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_key_for_later_is_no_key_of_today(name: str) -> None:
    module = provider(name)
    later = set(getattr(module, "LATER_KEYS", ()))
    assert later & {item.rstrip("_") for item in module.Spec.__dataclass_fields__} == set()


TWO_OF_EACH = """\
apiVersion: mlopsctl/v1
project: {name: two}
data: {one: {path: one.csv, label: y}, two: {path: two.csv, label: y}}
train: {first: {run: a, data: one}, second: {run: b, data: two}}
"""
PINNED = "program: p, digest: 'sha256:" + "0" * 64 + "'"


@pytest.mark.parametrize(
    ("section", "block", "model", "data", "view"),
    [
        ("gates", "metric: accuracy, min: 0.5, model: second", "second", "two", "test"),
        ("gates", "metric: accuracy, min: 0.5, model: first, data: two, view: all", "first", "two", "all"),
        ("gates", "use: command, " + PINNED + ", metric: m, min: 0, model: second", "second", "two", "test"),
        (
            "gates",
            "use: command, " + PINNED + ", metric: m, min: 0, model: first, data: two, view: all",
            "first",
            "two",
            "all",
        ),
        ("targets", "model: second", "second", "two", "test"),
        ("targets", "model: first, view: all", "first", "one", "all"),
        ("targets", "use: auto, model: second", "second", "two", "test"),
        ("targets", "use: auto, model: first, view: all", "first", "one", "all"),
        ("targets", "use: openvino, model: second", "second", "two", "test"),
        ("targets", "use: openvino, model: first, view: all", "first", "one", "all"),
        ("targets", "use: tvm, model: second", "second", "two", "test"),
        ("targets", "use: tvm, model: first, view: all", "first", "one", "all"),
        ("targets", "use: web, model: second", "second", "two", "test"),
        ("targets", "use: web, model: first, view: all", "first", "one", "all"),
        ("targets", "use: asic, model: second", "second", "two", "test"),
        ("targets", "use: asic, model: first, view: all", "first", "one", "all"),
        ("targets", "use: fpga, model: second", "second", "two", "test"),
        ("targets", "use: fpga, model: first, view: all", "first", "one", "all"),
        ("targets", "use: program, model: second", "second", "two", "test"),
        ("targets", "use: program, model: first, view: all", "first", "one", "all"),
        ("targets", "use: command, " + PINNED + ", model: second", "second", "two", "test"),
        ("targets", "use: command, " + PINNED + ", model: first, view: all", "first", "one", "all"),
    ],
)
def test_model_data_and_view_decide_what_a_step_is_given(
    section: str, block: str, model: str, data: str, view: str
) -> None:
    manifest = load_manifest(f"{TWO_OF_EACH}{section}: {{it: {{{block}}}}}\n".encode())
    (want,) = (want for want in manifest.resources if want.address.name == "it")
    given = {need.role: (str(need.address), need.output) for need in want.needs if need.role in ("model", "data")}
    assert given == {"model": (f"train.{model}", "model"), "data": (f"data.{data}", view)}


@pytest.mark.parametrize("use", ["", "use: command, " + PINNED + ", "])
def test_the_model_of_a_deployment_decides_which_gates_guard_it(use: str) -> None:
    gates = "gates: {one: {metric: accuracy, min: 0, model: first}, two: {metric: accuracy, min: 0, model: second}}\n"
    targets = "targets: {t: {model: second}}\n"
    for key in ("", ", model: second"):
        text = TWO_OF_EACH + gates + targets + f"deployments: {{d: {{{use}target: t{key}}}}}\n"
        *_, want = load_manifest(text.encode()).resources
        guards = {str(need.address) for need in want.needs if need.role == GUARD}
        assert guards == {"gates.two", "gates.scan[second]"}
