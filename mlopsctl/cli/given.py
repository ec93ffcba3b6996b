"""What models are judged by is kept from their training: in its code, and in the views that it is given."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from ..errors import ProviderError
from ..provider import Specs
from ..types import Address, Resource


def specs_of(resources: Iterable[Resource]) -> dict[str, dict[str, Any]]:
    """All specs of a manifest: section, then name."""
    found: dict[str, dict[str, Any]] = {}
    for one in resources:
        found.setdefault(one.address.section, {})[one.address.bare] = one.spec
    return found


def chosen_by_its_rows(want: Resource, specs: Specs) -> tuple[str, ...]:
    """Why a gate may not measure: its rows are those that the model's training chooses between models by."""
    rows = {need.role: need for need in want.needs if need.role in ("model", "data")}
    if want.address.section != "gates" or len(rows) < 2 or not hasattr(want.spec, "view"):
        return ()
    from ..providers.gates.exposure import chosen_by

    model, data = rows["model"].address, rows["data"]
    if not chosen_by(model, data.address, data.output, specs):
        return ()
    kept = "validation: [] there keeps them from it, or measure on view: test"
    return (f"{model}, which is given these rows to choose by and looks better on them than it is: {kept}",)


def set_aside(resources: Iterable[Resource]) -> dict[str, Address]:
    """The path of each dataset that has rows for testing, as the module of its Spec shares them out."""
    found: dict[str, Address] = {}
    for one in resources:
        rule_of = getattr(sys.modules[type(one.spec).__module__], "rule_of", None)
        if rule_of and "test" in rule_of(one.spec.split, one.spec.label).views:
            found[one.spec.path] = one.address
    return found


def refuse_rows(want: Resource, code: Iterable[str], paths: Mapping[str, Address]) -> None:
    """Raises ProviderError where a file of a step's code is such a dataset, or a part of one."""
    for file in code if paths else ():
        places = (file, *map(str, PurePosixPath(file).parents)) if "/" in file else (file,)
        for place in places:
            if place in paths:
                raise ProviderError(
                    f"{file} counts as code of {want.address}, but it is the dataset {paths[place]}, and holds its test rows",
                    hint=f"leave it out of code: and of run:, and name {{{paths[place]}}} for its training rows",
                    code="MLO1210",
                )
