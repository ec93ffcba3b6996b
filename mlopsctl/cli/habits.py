"""What hands that know Terraform, make, DVC or git type first, and how it is written here. Imported after an error only."""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

VERBS: Mapping[str, str] = {
    "repro": "mlopsctl apply",
    "run": "mlopsctl apply",
    "up": "mlopsctl apply",
    "make": "mlopsctl apply",
    "build": "mlopsctl apply",
    "train": "mlopsctl apply --target train.NAME",
    "test": "mlopsctl gate run NAME",
    "deploy": "mlopsctl apply --target deployments.NAME",
    "taint": "mlopsctl apply --replace ADDRESS",
    "refresh": "mlopsctl plan --refresh-only",
    "state": "mlopsctl status, and mlopsctl show ADDRESS for one resource in full",
    "output": "mlopsctl show ADDRESS",
    "log": "mlopsctl audit log for the trail, mlopsctl logs ADDRESS for a step",
    "dag": "mlopsctl graph",
    "metrics": "mlopsctl runs ls",
    "exp": "mlopsctl apply --set PATH=VALUE tries a value, mlopsctl runs ls lists what was tried",
    "stop": "mlopsctl halt NAME cuts a deployment out, mlopsctl destroy takes it down, mlopsctl cancel ends an apply",
    "fmt": "mlopsctl validate; nothing here changes how a manifest is written",
}
OPTIONS: Mapping[str, str] = {
    "--auto-approve": "-y",
    "--parallelism": "--jobs N",
    "--var": "--set PATH=VALUE",
    "--dry-run": "mlopsctl plan shows what apply would do, and does nothing",
    "-n": "mlopsctl plan shows what apply would do, and does nothing",
    "--force": "--replace ADDRESS makes something anew on purpose",
    "-f": "--replace ADDRESS makes something anew on purpose",
    "--destroy": "mlopsctl destroy",
    "--verbose": "--why shows every input, --format json everything",
    "-v": "--why shows every input, --format json everything",
    "-t": "long options have two dashes: --target ADDRESS",
}


def habit(error: click.ClickException) -> str:
    """How what was typed is written here; "" for what no habit explains."""
    if isinstance(error, click.NoSuchOption):
        return OPTIONS.get(error.option_name, "")
    said, context = error.format_message(), getattr(error, "ctx", None)
    if verb := re.match(r"'([a-z]+)' is no verb of mlopsctl\.", said):
        return VERBS.get(verb[1], "")
    extra = re.match(r"Got unexpected extra arguments? \((\S+)", said)
    verb_typed = context.info_name if context is not None else ""
    if extra and verb_typed == "diff":
        return "two revisions are written as one word: mlopsctl diff A..B"
    if extra and verb_typed in ("plan", "apply"):
        return f"a part of the manifest is chosen by --target {extra[1]}"
    return ""
