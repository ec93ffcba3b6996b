"""``mlopsctl completion``: the script that completes verbs and options in a shell."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from . import console

SHELLS = ("bash", "zsh", "fish")


def completion(shell: Annotated[str, typer.Argument(help="bash, zsh or fish.")]) -> int:
    """Prints the completion script of a shell.

    Examples:

      mlopsctl completion bash > ~/.local/share/bash-completion/completions/mlopsctl

      mlopsctl completion fish > ~/.config/fish/completions/mlopsctl.fish
    """
    if shell not in SHELLS:
        raise UsageError(
            f"there is no completion for '{shell}'", hint=f"take one of: {', '.join(SHELLS)}", code="MLO6453"
        )
    from click.shell_completion import get_completion_class

    from .verbs import root

    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"this click writes no script for {shell}", hint="install click 8.1 or newer", code="MLO6453")
    # The script calls mlopsctl with a variable set; typer answers it, and wants the two words the other way round.
    script = kind(root(), {}, "mlopsctl", "_MLOPSCTL_COMPLETE").source()
    console.out(script.replace(f"={shell}_complete", f"=complete_{shell}").rstrip())
    return 0
