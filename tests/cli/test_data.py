"""``data add``, ``ls`` and ``verify`` in a real project, typed as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.quickstart import make_quickstart, must, shell


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's data alone, applied."""
    root = make_quickstart(tmp_path_factory.mktemp("data") / "project")
    text = (root / "mlops.yaml").read_text()
    (root / "mlops.yaml").write_text(text[: text.index("\ntrain:")] + "\n")
    must("git commit -qam 'Data only' && mlopsctl apply -y", root)
    return root


def test_ls_shows_rows_views_and_state(recorded: Path) -> None:
    found = json.loads(must("mlopsctl data ls --format json", recorded))["datasets"]
    assert [one["address"] for one in found] == ["data.digits"]
    rows = found[0]["rows"]
    assert rows["all"] == 1797 == rows["train"] + rows["test"]
    assert found[0]["state"] == "current"
    assert "1,797" in must("mlopsctl data ls", recorded)


def test_verify_is_quiet_about_good_bytes_and_exit_7_about_others(recorded: Path) -> None:
    assert "same" in must("mlopsctl data verify", recorded)
    data = recorded / "data" / "digits.csv"
    kept = data.read_bytes()
    try:
        data.write_bytes(kept.replace(b"\n", b"\r\n", 1))
        done = shell("mlopsctl data verify digits", recorded)
        assert done.returncode == 7, done.stdout
        assert "MLO1124" in done.stdout
        assert "differs" in done.stdout
    finally:
        data.write_bytes(kept)
    assert json.loads(must("mlopsctl data verify --format json", recorded))["ok"] is True


def test_add_then_apply_then_verify_with_the_cache(recorded: Path) -> None:
    done = shell("mlopsctl data add data/digits.csv", recorded)
    assert done.returncode == 1
    assert "git rm -r --cached data/digits.csv" in done.stdout
    must("git rm -q --cached data/digits.csv && git commit -qm 'Hand over'", recorded)
    out = must("mlopsctl data add data/digits.csv", recorded)
    assert "git add data/digits.csv.dvc" in out
    assert "did not change" in must("mlopsctl data add data/digits.csv", recorded)
    must("git add data .dvc && git commit -qm Pin && mlopsctl apply -y", recorded)
    assert "DVC's cache  same" in must("mlopsctl data verify", recorded)
    cached = next(p for p in (recorded / ".dvc" / "cache").rglob("*") if p.is_file())
    cached.chmod(0o644)
    cached.write_bytes(b"other")
    assert shell("mlopsctl data verify", recorded).returncode == 7


def test_add_of_nothing_is_one_clear_error(recorded: Path) -> None:
    done = shell("mlopsctl data add data/none.csv", recorded)
    assert done.returncode == 1
    assert "MLO1123" in done.stdout
    assert "Traceback" not in done.stdout


def test_what_is_no_dataset_is_not_verified(project: Path) -> None:
    done = shell("mlopsctl data verify train.classifier", project)
    assert done.returncode == 64 and "MLO6407" in done.stdout


@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_a_refreshed_plan_says_that_dvc_has_lost_what_it_pins(tmp_path: Path, what: str) -> None:
    """The working copy or the cache is enough; with neither, the outputs in the store are all that is left."""
    root = make_quickstart(tmp_path / "project")
    text = (root / "mlops.yaml").read_text()
    head = text[: text.index("\ntrain:")].replace("{path: data/digits.csv, label: digit}", "{path: data/more}")
    path = root / "data" / "more"
    if what == "a folder":
        path.mkdir()
        (path / "one.txt").write_text("1")
    else:
        path.write_text("1")
    (root / "mlops.yaml").write_text(head + "\n")
    must("mlopsctl data add data/more && git add -A && git commit -qm More && mlopsctl apply -y", root)
    look = "mlopsctl plan --refresh-only --detailed-exitcode"
    assert "No drift" in must(look, root)
    kept = tmp_path / "kept"
    path.rename(kept)
    assert "No drift" in must(look, root), "DVC's cache has it"
    (root / ".dvc" / "cache").rename(tmp_path / "cache")
    done = shell(look, root)
    assert done.returncode == 2 and "the working folder has what data/more.dvc pins: dvc pull" in done.stdout
    kept.rename(path)
    assert "No drift" in must(look, root)
