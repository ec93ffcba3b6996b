"""What ``plan`` and ``apply`` said when there was nothing to do, shown again while every fact behind it is the same.

A memo lies in the user's own state folder and not in the repository: whoever hands over a repository would else hand
over its answers. It is found by all that is no fact: the command line, the folder, the environment, the program.
Whatever is wrong with a memo, it is as if there were none. Nothing heavy may be imported here.
"""

from __future__ import annotations

import os
import sys
from binascii import crc32

from .. import __version__
from .facts import FILE, GRAIN_NS, LINK, LIST, UnknownFactError, ask_git, changed, look

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .watch import Watch

FORMAT = b"mlopsctl memo 1\n"
KEPT = 32
"""Memos of one user; the oldest are removed."""

_LARGEST = 8 << 20
_ALONE = {"plan": ("--detailed-exitcode", "--offline"), "apply": ("-y", "--yes", "--offline")}
_FORMATS = ("text", "json")
_CHANGING = ("_", "OLDPWD", "SHLVL")
"""Variables that shells set anew for each command, and that nothing here reads."""

_TOLD_BYTES = ("_cffi_backend", "_yaml", "cryptography", "msgspec", "yaml")
"""Packages of machine code that open no file: they are handed bytes."""

_key = b""
"""By what the answer of this run may be remembered; empty where it may not."""


def replay(argv: Sequence[str]) -> bool:
    """Prints what was said last time where nothing has changed; False where the verb has to work, which is then watched."""
    global _key
    _key = b""
    try:
        folder = _folder(argv)
        if folder is None or os.environ.get("CI"):
            return False
        _key = _key_of(argv, folder)
        text = _text(_read(_slot(_key)), _key)
        if text is None:
            return False
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError, UnknownFactError):
        # Nobody reads what is printed, or the memo is none: the verb itself knows what to say.
        return False
    return True


def _folder(argv: Sequence[str]) -> str | None:
    """Where the verb works, for a command line that asks for no more than what a memo can hold; None for any other."""
    words, folder = list(argv), "."
    while words and words[0] in ("-C", "--no-color"):
        if words.pop(0) == "-C":
            if folder != "." or not words:
                return None
            folder = words.pop(0) or "."
    if not words or words[0] not in _ALONE:
        return None
    alone = _ALONE[words.pop(0)]
    while words:
        word = words.pop(0)
        if word == "--format" and words and words[0] in _FORMATS:
            words.pop(0)
        elif word not in alone and word not in [f"--format={name}" for name in _FORMATS]:
            return None
    return os.path.realpath(folder)


def _key_of(argv: Sequence[str], folder: str) -> bytes:
    """A digest of all that can change an answer and is no fact: a digest, because variables hold secrets."""
    from _blake2 import blake2b

    variables = sorted(f"{name}={value}" for name, value in os.environ.items() if name not in _CHANGING)
    program = (__version__, sys.version, sys.executable, *sys.path, *os.uname(), str(os.geteuid()))
    seen = (os.getcwd(), folder, _terminal(), str(sys.stdout.encoding))
    parts = [[*argv], seen, program, variables]
    whole = "\0\0".join("\0".join(part) for part in parts)
    return blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest().encode()


def _terminal() -> str:
    """How wide the terminal is that lines are broken for; "" where stdout is none. Raises OSError."""
    return str(os.get_terminal_size(sys.stdout.fileno()).columns) if sys.stdout.isatty() else ""


def folder_of_memos() -> str:
    """The folder of this user's memos."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        base = os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "mlops", "memos")


def _slot(key: bytes) -> str:
    return os.path.join(folder_of_memos(), key[:32].decode())


def _read(path: str) -> bytes:
    """The bytes of a memo that nobody else can have written. Raises OSError and ValueError."""
    for place in (os.path.dirname(path), path):
        found = os.lstat(place)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077 or found.st_mode & 0o170000 == 0o120000:
            raise ValueError(f"{place} is not of this user alone")
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(handle, "rb") as stream:
        return stream.read(_LARGEST)


def _text(body: bytes, key: bytes) -> str | None:
    """The answer that a memo holds, None where a fact behind it is another one. Raises ValueError for no memo."""
    head, sums, rest = body[: len(FORMAT)], body[len(FORMAT) : len(FORMAT) + 8], body[len(FORMAT) + 8 :]
    if head != FORMAT or sums != b"%08x" % crc32(rest):
        raise ValueError("no memo")
    fields = _unpacked(rest)
    if len(fields) < 3 or fields[0] != key:
        return None
    for line in _decoded(fields[2]).split("\n"):
        kind, name, answer = line.split("\t")
        if look(kind, name) != answer:
            return None
    # Only now: what the files say decides which programs git would run.
    for at in range(3, len(fields), 4):
        folder, args, code, output = fields[at : at + 4]
        if ask_git(_decoded(folder), tuple(_decoded(args).split("\0"))) != (int(code), output):
            return None
    return fields[1].decode()


def _decoded(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _packed(fields: Sequence[bytes]) -> bytes:
    return b"".join(b"%d:%s" % (len(field), field) for field in fields)


def _unpacked(body: bytes) -> list[bytes]:
    fields, at = [], 0
    while at < len(body):
        colon = body.index(b":", at)
        end = colon + 1 + int(body[at:colon])
        if end > len(body):
            raise ValueError("cut off")
        fields.append(body[colon + 1 : end])
        at = end
    return fields


# --- Keeping one ---------------------------------------------------------------------------------------------------


def wanted() -> bool:
    """Whether the answer of this run may be remembered, if nothing speaks against it."""
    return bool(_key)


def keep(watch: Watch) -> str:
    """Remembers what a watched run said, or says why not: something cannot be looked at again, or changes."""
    for name, module in list(sys.modules.items()):
        # The program is a fact too: an installation can change under one version number.
        file = getattr(module, "__file__", None) or ""
        if file:
            watch.see(FILE, os.path.abspath(file))
        if file.endswith(".so") and name.partition(".")[0] not in (*_TOLD_BYTES, *sys.stdlib_module_names):
            watch.refuse(f"{name}, which may read files unseen")
    if watch.refused or watch.unaccounted():
        return watch.refused or "a process"
    for (kind, name), answer in watch.facts.items():
        if not _stands(watch, kind, name, answer):
            return f"{name} has changed just now"
    facts = "\n".join(f"{kind}\t{name}\t{answer}" for (kind, name), answer in watch.facts.items())
    fields = [_key, "".join(f"{line}\n" for line in watch.said).encode(), _encoded(facts)]
    for (folder, args), (code, output) in watch.git.items():
        fields += [_encoded(folder), _encoded("\0".join(args)), b"%d" % code, output]
    packed = _packed(fields)
    return _write(_slot(_key), FORMAT + b"%08x" % crc32(packed) + packed)


def _stands(watch: Watch, kind: str, name: str, answer: str) -> bool:
    """Whether a fact is still what it was, and was no younger than the clock's grain when it was looked at."""
    if kind in (FILE, LINK, LIST) and changed(answer) + GRAIN_NS >= watch.begun:
        return False
    return look(kind, name) == answer


def _write(path: str, body: bytes) -> str:
    """Writes a memo and removes the oldest; where that cannot be done only time is lost."""
    from pathlib import Path

    from .files import write_atomically

    if len(body) >= _LARGEST:
        return "it is too large"
    try:
        folder = Path(path).parent
        there = next(one for one in folder.parents if one.exists())
        if there.stat().st_uid != os.geteuid():
            # As root in somebody else's home: nothing of ours belongs there.
            return f"{there} belongs to somebody else"
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(Path(path), body, 0o600)
        for one in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)[:-KEPT]:
            one.unlink(missing_ok=True)
    except OSError as error:
        return str(error)
    return ""
