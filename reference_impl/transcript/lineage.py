"""A session that was split goes on in a child; these are the questions that the chain of sessions answers.

Rule: a message is active in exactly one session of a chain. What a chain looks like is asked of the database each time, within
the transaction that acts on the answer, and never remembered.
"""

from __future__ import annotations

import sqlite3

from reference_impl.transcript.errors import EndedError
from reference_impl.transcript.rows import MESSAGE_ID, SYNTHETIC, Message, decode
from reference_impl.transcript.schema import Database

SPLIT = "compression"
"""The `end_reason` of a session that goes on in a child."""

_OPEN_HEIR = f"""
WITH RECURSIVE line (id) AS (
    SELECT :id UNION
    SELECT child.id FROM sessions AS child
    JOIN line ON child.parent_session_id = line.id
    JOIN sessions AS parent ON parent.id = line.id AND parent.end_reason = '{SPLIT}'
)
SELECT id FROM sessions WHERE id IN (SELECT id FROM line) AND end_reason IS NOT '{SPLIT}' ORDER BY rowid DESC LIMIT 1
"""  # noqa: S608  a constant of this module
_ANCESTORS = f"""
WITH RECURSIVE line (id, depth) AS (
    SELECT :id, 0 UNION
    SELECT parent.id, line.depth + 1 FROM line
    JOIN sessions AS child ON child.id = line.id
    JOIN sessions AS parent ON parent.id = child.parent_session_id AND parent.end_reason = '{SPLIT}'
    WHERE line.depth < 10000
)
SELECT id FROM line WHERE depth > 0 ORDER BY depth DESC
"""  # noqa: S608  the same; the depth is bounded because a damaged file may hold a circle
_LIVE = """
SELECT * FROM (
    SELECT *, MIN(seq) OVER (PARTITION BY CASE WHEN turn_id IS NULL THEN 'm' || message_id ELSE 't' || turn_id END) AS turn_seq
    FROM messages WHERE session_id = ? AND active = 1
) ORDER BY turn_seq, seq, id
"""


def exists(sql: sqlite3.Connection, session_id: str) -> bool:
    """Whether there is a session of this name."""
    return sql.execute("SELECT 1 FROM sessions WHERE id = ?", (session_id,)).fetchone() is not None


def open_heir(sql: sqlite3.Connection, session_id: str) -> str:
    """The session to write to: this one, or, if it was ended by a split, its newest open descendant.

    Raises:
        EndedError: it was ended, and no descendant is open.
    """
    if not exists(sql, session_id):
        return session_id  # it is about to be made
    found = sql.execute(_OPEN_HEIR, {"id": session_id}).fetchone()
    if found is None:
        raise EndedError(f"session {session_id} was ended by a split, and it has no open child")
    return str(found[0])


def was_split(sql: sqlite3.Connection, session_id: str) -> bool:
    """Whether this session goes on in a child."""
    found = sql.execute("SELECT end_reason FROM sessions WHERE id = ?", (session_id,)).fetchone()
    return found is not None and found[0] == SPLIT


def ancestors(sql: sqlite3.Connection, session_id: str) -> list[str]:
    """The sessions that this one continues, oldest first. One that was not ended is a template, not an ancestor."""
    return [str(row[0]) for row in sql.execute(_ANCESTORS, {"id": session_id})]


def find_row(sql: sqlite3.Connection, session_id: str, message_id: str) -> sqlite3.Row | None:
    """The row of a message in one session."""
    query = "SELECT * FROM messages WHERE session_id = ? AND message_id = ?"
    row: sqlite3.Row | None = sql.execute(query, (session_id, message_id)).fetchone()
    return row


def live(database: Database, session_id: str) -> list[Message]:
    """The messages of one session that a model is shown, in order: turn by turn, and never by the clock."""
    return [decode(row) for row in database.rows(_LIVE, session_id)]


def passed(database: Database, session_id: str) -> list[Message]:
    """The messages that splits left behind in the sessions before this one, oldest first; no summaries."""
    with database.reading() as sql:
        line = ancestors(sql, session_id)
    return [message for parent in line for message in live(database, parent) if message.get(SYNTHETIC) != "summary"]


def held(database: Database, session_id: str) -> dict[str, Message]:
    """Every message of the chain by its id, wherever it is active."""
    with database.reading() as sql:
        line = [*ancestors(sql, session_id), session_id]
    return {message[MESSAGE_ID]: message for one in line for message in live(database, one)}
