"""docs/cli.md, written from the command line itself: ``python -m tests.docs.cli_reference > docs/cli.md``."""

from __future__ import annotations

import sys

import click

from mlopsctl.cli.verbs import root

HEAD = """\
# The command line

Generated from the code by `make reference`; a test compares both.

* stdout is the result, stderr is progress. Colour only on a terminal; `NO_COLOR`, `--no-color` and `CI` are respected.
* Nothing is asked where stdin is no terminal or `CI` is set.
* Every error has a code: `mlopsctl explain CODE`.

Exit codes: 0 done · 1 error · 2 changes pending (with `--detailed-exitcode`) · 3 manifest invalid · 4 a gate or policy
failed · 5 approval missing · 6 plan stale or lock held · 7 signature, trust or trail · 8 done but not shared · 64 usage
· 70 unexpected · 130 interrupted · 143 terminated. When several meet, the first of this list decides: 130 and 143, 70,
64, 3, 7, 6, 5, 4, 1, 8, 2.
"""


def reference() -> str:
    """The whole document."""
    parts = [HEAD, section([])]
    tree = root()
    for name in tree.list_commands(click.Context(tree)):
        command = tree.get_command(click.Context(tree), name)
        if isinstance(command, click.Group):
            parts += [section([name, verb]) for verb in command.list_commands(click.Context(command))]
        else:
            parts.append(section([name]))
    return "\n".join(parts)


def section(path: list[str]) -> str:
    """One verb: its help as a reader of a terminal sees it."""
    command: click.Command = root()
    context = click.Context(command, info_name="mlopsctl", terminal_width=110)
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context, terminal_width=110)
    title = "mlopsctl " + " ".join(path)
    return f"## {title.strip()}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
