"""``mlopsctl`` and ``python -m mlopsctl``."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line; the version alone is answered without building it."""
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        sys.stdout.write(f"mlopsctl {__version__}\n")
        return
    from .cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
