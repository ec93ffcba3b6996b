"""What is written for DVC is what stock DVC 3 reads and writes itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsctl.adapters.dvcadd import add
from mlopsctl.adapters.dvcfile import cache_root, find_dvc, parse_folder_object, parse_pin
from mlopsctl.adapters.git import find_repo
from mlopsctl.errors import MlopsError, ProviderError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "data" / "images" / "cats").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "data" / "table.csv").write_text("id,y\n1,2\n")
    (root / "data" / "images" / "a.png").write_bytes(b"a" * 1000)
    (root / "data" / "images" / "cats" / "b \u00e4.png").write_bytes(b"b")
    (root / "data" / "images" / "empty").write_bytes(b"")
    return root


def pin(root: Path, path: str) -> bool:
    return add(find_repo(root), root / path, lambda line: None).changed


def dvc(root: Path, *args: str) -> str:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(root.parent / "site")}
    command = [str(Path(sys.executable).parent / "dvc"), *args]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stock_dvc_agrees_with_what_was_added(project: Path, tmp_path: Path) -> None:
    assert pin(project, "data/table.csv")
    assert pin(project, "data/images")
    written = {name: (project / "data" / f"{name}.dvc").read_bytes() for name in ("table.csv", "images")}
    assert "up to date" in dvc(project, "status")

    dvc(project, "remote", "add", "-d", "local", str(tmp_path / "remote"))
    dvc(project, "push")
    shutil.rmtree(project / "data" / "images")
    (project / "data" / "table.csv").unlink()
    dvc(project, "checkout")
    assert (project / "data" / "images" / "cats" / "b \u00e4.png").read_bytes() == b"b"

    shutil.rmtree(project / "data" / "images")
    shutil.rmtree(project / ".dvc" / "cache")
    dvc(project, "pull")
    assert (project / "data" / "images" / "a.png").read_bytes() == b"a" * 1000

    dvc(project, "add", "data/table.csv", "data/images")
    assert {name: (project / "data" / f"{name}.dvc").read_bytes() for name in written} == written
    assert not pin(project, "data/images"), "what DVC wrote is what we would write"


def test_adding_twice_changes_nothing_and_git_sees_only_small_files(project: Path) -> None:
    assert pin(project, "data/table.csv")
    assert not pin(project, "data/table.csv")
    assert (project / "data" / ".gitignore").read_text() == "/table.csv\n"
    (project / "data" / "images").rename(project / "elsewhere")
    seen = subprocess.check_output(["git", "status", "--porcelain", "-uall", "data", ".dvc"], cwd=project, text=True)
    names = {line[3:] for line in seen.splitlines()}
    assert names == {".dvc/config", ".dvc/.gitignore", "data/.gitignore", "data/table.csv.dvc"}


def test_a_new_version_is_a_new_pin_and_the_old_one_stays_in_the_cache(project: Path) -> None:
    pin(project, "data/table.csv")
    (project / "data" / "table.csv").write_text("id,y\n1,3\n")
    assert pin(project, "data/table.csv")
    assert len([p for p in (project / ".dvc" / "cache").rglob("*") if p.is_file()]) == 2
    assert all(p.stat().st_mode & 0o777 == 0o444 for p in (project / ".dvc" / "cache").rglob("*") if p.is_file())


def test_a_gitignore_without_a_last_line_end_is_kept_whole(project: Path) -> None:
    (project / "data" / ".gitignore").write_text("*.tmp")
    pin(project, "data/table.csv")
    assert (project / "data" / ".gitignore").read_text() == "*.tmp\n/table.csv\n"


def test_data_that_git_tracks_is_left_to_git(project: Path) -> None:
    subprocess.run(["git", "add", "data/images"], cwd=project, check=True)
    with pytest.raises(MlopsError) as caught:
        pin(project, "data/images")
    assert caught.value.code == "MLO1122"
    assert "git rm -r --cached data/images" in caught.value.hint
    assert not (project / ".dvc").exists()


@pytest.mark.parametrize(
    "path", ["data/none.csv", "data/link", "data/empty", "data/pipe", ".git/config", "../outside.csv", "."]
)
def test_what_can_not_be_added_is_refused_and_nothing_is_written(project: Path, path: str) -> None:
    (project / "data" / "link").symlink_to("table.csv")
    (project / "data" / "empty").mkdir()
    os.mkfifo(project / "data" / "pipe")
    (project.parent / "outside.csv").write_text("x")
    with pytest.raises(MlopsError) as caught:
        pin(project, path)
    assert caught.value.code == "MLO1123"
    assert caught.value.hint
    assert not (project / ".dvc").exists()


def test_the_cache_may_lie_where_dvc_is_told(project: Path, tmp_path: Path) -> None:
    pin(project, "data/table.csv")
    dvc(project, "cache", "dir", str(tmp_path / "shared"))
    found = find_dvc(project / "data")
    assert found == project / ".dvc"
    assert cache_root(found) == tmp_path / "shared"
    (project / "data" / "table.csv").write_text("id,y\n5,5\n")
    pin(project, "data/table.csv")
    assert (tmp_path / "shared" / "files" / "md5").is_dir()


GOOD = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: x.csv\n"


def test_a_pin_is_read() -> None:
    found = parse_pin(GOOD.encode(), "data/x.csv.dvc")
    assert (found.md5, found.size, found.folder) == ("d41d8cd98f00b204e9800998ecf8427e", 0, False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "outs: []",
        "outs:\n- {md5: a, hash: md5, path: x.csv}",
        GOOD.replace("  hash: md5\n", ""),
        GOOD.replace("x.csv", "../../y.csv"),
        GOOD.replace("size: 0", "size: big"),
        "wdir: ..\n" + GOOD,
        "\x00",
        "[" * 1500,
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nouts:\n- {md5: *b, hash: md5, path: x.csv}\n",
        "!!python/object/apply:os.system ['true']",
        "x" * (2 << 20),
    ],
)
def test_a_broken_pin_is_one_clear_error(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        parse_pin(text.encode(), "data/x.csv.dvc")
    assert caught.value.code == "MLO1105"
    assert caught.value.hint


@pytest.mark.parametrize("text", [b"", b"{}x", b"[1]", b'[{"relpath": "../x", "md5": "00"}]', b'[{"relpath": "x"}]'])
def test_a_broken_folder_listing_is_one_clear_error(text: bytes) -> None:
    with pytest.raises(ProviderError):
        parse_folder_object(text, "x")
