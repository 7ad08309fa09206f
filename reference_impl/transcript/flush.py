"""Brings messages from memory into the database, each exactly once, however the lists that hold them move.

Rule: what decides is identity. A message is known by its `_message_id`, and that it has a row is known by its stamp, which is
put on after the commit and never before. No position in a list decides anything, and no `id()` outlives the call that took it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reference_impl.durable import StorageError
from reference_impl.transcript import lineage
from reference_impl.transcript.errors import TranscriptError, Trouble, UnsavedError, trouble_of
from reference_impl.transcript.rows import (
    CONTENTS,
    INTERRUPTED,
    MESSAGE_ID,
    SEQ,
    STAMP,
    Message,
    decode,
    encode,
    logical,
    visible_text,
)
from reference_impl.transcript.schema import Database

Placed = tuple[Message, str, int]
"""A message, the session that holds its row, and the `seq` of that row."""

_INSERT = f"INSERT INTO messages (session_id, message_id, seq, timestamp, {', '.join(CONTENTS)}) VALUES (?, ?, ?, ?{', ?' * len(CONTENTS)})"  # noqa: S608
_UPDATE = f"UPDATE messages SET {', '.join(f'{column} = ?' for column in CONTENTS)} WHERE id = ?"  # noqa: S608
_PROFILE = ("source", "user_id", "model", "system_prompt", "title", "metadata")


class Writer:
    """Writes the messages of one session; after a split it follows into the child.

    `database` None switches persistence off. `clock` gives ISO times, which are informative; `ids` gives ids for messages that
    have none. `profile`: columns of the session row (source, user_id, model, system_prompt, title, metadata).
    """

    def __init__(
        self,
        database: Database | None,
        session_id: str,
        *,
        clock: Callable[[], str],
        ids: Callable[[], str],
        profile: Mapping[str, Any] | None = None,
        attempts: int = 3,
    ) -> None:
        self.database, self.session_id = database, session_id
        self.clock, self.ids, self.profile, self.attempts = clock, ids, dict(profile or {}), attempts
        self.trouble: Trouble | None = None
        """Why the last flush failed; None if it did not."""
        self.failure: Exception | None = None
        self._last_flushed_db_idx = 0
        """For old readers only: the length of the list that was flushed last."""

    def _flush_messages_to_session_db(
        self, messages: Sequence[object], conversation_history: Sequence[object] = ()
    ) -> bool | None:
        """Write every message that has no row yet; True once all have one, False if that failed, None if persistence is off.

        `conversation_history`: the messages that the caller had when its turn began. One of them without a `_message_id`
        comes from elsewhere and has its row there: it is stamped and not written. A failed flush has written and stamped
        nothing; `trouble` says why, and the next flush writes it all.
        """
        if self.database is None:
            return None
        with self.database.lock:
            queue, recognised = self._scan(messages, conversation_history)
            if queue and not self._save(queue):
                return False
            for message in recognised:
                message[STAMP] = self.session_id
            self.trouble = self.failure = None
            self._last_flushed_db_idx = len(messages)
            return True

    def _scan(self, messages: Sequence[object], history: Sequence[object]) -> tuple[list[Message], list[Message]]:
        """What has to be written, and what is recognised as written by somebody else."""
        own = {id(entry) for entry in history}  # all of them are alive until this call returns, so no address is used twice
        queue: list[Message] = []
        recognised: list[Message] = []
        for message in logical(messages):
            if not self._has_row(message):
                known = id(message) in own and MESSAGE_ID not in message
                (recognised if known else queue).append(message)
        return queue, recognised

    def _has_row(self, message: Message) -> bool:
        return message.get(STAMP) == self.session_id

    def _save(self, queue: Sequence[Message]) -> bool:
        """Write the queue in one transaction, and stamp it when that is committed."""
        for message in queue:
            if MESSAGE_ID not in message:  # kept whatever happens, so that a commit of unknown outcome can be repeated
                message[MESSAGE_ID] = self.ids()
        for _ in range(self.attempts):
            try:
                session_id, placed = self._commit(queue)
            except (sqlite3.Error, StorageError, TranscriptError) as error:
                self.trouble, self.failure = trouble_of(error), error
                if self.trouble != "locked":
                    return False
            else:
                self.follow(session_id, placed)
                return True
        return False

    def _commit(self, queue: Sequence[Message]) -> tuple[str, list[Placed]]:
        """One transaction. If the session was split meanwhile, what was meant for it goes to its newest open child."""
        assert self.database is not None
        with self.database.transaction() as sql:
            session_id = lineage.open_heir(sql, self.session_id)
            self._ensure_session(sql, session_id)
            return session_id, self.write(sql, session_id, queue)

    def follow(self, session_id: str, placed: Iterable[Placed]) -> None:
        """After a commit: the session that the writer writes to, and where the messages are now."""
        self.session_id = session_id
        for message, holder, seq in placed:
            message[STAMP], message[SEQ] = holder, seq

    def put(self, changes: Sequence[tuple[str, Message]]) -> None:
        """Write messages into the sessions named with them, in one transaction.

        Raises:
            UnsavedError: nothing was written.
        """
        if not changes or self.database is None:
            return
        try:
            with self.database.transaction() as sql:
                self._ensure_session(sql, self.session_id)
                placed = [one for holder, message in changes for one in self.write(sql, holder, [message])]
        except (sqlite3.Error, StorageError) as error:
            self.trouble, self.failure = trouble_of(error), error
            raise UnsavedError(f"{len(changes)} messages of session {self.session_id}: {error}") from error
        self.follow(self.session_id, placed)

    def _ensure_session(self, sql: sqlite3.Connection, session_id: str) -> None:
        """An earlier attempt to make the session row may have failed; each flush makes up for it."""
        if lineage.exists(sql, session_id):
            return
        values = [_column(self.profile.get(name)) for name in _PROFILE]
        query = f"INSERT INTO sessions (id, started_at, {', '.join(_PROFILE)}) VALUES (?, ?{', ?' * len(_PROFILE)})"  # noqa: S608
        sql.execute(query, (session_id, self.clock(), *values))

    def write(self, sql: sqlite3.Connection, session_id: str, queue: Iterable[Message]) -> list[Placed]:
        """Within a transaction, give each message its one row in a session; says where each of them is now."""
        placed: list[Placed] = []
        added = calls = 0
        for message in queue:
            row = lineage.find_row(sql, session_id, message[MESSAGE_ID]) or self._left_behind(sql, session_id, message)
            if row is not None:
                self._update(sql, row, message)
                placed.append((message, row["session_id"], row["seq"]))
            else:
                placed.append((message, session_id, self._insert(sql, session_id, message)))
                added, calls = added + 1, calls + len(message.get("tool_calls") or ())
        if added:
            query = "UPDATE sessions SET message_count = message_count + ?, tool_call_count = tool_call_count + ? WHERE id = ?"
            sql.execute(query, (added, calls, session_id))
        return placed

    def _insert(self, sql: sqlite3.Connection, session_id: str, message: Message) -> int:
        """Add a row. If the message was active in a session before this one, it has moved here."""
        seq = message.get(SEQ)
        if not isinstance(seq, int):
            seq = sql.execute("SELECT coalesce(max(seq), 0) + 1 FROM messages WHERE session_id = ?", (session_id,)).fetchone()[0]
        row = encode(message)
        moment = message.get("_timestamp") or self.clock()
        sql.execute(_INSERT, (session_id, message[MESSAGE_ID], seq, moment, *[row[column] for column in CONTENTS]))
        for parent in lineage.ancestors(sql, session_id):
            moved = "UPDATE messages SET active = 0 WHERE session_id = ? AND message_id = ? AND active = 1"
            sql.execute(moved, (parent, message[MESSAGE_ID]))
        return int(seq)

    def _update(self, sql: sqlite3.Connection, row: sqlite3.Row, message: Message) -> None:
        if replaces(message, decode(row)):
            new = encode(message)
            sql.execute(_UPDATE, (*[new[column] for column in CONTENTS], row["id"]))

    def _left_behind(self, sql: sqlite3.Connection, session_id: str, message: Message) -> sqlite3.Row | None:
        """The row of a message that a summary stands for: whoever writes it again does not bring it back to life."""
        found = (lineage.find_row(sql, parent, message[MESSAGE_ID]) for parent in lineage.ancestors(sql, session_id))
        return next((row for row in found if row is not None and row["compacted"]), None)


def replaces(new: Message, old: Message) -> bool:
    """Whether a row has to change. What was cut short in one place does not replace what went on in another."""
    if encode(new) == encode(old):
        return False
    return not (new.get(INTERRUPTED) and visible_text(old).startswith(visible_text(new)))


def _column(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)
