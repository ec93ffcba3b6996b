"""Bad input: one clear message with the fix, the right exit code, nothing half-written, and the next apply goes on."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.refusals import (
    ERROR,
    another_row,
    check_left,
    check_message,
    done,
    edit,
    events,
    files_of,
    refuse,
    start,
    wait_for,
)
from tests.quickstart import must, shell

EVERYTHING = ["data.digits", "train.classifier", "gates.accuracy", "gates.scan", "targets.cpu"]


# --- Data ------------------------------------------------------------------------------------------------------


def _remove(data: Path) -> None:
    data.unlink()


def _empty(data: Path) -> None:
    data.write_bytes(b"")


def _header_only(data: Path) -> None:
    data.write_text(data.read_text().splitlines()[0] + "\n")


def _ragged(data: Path) -> None:
    data.write_text(data.read_text() + "1,2,3\n")


def _latin(data: Path) -> None:
    data.write_bytes(data.read_bytes() + b"\xe9,2\n")


def _a_picture(data: Path) -> None:
    data.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40)


def _twice_a_column(data: Path) -> None:
    data.write_text(data.read_text().replace("p01", "p00", 1))


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        (_remove, "MLO1101", "data/digits.csv"),
        (_empty, "MLO1107", "data/digits.csv is empty"),
        (_header_only, "MLO1115", "no rows"),
        (_ragged, "MLO1110", "data/digits.csv:1799: 3 fields"),
        (_latin, "MLO1112", "data/digits.csv:1799"),
        (_a_picture, "MLO1112", "data/digits.csv:"),
        (_twice_a_column, "MLO1109", "p00"),
    ],
)
def test_a_broken_data_file(project: Path, spoil: Callable[[Path], None], code: str, says: str) -> None:
    data = project / "data" / "digits.csv"
    whole = data.read_bytes()
    spoil(data)
    refuse("mlopsctl apply -y", project, code, 1, says)
    data.write_bytes(whole)
    assert done(events(project)) == [], "the data is the attested one again: nothing is left to do"


def test_a_label_that_is_no_column(project: Path) -> None:
    edit(project / "mlops.yaml", "label: digit", "label: digitt")
    refuse("mlopsctl apply -y", project, "MLO1113", 1, "no column 'digitt'", "did you mean 'digit'?")
    edit(project / "mlops.yaml", "label: digitt", "label: digit")
    assert done(events(project)) == []


def test_data_that_is_a_folder_or_a_link_out_of_the_repository(project: Path) -> None:
    data = project / "data" / "digits.csv"
    away = project.parent / "digits.csv"
    data.rename(away)
    data.symlink_to(away)
    for verb in ("plan", "apply -y"):
        refuse(f"mlopsctl {verb}", project, "MLO1101", 1, "data/digits.csv")


# --- Trainers --------------------------------------------------------------------------------------------------

TRAINERS = {
    "exits-1": ("raise SystemExit('learning rate is negative')", "MLO1211", "learning rate is negative"),
    "raises": ("raise RuntimeError('no convergence')", "MLO1211", "  | RuntimeError: no convergence"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "MLO1221", "SIGKILL"),
    "hangs": ("import time; print('waiting', flush=True); time.sleep(600)", "MLO1216", "raise timeout:"),
    "no-model": ("print('trained, and kept to myself')", "MLO1213", "$MLOPS_OUT is empty"),
    "elsewhere": ("open('model.onnx', 'wb').write(b'x')", "MLO1213", "its working folder got model.onnx"),
    "pickle": (
        "import os, pickle; pickle.dump({}, open(os.environ['MLOPS_OUT'] + '/model.pkl', 'wb'))",
        "MLO1214",
        "from skl2onnx import to_onnx",
    ),
    "pickle-in-disguise": (
        "import os, pickle; pickle.dump({}, open(os.environ['MLOPS_OUT'] + '/model.onnx', 'wb'))",
        "MLO1214",
        "onnx_model.SerializeToString()",
    ),
    "corrupt": (
        "import os; open(os.environ['MLOPS_OUT'] + '/model.onnx', 'wb').write(b'\\x08\\x0agarbage' * 99)",
        "MLO1215",
        "does not load",
    ),
    "empty-model": ("import os; open(os.environ['MLOPS_OUT'] + '/model.onnx', 'wb')", "MLO1215", "of 0 bytes"),
    "link": ("import os; os.symlink('/etc/passwd', os.environ['MLOPS_OUT'] + '/model.onnx')", "MLO1217", "model.onnx"),
    "undeclared": ("open('rates.txt').read()", "MLO1212", "add code: [rates.txt, train.py]"),
}


@pytest.mark.parametrize("what", TRAINERS)
def test_a_trainer_that_fails(project: Path, what: str) -> None:
    script, code, says = TRAINERS[what]
    good = (project / "train.py").read_bytes()
    (project / "rates.txt").write_text("0.1")
    # Half of them fail in the middle of an apply that had begun with new data.
    fresh = what in ("exits-1", "hangs", "pickle", "corrupt", "undeclared")
    if fresh:
        another_row(project)
    (project / "train.py").write_text(script + "\n")
    if what == "hangs":
        edit(project / "mlops.yaml", "{run: python train.py}", "{run: python train.py, timeout: 1s}")
    said = refuse("mlopsctl apply -y", project, code, 1, says)
    assert ("✓ done      data.digits" in said) == fresh and "- skipped   targets.cpu" in said
    failed = must("mlopsctl audit log", project)
    assert "failed" in failed and "train.classifier" in failed, "a failed step is history too"

    (project / "train.py").write_bytes(good)
    if what == "hangs":
        # On a busy machine the good script takes longer than a second, too.
        edit(project / "mlops.yaml", "timeout: 1s", "timeout: 10m")
    assert done(events(project)) == (EVERYTHING[1:] if fresh else []), (
        "the data was pinned before and is not read again"
    )


def test_a_trainer_that_prints_without_end(project: Path) -> None:
    edit(project / "train.py", "import os\n", "import os\nfor _ in range(200):\n    print('x' * (1 << 20))\n")
    said = must("mlopsctl apply -y", project)
    assert len(said) < 10_000
    log = project / ".git" / "mlops" / "logs" / "train.classifier.log"
    assert log.stat().st_size < 5 << 20
    shown = must("mlopsctl logs train.classifier", project)
    assert "bytes left out" in shown and "epoch 60" in shown, "head and tail are kept"
    check_left(project)


def test_a_model_whose_inputs_do_not_match_the_data(project: Path) -> None:
    script = project / "train.py"
    good = script.read_text()
    for old, new in (("rows[:, :64]", "rows[:, :63]"), ("(64, HIDDEN)", "(63, HIDDEN)"), ('["N", 64]', '["N", 63]')):
        edit(script, old, new)
    refuse("mlopsctl apply -y", project, "MLO1218", 1, "takes 63 columns", "has 64")
    script.write_text(good)
    assert done(events(project)) == []


def test_a_model_that_names_columns_the_data_has_not(project: Path) -> None:
    script = project / "train.py"
    (project / "train.py").write_text(
        "import os\nfrom onnx import TensorProto, helper, save_model\n"
        "ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ['N', 1]) for n in ('age', 'income', 'sum')]\n"
        "graph = helper.make_graph([helper.make_node('Add', ['age', 'income'], ['sum'])], 'g', ports[:2], ports[2:])\n"
        "model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=10)\n"
        "save_model(model, os.environ['MLOPS_OUT'] + '/model.onnx')\n"
    )
    # Side by side, gate and target would both say it.
    refuse("mlopsctl apply -y --jobs 1", project, "MLO1308", 1, "age", "gates.accuracy")
    must("git checkout -q train.py", project)
    assert script.is_file() and done(events(project)) == []


# --- Gates and plans -------------------------------------------------------------------------------------------


def test_a_failed_gate(project: Path) -> None:
    """The deployment does not run; reason and figures are shown, and what would help; a lower bar measures nothing."""
    manifest = project / "mlops.yaml"
    edit(manifest, "min: 0.93", "min: 0.999")
    with manifest.open("a") as stream:
        stream.write("\ndeployments:\n  local: {target: cpu}\n")
    for verb, exit in (("apply -y", 4), ("plan --detailed-exitcode", 4), ("plan", 0)):
        told = shell(f"mlopsctl {verb}", project)
        assert told.returncode == exit, told.stdout
        assert "failed: accuracy 0.97" in told.stdout and "needs >= 0.999" in told.stdout
        assert "Traceback" not in told.stdout
    told = shell("mlopsctl apply -y", project)
    assert "blocked" in told.stdout and "deployments.local" in told.stdout and "what would help" in told.stdout
    assert not (project / ".git" / "mlops" / "deployments").exists()
    check_left(project)

    edit(manifest, "min: 0.999", "min: 0.5")
    plan = must("mlopsctl plan", project)
    assert "+ deployments.local" in plan and "Plan: 1 to create" in plan, "the measurement stands"


def test_a_stale_plan(project: Path) -> None:
    another_row(project)
    must("mlopsctl plan -o release.plan", project)
    another_row(project)
    refuse("mlopsctl apply release.plan", project, "MLO6002", 6, "stale", "mlopsctl plan -o release.plan")
    must("mlopsctl plan -o release.plan", project)
    assert "5 applied" in must("mlopsctl apply release.plan", project)
    refuse("mlopsctl apply release.plan", project, "MLO6002", 6, "stale")


@pytest.mark.parametrize("text", ["", "{}", "not json", "[1, 2]", '{"plan_digest": 7}'])
def test_a_file_that_is_no_plan(project: Path, text: str) -> None:
    (project / "x.plan").write_text(text)
    refuse("mlopsctl apply x.plan", project, "MLO6402", 64, "x.plan is no saved plan")


def test_the_exit_codes_of_plan(project: Path) -> None:
    assert shell("mlopsctl plan --detailed-exitcode", project).returncode == 0
    another_row(project)
    assert shell("mlopsctl plan --detailed-exitcode", project).returncode == 2
    assert shell("mlopsctl plan", project).returncode == 0


def test_apply_does_not_ask_where_nobody_can_answer(project: Path) -> None:
    another_row(project)
    refuse("mlopsctl apply", project, "MLO6403", 64, "mlopsctl apply -y")


# --- Repositories ----------------------------------------------------------------------------------------------


def test_no_repository(tmp_path: Path, project: Path) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns(".git"))
    for verb in ("plan", "apply -y", "status", "audit verify"):
        told = shell(f"mlopsctl {verb}", folder)
        assert told.returncode == 1
        check_message(told.stdout, "MLO1004", "git init")
    assert not (folder / ".git").exists()


def test_no_manifest(project: Path) -> None:
    must("git mv mlops.yaml other.yaml", project)
    told = shell("mlopsctl plan", project)
    assert told.returncode == 1
    check_message(told.stdout, "MLO1006", "mlopsctl init")


def test_no_commit_yet(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    must(f"git init -q {folder} && mlopsctl init --template quickstart {folder}", tmp_path)
    must("git add -A", folder)
    assert "Plan: 6 to create" in must("mlopsctl plan", folder)
    refuse("mlopsctl apply -y", folder, "MLO1016", 1, "git commit")


def test_a_detached_head(project: Path) -> None:
    must("git checkout -q --detach", project)
    assert "No changes" in must("mlopsctl plan", project)
    another_row(project)
    assert done(events(project)) == EVERYTHING
    check_left(project)


def test_a_shallow_clone(project: Path, tmp_path: Path) -> None:
    for number in range(3):
        must(f"git commit -q --allow-empty -m {number}", project)
    must("mlopsctl audit verify", project)
    must(f"git clone -q --depth 1 file://{project} {tmp_path}/shallow", tmp_path)
    shallow = tmp_path / "shallow"
    assert "No changes" in must("mlopsctl plan", shallow), "the trail is fetched by the first plan"
    refuse("mlopsctl diff HEAD~2", shallow, "MLO1003", 1, "git fetch --unshallow")
    assert "ok" in must("mlopsctl audit verify", shallow)
    another_row(shallow)
    assert done(events(shallow, "mlopsctl apply -y --offline --format json")) == EVERYTHING


def test_a_dirty_tree_is_recorded_and_allowed(project: Path) -> None:
    edit(project / "train.py", "EPOCHS, BATCH, RATE, DECAY = 64, 60", "EPOCHS, BATCH, RATE, DECAY = 64, 12")
    before = files_of(project)
    assert "train.classifier" in done(events(project))
    assert files_of(project) == before, "apply never writes tracked files"
    assert "differs from the commit" in must("mlopsctl audit log --format json", project)
    must("git checkout -q train.py", project)
    assert "No changes" in must("mlopsctl plan", project), "back at the committed code its own result counts"
    check_left(project)


# --- The machine -----------------------------------------------------------------------------------------------


def _may_mount() -> bool:
    probe = "mount -t tmpfs -o size=64k none /mnt"
    return subprocess.run(["unshare", "-m", "sh", "-c", probe], capture_output=True, check=False).returncode == 0


mounting = pytest.mark.skipif(not _may_mount(), reason="only root may mount here")


@mounting
@pytest.mark.parametrize("room", [0, 150, *(pytest.param(room, marks=pytest.mark.slow) for room in (40, 300, 700))])
def test_a_full_disk(project: Path, room: int) -> None:
    """The clone lies on a disk that has ``room`` KiB left; with some space freed the next apply finishes."""
    another_row(project)
    disk = project.parent / "disk"
    disk.mkdir()
    told = _in_namespace(
        f"mount -t tmpfs -o size=64m none {disk}; cp -a {project} {disk}/digits; cd {disk}/digits",
        f"left=$(df --output=avail -k {disk} | tail -1)",
        f"head -c $((left - {room}))k /dev/zero > {disk}/ballast",
        "set +e; mlopsctl apply -y; echo exit $?; find .git/mlops/work .git/mlops/store/tmp -mindepth 1; echo freed",
        f"set -e; rm {disk}/ballast; mlopsctl audit verify; mlopsctl apply -y; mlopsctl plan --detailed-exitcode",
    )
    assert told.returncode == 0, told.stdout
    failed, freed = told.stdout.split("\nfreed\n")
    assert failed.endswith("exit 1"), "nothing was left in the scratch folders\n" + failed
    code = ERROR.findall(failed)[0][0]
    assert code in ("MLO1005", "MLO1131", "MLO1223", "MLO7034")
    check_message(failed, code, "free some space")
    assert "ok:" in freed and "Apply: 5 applied." in freed


@mounting
def test_a_read_only_repository(project: Path) -> None:
    """Whatever only looks answers; apply names the place that it cannot write."""
    readonly = f"mount --bind {project} {project}; mount -o remount,bind,ro {project}"
    for verb in ("graph", "validate", "show train.classifier --resolved", "explain MLO1005"):
        told = _in_namespace(readonly, f"cd {project}", f"mlopsctl {verb}")
        assert told.returncode == 0, told.stdout
    another_row(project)
    for verb in ("plan", "status", "diff", "audit verify"):
        told = _in_namespace(readonly, f"cd {project}", f"mlopsctl {verb}")
        assert told.returncode == 0, told.stdout
    told = _in_namespace(readonly, f"cd {project}", "mlopsctl apply -y")
    assert told.returncode == 1, told.stdout
    check_message(told.stdout, "MLO1005", str(project), "read-only", "run this in a writable clone")
    check_left(project)
    assert done(events(project)) == EVERYTHING


def _in_namespace(*lines: str) -> subprocess.CompletedProcess[str]:
    """Runs shell lines where their mounts are seen by nobody else."""
    return shell("unshare -m bash -euc " + shlex.quote("\n".join(lines)), Path("/"))


# --- Two at once -----------------------------------------------------------------------------------------------


def test_two_applies_at_once(project: Path) -> None:
    """The second one names the first; reading goes on meanwhile; a killed holder holds nothing."""
    good = (project / "train.py").read_bytes()
    (project / "train.py").write_text("import time\ntime.sleep(600)\n")
    with start("mlopsctl apply -y", project) as first:
        wait_for(first, "… +train.classifier")
        told = shell("mlopsctl apply -y", project)
        assert told.returncode == 6
        check_message(told.stdout, "MLO6001", f"'mlopsctl apply', process {first.pid} on {socket.gethostname()}")
        must("mlopsctl plan && mlopsctl status && mlopsctl audit verify", project)
        first.kill()
    (project / "train.py").write_bytes(good)
    assert done(events(project)) == []


def test_a_port_that_is_taken(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (project / "mlops.yaml").open("a") as stream:
            stream.write(f'\ndeployments:\n  local: {{target: cpu, to: "127.0.0.1:{port}"}}\n')
        refuse("mlopsctl apply -y", project, "MLO1504", 1, str(port))
        assert "absent" in must("mlopsctl status local", project)
    try:
        assert done(events(project)) == ["deployments.local"]
    finally:
        must("mlopsctl destroy --all -y", project)


# --- The trail of others ---------------------------------------------------------------------------------------


@pytest.fixture
def clone(project: Path, tmp_path: Path) -> Path:
    """A clone that has not fetched the trail yet."""
    must(f"git init -q --bare {tmp_path}/server && git remote add origin {tmp_path}/server", project)
    must("git push -q origin HEAD && mlopsctl push", project)
    must(f"git clone -q {tmp_path}/server {tmp_path}/clone", tmp_path)
    return tmp_path / "clone"


def test_a_trail_that_was_not_fetched(clone: Path) -> None:
    assert "No changes" in must("mlopsctl plan", clone)
    assert "ok:" in must("mlopsctl audit verify", clone)


def test_a_trail_that_cannot_be_fetched(clone: Path) -> None:
    must("mv ../server ../away", clone)
    for verb in ("plan", "apply -y", "plan --detailed-exitcode"):
        told = shell(f"mlopsctl {verb}", clone)
        assert told.returncode == 1, told.stdout
        check_message(told.stdout, "MLO8005", "mlopsctl pull --trail-only", "--offline")
    assert "Plan: 5 to create" in must("mlopsctl plan --offline", clone)
    must("mv ../away ../server", clone)
    assert "No changes" in must("mlopsctl plan", clone)


def test_an_apply_whose_trail_cannot_be_pushed(clone: Path) -> None:
    must("mlopsctl plan", clone)
    must("mv ../server ../away", clone)
    another_row(clone)
    told = shell("mlopsctl apply -y", clone)
    assert "Apply: 5 applied." in told.stdout
    assert told.returncode == 8, told.stdout
    check_message(told.stdout, "MLO8002", "mlopsctl push --trail-only")
    must("mv ../away ../server", clone)
    must("mlopsctl push && mlopsctl audit verify", clone)
