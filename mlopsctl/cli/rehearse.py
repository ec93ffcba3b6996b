"""``init --from-existing --run-notebooks``: each notebook's script once, from top to bottom, as training would run it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple, cast

from ..adapters.git import Repo
from ..adapters.process import tail_lines
from ..adapters.store import LocalStore
from ..adopt.notebook import Notebook, cell_at
from ..adopt.repository import Found
from ..adopt.visible import Visible
from ..errors import MlopsError
from ..manifest import Manifest
from ..provider import Context, Trail, Tree, with_meaning
from ..registry import provider
from ..types import Address, Digest, Input, Observed, Resource
from . import console


class Rehearsal(NamedTuple):
    """What the runs showed: a line for each notebook that ended well, and why the others did not, by path."""

    ran: tuple[str, ...]
    failed: dict[str, str]


def rehearse(found: Found, manifest: Manifest, tree: Tree, repo: Repo, root: Path) -> Rehearsal:
    """Runs the notebooks of a proposal in the sandbox of training commands. Nothing of it is kept or recorded."""
    ran, failed = [], {}
    resources = {want.address: want for want in manifest.resources}
    by_script = {notebook.script: notebook for notebook in found.notebooks}
    for taken in found.proposal.taken:
        script = next((word for words in taken.stage.commands for word in words if word in by_script), "")
        if not script:
            continue
        notebook = by_script[script]
        if taken.bases:
            ran.append(
                f"{notebook.path} was not run: it needs what {', '.join(sorted(set(taken.bases.values())))} makes"
            )
            continue
        console.note(f"running {notebook.path} from top to bottom")
        with tempfile.TemporaryDirectory(prefix="mlopsctl-") as place:
            log = Path(place) / "log"
            context = _context(found, tree, repo, root, Path(place), log)
            try:
                _run(resources[Address("train", taken.name)], resources, context)
            except MlopsError as error:
                failed[notebook.path] = _why(notebook, error, log)
                continue
            ran.append(f"{notebook.path} ran from top to bottom; {_figures(notebook, log)}")
    return Rehearsal(tuple(ran), failed)


def _context(found: Found, tree: Tree, repo: Repo, root: Path, place: Path, log: Path) -> Context:
    return Context(
        root=root,
        state=repo.common_dir / "mlops",
        scratch=place,
        tree=Visible(tree, found.files),
        store=LocalStore(place / "store"),
        trail=cast(Trail, None),  # neither datasets nor commands ask it
        project="",
        tell=lambda line: None,
        log=log,
    )


def _run(want: Resource, resources: dict[Address, Resource], context: Context) -> Observed:
    """Makes a resource and what it needs, into the context's store. Raises MlopsError."""
    inputs = tuple(Input(need, _run(resources[need.address], resources, context)) for need in want.needs)
    scratch = context.scratch / str(want.address)
    scratch.mkdir()
    outcome = provider(want.provider).apply(
        want, with_meaning(inputs, context.store), context._replace(scratch=scratch)
    )
    outputs = {
        name: context.store.put(made) if isinstance(made, Path) else made for name, made in outcome.outputs.items()
    }
    return Observed(Digest(""), outputs, outcome.facts)


def _why(notebook: Notebook, error: MlopsError, log: Path) -> str:
    """The cell that stopped, with the last line of the traceback and what is known of the name that it missed."""
    lines = tail_lines(log, 400)
    places = [
        match[1] for line in lines if (match := re.search(rf'{re.escape(notebook.script)}", line ([0-9]+)', line))
    ]
    if not places:
        return f"it was run from top to bottom, and then {error.message}"
    cell = cell_at(notebook.text, int(places[-1]))
    said = lines[-1] if lines else error.message
    name = re.search(r"name '(\w+)' is not defined", said)
    known = next((text for text in notebook.hidden if name and f"'{name[1]}'" in text), "")
    return f"it does not run from top to bottom: cell {cell} stops with {said}" + (f" ({known})" if known else "")


def _figures(notebook: Notebook, log: Path) -> str:
    """Whether it printed again what the notebook shows."""
    printed = {line.strip() for line in tail_lines(log, 10_000)}
    shown = [(cell.number, line) for cell in notebook.cells for line in cell.printed]
    other = [(number, line) for number, line in shown if line[:300] not in printed]
    if not shown:
        return "it shows no figures to compare"
    if not other:
        return f"it printed the {len(shown)} line(s) with figures that it shows"
    number, line = other[0]
    return f"of the {len(shown)} line(s) with figures that it shows, {len(other)} came out otherwise, first in cell {number}: {line[:80]}"
