"""Finds a session again after whatever happened to the process: the open child, the rows in order, and the text that was shown.

Rule: every step is keyed by message id, so that a resume that died is completed by the next one, and the second of two writes
nothing. A database that cannot be read is an error or is built anew from a source that knows better; it is never an empty session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reference_impl.durable import StorageError
from reference_impl.transcript import lineage
from reference_impl.transcript.delivered import Delivered, completed, logs_in, read_log
from reference_impl.transcript.errors import CorruptError
from reference_impl.transcript.flush import Writer, replaces
from reference_impl.transcript.rebuild import rebuild
from reference_impl.transcript.rows import (
    INTERRUPTED,
    MESSAGE_ID,
    SEQ,
    STAMP,
    SYNTHETIC,
    TURN,
    Message,
    serial_order,
    visible_text,
)
from reference_impl.transcript.schema import Database

Source = Callable[[], Iterable[Message]]
"""Where all messages of a session can be had if the database cannot: a journal. Each has a `_message_id`, and a `_seq`."""


@dataclass(frozen=True, slots=True)
class ResumeReport:
    """What a resume did; empty if nothing was wrong.

    `recovered`: ids of messages whose shown text was added. `rebuilt`: the database is a new one. `set_aside`: where the old one
    is. `restored`, `corrected`: ids of rows that the source had and the database had not, or had differently. `unknown`: ids of
    rows that the source lacks: it lost them, and can have them back.
    """

    recovered: tuple[str, ...] = ()
    rebuilt: bool = False
    set_aside: str = ""
    restored: tuple[str, ...] = ()
    corrected: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != ResumeReport()


@dataclass(frozen=True, slots=True)
class Resumed:
    """`session_id`: the session to go on with. `messages`: its rows, stamped, in order."""

    session_id: str
    messages: list[Message]
    report: ResumeReport


def resume(writer: Writer, folder: str, source: Source | None = None) -> Resumed:
    """Restore a session. The caller holds the session's lock, so that no turn of it is open anywhere.

    `folder`: where the logs of shown text are.

    Raises:
        CorruptError: the database is damaged, and there is no source to build it from.
        UnsavedError: what was recovered cannot be written; the logs stay, and the next resume tries again.
        StorageError, sqlite3.Error: something cannot be read.
    """
    database = writer.database
    assert database is not None
    set_aside = ""
    try:
        database.check()
    except CorruptError:
        if source is None:
            raise
        set_aside = rebuild(writer, list(source()))
    with database.reading() as sql:
        writer.session_id = lineage.open_heir(sql, writer.session_id)
    agreed = reconcile(writer, list(source())) if source is not None else ResumeReport()
    recovered = recover_shown(writer, folder)
    report = ResumeReport(recovered, bool(set_aside), set_aside, agreed.restored, agreed.corrected, agreed.unknown)
    return Resumed(writer.session_id, load_rows(writer), report)


def load_rows(writer: Writer) -> list[Message]:
    """The rows of the session that the writer writes to."""
    assert writer.database is not None
    return lineage.live(writer.database, writer.session_id)


def recover_shown(writer: Writer, folder: str) -> tuple[str, ...]:
    """Write what open turns had shown when their process died, then remove their logs.

    Raises:
        UnsavedError: nothing was written, and the logs are still there.
        StorageError: a log cannot be read.
    """
    assert writer.database is not None
    disk = writer.database.disk
    paths = logs_in(disk, folder)
    shown = [one for path in paths for one in read_log(disk, path) if one.text.strip()]
    rows = lineage.held(writer.database, writer.session_id) if shown else {}
    changes = [change for one in shown if (change := _recovery(writer, one, rows.get(one.message_id)))]
    writer.put(changes)
    for path in paths:
        with suppress(StorageError):  # it holds nothing that the database lacks; the next resume removes it
            disk.remove(path)
    return tuple([row[MESSAGE_ID] for _, row in changes])


def _recovery(writer: Writer, shown: Delivered, row: Message | None) -> tuple[str, Message] | None:
    """The row that has to be written so that the transcript holds what was shown, and its session; None if it does."""
    if row is None:
        return writer.session_id, {
            "role": "assistant",
            "content": shown.text,
            MESSAGE_ID: shown.message_id,
            TURN: shown.turn_id,
            INTERRUPTED: True,
            SYNTHETIC: "backfill",
        }
    text = completed(visible_text(row), shown.text)
    return None if text is None else (row[STAMP], {**row, "content": text})


# A source that knows better


def reconcile(writer: Writer, source: Sequence[Message]) -> ResumeReport:
    """Make the rows agree with the source, by id: not by their number, not by their content, and not only at the end."""
    assert writer.database is not None
    rows = lineage.held(writer.database, writer.session_id)
    missing = [message for message in source if message[MESSAGE_ID] not in rows]
    differing = [one for one in source if one[MESSAGE_ID] in rows and replaces(one, rows[one[MESSAGE_ID]])]
    changes = [(writer.session_id, message) for message in serial_order(missing)]
    changes += [(rows[message[MESSAGE_ID]][STAMP], message) for message in differing]
    writer.put([(holder, {key: value for key, value in message.items() if key != STAMP}) for holder, message in changes])
    known = {message[MESSAGE_ID] for message in source}
    unknown = [name for name, row in rows.items() if name not in known and row.get(SYNTHETIC) != "summary"]
    _remember_position(writer.database, writer.session_id, source)
    return ResumeReport(
        restored=tuple([message[MESSAGE_ID] for message in missing]),
        corrected=tuple([message[MESSAGE_ID] for message in differing]),
        unknown=tuple(unknown),
    )


def _remember_position(database: Database, session_id: str, source: Sequence[Message]) -> None:
    """Note up to where the source was known; informative, and written only if it has changed."""
    key = f"reconciled:{session_id}"
    position = str(max([seq for message in source if isinstance(seq := message.get(SEQ), int)], default=0))
    found = database.rows("SELECT value FROM state_meta WHERE key = ?", key)
    if not found or found[0][0] != position:
        with database.transaction() as sql:
            sql.execute("INSERT OR REPLACE INTO state_meta VALUES (?, ?)", (key, position))
