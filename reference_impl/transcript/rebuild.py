"""A damaged database is kept, and a new one takes its place in one step; nothing that can still be read is left behind.

Rule: the new file is complete before the old one goes, and the old bytes are durable elsewhere before that. Doing it twice gives
the same files.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from zlib import crc32

from reference_impl.durable import Durable
from reference_impl.transcript.errors import CorruptError
from reference_impl.transcript.flush import Writer
from reference_impl.transcript.rows import STAMP, Message
from reference_impl.transcript.schema import Database

_LOGS = ("-wal", "-shm")


def rebuild(writer: Writer, messages: Sequence[Message]) -> str:
    """Build the database anew from these messages and from all rows, of all sessions, that can be read; says where the old one is.

    Raises:
        CorruptError: there is nothing to build it from; the old one is left where it is.
    """
    database = writer.database
    assert database is not None
    if not messages:
        raise CorruptError(f"{database.path} is damaged, and the source has no message to build it from")
    disk, path = database.disk, database.path
    database.close()
    aside = _keep_aside(disk, path)
    data = _draft(writer, disk, path, messages)
    for suffix in _LOGS:  # the log of the old file must not be played into the new one
        disk.remove(path + suffix)
    disk.replace(path, data)
    return aside


def _draft(writer: Writer, disk: Durable, path: str, messages: Sequence[Message]) -> bytes:
    """The bytes of a new database."""
    draft = f"{path}.new"
    remains = [draft + suffix for suffix in ("", *_LOGS, ".lock")]
    for name in remains:  # of an attempt that died
        disk.remove(name)
    fresh = Database(draft, disk)
    with closing(fresh):  # which brings the write-ahead log into the file
        _salvage(path, fresh)
        copy = Writer(fresh, writer.session_id, clock=writer.clock, ids=writer.ids, profile=writer.profile)
        held = {(row["session_id"], row["message_id"]) for row in fresh.rows("SELECT session_id, message_id FROM messages")}
        known = {name for _, name in held}
        absent = [message for message in messages if message["_message_id"] not in known]
        copy.put([(writer.session_id, {key: value for key, value in one.items() if key != STAMP}) for one in absent])
    data = disk.read(draft)
    assert data is not None
    for name in remains:
        disk.remove(name)
    return data


def _salvage(path: str, fresh: Database) -> None:
    """Copy what can be read of the damaged file; one damaged page costs its own rows and those after it."""
    with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(path, isolation_level=None)) as old, fresh.transaction() as sql:
        for table in ("sessions", "messages", "state_meta"):
            columns = [row["name"] for row in sql.execute(f"PRAGMA table_info({table})")]
            names = ", ".join([f'"{name}"' for name in columns])
            insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            with suppress(sqlite3.DatabaseError):
                for row in old.execute(f"SELECT {names} FROM {table}"):  # noqa: S608  names of our own tables
                    sql.execute(insert, row)


def _keep_aside(disk: Durable, path: str) -> str:
    """Copy the damaged file, and its log, under a name made of its bytes, so that a second attempt keeps no second copy."""
    data = disk.read(path) or b""
    folder = os.path.join(os.path.dirname(path), "damaged")
    name = os.path.join(folder, f"{os.path.basename(path)}.{crc32(data):08x}")
    disk.make_dir(folder)
    for suffix in (_LOGS[0], ""):
        copy = disk.read(path + suffix)
        if copy is not None and disk.read(name + suffix) != copy:
            disk.replace(name + suffix, copy)
    return name
