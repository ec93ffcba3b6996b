"""Every registered provider is driven through the whole protocol, in one project that uses them all."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mlopsctl.cli.plan import plan_project
from mlopsctl.cli.progress import Printer
from mlopsctl.cli.project import Project, open_project
from mlopsctl.cli.workshop import ProjectWorkshop
from mlopsctl.plan import Assessment, survey
from mlopsctl.planned import pending
from mlopsctl.provider import Deployment, Provider, fingerprint, ingredients
from mlopsctl.registry import PROVIDERS, provider
from mlopsctl.types import Action, Resource, Selection, Verdict
from tests.quickstart import make_quickstart, must, take_down

PROGRAMS = Path(__file__).parent / "programs"
USED_PROGRAMS = ("rows", "export", "repack", "shelf")

MANIFEST = """\
data:
  digits: {{path: data/digits.csv, label: digit}}
  made: {{use: command, program: rows.py, digest: "{rows}", path: made.csv, label: label, params: {{rows: 400}}}}
train:
  classifier: {{run: python train.py, data: digits}}
  external: {{use: command, program: export.py, digest: "{export}", data: made, params: {{bias: 1}}}}
  imported: {{import: vendor, data: made, predict: "python always.py {{model}}"}}
  opaque: {{run: python always.py, data: made, predict: "python {{model}}/predict.py"}}
gates:
  accuracy: {{metric: accuracy, model: classifier, min: 0.9}}
  in-a-browser: {{metric: accuracy, target: page, min: 0.9}}
  fit: {{use: table, data: digits, max_missing: 0}}
  judged: {{use: command, program: judge.py, digest: "{judge}", model: external, metric: odd, max: 0.9}}
targets:
  cpu: {{model: classifier}}
  native: {{model: classifier, use: tvm}}
  sensor: {{model: classifier, use: mcu, inconclusive: warn}}
  intel: {{model: classifier, use: openvino}}
  fastest: {{model: classifier, use: auto}}
  page: {{model: classifier, use: web}}
  packed: {{model: external, use: command, program: repack.py, digest: "{repack}"}}
  program: {{model: opaque, use: program}}
  gates: {{model: external, device: asic, max_accuracy_drop: 0.5}}
  circuit: {{model: external, device: fpga, part: ice40-hx8k, max_accuracy_drop: 0.5}}
deployments:
  local: {{target: cpu}}
  shelf: {{target: packed, use: command, program: shelf.py, digest: "{shelf}", to: "{to}", paths: ["{to}"], env: [SHELF_TOKEN]}}
"""

JUDGE = """\
import json, sys
json.load(sys.stdin)
json.dump({"facts": {"value": "0.5", "ci": ["0.4", "0.6"], "n": 80}}, sys.stdout)
"""

ALWAYS = """\
import os
program = '''
import sys
for line in sys.stdin:
    print(1, flush=True)
'''
with open(os.path.join(os.environ["MLOPS_OUT"], "predict.py"), "w") as file:
    file.write(program)
"""


def _pin(folder: Path, name: str, text: bytes) -> str:
    (folder / f"{name}.py").write_bytes(text)
    return "sha256:" + hashlib.sha256(text).hexdigest()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with every provider, applied once and taken down at the end."""
    base = tmp_path_factory.mktemp("contract")
    folder = make_quickstart(base / "all")
    (base / "shelf").mkdir()
    (folder / "always.py").write_text(ALWAYS)
    import sys

    head = f"#!{sys.executable}\n".encode()
    pins = {name: _pin(folder, name, head + (PROGRAMS / f"{name}.py").read_bytes()) for name in USED_PROGRAMS}
    pins["judge"] = _pin(folder, "judge", head + JUDGE.encode())
    manifest = folder / "mlops.yaml"
    top = manifest.read_text().split("data:\n")[0]
    manifest.write_text(top + MANIFEST.format(**pins, to=base / "shelf"))
    (folder / "vendor").mkdir()
    (folder / "vendor" / "weights.json").write_text("[1]")
    must("git add -A && git commit -qm everything", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELF_TOKEN", "secret")
        must("mlopsctl apply -y", folder)
        yield open_project(folder)
        take_down(folder)
    shutil.rmtree(base / "shelf", ignore_errors=True)


def found(project: Project, name: str) -> Assessment:
    """The assessment of the one resource that stands for this provider."""
    from mlopsctl.cli.world import ProjectWorld

    assessed = survey(project.resources, ProjectWorld(project))
    return next(one for one in assessed if one.step.provider == name)


def declared(project: Project, name: str) -> Resource:
    return next(want for want in project.resources if want.provider == name)


@pytest.mark.parametrize("name", PROVIDERS)
def test_it_answers_every_question_with_the_agreed_parameters(name: str) -> None:
    module = provider(name)
    assert isinstance(module, ModuleType)
    protocol = Deployment if name.startswith("deployments/") else Provider
    for method, agreed in inspect.getmembers(protocol, inspect.isfunction):
        if method.startswith("_"):
            continue
        ours = list(inspect.signature(getattr(module, method)).parameters)
        assert ours == list(inspect.signature(agreed).parameters)[1:], f"{name}: {method}"
    assert isinstance(module.RESULT_VERSION, int)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_field_of_its_spec_is_result_run_or_policy_and_documented(name: str) -> None:
    spec = provider(name).Spec
    assert dataclasses.is_dataclass(spec) and spec.__dataclass_params__.frozen  # type: ignore[attr-defined]
    for item in dataclasses.fields(spec):
        assert item.metadata.get("kind") in ("result", "run", "policy"), item.name
        assert item.metadata.get("doc"), item.name


@pytest.mark.parametrize("name", PROVIDERS)
def test_no_key_is_both_built_and_for_later(name: str) -> None:
    later = getattr(provider(name), "LATER_KEYS", ())
    assert not {item.name for item in dataclasses.fields(provider(name).Spec)} & set(later)


@pytest.mark.parametrize("name", PROVIDERS)
def test_after_apply_it_stands_attested_and_is_not_made_again(project: Project, name: str) -> None:
    one = found(project, name)
    assert one.step.action is Action.NOOP, one.step.reason.text
    assert one.seen is not None and one.parts is not None
    entry = project.trail.entry(one.seen.entry)
    assert entry is not None and entry.made_from == one.step.made_from == fingerprint(entry.ingredients)
    assert entry.facts
    provider(name).verify(declared(project, name), entry, project.context())


@pytest.mark.parametrize("name", PROVIDERS)
def test_its_pure_answers_are_the_same_every_time(project: Project, name: str) -> None:
    one, want, module = found(project, name), declared(project, name), provider(name)
    assert module.sources(want, project.tree) == one.sources
    assert ingredients(want, one.sources, one.inputs) == one.parts
    assert module.diff(want, one.inputs, None)[0] is Action.CREATE
    assert module.diff(want, one.inputs, one.seen)[0] is Action.NOOP
    assert one.seen is not None
    verdict = module.judge(want, one.seen, one.inputs)
    assert isinstance(verdict, Verdict) and verdict == module.judge(want, one.seen, one.inputs)
    assert all(isinstance(line, str) for line in module.notes(want, one.inputs))


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name.split("/")[0] in ("train", "targets")])
def test_its_folders_are_signed_and_their_bytes_hold(project: Project, name: str, tmp_path: Path) -> None:
    from mlopsctl.adapters.model_proof import verify_folder
    from mlopsctl.verifiers import pem

    one = found(project, name)
    assert one.seen is not None
    output = "model" if name.startswith("train/") else "artifact"
    folder = project.store.checkout(one.seen.outputs[output], tmp_path / "folder")
    signature = project.store.path(one.seen.outputs[output + ".sig"])
    verify_folder(folder, signature, pem(project.signer().key))


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name.startswith("deployments/")])
def test_a_deployment_can_be_asked_cut_out_and_set_going_again(project: Project, name: str) -> None:
    want, module, context = declared(project, name), provider(name), project.context()
    assert module.probe(want.address, context).state == "serving"  # type: ignore[attr-defined]
    module.halt(want.address, "a drill", context)  # type: ignore[attr-defined]
    halted = module.probe(want.address, context)  # type: ignore[attr-defined]
    assert halted.state == "halted" and "a drill" in halted.text
    module.resume(want.address, context)  # type: ignore[attr-defined]
    assert module.probe(want.address, context).state == "serving"  # type: ignore[attr-defined]


def test_made_anew_on_purpose_everything_reproducible_comes_out_the_same(project: Project) -> None:
    fresh = open_project(project.root)
    wanted = Selection(replaced=("data.*", "train.*", "targets.*"))
    before = {str(one.address): fresh.trail.latest(one.address) for one in fresh.resources}
    from mlopsctl.apply import Walk

    plan = plan_project(fresh, wanted)
    assert {step.address.section for step in pending(plan)} >= {"data", "train", "targets"}
    with ProjectWorkshop(fresh, Printer("json").tell) as workshop:
        events = list(Walk(plan, fresh.resources, workshop))
    assert not [event for event in events if event.event == "fail"]
    for address, entry in before.items():
        again = fresh.trail.latest(address)
        assert entry is not None and again is not None
        same = {name: digest for name, digest in entry.outputs.items() if not name.endswith(".sig")}
        assert same == {name: digest for name, digest in again.outputs.items() if not name.endswith(".sig")}, address
