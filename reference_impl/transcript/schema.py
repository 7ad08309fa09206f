"""The tables of `state.db`, and the one connection through which they are read and written.

Rule: what is promised is read back, not assumed (the journal mode, the sync level, the version). A transaction is there whole
or not at all, and after any failure none stays open: a connection that cannot be trusted any more is closed, and the next
use opens the file again.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from reference_impl.durable import Durable
from reference_impl.transcript.errors import CorruptError, SchemaError

VERSION = 1
TABLES = """
CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state_meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY, parent_session_id TEXT, source TEXT, user_id TEXT, model TEXT, system_prompt TEXT,
    started_at TEXT, ended_at TEXT, end_reason TEXT,
    message_count INTEGER NOT NULL DEFAULT 0, tool_call_count INTEGER NOT NULL DEFAULT 0,
    title TEXT, metadata TEXT
);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL, message_id TEXT NOT NULL,
    seq INTEGER NOT NULL, turn_id TEXT,
    role TEXT, content TEXT, api_content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT,
    timestamp TEXT, finish_reason TEXT, interrupted INTEGER NOT NULL DEFAULT 0, reasoning_items TEXT,
    active INTEGER NOT NULL DEFAULT 1, compacted INTEGER NOT NULL DEFAULT 0, extra TEXT,
    UNIQUE (session_id, message_id)
);
CREATE INDEX IF NOT EXISTS messages_in_order ON messages (session_id, seq, id);
CREATE INDEX IF NOT EXISTS sessions_by_parent ON sessions (parent_session_id);
"""
# Deliberately no foreign keys: a row must never be refused or deleted because of the state of another table.

_UNTRUSTED = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN}
_RESULT_MASK = 0xFF


class Database:
    """`state.db` at `path`; it is made with the first transaction. Threads may share one object.

    `disk`: its level decides whether a commit waits for the disk, its patience how long a lock of another process is waited for.
    """

    def __init__(self, path: str, disk: Durable) -> None:
        self.path, self.disk = path, disk
        self.lock = threading.RLock()
        """The persistence lock: held for each transaction, and by whoever needs several of them to be one step."""
        self.modes: tuple[str, int] = ("", -1)
        """Journal mode and sync level in force, as read back from the open connection."""
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes, or nothing of it. When the block has left, it is durable.

        Raises:
            sqlite3.Error: nothing was written, or (a commit that failed while syncing) it is unknown.
            CorruptError, SchemaError: the file is not one that this version may write to.
        """
        with self.lock:
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")  # takes the write lock now: what is read below stays true until the commit
                yield connection
                connection.execute("COMMIT")
            except BaseException as error:
                self._undo(connection, error)
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for queries that write nothing.

        Raises:
            sqlite3.Error: the rows cannot be read; that is never taken for "there are none".
        """
        with self.lock:
            yield self._open()

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query that writes nothing.

        Raises:
            See `reading`.
        """
        with self.reading() as sql:
            return sql.execute(query, values).fetchall()

    def version(self) -> int:
        """A number that changes when another connection has committed something."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def check(self) -> None:
        """Look at the whole file.

        Raises:
            CorruptError: it is damaged.
        """
        try:
            found = self.rows("PRAGMA integrity_check(1)")[0][0]
        except sqlite3.DatabaseError as error:
            if (getattr(error, "sqlite_errorcode", 0) & _RESULT_MASK) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            self.close()
            raise CorruptError(f"{self.path}: {error}") from error
        if found != "ok":
            self.close()
            raise CorruptError(f"{self.path}: {found}")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """After a failed sync nobody knows what is on the disk, so that connection is not asked again."""
        failed = connection.in_transaction
        if failed:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
                failed = False
        if failed or (getattr(error, "sqlite_errorcode", 0) & _RESULT_MASK) in _UNTRUSTED:
            with suppress(sqlite3.Error):
                self.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            return self._connection
        self.disk.make_dir(os.path.dirname(self.path) or ".")
        connection = sqlite3.connect(self.path, timeout=self.disk.patience, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            with self.disk.lock(f"{self.path}.lock"):  # two processes that make the file at the same time
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Set the modes, read them back, and make the tables if they are not there."""
        level = {"power-loss": ("FULL", 2), "process-kill": ("OFF", 0)}[self.disk.level]
        mode = str(_value(connection, "PRAGMA journal_mode"))
        if mode != "wal":  # asked for only where needed: the change fails at once when another connection is reading
            mode = str(_value(connection, "PRAGMA journal_mode=WAL"))
        connection.execute(f"PRAGMA synchronous={level[0]}")
        self.modes = (mode, int(str(_value(connection, "PRAGMA synchronous"))))
        if self.modes[1] != level[1]:
            raise SchemaError(f"{self.path}: asked for synchronous={level[0]}, and {self.modes[1]} is in force")
        if not _value(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'schema_version'"):
            _create(connection)
            self.disk.sync_file(self.path)  # and its name
        found = _value(connection, "SELECT max(version) FROM schema_version")
        if found != VERSION:
            raise SchemaError(
                f"{self.path} has schema version {found!r}, and this program knows {VERSION}: use the newer program"
            )


def _value(connection: sqlite3.Connection, query: str) -> object:
    return connection.execute(query).fetchone()[0]


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in filter(str.strip, TABLES.split(";")):
            connection.execute(statement)
        connection.execute("INSERT INTO schema_version VALUES (?)", (VERSION,))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
