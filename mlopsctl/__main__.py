"""``mlopsctl`` and ``python -m mlopsctl``."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Runs the command line; the version alone is answered without building it."""
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        sys.stdout.write(f"mlopsctl {__version__}\n")
        return
    _open_standard_streams()
    # Starting makes thousands of lasting objects and no garbage: the cycle collector need not walk them 20 times.
    gc.set_threshold(50_000)
    try:
        from .adapters.memo import replay

        if replay(sys.argv[1:]):
            return
        from .cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        # During the imports, or a second time while the first one is answered.
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where the caller closed one (``>&-``), nothing that is opened later may take its number and be written into."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        while os.open(os.devnull, os.O_RDWR) < 3:
            pass
        sys.stdin = sys.stdin or os.fdopen(0)
        sys.stdout = sys.stdout or os.fdopen(1, "w")
        sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    main()
