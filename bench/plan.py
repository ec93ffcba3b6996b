"""How fast a plan and an apply with nothing to do are, beside DVC and doit on the same stages, and how they grow.

python bench/plan.py [chain|fan]

Every stage copies one file. In the chain each copies what the one before it made, in the fan all copy the data. doit runs
its stages once; for DVC and mlopsctl what a run leaves is written down without running, so that this takes seconds. A
plan that then finds anything to do ends the benchmark, and so does a stage that DVC runs, and an answer that is not
remembered where it should be, or is where it should not.

What is compared is processor time, which other programs on the same cores change less than the time on the clock; both
are printed. Where it says "worked out", nothing is remembered: as in CI, and after every change.
"""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, NamedTuple

from run import ROOT, call
from trail import new_trail, peak, tell, write_down

from mlopsctl.adapters.facts import GRAIN_NS
from mlopsctl.adapters.memo import folder_of_memos
from mlopsctl.cli.project import Project, open_project
from mlopsctl.plan import assess
from mlopsctl.types import Address, Digest, Json, Observed

STAGES = 500
MANY = 5_000
ROUNDS = 7
VERBS = ("plan", "apply")
DOIT = ROOT / ".venv-bench" / "bin" / "doit"

Names = Sequence[str]


class Took(NamedTuple):
    """Seconds on the clock, and those that processors worked."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.cpu * 1e3:.0f} ms ({self.wall * 1e3:.0f} on the clock)"


def main() -> int:
    if sys.argv[1:2] == ["peak"]:
        return print_peak(Path(sys.argv[2]), sys.argv[3])
    shapes = sys.argv[1:] or ["chain", "fan"]
    with tempfile.TemporaryDirectory(prefix="mlopsctl-bench-") as scratch:
        place = Path(scratch)
        os.environ["XDG_CONFIG_HOME"], os.environ["XDG_STATE_HOME"] = f"{place}/config", f"{place}/state"
        for role in ("AUTHOR", "COMMITTER"):
            os.environ[f"GIT_{role}_NAME"], os.environ[f"GIT_{role}_EMAIL"] = "Bench", "bench@example.com"
        missed = sum(beside(place, shape) for shape in shapes)
        missed += sum(growth(place, shape) for shape in [*shapes, "models"])
    print(f"{os.cpu_count()} cores; programs that waited for them, mean of 15 minutes: {os.getloadavg()[2]:.1f}")
    return 1 if missed else 0


def beside(place: Path, shape: str) -> int:
    """No-op plan and apply of 500 stages against ``dvc repro`` and ``doit`` on the same stages."""
    ours = ours_of(place / f"mlopsctl-{shape}", shape, STAGES)
    dvc, doit = dvc_of(place / f"dvc-{shape}", shape), doit_of(place / f"doit-{shape}", shape)
    least = least_of({**ours_in(ours), "doit": lambda: subprocess.run([DOIT], cwd=doit, stdout=DEVNULL, check=True)})
    # Once is enough: it takes longer than everything else together.
    least["dvc"] = took(lambda: nothing_to_do(dvc))
    show(shape, least)
    missed = 0
    for verb in VERBS:
        what = f"no-op {verb} of a {STAGES}-stage {shape}"
        missed += tell(least[verb].cpu / least["dvc"].cpu * 100, 2, f"% of the time of dvc repro: {what}")
        missed += tell(least[verb].cpu / least["doit"].cpu, 1, f"times as long as doit: {what}")
        hard = least[f"{verb} worked out"].cpu
        ratios = f"{hard / least['dvc'].cpu * 100:.2f} % of dvc repro, {hard / least['doit'].cpu:.2f} times doit"
        print(f"                {ratios}: the same, worked out", flush=True)
    return missed


def growth(place: Path, shape: str) -> int:
    """Ten times as many resources, and the memory they take."""
    small, large = place / f"mlopsctl-{shape}", ours_of(place / f"many-{shape}", shape, MANY)
    if not small.is_dir():
        ours_of(small, shape, STAGES)
    few, many = least_of(ours_in(small), rounds=3), least_of(ours_in(large), rounds=3)
    show(f"{shape}, {STAGES}", few)
    show(f"{shape}, {MANY:,}", many)
    missed = 0
    for how in few:
        what = f"times {STAGES}: no-op {how} of {MANY:,}, {shape}"
        missed += tell(many[how].cpu / few[how].cpu, 12, what)
    return missed + tell(child_peak(large), 150, f"MB peak memory of a plan of {MANY:,} resources, worked out, {shape}")


def show(what: str, least: Mapping[str, Took]) -> None:
    print(f"{what}: " + ", ".join(f"{name} {seconds}" for name, seconds in least.items()), flush=True)


def took(run: Callable[[], object]) -> Took:
    """How long one run took, and how long its processes worked."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    run()
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def least_of(runs: Mapping[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, Took]:
    """The least seconds of each, in turns; a first round only warms caches."""
    found: dict[str, list[Took]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            one = took(run)
            if number:
                found[name].append(one)
    return {name: Took(min(one.wall for one in all_), min(one.cpu for one in all_)) for name, all_ in found.items()}


def ours_in(project: Path) -> dict[str, Callable[[], object]]:
    """Both verbs, with what is remembered and without."""
    return {
        **{verb: partial(no_op, project, verb) for verb in VERBS},
        **{f"{verb} worked out": partial(no_op, project, verb, remembered=False) for verb in VERBS},
    }


def no_op(project: Path, verb: str, *, remembered: bool = True) -> None:
    """A plan or an apply that must find nothing to do."""
    more = ("--detailed-exitcode",) if verb == "plan" else ("-y",)
    how = ("-u", "CI") if remembered else ("CI=true",)
    said = call("env", *how, "mlopsctl", "-C", str(project), verb, *more, folder=project, check=True).stdout
    if "No changes" not in said:
        raise SystemExit(f"{verb} found something to do:\n{said[-2000:]}")


def nothing_to_do(dvc: Path) -> None:
    """``dvc repro`` that must run no stage."""
    said = call("dvc", "repro", folder=dvc, check=True).stdout
    if "Running stage" in said:
        raise SystemExit(f"DVC ran a stage:\n{said[:2000]}")


def child_peak(project: Path) -> float:
    """Peak memory in MB of a plan that is worked out, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "peak", str(project), "plan"], capture_output=True, text=True, check=True
    )
    return float(done.stdout.splitlines()[-1])


def print_peak(project: Path, verb: str) -> int:
    from mlopsctl.cli.main import run

    run(["-C", str(project), verb])
    print(peak())
    return 0


# --- mlopsctl ----------------------------------------------------------------------------------------------------


def ours_of(folder: Path, shape: str, number: int) -> Path:
    """A project of that many resources whose results are all in its trail."""
    commits = new_trail(folder, 0, 1)
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    log = (folder / "log").read_text(encoding="ascii")
    (folder / "mlops.yaml").write_text(MANIFESTS[shape](log, number))
    for argv in (("add", "-A"), ("commit", "-q", "-m", "Start")):
        call("git", *argv, folder=folder, check=True)
    project = open_project(folder)
    write_down(project.trail, commits, results_of(project))
    # What was written just now is looked at anew; once that is past, the answers of both verbs are remembered.
    time.sleep(GRAIN_NS / 1e9 + 0.1)
    for verb in VERBS:
        before = memos()
        for _ in range(3):
            no_op(folder, verb)
        if memos() <= before:
            raise SystemExit(f"no {verb} of {folder} is remembered")
    return folder


def memos() -> int:
    """How many answers are remembered."""
    return len(os.listdir(folder_of_memos())) if os.path.isdir(folder_of_memos()) else 0


def stages_manifest(chain: bool) -> Callable[[str, int], str]:
    def text(log: str, number: int) -> str:
        lines = [
            "apiVersion: mlopsctl/v1",
            f"project: {{name: bench, log: {log}}}",
            "data:",
            "  rows: {path: rows.csv}",
            "train:",
        ]
        for n in range(number):
            source = f"{{train.s{n - 1}}}/x{n - 1}" if chain and n else "{data.rows}"
            # One name a stage: the same command on the same data would be one result for all.
            lines.append(f'  s{n}: {{run: "cp {source} {{out}}/x{n}", produces: files}}')
        return "\n".join(lines) + "\n"

    return text


def models_manifest(log: str, number: int) -> str:
    """Models with a gate, the built-in scan and a target each: five resources of five providers with the data."""
    lines = ["apiVersion: mlopsctl/v1", f"project: {{name: bench, log: {log}}}"]
    names = [f"m{n}" for n in range(number // 5)]
    for section, line in (
        ("data", "{path: rows.csv, label: b, split: {test: 0.2, seed: NUMBER}}"),
        ("train", '{run: "cp {data.NAME} {out}/model.onnx", params: {name: NAME}}'),
        ("gates", "{metric: accuracy, min: 0.5, model: NAME}"),
        ("targets", "{use: onnxruntime, model: NAME}"),
    ):
        lines += [
            f"{section}:",
            *(f"  {name}: {line.replace('NAME', name).replace('NUMBER', name[1:])}" for name in names),
        ]
    return "\n".join(lines) + "\n"


MANIFESTS: Mapping[str, Callable[[str, int], str]] = {
    "chain": stages_manifest(chain=True),
    "fan": stages_manifest(chain=False),
    "models": models_manifest,
}

OUTPUTS: Mapping[str, Names] = {
    "data": ("train", "test", "all"), "train": ("model", "model.sig"), "targets": ("artifact", "artifact.sig"),
}  # fmt: skip

FACTS: Mapping[str, Mapping[str, Json]] = {
    "data/dvc": {"format": "csv", "path": "rows.csv", "label": "b", "rows": {"train": 800, "test": 200}},
    "train/local": {"kind": "onnx", "opset": 17, "usage": {"seconds": "3.1"}},
    "gates/metric": {
        "metric": "accuracy", "view": "test", "value": "0.9", "ci": ["0.85", "0.95"], "n": 200, "confidence": "0.95",
        "method": "wilson",
    },
    "gates/scan": {"findings": [], "files": 1, "bytes": 100, "kind": "onnx", "suffixes": {"onnx": 1}, "pickles": []},
    "targets/onnxruntime": {
        "n": 200, "agreement": "1", "max_abs_diff": "0", "max_scaled_diff": "0", "proof": "device-run",
    },
}  # fmt: skip


def results_of(project: Project) -> Iterator[dict[str, Any]]:
    """The members of a result for every resource, as an apply would have recorded them."""
    from mlopsctl.cli.world import ProjectWorld

    world, seen, verdicts = ProjectWorld(project), dict[Address, Observed | None](), dict[Address, Any]()
    for want in project.resources:
        found = assess(want, seen, verdicts, world)
        outputs = {
            name: Digest("sha256:" + hashlib.sha256(f"{want.address} {name}".encode()).hexdigest())
            for name in OUTPUTS.get(want.address.section, ())
        }
        assert found.step.made_from is not None and found.parts is not None
        facts = FACTS[want.provider]
        seen[want.address] = Observed(found.step.made_from, outputs, facts)
        yield {
            "address": str(want.address),
            "status": "done",
            "made_from": found.step.made_from,
            "ingredients": dict(found.parts),
            "outputs": outputs,
            "facts": dict(facts),
            "made_with": {"python": "3.11.2"},
        }


# --- The others --------------------------------------------------------------------------------------------------


def source(shape: str, n: int) -> str:
    return f"out/s{n - 1}" if shape == "chain" and n else "rows.csv"


def dvc_of(folder: Path, shape: str) -> Path:
    """The same stages for DVC, as its own first run leaves them: that run itself takes half an hour."""
    new_folder(folder)
    rows = (folder / "rows.csv").read_bytes()
    md5 = hashlib.md5(rows, usedforsecurity=False).hexdigest()
    stages, locked = ["stages:\n"], ["schema: '2.0'\nstages:\n"]
    for n in range(STAGES):
        given, made = source(shape, n), f"out/s{n}"
        stages.append(f"  s{n}:\n    cmd: cp {given} {made}\n    deps: [{given}]\n    outs: [{made}]\n")
        file = f"      hash: md5\n      md5: {md5}\n      size: {len(rows)}\n"
        locked.append(f"  s{n}:\n    cmd: cp {given} {made}\n")
        locked.append(f"    deps:\n    - path: {given}\n{file}    outs:\n    - path: {made}\n{file}")
        (folder / made).write_bytes(rows)
    (folder / "dvc.yaml").write_text("".join(stages))
    (folder / "dvc.lock").write_text("".join(locked))
    for argv in (("git", "init", "-q"), ("dvc", "init", "-q")):
        call(*argv, folder=folder, check=True)
    cached = folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(rows)
    return folder


def doit_of(folder: Path, shape: str) -> Path:
    """The same stages for doit, run once."""
    new_folder(folder)
    tasks = [(source(shape, n), f"out/s{n}") for n in range(STAGES)]
    (folder / "dodo.py").write_text(
        f"def task_stage():\n    for source, made in {tasks!r}:\n"
        "        yield {'name': made, 'file_dep': [source], 'targets': [made],\n"
        "               'actions': [['cp', source, made]]}\n"
    )
    subprocess.run([DOIT], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return folder


def new_folder(folder: Path) -> None:
    (folder / "out").mkdir(parents=True)
    (folder / "rows.csv").write_text("a,b\n1,2\n")


if __name__ == "__main__":
    sys.exit(main())
