"""Which files count as the code of a step."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsctl.errors import ManifestError, ProviderError
from mlopsctl.providers.train.code import declared_code, undeclared
from mlopsctl.providers.train.command_line import commands, fill, references
from mlopsctl.types import TreeFile

from .conftest import Project


def test_a_script_and_the_modules_it_imports(project: Project) -> None:
    project.write("train.py", "import numpy, lib.model\nfrom lib import tools\ndef late(): from other import thing\n")
    project.write("lib/__init__.py", "")
    project.write("lib/model.py", "from . import layers\nfrom .deep.er import x\n")
    project.write("lib/layers.py", "")
    project.write("lib/tools.py", "import importlib\nimportlib.import_module('lib.plugin')\n__import__('extra')\n")
    project.write("lib/plugin.py", "")
    project.write("lib/deep/er.py", "from .. import layers\n")
    project.write("lib/unused.py", "")
    project.write("other.py", "")
    project.write("extra.py", "")
    assert project.made_from(run="python train.py") == {
        "train.py", "lib/__init__.py", "lib/model.py", "lib/layers.py", "lib/tools.py", "lib/plugin.py", "lib/deep/er.py",
        "other.py", "extra.py",
    }  # fmt: skip


def test_imports_are_found_wherever_a_statement_may_stand(project: Project) -> None:
    places = (
        "class C:\n  async def f(self):\n    import {}\n",
        "try:\n  pass\nexcept E:\n  import {}\n",
        "try:\n  pass\nfinally:\n  import {}\n",
        "if x:\n  pass\nelif y:\n  pass\nelse:\n  import {}\n",
        "for i in x:\n  with y:\n    while z:\n      import {}\n",
        "match x:\n  case 1:\n    import {}\n",
        "a = [lambda: importlib.import_module('{}')]\n",
    )
    for number, text in enumerate(places):
        project.write("train.py", text.format("found"))
        project.write("found.py", f"# {number}")
        assert project.made_from(run="python train.py") == {"train.py", "found.py"}, text


def test_a_module_run_by_name_and_a_source_folder(project: Project) -> None:
    project.write("src/pkg/__init__.py", "")
    project.write("src/pkg/net.py", "")
    project.write("jobs/__init__.py", "")
    project.write("jobs/fit.py", "from pkg.net import Net")
    found = project.made_from(run="python -m jobs.fit --epochs 3")
    assert found == {"jobs/__init__.py", "jobs/fit.py", "src/pkg/__init__.py", "src/pkg/net.py"}


def test_modules_beside_a_script_in_a_folder(project: Project) -> None:
    project.write("scripts/train.py", "import helper")
    project.write("scripts/helper.py", "")
    assert project.made_from(run="python -u scripts/train.py") == {"scripts/train.py", "scripts/helper.py"}


def test_a_command_names_files_from_its_folder(project: Project) -> None:
    project.write("sub/tool/__main__.py", "import tool.rest, near, far")
    project.write("sub/tool/__init__.py", "")
    project.write("sub/tool/rest.py", "")
    project.write("sub/near.py", "")
    project.write("far.py", "")
    project.write("near.py", "")
    project.write("conf.json", "")
    assert project.made_from(run="python -m tool --config=../conf.json", cwd="sub") == {
        "sub/tool/__main__.py", "sub/tool/__init__.py", "sub/tool/rest.py", "sub/near.py", "far.py", "conf.json",
    }  # fmt: skip
    with pytest.raises(ProviderError, match="starts sub/far.py, which is not in the repository"):
        project.made_from(run="python far.py", cwd="sub")


def test_files_that_the_command_names_count_and_data_does_not(project: Project) -> None:
    project.write("train.py", "")
    project.write("config.yaml", "")
    project.write("more.json", "")
    found = project.made_from(run="python train.py --config=config.yaml more.json data/rows.csv missing.txt")
    assert found == {"train.py", "config.yaml", "more.json"}


def test_several_commands_and_other_languages(project: Project) -> None:
    project.write("train.cpp", "")
    project.write("build.sh", "")
    assert project.made_from(run=("bash build.sh", "g++ -O2 -o trainer ./train.cpp", "./trainer")) == {
        "train.cpp",
        "build.sh",
    }


def test_globs_say_exactly_what_counts(project: Project) -> None:
    for name in ("train.py", "src/a.py", "src/deep/b.py", "src/c.txt", "top.py"):
        project.write(name, "import top")
    assert project.made_from(run="python train.py", code=("src/**/*.py",)) == {"train.py", "src/a.py", "src/deep/b.py"}
    assert project.made_from(run="python train.py", code=("src/*",)) == {"train.py", "src/a.py", "src/c.txt"}
    assert project.made_from(run="python train.py", code=("src/**",)) == {
        "train.py",
        "src/a.py",
        "src/c.txt",
        "src/deep/b.py",
    }
    with pytest.raises(ProviderError) as caught:
        project.made_from(run="python train.py", code=("lib/**",))
    assert caught.value.code == "MLO1205"


def test_the_lock_file_counts(project: Project) -> None:
    project.write("train.py", "")
    project.write("requirements.txt", "numpy==2.4.6")
    assert project.made_from(run="python train.py") == {"train.py", "requirements.txt"}
    project.write("uv.lock", "")
    assert project.made_from(run="python train.py") == {"train.py", "uv.lock"}
    assert project.made_from(run="python train.py", lock="") == {"train.py"}
    with pytest.raises(ProviderError) as caught:
        project.made_from(run="python train.py", lock="poetry.lock")
    assert caught.value.code == "MLO1204"


def test_a_script_that_git_does_not_see_is_an_error(project: Project) -> None:
    project.write("train.py", "")
    with pytest.raises(ProviderError) as caught:
        project.made_from(run="python trian.py")
    assert caught.value.code == "MLO1203" and "trian.py" in caught.value.message
    assert caught.value.hint.startswith("did you mean train.py?")
    project.write(".gitignore", "secret.py")
    project.write("secret.py", "")
    with pytest.raises(ProviderError):
        project.made_from(run="python secret.py")


def test_a_link_is_no_code(project: Project) -> None:
    (project.root / "train.py").symlink_to("/etc/passwd")
    with pytest.raises(ProviderError) as caught:
        project.made_from(run="python train.py")
    assert caught.value.code == "MLO1206"


def test_a_module_deleted_from_the_working_tree_is_no_module(project: Project) -> None:
    project.write("train.py", "import gone")
    project.write("gone.py", "")
    subprocess.run(["git", "-C", str(project.root), "add", "."], check=True)
    (project.root / "gone.py").unlink()
    assert project.made_from(run="python train.py") == {"train.py"}


def test_broken_python_counts_by_its_bytes(project: Project) -> None:
    project.write("train.py", "def (:\n")
    assert project.made_from(run="python train.py") == {"train.py"}
    project.write("train.py", b"\xff\x00import os")
    assert project.made_from(run="python train.py") == {"train.py"}


def test_a_file_that_nobody_wrote_by_hand_is_not_searched(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopsctl.providers.train.code._LONGEST", 100)
    project.write("train.py", "import tables\n")
    project.write("tables.py", "import lib\n" + "#" * 89)
    project.write("lib.py", "")
    assert project.made_from(run="python train.py") == {"train.py", "tables.py", "lib.py"}, "100 bytes are"
    project.write("tables.py", "import lib\n" + "#" * 90)
    assert project.made_from(run="python train.py") == {"train.py", "tables.py"}


def test_a_cycle_of_imports_ends(project: Project) -> None:
    project.write("train.py", "import a")
    project.write("a.py", "import b")
    project.write("b.py", "import a, train")
    assert project.made_from(run="python train.py") == {"train.py", "a.py", "b.py"}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'conf/a.yaml'", "conf/a.yaml"),
        ("FileNotFoundError: [Errno 2] No such file or directory: './conf/../conf/a.yaml'", "conf/a.yaml"),
        ("PermissionError: [Errno 13] Permission denied: '/home/me/project/conf/a.yaml'", "conf/a.yaml"),
        ("cat: conf/a.yaml: No such file or directory", "conf/a.yaml"),
        ("Error in file(file, 'rt') : cannot open file 'conf/a.yaml': No such file or directory", "conf/a.yaml"),
        ("train.cpp:1:10: fatal error: a.yaml: No such file or directory", "conf/a.yaml"),
        ("java.io.FileNotFoundException: conf/a.yaml (No such file or directory)", "conf/a.yaml"),
        ("ModuleNotFoundError: No module named 'tools'", "tools.py"),
        ("ModuleNotFoundError: No module named 'torch'", ""),
        ("No such file or directory: 'elsewhere.txt'", ""),
        ("ValueError: conf/a.yaml is odd", ""),
    ],
)
def test_a_log_tells_which_file_was_not_declared(said: str, found: str) -> None:
    assert undeclared(said, {"conf/a.yaml", "tools.py"}, ["/home/me/project"]) == found


def test_the_line_to_add() -> None:
    assert declared_code({"b.py": TreeFile("100644", "0")}, "a.txt") == "code: [a.txt, b.py]"


def test_a_command_is_split_and_filled_without_a_shell() -> None:
    words = commands("python 'a b.py' --x={params.x} {{literal}}")[0]
    assert fill(words, {"params.x": "1; rm -rf /"}) == ["python", "a b.py", "--x=1; rm -rf /", "{literal}"]
    assert references(["{data.a} {train.b}", "{data.a} {params.c} {out}"]) == [("data", "a"), ("train", "b")]
    for text in ("python 'open", "", "   "):
        with pytest.raises(ManifestError) as caught:
            commands(text)
        assert caught.value.code == "MLO1201"
    with pytest.raises(ManifestError) as caught:
        fill(["{params.lr}"], {"params.rate": "1"})
    assert caught.value.code == "MLO1202" and "{params.rate}" in caught.value.hint


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_filled_placeholder_stays_one_argument(value: str) -> None:
    assert fill(["{params.x}"], {"params.x": value}) == [value]


def test_a_script_that_python_cannot_read_is_left_to_python(project: Project) -> None:
    for text in ("-" * 100_000 + "1", "x = " + "+".join(["1"] * 100_000)):
        project.write("train.py", text)
        assert project.made_from(run="python train.py") == {"train.py"}


def test_a_deleted_script_is_named_with_the_command_that_brings_it_back(project: Project) -> None:
    project.write("train.py", "")
    subprocess.run(["git", "add", "train.py"], cwd=project.root, check=True)
    (project.root / "train.py").unlink()
    with pytest.raises(ProviderError, match=r"deleted") as caught:
        project.made_from(run="python train.py")
    assert "git checkout -- train.py" in caught.value.hint
