"""What a clone keeps of a deployment that a program made: the program, what it is called with, and the name it knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import EvidenceError, ProviderError
from ...provider import Context
from ...serving.files import read_json, write_bytes, write_json
from ...types import ADOPTION, Address, Digest, Entry, Json

if TYPE_CHECKING:
    from .command import Spec

PROVIDER = "deployments/command"
LASTING = ("result", "destroy", ADOPTION)
"""Kinds of entries that say what a place runs, the newest of them for certain."""


@dataclass(frozen=True)
class Pinned:
    """What is kept to run the program again without the manifest."""

    program: str
    digest: str
    args: tuple[str, ...]
    timeout: float
    env: tuple[str, ...]
    paths: tuple[str, ...]
    details: Mapping[str, Any]

    @classmethod
    def of(cls, spec: Spec) -> Pinned:
        details = {"to": spec.to, "params": dict(spec.params)}
        return cls(spec.program, spec.digest, spec.args, spec.timeout, spec.env, spec.paths, details)

    @classmethod
    def read(cls, text: str) -> Pinned:
        raw = json.loads(text)
        return cls(**{**raw, **{key: tuple(raw[key]) for key in ("args", "env", "paths")}})

    @property
    def place(self) -> str:
        return str(self.details.get("to") or "")

    def __str__(self) -> str:
        return json.dumps(self.__dict__, sort_keys=True)


class Known(NamedTuple):
    """The program that deployed, and the name that it deployed under."""

    pinned: Pinned
    code: bytes
    name: Address


def home_of(address: Address, ctx: Context) -> Path:
    """The state folder: that of the name, or of one before."""
    found = [ctx.state / "deployments" / str(name) for name in ctx.names(address)]
    return next((one for one in found if one.is_dir()), found[0])


def keep(home: Path, pinned: Pinned, code: bytes, name: Address) -> None:
    home.mkdir(parents=True, exist_ok=True)
    write_bytes(home / "program", code)
    write_json(home / "command.json", {"command": str(pinned), "address": str(name)})


def known(address: Address, ctx: Context) -> Known:
    """From the state folder, or on another clone from the trail and the store; a halt may come without a trail."""
    home = home_of(address, ctx)
    kept = read_json(home / "command.json")
    if kept and (home / "program").is_file():
        pinned = Pinned.read(str(kept["command"]))
        said = Address.parse(str(kept.get("address") or home.resolve().name))
        return Known(pinned, (home / "program").read_bytes(), name_at(address, pinned.place, ctx, said))
    last = ctx.trail.latest(address, ("result", ADOPTION))
    if last is None:
        raise ProviderError(
            f"nothing of {address} was deployed from here", hint="mlopsctl status shows what was", code="MLO1510"
        )
    return Known(*attested(last.outputs, ctx), named(last.facts, address))


def attested(outputs: Mapping[str, Digest], ctx: Context) -> tuple[Pinned, bytes]:
    """The program that an entry names. Raises EvidenceError where it is not to be had."""
    try:
        kept = json.loads(ctx.store.path(outputs["command"]).read_bytes())
        return Pinned.read(str(kept["command"])), ctx.store.path(outputs["program"]).read_bytes()
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(
            f"the entry of this deployment does not say which program made it ({error!r})",
            hint="deploy it anew: mlopsctl apply --replace ADDRESS",
            code="MLO1512",
        ) from None


def running(address: Address, ctx: Context) -> Entry | None:
    """The entry of what a program made, or was found to run, and nobody took down since.

    What else was taken down under the name, such as somebody's local server from before, was taken down elsewhere.
    """
    last, gone = ctx.trail.latest(address, ("result", ADOPTION)), ctx.trail.latest(address, ("destroy",))
    if last is None or last.ingredients.get("provider", PROVIDER) != PROVIDER:
        return None
    ended = gone is not None and gone.seq > last.seq and gone.location == last.location
    return None if ended else last


def named(facts: Mapping[str, Json], address: Address) -> Address:
    """The name that a place knows: it keeps the one that it was deployed under first, whatever `moved:` says since."""
    return Address.parse(str(facts.get("named") or facts.get("address") or address))


def name_at(address: Address, place: str, ctx: Context, otherwise: Address | None = None) -> Address:
    """The name that what runs at a place has there; of a place without anything, the name of today."""
    if ctx.trail is None or ctx.trail.latest(address, LASTING) is None:
        return otherwise or address
    last = running(address, ctx)
    return (
        named(last.facts, address) if last is not None and str(last.facts.get("location") or "") == place else address
    )
