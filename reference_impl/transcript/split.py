"""A conversation that outgrows its model goes on in a child session: a summary of the old messages, and the newest as they are.

Rule: one transaction. At every moment there is exactly one open session, it is complete, and each message is active in one place
of the line. What the parent knew about itself the child knows too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from reference_impl.durable import StorageError
from reference_impl.transcript import lineage
from reference_impl.transcript.errors import EndedError, TranscriptError, Trouble, trouble_of
from reference_impl.transcript.flush import Placed, Writer
from reference_impl.transcript.rows import MESSAGE_ID, SEQ, STAMP, SYNTHETIC, Message

Summarise = Callable[[Sequence[Message]], str]
"""From the messages that are left behind to a text that stands for them."""

_OWN = {"id", "parent_session_id", "started_at", "ended_at", "end_reason", "message_count", "tool_call_count"}
"""The columns of a session that a child does not inherit; every other one it does, also those of a later version."""
SUMMARY = "[Summary of the conversation so far] "


@dataclass(frozen=True, slots=True)
class SplitReceipt:
    """The answer of a split; with "skipped" and "failed" nothing has changed. `messages`: the summary and the survivors."""

    status: Literal["done", "skipped", "failed"]
    reason: str = ""
    session_id: str = ""
    messages: tuple[Message, ...] = ()
    left: int = 0
    trouble: Trouble | None = None


def split(writer: Writer, messages: Sequence[Message], keep: int, summarise: Summarise, child: str) -> SplitReceipt:
    """Go on in the session `child` with a summary and the last `keep` messages; the writer follows.

    The parent is flushed first, so that every session of the line holds what was said in it.
    """
    at = boundary(messages, keep)
    old, survivors = messages[:at], messages[at:]
    if writer.database is None or not old:
        return SplitReceipt("skipped", "all_within_keep_window" if messages else "no_messages")
    if not writer._flush_messages_to_session_db(messages):  # noqa: SLF001  the flush keeps the name by which it is known
        return SplitReceipt("failed", "the flush before it failed", trouble=writer.trouble)
    try:
        text = summarise(old)
    except Exception as error:
        return SplitReceipt("failed", f"no summary: {error!r}")
    if not text.strip():
        return SplitReceipt("failed", "no summary: it is empty")
    summary = summary_row(text, writer.ids())
    stamps = clear_stamps(survivors)
    try:
        placed = move(writer, child, [summary, *survivors], old)
    except (sqlite3.Error, StorageError, TranscriptError) as error:
        for message, stamp in zip(survivors, stamps, strict=True):
            message[STAMP] = stamp
        return SplitReceipt("failed", str(error), trouble=trouble_of(error))
    writer.follow(child, placed)
    return SplitReceipt("done", "", child, (summary, *survivors), len(old))


def boundary(messages: Sequence[Message], keep: int) -> int:
    """Where the survivors begin: a result is never parted from its call."""
    at = max(0, len(messages) - keep)
    while 0 < at < len(messages) and messages[at].get("role") == "tool":
        at -= 1
    return at


def clear_stamps(survivors: Iterable[Message]) -> list[object]:
    """Take the stamps off: these messages have no row in the child yet. Returns them, to be put back if the split fails."""
    return [message.pop(STAMP, None) for message in survivors]


def summary_row(text: str, message_id: str) -> Message:
    """The message that stands where the old ones stood."""
    return {"role": "user", "content": SUMMARY + text, MESSAGE_ID: message_id, SYNTHETIC: "summary"}


def move(writer: Writer, child: str, rows: Sequence[Message], old: Sequence[Message]) -> list[Placed]:
    """The transaction: end the parent, make the child, write its rows; the survivors' rows in the parent become inactive."""
    assert writer.database is not None
    for message in rows:
        if MESSAGE_ID not in message:
            message[MESSAGE_ID] = writer.ids()
    with writer.database.transaction() as sql:
        parent = writer.session_id
        if lineage.was_split(sql, parent):
            raise EndedError(f"session {parent} was split by somebody else; load it again")
        moment = writer.clock()
        sql.execute("UPDATE sessions SET ended_at = ?, end_reason = ? WHERE id = ?", (moment, lineage.SPLIT, parent))
        _make_child(sql, parent, child, moment)
        placed = writer.write(sql, child, _numbered(rows, old))
        compact = "UPDATE messages SET compacted = 1 WHERE session_id = ? AND message_id = ?"
        sql.executemany(compact, [(parent, message[MESSAGE_ID]) for message in old if MESSAGE_ID in message])
    return [(message, holder, seq) for message, (_, holder, seq) in zip(rows, placed, strict=True)]


def _numbered(rows: Sequence[Message], old: Sequence[Message]) -> list[Message]:
    """Copies whose `seq` says their order in the child: their own, unless turns that overlapped have mixed them up.

    The first of them, the summary, stands directly before the second.
    """
    known = [seq for message in [*rows[1:], *old] if isinstance(seq := message.get(SEQ), int)]
    last = min(known[:1] if len(rows) > 1 else [max(known, default=0) + 1], default=1) - 1
    numbered = [{**rows[0], SEQ: last}]
    for message in rows[1:]:
        seq = message.get(SEQ)
        last = max(last + 1, seq) if isinstance(seq, int) else last + 1
        numbered.append({**message, SEQ: last})
    return numbered


def _make_child(sql: sqlite3.Connection, parent: str, child: str, moment: str) -> None:
    columns = [row["name"] for row in sql.execute("PRAGMA table_info(sessions)")]
    inherited = [f'"{name}"' for name in columns if name not in _OWN]
    query = (
        f"INSERT INTO sessions (id, parent_session_id, started_at, {', '.join(inherited)}) "  # noqa: S608  names of columns
        f"SELECT ?, id, ?, {', '.join(inherited)} FROM sessions WHERE id = ?"
    )
    sql.execute(query, (child, moment, parent))
