"""The command tree: a click group that imports a verb's module when that verb is typed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click
import typer
import typer.core

from .verb_table import GROUPS, VERBS

Entry = tuple[str, str, str]


class LazyGroup(typer.core.TyperGroup):
    """Knows its verbs by name; a function becomes a command only when it is asked for."""

    verbs: Mapping[str, Entry] = MappingProxyType({})
    groups: Mapping[str, tuple[str, Mapping[str, Entry]]] = MappingProxyType({})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.verbs, *self.groups]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in self.groups:
            return _group(cmd_name, *self.groups[cmd_name])
        if cmd_name not in self.verbs:
            return None
        module, function, _ = self.verbs[cmd_name]
        return _command(cmd_name, module, function)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.verbs and name not in self.groups and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, self.list_commands(ctx), 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"'{name}' is no verb of {ctx.command_path}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without building any of them."""
        rows = [(name, line) for name, (_, _, line) in self.verbs.items()]
        rows += [(name, line) for name, (line, _) in self.groups.items()]
        with formatter.section("Verbs"):
            formatter.write_dl(rows)


def _command(name: str, module: str, function: str) -> click.Command:
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name=name, no_args_is_help=False)(getattr(import_module(f"mlopsctl.cli.{module}"), function))
    return typer.main.get_command(app)


def _group(name: str, line: str, verbs: Mapping[str, Entry]) -> LazyGroup:
    group = LazyGroup(name=name, help=line, no_args_is_help=True, rich_markup_mode=None)
    group.verbs = verbs
    return group


def root() -> LazyGroup:
    """The whole command tree."""
    group = LazyGroup(
        name="mlopsctl",
        help="Terraform for machine learning, with git as its only server.\n\n"
        "Start with: mlopsctl init --template quickstart my-project",
        no_args_is_help=True,
        rich_markup_mode=None,
        params=[
            click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version),
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show tracebacks."),
            click.Option(["--no-color"], is_flag=True, expose_value=False, is_eager=True, callback=_no_colour),
            click.Option(
                ["-C", "folder"],
                metavar="DIR",
                expose_value=False,
                is_eager=True,
                callback=_enter,
                help="Run as if started in DIR.",
            ),
        ],
    )
    group.verbs, group.groups = VERBS, GROUPS
    return group


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .. import __version__
        from .console import out

        out(f"mlopsctl {__version__}")
        ctx.exit()


def _no_colour(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from .console import no_colour

        no_colour()


def _enter(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value:
        import os

        try:
            os.chdir(value)
        except OSError as error:
            raise click.UsageError(f"-C {value}: {error.strerror}", ctx) from None
