"""A PKCS#11 token in software, in a folder of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PIN = "648219"
MODULE = next(
    (
        place
        for place in ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
        if Path(place).exists()
    ),
    "",
)
needs_softhsm = pytest.mark.skipif(
    not MODULE or shutil.which("softhsm2-util") is None, reason="needs the Debian package softhsm2"
)
CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}


def make_token(folder: Path, label: str = "card") -> dict[str, str]:
    """An initialised token; the environment in which the library finds it."""
    (folder / "tokens").mkdir(exist_ok=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(config)}
    argv = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    return {"SOFTHSM2_CONF": str(config)}


def make_key(folder: Path, label: str, curve: str = "P-256", token: str = "card", key_id: str = "01") -> str:
    """Puts a key pair made by openssl into the token, as ``softhsm2-util --import`` does; its public half as PEM."""
    made = folder / f"{label}.{curve}.pem"
    words = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{CURVES[curve]}"]
    subprocess.run(["openssl", "genpkey", *words, "-out", made], check=True, capture_output=True)
    environment = {**os.environ, "SOFTHSM2_CONF": str(folder / "softhsm2.conf")}
    argv: list[str | Path] = [
        "softhsm2-util",
        "--import",
        made,
        "--token",
        token,
        "--label",
        label,
        "--id",
        key_id,
        "--pin",
        PIN,
    ]
    subprocess.run(argv, env=environment, check=True, capture_output=True)
    shown = subprocess.run(["openssl", "pkey", "-in", made, "-pubout"], check=True, capture_output=True, text=True)
    made.unlink()
    return shown.stdout
