"""The index of the trail: judged entries by fingerprint, address and output. A cache that may be deleted at will."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import MlopsError

FORMAT = "2"

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE entries (
  id TEXT PRIMARY KEY, seq INTEGER, at TEXT, signer TEXT, kind TEXT, address TEXT, status TEXT, made_from TEXT,
  policy TEXT, state TEXT, payload BLOB);
CREATE INDEX by_made_from ON entries (made_from);
CREATE INDEX by_address ON entries (address, seq);
CREATE INDEX by_seq ON entries (seq, id);
CREATE TABLE outputs (digest TEXT, id TEXT, PRIMARY KEY (digest, id)) WITHOUT ROWID;
CREATE TABLE superseded (id TEXT, section TEXT, PRIMARY KEY (id, section)) WITHOUT ROWID;
CREATE TABLE notes (note TEXT PRIMARY KEY, blob TEXT) WITHOUT ROWID;
CREATE TABLE lines (note TEXT, line BLOB, PRIMARY KEY (note, line)) WITHOUT ROWID;
CREATE INDEX by_line ON lines (line);
CREATE TABLE findings (code TEXT, entry TEXT, message TEXT);
CREATE TABLE policies (digest TEXT PRIMARY KEY, previous TEXT, content TEXT) WITHOUT ROWID;
CREATE TABLE verified (signature BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE code (tree TEXT, id TEXT, PRIMARY KEY (tree, id)) WITHOUT ROWID;
"""
_CLEARED = ("meta", "entries", "outputs", "superseded", "notes", "lines", "findings", "policies", "code")


IndexRow = tuple[str, int, str, str, str, str, str, str, str, str, bytes]
"""id, seq, at, signer, kind, address, status, made_from, policy, state, payload."""


class TrailIndex:
    """Opens the index at ``path``; an unreadable one is made anew, an unwritable place gives one in memory."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._db = self._open(path)
        except sqlite3.OperationalError:
            # A read-only or full disk: the trail can still be read, only slower.
            self._db = self._open(None)
        except sqlite3.DatabaseError:
            self._remove()
            self._db = self._open(path)

    def _open(self, path: Path | None) -> sqlite3.Connection:
        if path is not None and not path.parent.is_dir():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise sqlite3.OperationalError(str(error)) from None
        db = sqlite3.connect(path or ":memory:", timeout=30, isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        try:
            row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.OperationalError:
            row = None
        if row is None or row[0] != FORMAT:
            self._create(db)
        return db

    @staticmethod
    def _create(db: sqlite3.Connection) -> None:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        db.execute("BEGIN IMMEDIATE")
        for name in tables:
            db.execute(f'DROP TABLE "{name}"')
        for command in _TABLES.split(";"):
            db.execute(command)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (FORMAT,))
        db.execute("COMMIT")

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All or nothing; blocks join the outermost one."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise MlopsError(
                    f"the index of the trail cannot be written: {error}",
                    hint=f"free some space, or remove {self._path}: it is made anew from the trail",
                    code="MLO7034",
                ) from None
            raise

    def close(self) -> None:
        self._db.close()

    def reset(self, *, signatures: bool = False) -> None:
        """Empties the index; with ``signatures`` also what was verified before."""
        with self.change():
            for table in (*_CLEARED, "verified") if signatures else _CLEARED:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from the list above
            self.set_meta("format", FORMAT)

    # --- Writing -------------------------------------------------------------------------------------------

    def set_meta(self, key: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def meta(self, key: str, default: str = "") -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else default

    def add(
        self, rows: Iterable[IndexRow], outputs: Iterable[tuple[str, str]], superseded: Iterable[tuple[str, str]]
    ) -> None:
        """``outputs`` are pairs of digest and entry id, ``superseded`` of entry id and section."""
        self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?)", rows)
        self._db.executemany("INSERT OR IGNORE INTO outputs VALUES (?, ?)", outputs)
        self._db.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", superseded)

    def add_findings(self, findings: Iterable[tuple[str, str, str]]) -> None:
        self._db.executemany("INSERT INTO findings VALUES (?, ?, ?)", findings)

    def add_policy(self, digest: str, previous: str, content: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO policies VALUES (?, ?, ?)", (digest, previous, content))

    def set_notes(self, notes: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", notes)

    def add_lines(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Pairs of note ("" for the journal) and sha256 of the line."""
        self._db.executemany("INSERT OR IGNORE INTO lines VALUES (?, ?)", lines)

    def move_lines(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Journal lines that stand in a note now."""
        self.forget_journal()
        self.add_lines(lines)

    def forget_journal(self) -> None:
        self._db.execute("DELETE FROM lines WHERE note = ''")

    def add_verified(self, signatures: Iterable[bytes]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO verified VALUES (?)", [(one,) for one in signatures])

    def add_code(self, trees: Iterable[tuple[str, str]]) -> None:
        """Pairs of code tree and entry id."""
        self._db.executemany("INSERT OR IGNORE INTO code VALUES (?, ?)", trees)

    def set_retired(
        self, policy: str, signer: str, kept: Sequence[str], good: set[str], among: Sequence[str] | None
    ) -> None:
        """Valid entries of this pair become retired, but for ``kept`` kinds and ``good`` ids; ``among`` narrows it."""
        marks = ",".join("?" * len(kept))
        query = f"SELECT id FROM entries WHERE policy = ? AND signer = ? AND state = 'valid' AND kind NOT IN ({marks})"  # noqa: S608 - marks only
        found = {row[0] for row in self._db.execute(query, (policy, signer, *kept))} - good
        if among is not None:
            found &= set(among)
        self._db.executemany("UPDATE entries SET state = 'retired' WHERE id = ?", [(one,) for one in sorted(found)])

    def restore_retired(self) -> None:
        self._db.execute("UPDATE entries SET state = 'valid' WHERE state = 'retired'")

    # --- Reading -------------------------------------------------------------------------------------------

    def place(self, entry: str) -> tuple[int, str, str, str] | None:
        """(seq, at, policy, state) of an entry."""
        row = self._db.execute("SELECT seq, at, policy, state FROM entries WHERE id = ?", (entry,)).fetchone()
        return (row[0], row[1], row[2], row[3]) if row else None

    def policy(self, digest: str) -> tuple[str, str] | None:
        """(previous, content as JSON) of a policy."""
        row = self._db.execute("SELECT previous, content FROM policies WHERE digest = ?", (digest,)).fetchone()
        return (row[0], row[1]) if row else None

    def signers(self) -> list[tuple[str, str]]:
        """The pairs of (policy, signer) that entries have."""
        return list(self._db.execute("SELECT DISTINCT policy, signer FROM entries"))

    def is_verified(self, signature: bytes) -> bool:
        return self._db.execute("SELECT 1 FROM verified WHERE signature = ?", (signature,)).fetchone() is not None

    def is_empty(self) -> bool:
        """Whether nothing was judged or verified yet."""
        query = "SELECT 1 WHERE EXISTS (SELECT 1 FROM entries) OR EXISTS (SELECT 1 FROM verified)"
        return self._db.execute(query).fetchone() is None

    def has_code(self, tree: str) -> bool:
        query = "SELECT 1 FROM code c JOIN entries e ON e.id = c.id WHERE c.tree = ? AND e.state = 'valid'"
        return self._db.execute(query, (tree,)).fetchone() is not None

    def notes(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT note, blob FROM notes"))

    def lines(self, note: str) -> set[bytes]:
        return {row[0] for row in self._db.execute("SELECT line FROM lines WHERE note = ?", (note,))}

    def lost_lines(self) -> bool:
        """Whether a journal line that was judged before stands in no note now."""
        query = """SELECT 1 FROM lines j WHERE j.note = ''
          AND NOT EXISTS (SELECT 1 FROM lines n WHERE n.line = j.line AND n.note <> '') LIMIT 1"""
        return self._db.execute(query).fetchone() is not None

    def findings(self) -> list[tuple[str, str, str]]:
        return list(self._db.execute("SELECT code, entry, message FROM findings ORDER BY code, entry"))

    def counts(self, state: str) -> int:
        return int(self._db.execute("SELECT count(*) FROM entries WHERE state = ?", (state,)).fetchone()[0])

    def one(self, where: str, values: Sequence[Any]) -> tuple[bytes, str] | None:
        """(payload, state) of the first entry under a condition of our own making."""
        query = f"SELECT payload, state FROM entries WHERE {where} LIMIT 1"  # noqa: S608 - no user text in it
        row = self._db.execute(query, values).fetchone()
        return (row[0], row[1]) if row else None

    def many(self, where: str, values: Sequence[Any]) -> Iterator[tuple[bytes, str]]:
        query = f"SELECT payload, state FROM entries WHERE {where}"  # noqa: S608 - no user text in it
        yield from self._db.execute(query, values)

    def code_trees(self) -> Iterator[tuple[str, str]]:
        """(entry id, code tree) of every valid shared entry that names one."""
        yield from self._db.execute(
            "SELECT min(c.id), c.tree FROM code c JOIN entries e ON e.id = c.id WHERE e.state = 'valid' GROUP BY c.tree"
        )

    def ids(self, where: str, values: Sequence[Any] = ()) -> list[str]:
        """Ids of the entries under a condition of our own making."""
        query = f"SELECT id FROM entries WHERE {where} ORDER BY seq, id"  # noqa: S608 - no user text in it
        return [row[0] for row in self._db.execute(query, values)]

    def ids_like(self, prefix: str) -> list[str]:
        """Ids that begin with ``prefix``, at most a few."""
        found = self._db.execute("SELECT id FROM entries WHERE id >= ? AND id < ? LIMIT 5", (prefix, prefix + "g"))
        return [row[0] for row in found]
