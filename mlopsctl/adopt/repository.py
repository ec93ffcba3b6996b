"""Everything that a repository says about how its results are made, in one proposal."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..provider import Tree
from ..providers.train.code import imported
from .build import propose
from .dvc import read_dvc
from .mlproject import read_mlproject
from .notebook import Notebook, read_notebooks
from .proposal import Proposal, Source, Stage, in_project
from .scripts import read_scripts
from .visible import Visible

_NOTHING: Mapping[str, str] = {}


class Found(NamedTuple):
    """A proposal, the scripts to write beside notebooks, and the files that were read for it."""

    proposal: Proposal
    files: Mapping[str, str]
    notebooks: tuple[Notebook, ...]
    read: tuple[str, ...]


def read_repository(tree: Tree, refused: Mapping[str, str] = _NOTHING) -> Found:
    """Reads dvc.yaml and ``.dvc`` files, MLproject, scripts and notebooks; what one of them runs is not proposed again.

    ``refused`` says of notebooks why they are not taken over.
    """
    tree = Visible(tree)
    sources = [read_dvc(tree), read_mlproject(tree)]
    taken = _code_of([stage for source in sources for stage in source.stages], tree)
    notebooks, found = read_notebooks(tree, refused)
    sources += [read_scripts(tree, taken), notebooks]
    whole = Source(
        _apart([stage for source in sources for stage in source.stages]),
        tuple(path for source in sources for path in source.data),
        tuple(text for source in sources for text in source.unknown),
        notebooks.files,
        tuple(path for source in sources for path in source.read),
        sources[0].lost,
    )
    proposal = propose(whole, Visible(tree, whole.files))
    run = {word for taken in proposal.taken for words in taken.stage.commands for word in words}
    return Found(proposal, {path: text for path, text in whole.files.items() if path in run}, found, whole.read)


def _code_of(stages: Sequence[Stage], tree: Tree) -> frozenset[str]:
    """The scripts that stages run and all that they import."""
    have = frozenset(tree.files())
    named = [(stage.cwd, word) for stage in stages for words in stage.commands for word in words]
    scripts = [in_project(word, cwd) for cwd, word in named]
    scripts += [in_project(word.replace(".", "/") + ".py", cwd) for cwd, word in named]
    scripts = [path for path in scripts if path in have]
    roots = [*{posixpath.dirname(path) for path in scripts}, "", "src"]
    return frozenset(scripts) | imported(scripts, roots, tree, have)


def _apart(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages under names of their own: two sources may use the same one."""
    taken: set[str] = set()
    found = []
    for stage in stages:
        name, number = stage.name, 2
        while name in taken:
            name, number = f"{stage.name}-{number}", number + 1
        taken.add(name)
        found.append(stage._replace(name=name))
    return tuple(found)
