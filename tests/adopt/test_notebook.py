"""Notebooks -> scripts; hidden state is named by cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsctl.adopt.notebook import cell_at, read_notebook
from mlopsctl.adopt.proposal import NotUnderstood

from .repositories import addresses, notebook, proposed, spec


def hidden(*cells: str | tuple[str, int]) -> tuple[str, ...]:
    return read_notebook("n.ipynb", notebook(*cells).encode(), ()).hidden


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("a = 1", "print(a)"), []),
        (("print(a)", "a = 1"), ["cell 1 uses 'a', which only cell 2 makes"]),
        (("print(a)",), ["cell 1 uses 'a', which no cell makes: a deleted cell or another session did"]),
        (("def f():\n    return later\n", "f()", "later = 1"), ["cell 2 uses 'later', which only cell 3 makes"]),
        (("def f():\n    return later\n", "later = 1", "f()"), []),
        (("x = [i for i in range(3)]\nprint(x)",), []),
        (("import numpy as np\nfrom os import path as p", "np, p"), []),
        (("for i in []:\n    pass\nwith open('x') as s:\n    pass", "i, s"), []),
        (("a = 1\ndel a", "a"), ["cell 2 uses 'a', which no cell makes: a deleted cell or another session did"]),
        (("from numpy import *", "whatever"), []),
        (("def f(x, *y, z=1, **k):\n    w = x\n    return lambda q: (q, w, y, z, k)", "f(1)"), []),
        (("try:\n    1\nexcept ValueError as e:\n    e",), []),
        (("class A:\n    b = 1\n    c = b", "A()"), []),
    ],
)
def test_names_that_a_run_from_the_top_would_miss(cells: tuple[str, ...], said: list[str]) -> None:
    assert list(hidden(*cells)) == said


def test_cells_that_were_run_out_of_order() -> None:
    assert hidden(("a = 1", 3), ("b = 2", 1)) == (
        "cell 2 was run before cell 1: its outputs are of another order than that of the cells",
    )
    assert hidden(("a = 1", 3), ("b = 2", 7)) == ()


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("%matplotlib inline\na = 1", "a = 1"),
        ("%%time\na = 1", "a = 1"),
        ("%load_ext autoreload\n%autoreload 2\na = 1", "a = 1"),
        ("%time a = 1", "a = 1"),
        ("a = 5\nb = (7\n% a)", "% a)"),
        ("a = '''\n%bash\n'''", "%bash"),
    ],
)
def test_trivial_magics_are_left_out(cell: str, kept: str) -> None:
    script = read_notebook("n.ipynb", notebook(cell).encode(), ()).text
    assert kept in script.splitlines()
    compile(script, "n.py", "exec")


def test_installing_is_left_out_and_said() -> None:
    found = read_notebook("n.ipynb", notebook("a = 1", "!pip install x\nb = 2").encode(), ())
    assert len(found.left_out) == 1 and found.left_out[0].startswith("cell 2: '!pip install x'")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (("a = 1", "%%bash\nls"), "cell 2: '%%bash'"),
        (("x = !ls",), "cell 1"),
        (("%run other.py",), "cell 1: '%run"),
        (("!ls",), "cell 1: '!ls'"),
        (("len?",), "cell 1: 'len?'"),
        (("a = 1", "await f()"), "cell 2"),
        (("print 'x'",), "cell 1"),
    ],
)
def test_magics_that_only_jupyter_understands_are_refused_by_cell(cells: tuple[str, ...], said: str) -> None:
    with pytest.raises(NotUnderstood, match="cell") as refused:
        read_notebook("n.ipynb", notebook(*cells).encode(), ())
    assert said in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"cells": [1]}', b"\xff", b'{"worksheets": []}'])
def test_what_is_no_notebook_is_said(body: bytes) -> None:
    with pytest.raises(NotUnderstood):
        read_notebook("n.ipynb", body, ())


def test_another_language_and_a_taken_name_are_refused() -> None:
    with pytest.raises(NotUnderstood, match="written in R"):
        read_notebook("n.ipynb", notebook("1", language="R").encode(), ())
    assert read_notebook("n.ipynb", notebook("1").encode(), {"n.py"}).script == "n_notebook.py"
    with pytest.raises(NotUnderstood, match="overwritten"):
        read_notebook("n.ipynb", notebook("1").encode(), {"n.py", "n_notebook.py"})


def test_the_script_shows_what_the_notebook_shows_and_knows_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    cells = notebook(("x = 'é'; x.upper()  # shown", 1, "'É'"), ("x  \n", 2), ("(x +\n x)", 3, "'éé'"))
    found = read_notebook("n.ipynb", cells.encode(), ())
    exec(compile(found.text, "n.py", "exec"), {"__name__": "n"})
    assert capsys.readouterr().out == "'É'\n'éé'\n"
    lines = found.text.split("\n")
    assert (
        cell_at(found.text, next(n for n, line in enumerate(lines, 1) if line.startswith("(x") or "_show((x" in line))
        == 3
    )
    assert cell_at(found.text, 1) == 0


def test_a_notebook_becomes_a_script_and_an_entry(tmp_path: Path) -> None:
    cells = notebook(
        "import pandas as pd\nrows = pd.read_csv('../rows.csv')", "rows.to_csv('out/x.csv')", "print(gone)"
    )
    found, manifest = proposed(
        tmp_path, {"notebooks/try it.ipynb": cells, "rows.csv": "a\n1\n", "quiet.ipynb": notebook("1")}
    )
    assert addresses(manifest) == ["data.rows", "train.try-it"]
    assert list(found.files) == ["notebooks/try it.py"]
    step = spec(manifest, "train.try-it")
    assert (
        "python 'notebooks/try it.py'" in step.run and step.run[-1] == "cp -R notebooks/out/x.csv {out}/notebooks/out/"
    )
    why = " ".join(next(entry.why for entry in found.proposal.entries if entry.section == "train"))
    assert "cell 3 uses 'gone'" in why and "change the script" in why
    assert any("quiet.ipynb" in line and "writes no file" in line for line in found.proposal.unknown)


def test_a_word_about_the_folder_of_outputs_is_no_use_of_it(tmp_path: Path) -> None:
    """A docstring that names it changes nothing about where the cells write."""
    cells = ('"""Outputs go to $MLOPS_OUT in the end."""', "open('a.txt', 'w').write('1')")
    found, manifest = proposed(tmp_path / "one", {"n.ipynb": notebook(*cells)})
    assert "writes a.txt" in found.proposal.taken[0].stage.why[1]
    assert spec(manifest, "train.n").run == ("python n.py", "cp -R a.txt {out}/")
    own = ("import os", "open(os.environ['MLOPS_OUT'] + '/a.txt', 'w').write('1')")
    found, manifest = proposed(tmp_path / "two", {"n.ipynb": notebook(*own)})
    assert "writes $MLOPS_OUT" in found.proposal.taken[0].stage.why[1]
