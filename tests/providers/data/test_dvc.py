"""``use: dvc`` on real repositories: tracked files, folders, pins, commits of bare clones."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mlopsctl.adapters.dvcadd import add
from mlopsctl.adapters.git import CommitTree, WorkTree, find_repo
from mlopsctl.adapters.store import LocalStore, hash_file, hash_folder
from mlopsctl.canonical import canonical
from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.provider import Context, Trail, fingerprint, ingredients
from mlopsctl.providers.data import dvc
from mlopsctl.providers.data.split import Split
from mlopsctl.types import Address, Outcome, Resource

ROWS = b"id,x,y\n" + b"".join(b"%d,%d.5,%s\n" % (n, n, b"no" if n % 3 else b"yes") for n in range(200))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "data" / "t.csv").write_bytes(ROWS)
    return folder


def git(root: Path, *args: str) -> None:
    subprocess.run(["git", *args], cwd=root, check=True, capture_output=True)


def want(path: str = "data/t.csv", **spec: Any) -> Resource:
    return Resource(Address("data", "t"), "data/dvc", dvc.Spec(path, **spec))


def apply(root: Path, resource: Resource, tree: Any = None) -> tuple[Outcome, Context]:
    scratch = root.parent / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    store = LocalStore(root.parent / "store")
    trail: Trail = None  # type: ignore[assignment] # no provider of data asks the trail
    context = Context(
        root,
        root.parent / "state",
        scratch,
        tree or WorkTree(find_repo(root), root),
        store,
        trail,
        "p",
        lambda line: None,
    )
    return dvc.apply(resource, (), context), context


def meaning(outcome: Outcome) -> dict[str, Any]:
    """What the output beside the views says, and the entry does not."""
    words: dict[str, Any] = json.loads(Path(str(outcome.outputs["meaning"])).read_bytes())
    assert not {"classes", "columns", "features", "positive", "membership"} & set(outcome.facts)
    return words


def refused(root: Path, resource: Resource) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        apply(root, resource)
    assert caught.value.hint
    return caught.value


def test_a_tracked_table_gives_views_and_facts(root: Path) -> None:
    git(root, "add", ".")
    outcome, _ = apply(root, want(label="y", positive="yes"))
    assert set(outcome.outputs) == {"all", "train", "test", "meaning"}
    paths = {view: path for view, path in outcome.outputs.items() if isinstance(path, Path)}
    assert paths["all"].read_bytes() == ROWS
    lines = [line for view in ("train", "test") for line in paths[view].read_bytes().splitlines()[1:]]
    assert sorted(lines) == sorted(ROWS.splitlines()[1:])
    facts = outcome.facts
    assert facts["rows"]["all"] == 200 == facts["rows"]["train"] + facts["rows"]["test"]
    assert (facts["format"], facts["path"], facts["size"]) == ("csv", "data/t.csv", len(ROWS))
    said = meaning(outcome)
    assert (said["columns"], said["features"]) == (["id", "x", "y"], ["id", "x"])
    assert (facts["label"], said["classes"], said["positive"]) == ("y", ["no", "yes"], "yes")
    assert facts["split"]["test"] == "0.2"
    canonical(dict(facts))


def test_the_column_that_the_split_goes_by_is_no_feature(root: Path) -> None:
    git(root, "add", ".")
    outcome, _ = apply(root, want(label="y", split=Split(test=0.3, val=0.2, key="id")))
    assert meaning(outcome)["features"] == ["x"]
    assert outcome.facts["key"] == "id"
    assert set(outcome.outputs) == {"all", "train", "val", "test", "meaning"}


def test_where_nothing_is_set_aside_everything_is_there_to_train_on(root: Path) -> None:
    git(root, "add", ".")
    for spec in (want(), want(label="y", split="none")):
        outputs = apply(root, spec)[0].outputs
        assert set(outputs) == {"all", "train", "meaning"}
        assert Path(str(outputs["train"])).read_bytes() == Path(str(outputs["all"])).read_bytes()


def test_test_all_makes_the_whole_table_the_test_view(root: Path) -> None:
    git(root, "add", ".")
    outcome, _ = apply(root, want(label="y", split=Split(test="all")))
    assert outcome.outputs["all"] == outcome.outputs["test"]
    assert outcome.facts["rows"] == {"all": 200, "test": 200}


def test_parquet_of_the_same_rows_has_the_same_membership(root: Path) -> None:
    pq.write_table(pyarrow.csv.read_csv(root / "data" / "t.csv"), root / "data" / "t.parquet")
    git(root, "add", ".")
    plain, _ = apply(root, want(label="y"))
    parquet, _ = apply(root, want("data/t.parquet", label="y"))
    assert meaning(parquet)["membership"] == meaning(plain)["membership"]
    assert meaning(parquet)["classes"] == meaning(plain)["classes"]
    assert parquet.made_with["pyarrow"]


def test_a_pinned_table_comes_from_the_cache_or_the_working_file(root: Path) -> None:
    add(find_repo(root), root / "data" / "t.csv", lambda line: None)
    tree = WorkTree(find_repo(root), root)
    assert list(dvc.sources(want(), tree)) == ["data/t.csv.dvc"]
    for gone in (root / "data" / "t.csv", root / "nothing"):
        gone.unlink(missing_ok=True)
        outcome, context = apply(root, want(label="y"))
        path = outcome.outputs["all"]
        assert isinstance(path, Path)
        assert context.store.put(path) == "sha256:" + hashlib.sha256(ROWS).hexdigest()
    (root / "data" / "t.csv").write_bytes(ROWS)
    shutil.rmtree(root / ".dvc" / "cache")
    assert apply(root, want(label="y"))[0].facts["rows"]["all"] == 200
    (root / "data" / "t.csv").write_bytes(b"id,x,y\n1,2,3\n")
    assert refused(root, want(label="y")).code == "MLO1103"


def test_a_corrupt_cache_is_named(root: Path) -> None:
    add(find_repo(root), root / "data" / "t.csv", lambda line: None)
    place = next(p for p in (root / ".dvc" / "cache").rglob("*") if p.is_file())
    place.chmod(0o644)
    place.write_bytes(b"x")
    error = refused(root, want())
    assert error.code == "MLO1106"
    assert str(place) in error.message


def test_folders_by_git_and_by_dvc_are_the_same_output(root: Path) -> None:
    folder = root / "data" / "images"
    (folder / "cats").mkdir(parents=True)
    (folder / "a.png").write_bytes(b"a")
    (folder / "cats" / "b.png").write_bytes(b"b")
    git(root, "add", ".")
    by_git, context = apply(root, want("data/images"))
    assert isinstance(by_git.outputs["all"], Path)
    digest = context.store.put(by_git.outputs["all"])
    git(root, "rm", "-rq", "--cached", "data/images")
    add(find_repo(root), folder, lambda line: None)
    shutil.rmtree(folder)
    by_dvc, context = apply(root, want("data/images"))
    assert isinstance(by_dvc.outputs["all"], Path)
    assert context.store.put(by_dvc.outputs["all"]) == digest
    assert (by_dvc.facts["format"], by_dvc.facts["size"]) == ("folder", 2)


def test_data_tracked_by_nothing_is_refused_with_both_ways(root: Path) -> None:
    error = refused(root, want())
    assert error.code == "MLO1102"
    assert "git add data/t.csv" in error.hint
    assert "mlopsctl data add data/t.csv" in error.hint


def test_data_that_is_not_there(root: Path) -> None:
    assert refused(root, want("data/none.csv")).code == "MLO1101"


def test_a_link_is_no_data(root: Path) -> None:
    (root / "data" / "link.csv").symlink_to("/etc/passwd")
    git(root, "add", ".")
    assert refused(root, want("data/link.csv")).code == "MLO1101"


def test_an_edit_between_plan_and_apply_is_seen(root: Path) -> None:
    git(root, "add", ".")
    tree = WorkTree(find_repo(root), root)
    dvc.sources(want(), tree)
    (root / "data" / "t.csv").write_bytes(ROWS + b"999,1.5,no\n")
    with pytest.raises(ProviderError) as caught:
        apply(root, want(label="y"), tree)
    assert caught.value.code == "MLO1104"


def test_a_commit_in_a_bare_clone_has_the_same_sources_and_fingerprint(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "-qm", "data")
    bare = root.parent / "bare.git"
    git(root, "clone", "-q", "--bare", ".", str(bare))
    here, there = WorkTree(find_repo(root), root), CommitTree(find_repo(bare), find_repo(bare).commit("HEAD"))
    prints = []
    for tree in (here, there):
        parts = ingredients(want(label="y"), dvc.sources(want(label="y"), tree), ())
        assert parts is not None
        prints.append(fingerprint(parts))
    assert prints[0] == prints[1]


def test_a_file_that_is_no_table_is_handed_on_whole(root: Path) -> None:
    (root / "data" / "notes.txt").write_text("hello")
    git(root, "add", ".")
    outcome, _ = apply(root, want("data/notes.txt"))
    assert outcome.facts["format"] == "file"
    assert refused(root, want("data/notes.txt", label="y")).code == "MLO1116"


def test_broken_parquet(root: Path) -> None:
    (root / "data" / "bad.parquet").write_bytes(b"PAR1" + os.urandom(100))
    (root / "data" / "empty.parquet").write_bytes(b"")
    (root / "data" / "lfs.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    git(root, "add", ".")
    assert refused(root, want("data/bad.parquet", label="y")).code == "MLO1118"
    assert refused(root, want("data/empty.parquet", label="y")).code == "MLO1107"
    assert refused(root, want("data/lfs.parquet", label="y")).code == "MLO1120"


def test_parquet_without_pyarrow_names_the_extra(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "data" / "t.parquet").write_bytes(b"PAR1")
    git(root, "add", ".")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = refused(root, want("data/t.parquet", label="y"))
    assert error.code == "MLO1119"
    assert "mlopsctl[parquet]" in error.hint


def test_a_positive_value_that_does_not_occur(root: Path) -> None:
    git(root, "add", ".")
    assert refused(root, want(label="y", positive="maybe")).code == "MLO1117"
    assert refused(root, want(label="y", positive=True)).code == "MLO1117"


def test_entries_of_wide_tables_stay_small(root: Path) -> None:
    names = [f"pixel_{n}" for n in range(784)]
    text = ",".join([*names, "y"]) + "\n" + "".join(",".join(["1"] * 784 + [str(n % 7)]) + f"{n}\n" for n in range(60))
    (root / "data" / "wide.csv").write_text(text)
    git(root, "add", ".")
    outcome, _ = apply(root, want("data/wide.csv", label="y"))
    assert (meaning(outcome)["features"], outcome.facts["column_count"]) == (names, 785)
    assert len(json.dumps(dict(outcome.facts))) < 2000


def test_commitments_change_with_the_classes_and_with_the_rows_of_their_own_view_alone(root: Path) -> None:
    def made(text: bytes, **spec: Any) -> dict[str, Any]:
        (root / "data" / "t.csv").write_bytes(text)
        git(root, "add", ".")
        return dict(apply(root, want(label="y", split=Split(test=0.3, key="id"), **spec))[0].facts["commitments"])

    first, again = made(ROWS), made(ROWS)
    assert first == again, "the same rows give the same on every machine"
    test_ids = [line.split(b",")[0] for line in _view(root, "test").splitlines()[1:]]
    lines = ROWS.splitlines(keepends=True)
    row = next(line for line in lines[1:] if line.split(b",")[0] not in test_ids)
    changed = made(ROWS.replace(row, row.replace(b",", b",9", 1)))
    assert changed["test"] == first["test"] and changed["train"] != first["train"] and changed["all"] != first["all"]
    positive = made(ROWS, positive="yes")
    assert positive["test"]["classes"] == first["test"]["classes"] and "positive" not in first["test"]
    third = made(ROWS.replace(row, row.replace(b"yes", b"maybe").replace(b"no", b"maybe")))
    assert third["test"]["classes"] != first["test"]["classes"], "another class, though the view stays as it was"


def _view(root: Path, name: str) -> bytes:
    outcome, _ = apply(root, want(label="y", split=Split(test=0.3, key="id")))
    return Path(str(outcome.outputs[name])).read_bytes()


@pytest.mark.parametrize(
    "spec",
    [
        {"path": "../t.csv"},
        {"path": "/etc/passwd"},
        {"path": "t.csv", "positive": "yes"},
        {"path": "t.csv", "split": Split(by="a", key="b")},
        {"path": "t.csv", "split": Split(test=0.6, val=0.4)},
        {"path": "t.csv", "split": Split(test="all", by="a")},
        {"path": "t.csv", "label": "y", "split": Split(by="y")},
    ],
)
def test_keys_that_contradict_each_other(spec: dict[str, Any]) -> None:
    with pytest.raises(ManifestError) as caught:
        dvc.needs(dvc.Spec(**spec), {})
    assert caught.value.code == "MLO1116"
    assert caught.value.hint


def test_a_split_by_whole_rows_is_noted_as_unstable() -> None:
    assert "unstable" in dvc.notes(want(label="y"), ())[0]
    assert dvc.notes(want(label="y", split=Split(key="id")), ()) == ()
    assert dvc.notes(want(), ()) == ()


def test_planning_imports_nothing_heavy(root: Path) -> None:
    git(root, "add", ".")
    code = (
        "import sys; from pathlib import Path; from mlopsctl.adapters.git import *; from mlopsctl.providers.data import dvc;"
        "from mlopsctl.types import *; r = find_repo(Path.cwd()); w = Resource(Address('data', 't'), 'data/dvc',"
        "dvc.Spec('data/t.csv', 'y')); dvc.needs(w.spec, {}); dvc.notes(w, ()); dvc.sources(w, WorkTree(r, r.root));"
        "heavy = {'numpy', 'pyarrow', 'yaml', 'dvc', 'csv'} & set(sys.modules); sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FULL = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from mlopsctl.errors import MlopsError
from tests.providers.data.test_dvc import apply, want
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    apply(root, want(label="y"))
except MlopsError as error:
    print(error.code)
"""


def test_no_room_for_the_copy_of_the_data_is_one_clear_error(root: Path) -> None:
    git(root, "add", ".")
    house = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(root), str(house)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["MLO1131"], done.stderr
    assert not list((root.parent / "scratch").rglob("*.csv"))


def test_outputs_are_hashed_as_they_are(root: Path) -> None:
    git(root, "add", ".")
    path = apply(root, want())[0].outputs["all"]
    assert isinstance(path, Path)
    assert hash_file(path) == "sha256:" + hashlib.sha256(ROWS).hexdigest()
    assert hash_folder(path.parent).startswith("dirhash:")
