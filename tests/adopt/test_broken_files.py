"""Files of other tools with anything in them: never more than a sentence about what was not understood."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlopsctl.adopt.repository import read_repository
from mlopsctl.adopt.text import manifest_text
from mlopsctl.gitobjects import object_id
from mlopsctl.manifest import load_manifest
from mlopsctl.types import TreeFile

PIPELINE = {
    "vars": [{"m": {"n": "x"}}, "p.yaml"],
    "stages": {
        "a": {
            "cmd": "python a.py ${lr}",
            "deps": ["raw.csv", "a.py"],
            "outs": ["o"],
            "params": ["lr", {"p.yaml": ["z"]}],
        },
        "b": {
            "foreach": ["x", "y"],
            "do": {"cmd": ["python a.py ${item}"], "outs": [{"w/${item}": {"persist": True}}], "deps": ["o"]},
        },
        "c": {"matrix": {"k": [1, 2]}, "cmd": "python a.py ${item.k}", "outs": ["c${item.k}.onnx"]},
        "d": {"cmd": "x", "metrics": [{"m.json": {"cache": False}}], "plots": ["p.csv"]},
    },
}
MLPROJECT = {
    "conda_env": "c.yaml",
    "entry_points": {"main": {"parameters": {"a": {"default": 1}, "b": "path"}, "command": "python a.py {a} {b}"}},
}
SHOWN = [{"output_type": "execute_result", "data": {"text/plain": ["1"]}}, {"name": "stdout", "text": "2"}]
NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["x=1\n", "open('q','w')"], "execution_count": 1, "outputs": SHOWN},
        {"cell_type": "code", "source": "%%time\nx"},
    ],
    "metadata": {"kernelspec": {"language": "python"}},
}
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, "", "x", "${", "${a}", "${a[}", "a\nb", "../x", "/abs", "{", "}}", "'", '"', [], {}, [1],
    [None], {"a": None}, {"a": [{}]}, "é\u2028", "x" * 300, "s3://b", ".", "a b", "%", ["a", {"b": 1}],
]  # fmt: skip


class Files:
    """A tree in memory."""

    def __init__(self, files: dict[str, str]) -> None:
        self._files = {name: body.encode() for name, body in files.items()}

    def files(self) -> Sequence[str]:
        return sorted(self._files)

    def names(self) -> frozenset[str]:
        return frozenset(self._files)

    def file(self, path: str) -> TreeFile | None:
        return TreeFile("100644", object_id("blob", self._files[path])) if path in self._files else None

    def tracked(self, path: str) -> bool:
        return path in self._files

    def read(self, path: str, most: int | None = None) -> bytes:
        return self._files[path]

    def open_path(self, path: str) -> Path:
        raise FileNotFoundError(path)


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to each value inside another."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from places(item, (*above, key))


def changed(value: Any, chance: random.Random) -> Any:
    """The value with a few of its parts replaced, taken out or renamed."""
    value = copy.deepcopy(value)
    for _ in range(chance.randint(1, 3)):
        found = list(places(value))
        if not found:
            break
        *above, last = chance.choice(found)
        holder = value
        for key in above:
            holder = holder[key]
        kind = chance.random()
        if kind < 0.7:
            holder[last] = copy.deepcopy(chance.choice(JUNK))
        elif kind < 0.85 or isinstance(holder, list):
            del holder[last]
        else:
            holder[str(chance.choice(JUNK[5:15]))] = holder.pop(last)
    return value


@pytest.mark.parametrize("seed", range(8))
def test_whatever_stands_in_them_the_proposal_is_a_valid_manifest(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        files = {
            "a.py": "import sys\nopen('z.txt','w')\nprint(1)\n",
            "raw.csv": "a\n",
            "c.yaml": "",
            "p.yaml": yaml.safe_dump({"lr": 1, "z": "q", "a": [1]}),
            "params.yaml": yaml.safe_dump(chance.choice(JUNK)) if chance.random() < 0.2 else "lr: 0.1\n",
            "dvc.yaml": yaml.safe_dump(changed(PIPELINE, chance)),
            "MLproject": yaml.safe_dump(changed(MLPROJECT, chance)),
            "n.ipynb": json.dumps(changed(NOTEBOOK, chance)),
        }
        found = read_repository(Files(files))
        if found.proposal.entries:
            load_manifest(manifest_text("mine", found.proposal, found.read).encode())
        assert all(isinstance(text, str) and text for text in found.proposal.unknown)


def said(files: dict[str, str]) -> str:
    """All that a proposal says of these files; it must be a manifest, where there is anything to propose."""
    found = read_repository(Files(files))
    if found.proposal.entries:
        load_manifest(manifest_text("x", found.proposal, found.read).encode())
    return manifest_text("x", found.proposal, found.read)


WRITES = "\nopen('x.csv', 'w')\n"
DEEP = "+".join(["1"] * 1200)
STAGE = "stages:\n  a:\n    cmd: python t.py {}\n    outs: [o.bin]\n"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.py": "A0 = 'aaaaaaaa'\n" + "".join(f"A{n + 1} = A{n} + A{n}\n" for n in range(40)) + "open(A40)" + WRITES},
         "computed and were not found"),
        ({"a.py": f"open({DEEP})" + WRITES, "b.py": WRITES}, "The script b.py"),
        ({"a.ipynb": json.dumps({"cells": [{"cell_type": "code", "source": DEEP + WRITES}], "metadata": {}})},
         "nested too deeply"),
        ({"t.py": "import pandas as pd\ny = pd.read_csv('d.csv')['b']\nopen('model.onnx', 'w')", "d.csv": "a,b\r1,2\r"},
         "data: d"),
        ({"t.py": "", "p.toml": "d = 2024-01-01\nn = nan", "dvc.yaml": "vars: [p.toml]\n" + STAGE.format("${d} ${n}")},
         "python t.py 2024-01-01 nan"),
        ({"t.py": "", "p.toml": "n = 0x" + "f" * 5000, "dvc.yaml": "vars: [p.toml]\n" + STAGE.format("${n}")},
         "too many digits"),
        ({"dvc.yaml": "vars:\n- x: " + "y" * 3000 + "\n" + STAGE.format("a${x}b")}, "more than 2,000 characters"),
        ({"dvc.yaml": "stages:\n  a:\n    cmd: x\n    matrix:\n" + "".join(f"      k{n}: {[*range(10)]}\n" for n in range(9))},
         "1,000,000,000 stages"),
        ({"-c.py": WRITES}, "name of -c.py for an option"),
        ({"dvc.yaml": STAGE.format("").replace("o.bin", "-rf"), "t.py": ""}, "name of -rf for an option"),
        ({"my train.py": WRITES}, "which read my train.py and ran nothing"),
        ({"d.csv.dvc": "outs:\n- md5: x\nmeta: 2024-13-45\n"}, "d.csv.dvc can not be used"),
    ],
)  # fmt: skip
def test_what_would_crash_or_grow_without_end_is_a_sentence(files: dict[str, str], words: str) -> None:
    assert words in said(files)


class Endless(Files):
    """A tree whose files never end: whoever wants all of one gets no answer."""

    def read(self, path: str, most: int | None = None) -> bytes:
        assert most is not None, f"all of {path} was asked for"
        return (self._files[path] * most)[:most]


def test_files_that_never_end_are_not_read_to_their_end() -> None:
    names = ("dvc.yaml", "params.yaml", "MLproject", "t.py", "n.ipynb", "d.csv.dvc", "d.csv")
    tree = Endless(dict.fromkeys(names, "#"))
    unknown = read_repository(tree).proposal.unknown
    assert any("dvc.yaml is larger than 1 MB" in text for text in unknown)
    assert any("larger than 20 MB" in text for text in unknown)
