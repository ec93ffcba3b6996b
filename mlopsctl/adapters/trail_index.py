"""The index of the trail: judged entries by fingerprint, address and output. A cache that may be deleted at will."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import MlopsError

FORMAT = "6"

_VALUES = 100
"""Values of one command; SQLite takes 999 of them at least."""
_PATIENCE = 300
"""Seconds to wait for another process, which may be filling the index of a very long trail."""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE entries (
  n INTEGER PRIMARY KEY, id TEXT, seq INTEGER, at TEXT, signer TEXT, kind TEXT, address TEXT, status TEXT,
  made_from TEXT, policy TEXT, state TEXT, key TEXT, proof BLOB);
CREATE TABLE payloads (n INTEGER PRIMARY KEY, payload BLOB);
CREATE TABLE outputs (digest TEXT, id TEXT);
CREATE TABLE inputs (digest TEXT, id TEXT);
CREATE TABLE superseded (id TEXT, section TEXT, PRIMARY KEY (id, section)) WITHOUT ROWID;
CREATE TABLE notes (note TEXT, blob TEXT);
CREATE TABLE lines (journal TEXT, line BLOB, PRIMARY KEY (journal, line)) WITHOUT ROWID;
CREATE TABLE findings (code TEXT, entry TEXT, message TEXT);
CREATE TABLE policies (digest TEXT PRIMARY KEY, previous TEXT, content TEXT) WITHOUT ROWID;
CREATE TABLE checks (id TEXT, key TEXT, proof BLOB, holds INTEGER);
CREATE INDEX by_checked ON checks (id);
CREATE TABLE code (tree TEXT, id TEXT, PRIMARY KEY (tree, id)) WITHOUT ROWID;
"""
# Made after a first load: sorting once is a third of the work of keeping them sorted.
_INDICES = """
CREATE UNIQUE INDEX by_id ON entries (id);
CREATE INDEX by_made_from ON entries (made_from);
CREATE INDEX by_address ON entries (address, seq);
CREATE INDEX by_seq ON entries (seq);
CREATE INDEX by_kind ON entries (kind, seq);
CREATE UNIQUE INDEX by_note ON notes (note);
"""
# Made at the first question that follows digests from entry to entry; many verbs never ask one.
_EDGES = """
INSERT INTO inputs SELECT edge.atom, e.id FROM entries e JOIN payloads p USING (n),
  json_tree(CAST(p.payload AS TEXT), :inputs) edge WHERE e.n > :known AND edge.atom IS NOT NULL;
INSERT INTO outputs SELECT edge.atom, e.id FROM entries e JOIN payloads p USING (n),
  json_each(CAST(p.payload AS TEXT), :outputs) edge WHERE e.n > :known AND e.state <> 'invalid';
CREATE INDEX IF NOT EXISTS by_output ON outputs (digest);
CREATE INDEX IF NOT EXISTS by_input ON inputs (digest);
"""
_INDEX_NAMES = ("by_id", "by_made_from", "by_address", "by_seq", "by_kind", "by_note")
_CLEARED = (
    "meta",
    "entries",
    "payloads",
    "outputs",
    "inputs",
    "superseded",
    "notes",
    "lines",
    "findings",
    "policies",
    "code",
)
_OWED = "SELECT e.id, e.key, e.proof FROM ({entries}) e WHERE e.key <> '' AND e.n > ?"
_UNCHECKED = """ AND NOT EXISTS
  (SELECT 1 FROM checks c WHERE c.id = e.id AND c.key = e.key AND c.proof = e.proof AND c.holds)"""

IndexRow = tuple[int, str, int, str, str, str, str, str, str, str, str, str, bytes]
"""n (its payload's), id, seq, at, signer, kind, address, status, made_from, policy, state, key, proof."""
OwedRow = tuple[str, str, bytes]
"""id, key, proof of an entry whose signature nobody has checked yet."""


class TrailIndex:
    """Opens the index at ``path``; an unreadable one is made anew, an unwritable place (or None) gives one in memory."""

    def __init__(self, path: Path | None):
        self._path = path
        self.vouch: Callable[[Sequence[OwedRow]], bool] = _nobody
        self.edges_at = ("$.inputs", "$.outputs")
        """Where payloads have the digests of what entries were made from, and of what they made."""
        self._loaded = False
        if path is not None and path.parent.is_dir() and not os.access(path.parent, os.W_OK):
            self._db = self._copy(path)
            return
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
        db = sqlite3.connect(path or ":memory:", timeout=_PATIENCE, isolation_level=None)
        db.execute("PRAGMA page_size=16384")  # seven payloads a page; of the usual size, one
        db.execute("PRAGMA synchronous=NORMAL")
        try:
            row = db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        except sqlite3.OperationalError:
            row = None
        if row is None or row[0] != FORMAT:
            self._create(db)
        # A log of what is written would hold a second copy of all that a first load writes.
        elif db.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is not None:
            db.execute("PRAGMA journal_mode=WAL")
        return db

    def _copy(self, path: Path) -> sqlite3.Connection:
        """The index of a clone that cannot be written, in memory; an empty one where there is none to read."""
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as there:
                copy = sqlite3.connect(":memory:", isolation_level=None)
                there.backup(copy)
            if copy.execute("SELECT value FROM meta WHERE key = 'format'").fetchone() == (FORMAT,):
                return copy
        except sqlite3.Error:
            pass
        return self._open(None)

    @staticmethod
    def _create(db: sqlite3.Connection) -> None:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        db.execute("BEGIN IMMEDIATE")
        for name in tables:
            db.execute(f'DROP TABLE "{name}"')
        for command in (_TABLES + _INDICES).split(";"):
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
            self._log_writes()
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

    def _log_writes(self) -> None:
        """After a first load many small changes follow; as long as others have the file open, it stays as it is."""
        if self._loaded:
            self._loaded = False
            with suppress(sqlite3.OperationalError):
                self._db.execute("PRAGMA journal_mode=WAL")

    def close(self) -> None:
        self._db.close()

    def reset(self, *, signatures: bool = False) -> None:
        """Empties the index; with ``signatures`` also what was verified before, which it remembers otherwise."""
        with self.change():
            if signatures:
                self._db.execute("DELETE FROM checks")
            else:
                held = "SELECT id, key, proof, 1 FROM entries WHERE key <> '' AND n <= ?"
                self._db.execute(f"INSERT INTO checks {held}", (self._settled(),))
            for table in _CLEARED:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - a name from the list above
            self.set_meta("format", FORMAT)

    @contextmanager
    def load(self) -> Iterator[None]:
        """A change during which an empty index is filled without its indices; they are made at the end."""
        with self.change():
            empty = self.last_row() == 0 and self._db.execute("SELECT 1 FROM notes").fetchone() is None
            for name in _INDEX_NAMES if empty else ():
                self._db.execute(f"DROP INDEX {name}")
            yield
            for command in _INDICES.split(";") if empty else ():
                self._db.execute(command)
            self._loaded = self._loaded or empty

    # --- Writing -------------------------------------------------------------------------------------------

    def set_meta(self, key: str, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def meta(self, key: str, default: str = "") -> str:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else default

    def add(self, rows: Iterable[IndexRow], superseded: Iterable[tuple[str, str]]) -> None:
        """``superseded`` are pairs of entry id and section."""
        self._db.executemany("INSERT OR REPLACE INTO entries VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        self._db.executemany("INSERT OR IGNORE INTO superseded VALUES (?, ?)", superseded)

    def add_payloads(self, payloads: Iterable[tuple[int, bytes]]) -> None:
        together = [value for pair in payloads for value in pair]
        # One command for all of them, as far as SQLite takes that many values.
        for start in range(0, len(together), _VALUES):
            some = together[start : start + _VALUES]
            self._db.execute("INSERT INTO payloads VALUES (?, ?)" + ", (?, ?)" * (len(some) // 2 - 1), some)

    def last_row(self) -> int:
        """The number of the newest payload; those of new entries count on from it."""
        return int(self._db.execute("SELECT coalesce(max(n), 0) FROM payloads").fetchone()[0])

    def add_findings(self, findings: Iterable[tuple[str, str, str]]) -> None:
        self._db.executemany("INSERT INTO findings VALUES (?, ?, ?)", findings)

    def add_policy(self, digest: str, previous: str, content: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO policies VALUES (?, ?, ?)", (digest, previous, content))

    def set_notes(self, notes: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?)", notes)

    def add_lines(self, lines: Iterable[tuple[str, bytes]]) -> None:
        """Pairs of journal ("" for the shared one) and sha256 of the line."""
        self._db.executemany("INSERT OR IGNORE INTO lines VALUES (?, ?)", lines)

    def forget_journal(self) -> None:
        self._db.execute("DELETE FROM lines WHERE journal = ''")

    def remember(self, checked: Iterable[tuple[str, str, bytes]], *, holds: bool) -> None:
        """Whether a signature (entry id, key, proof) holds; that stays true whatever the trail becomes."""
        self._db.executemany("INSERT INTO checks VALUES (?, ?, ?, ?)", [(*one, int(holds)) for one in checked])

    def set_settled(self) -> None:
        """Says that no signature is owed any more."""
        self.set_meta("settled", str(self.last_row()))
        self._db.execute("DELETE FROM checks WHERE holds")

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

    def payload(self, entry: str) -> bytes | None:
        """The payload of an entry as it stands, whether its signature was checked or not."""
        query = "SELECT p.payload FROM entries e JOIN payloads p USING (n) WHERE e.id = ?"
        row = self._db.execute(query, (entry,)).fetchone()
        return row[0] if row else None

    def signers(self) -> list[tuple[str, str]]:
        """The pairs of (policy, signer) that entries have."""
        return list(self._db.execute("SELECT DISTINCT policy, signer FROM entries"))

    def is_empty(self) -> bool:
        """Whether nothing was judged yet."""
        return self._db.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is None

    def is_new(self) -> bool:
        """The same, and no signature was checked before."""
        return self.is_empty() and self._db.execute("SELECT 1 FROM checks LIMIT 1").fetchone() is None

    def _settled(self) -> int:
        """Entries up to this row owe no signature."""
        return int(self.meta("settled", "0"))

    def owes(self) -> bool:
        """Whether there are signatures that nobody has checked."""
        return next(self.owed(), None) is not None

    def owed(self) -> Iterator[OwedRow]:
        """Everything whose signature nobody has checked."""
        if self.last_row() > self._settled():
            checked = self._db.execute("SELECT 1 FROM checks WHERE holds LIMIT 1").fetchone() is not None
            query = _OWED.format(entries="SELECT * FROM entries")
            yield from self._db.execute(query + (_UNCHECKED if checked else ""), (self._settled(),))

    def failed(self) -> set[tuple[str, str, bytes]]:
        """Signatures that are known not to hold."""
        return set(self._db.execute("SELECT id, key, proof FROM checks WHERE NOT holds"))

    def follow(self) -> None:
        """Takes the newest entry into the tables of inputs and outputs where they have all others: no question waits then."""
        if int(self.meta("edges", "0")) == self.last_row() - 1:
            self._connected()

    def _connected(self) -> None:
        """Brings the tables of inputs and outputs up to the newest entry."""
        if self.meta("edges", "0") == str(self.last_row()):
            return
        inputs, outputs = self.edges_at
        with self.change():
            # Asked again: another process may have done it meanwhile.
            values = {"inputs": inputs, "outputs": outputs, "known": int(self.meta("edges", "0"))}
            for command in _EDGES.split(";"):
                self._db.execute(command, values)
            self.set_meta("edges", str(self.last_row()))

    def _vouched(self, where: str, values: Sequence[Any]) -> None:
        """Has every signature checked that an answer relies on; asks again where one did not hold."""
        if "FROM inputs" in where or "FROM outputs" in where:
            self._connected()
        while self.last_row() > (settled := self._settled()):
            query = _OWED.format(entries=f"SELECT * FROM entries WHERE {where}") + _UNCHECKED  # noqa: S608 - no user text in it
            owed = self._db.execute(query, (*values, settled)).fetchall()
            if not owed or self.vouch(owed):
                return

    def has_code(self, tree: str) -> bool:
        query = "SELECT 1 FROM code c JOIN entries e ON e.id = c.id WHERE c.tree = ? AND e.state = 'valid'"
        return self._db.execute(query, (tree,)).fetchone() is not None

    def notes(self) -> dict[str, str]:
        return dict(self._db.execute("SELECT note, blob FROM notes"))

    def lines(self, journal: str) -> set[bytes]:
        """sha256 of every line of a journal that was judged."""
        return {row[0] for row in self._db.execute("SELECT line FROM lines WHERE journal = ?", (journal,))}

    def findings(self) -> list[tuple[str, str, str]]:
        return list(self._db.execute("SELECT code, entry, message FROM findings ORDER BY code, entry"))

    def counts(self, *states: str) -> list[int]:
        """How many entries have each of these states."""
        sums = ", ".join("total(state = ?)" for _ in states)
        return [int(number) for number in self._db.execute(f"SELECT {sums} FROM entries", states).fetchone()]  # noqa: S608

    def one(self, where: str, values: Sequence[Any]) -> tuple[bytes, str] | None:
        """(payload, state) of the first entry under a condition of our own making."""
        return next(self.many(f"{where} LIMIT 1", values), None)

    def many(self, where: str, values: Sequence[Any]) -> Iterator[tuple[bytes, str]]:
        """(payload, state) of all entries under a condition of our own making; their signatures hold."""
        self._vouched(where, values)
        payload = "(SELECT payload FROM payloads p WHERE p.n = entries.n)"
        yield from self._db.execute(f"SELECT {payload}, state FROM entries WHERE {where}", values)  # noqa: S608

    def results(self, where: str, values: Sequence[Any]) -> Iterator[tuple[str, bytes, str]]:
        """(made_from, payload, state) of all entries under a condition of our own making; their signatures hold."""
        self._vouched(where, values)
        payload = "(SELECT payload FROM payloads p WHERE p.n = entries.n)"
        yield from self._db.execute(f"SELECT made_from, {payload}, state FROM entries WHERE {where}", values)  # noqa: S608

    def stamp(self) -> tuple[int, int]:
        """Another value after every change, whoever made it: equal stamps mean equal answers."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._db.total_changes

    def members(self, where: str, values: Sequence[Any], paths: Sequence[str] = ()) -> Iterator[tuple[Any, ...]]:
        """id, seq, at, signer, kind, address, status, state, and JSON text: a list of what the payload has at paths.

        Where only a little of many payloads is wanted, SQLite reads it in a fifth of the time.
        """
        self._vouched(where, values)
        payload = "CAST((SELECT payload FROM payloads p WHERE p.n = entries.n) AS TEXT)"
        # A last path of no interest: of one path alone the function gives no list.
        asked = [*paths, "$._type"] if paths else []
        text = f"json_extract({payload}, {', '.join('?' * len(asked))})" if paths else "'[]'"
        columns = f"id, seq, at, signer, kind, address, status, state, {text}"
        yield from self._db.execute(f"SELECT {columns} FROM entries WHERE {where}", (*asked, *values))  # noqa: S608

    def edges(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Pairs of digest and entry id: what entries were made from, and what they made; of invalid entries too."""
        self._connected()
        return list(self._db.execute("SELECT * FROM inputs")), list(self._db.execute("SELECT * FROM outputs"))

    def code_trees(self) -> Iterator[tuple[str, str]]:
        """(entry id, code tree) of every valid shared entry that names one."""
        yield from self._db.execute(
            "SELECT min(c.id), c.tree FROM code c JOIN entries e ON e.id = c.id WHERE e.state = 'valid' GROUP BY c.tree"
        )

    def addresses(self) -> list[str]:
        """Every address in the entries, sorted; each is found with one step through the index."""
        walk = (
            "WITH RECURSIVE found(address) AS (SELECT min(address) FROM entries UNION ALL"
            " SELECT (SELECT min(e.address) FROM entries e WHERE e.address > found.address) FROM found"
            " WHERE found.address IS NOT NULL) SELECT address FROM found WHERE address IS NOT NULL AND address <> ''"
        )
        return [str(row[0]) for row in self._db.execute(walk)]

    def ids(self, where: str, values: Sequence[Any] = ()) -> list[str]:
        """Ids of the entries under a condition of our own making."""
        query = f"SELECT id FROM entries WHERE {where} ORDER BY seq, id"  # noqa: S608 - no user text in it
        return [row[0] for row in self._db.execute(query, values)]

    def ids_like(self, prefix: str) -> list[str]:
        """Ids that begin with ``prefix``, at most a few."""
        found = self._db.execute("SELECT id FROM entries WHERE id >= ? AND id < ? LIMIT 5", (prefix, prefix + "g"))
        return [row[0] for row in found]


def _nobody(owed: Sequence[OwedRow]) -> bool:
    raise RuntimeError(f"nobody checks the signatures of {len(owed)} entries")
