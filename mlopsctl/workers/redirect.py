"""Becomes a command that reads one file as its stdin and writes another: ``python -I -S redirect.py IN OUT COMMAND…``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Opens both files, puts them in place of stdin and stdout, and is replaced by the command."""
    os.dup2(os.open(sys.argv[1], os.O_RDONLY), 0)
    os.dup2(os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), 1)
    os.execv(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
