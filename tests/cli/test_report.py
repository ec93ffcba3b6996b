"""``mlopsctl report``: what the trail says of the targets, in every format."""

from __future__ import annotations

from pathlib import Path

from tests.cli.contract import follows
from tests.quickstart import must, shell


def test_every_target_has_a_row_and_nothing_is_made_for_it(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text() + "\n  page: {use: web}\n")
    found = follows("report-targets", must("mlopsctl report targets --format json", project))
    cpu, page = found["targets"]
    assert (cpu["target"], cpu["model"], cpu["state"], cpu["proof"]) == (
        "targets.cpu",
        "classifier",
        "current",
        "device-run",
    )
    assert cpu["agreement"] == 1 and cpu["rows"] > 100 and cpu["size"] > 1000
    assert cpu["verdict"]["status"] == "passed" and cpu["metric"]["name"] == "accuracy"
    assert "onnxruntime" in cpu["made_with"]
    assert cpu["digest"].startswith("dirhash:")
    assert must(f"mlopsctl audit show {cpu['signed']['entry'][:12]}", project)
    assert (page["state"], page["proof"], page["signed"]) == ("not made", None, None)
    assert not must("git status --porcelain --untracked-files=all -- . ':!mlops.yaml'", project)


def test_a_target_of_another_manifest_is_outdated(project: Path) -> None:
    manifest = project / "mlops.yaml"
    manifest.write_text(manifest.read_text().replace("cpu: {}", "cpu: {view: all}"))
    (cpu,) = follows("report-targets", must("mlopsctl report targets --format json", project))["targets"]
    assert cpu["state"] != "current" and cpu["proof"] is None


def test_a_page_is_written_and_another_model_has_no_targets(project: Path) -> None:
    must("mlopsctl report targets --format html -o out/targets.html 2>/dev/null", project)
    assert (project / "out" / "targets.html").read_text().startswith("<!doctype html>")
    assert "| `targets.cpu` |" in must("mlopsctl report targets --format markdown", project)
    assert "device-run" in must("mlopsctl report targets --model classifier", project)
    done = shell("mlopsctl report targets --model nobody", project)
    assert done.returncode != 0 and "nobody" in done.stdout
    done = shell("mlopsctl report targets --format sarif", project)
    assert done.returncode == 64 and "MLO6401" in done.stdout
