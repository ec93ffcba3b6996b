"""Every test runs as a person with an empty home, a git identity and no network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.quickstart import make_quickstart, must
from tests.sigstore.local import LocalSigstore, require_node

# No test measures time: a busy machine makes any example slow once.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
ALLOWED_SKIPS = Path(__file__).parent / "allowed-skips.txt"
# Read before the fixture below takes it out of the environment.
IN_CI = bool(os.environ.get("CI"))
NPM_CACHE = os.environ.get("npm_config_cache") or str(Path.home() / ".npm")  # noqa: SIM112 — npm's own spelling

GIT_CONFIG = """\
[user]
    name = Ada Example
    email = ada@example.com
[init]
    defaultBranch = main
[commit]
    gpgSign = false
[protocol "file"]
    allow = always
"""


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_programs() -> None:
    """A shell starts its background jobs with ctrl-C ignored, and what the tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """HOME, the XDG folders and git's configuration are this session's own; nothing of the person's leaks in."""
    home = tmp_path_factory.mktemp("home")
    config = home / ".gitconfig"
    config.write_text(GIT_CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("GIT_", "MLOPS_", "DVC_", "XDG_")) or name in ("CI", "NO_COLOR", "VIRTUAL_ENV"):
                patch.delenv(name)
        # Hundreds of commands are started: let the first one keep its bytecode for the others.
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
        patch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
        patch.setenv("XDG_DATA_HOME", str(home / ".local" / "share"))
        patch.setenv("XDG_STATE_HOME", str(home / ".local" / "state"))
        # What npm fetched is read by digest only, and is too large to fetch again for each session.
        patch.setenv("npm_config_cache", NPM_CACHE)
        patch.setenv("GIT_CONFIG_GLOBAL", str(config))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("LANG", "C.UTF-8")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connections of this process reach loopback and Unix sockets only."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test wants to reach {address[0]}: tests run without a network")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSigstore]:
    """A whole Sigstore on loopback."""
    require_node()
    with LocalSigstore(tmp_path_factory.mktemp("sigstore")) as service:
        yield service


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart without its deployment, applied: data, model, gates and target stand. Never change it: copy it."""
    folder = make_quickstart(tmp_path_factory.mktemp("applied") / "digits")
    manifest = folder / "mlops.yaml"
    text = manifest.read_text()
    manifest.write_text(re.sub(r"\ndeployments:\n.*", "\n", text, flags=re.DOTALL))
    must('git commit -qam "No deployment"', folder)
    must("mlopsctl apply -y", folder)
    return folder


@pytest.fixture
def project(applied: Path, tmp_path: Path) -> Path:
    """An own copy of the applied project."""
    return Path(shutil.copytree(applied, tmp_path / "digits", symlinks=True))


def allowed_skips() -> dict[str, str]:
    """Test id -> reason, as the committed list has it."""
    lines = ALLOWED_SKIPS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))
    return {pair[0]: pair[1].strip() for pair in pairs}


def is_allowed(nodeid: str, allowed: Iterable[str]) -> bool:
    """Whether the list names the test, by its whole id or by a beginning with ``*``."""
    return any(nodeid == name or (name[-1] == "*" and nodeid.startswith(name[:-1])) for name in allowed)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure unless the list names it: a test that never runs guards nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not IN_CI or reporter is None:
        return
    allowed = allowed_skips()
    stray = [report.nodeid for report in reporter.stats.get("skipped", []) if not is_allowed(report.nodeid, allowed)]
    for nodeid in stray:
        reporter.write_line(f"skipped, and tests/allowed-skips.txt does not name it: {nodeid}", red=True)
    if stray and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
