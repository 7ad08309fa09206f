"""A long-lived conversation that serves one turn after another, or several at once, and is found again after any of them died.

Rule: input is durable before a turn begins, text before it is shown, and a turn's rows when it has ended. While a turn is open
the session's lock is held, so that nobody else takes it for a dead one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from reference_impl.durable import Durable, StorageError
from reference_impl.transcript import lineage
from reference_impl.transcript.delivered import DeliveredLog, file_name
from reference_impl.transcript.errors import BusyError, TurnOverError, UnknownSessionError, UnsavedError
from reference_impl.transcript.flush import Writer
from reference_impl.transcript.resume import Resumed, ResumeReport, Source, load_rows, resume
from reference_impl.transcript.rows import MESSAGE_ID, STAMP, TURN, Message, logical, serial_order
from reference_impl.transcript.schema import Database
from reference_impl.transcript.split import SplitReceipt, Summarise, split
from reference_impl.transcript.turn import Turn

_DURABLE = Durable()


class Agent:
    """The session `session_id` in `folder/state.db`. Call `resume` before anything else, and `close` at the end.

    `clock` gives ISO times, `ids` ids that are never given twice. `disk`: how durable rows are; `shown`: how durable shown text
    is (default: as `disk`). `source`: where messages can be had if the database has lost them.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        session_id: str,
        *,
        clock: Callable[[], str],
        ids: Callable[[], str],
        disk: Durable = _DURABLE,
        shown: Durable | None = None,
        profile: Mapping[str, Any] | None = None,
        source: Source | None = None,
    ) -> None:
        self.folder = os.path.abspath(folder)
        self.clock, self.ids, self.disk, self.shown, self.source = clock, ids, disk, shown or disk, source
        self.database = Database(os.path.join(self.folder, "state.db"), disk)
        self.writer = Writer(self.database, session_id, clock=clock, ids=ids, profile=profile)
        self.messages: list[Message] = []
        """The conversation without the turns that are open, turn by turn."""
        self.report = ResumeReport()
        self._home = ""
        self._open: list[Turn] = []
        self._logs: list[DeliveredLog] = []  # of turns that are over, and whose rows are not saved
        self._version = 0
        self._held = ExitStack()

    @property
    def session_id(self) -> str:
        """The session that is written to; a split changes it."""
        return self.writer.session_id

    # Coming and going

    def resume(self, *, create: bool = True) -> ResumeReport:
        """Find the session as it was left, with all text that was shown; `create`: it may be a new one.

        Raises:
            UnknownSessionError: there is no such session, and none was to be made.
            CorruptError: the database is damaged, and there is no `source`.
            UnsavedError, StorageError, sqlite3.Error: see `resume.resume`.
        """
        try:
            self._find_home()
            with self.disk.lock(self._lock):
                found = self._resume()
            self._version = self.database.version()
            if not create and not found.messages and not self._is_known():
                raise UnknownSessionError(f"{self.database.path} has no session {self.session_id}")  # noqa: TRY301
        except BaseException:
            self.database.close()
            raise
        self.messages, self.report = found.messages, found.report
        return self.report

    def _resume(self) -> Resumed:
        return resume(self.writer, self._home, self.source)

    def _find_home(self) -> None:
        """The folder of lock and logs is the same for all sessions of a line: it has the name of the first one."""
        first = self.session_id
        with suppress(sqlite3.DatabaseError), self.database.reading() as sql:
            first = next(iter(lineage.ancestors(sql, self.session_id)), first)
        self._home = os.path.join(self.folder, "sessions", f"of-{file_name(first)}")
        self.disk.make_dir(self._home)

    @property
    def _lock(self) -> str:
        return os.path.join(self._home, ".lock")

    def _is_known(self) -> bool:
        with self.database.reading() as sql:
            return lineage.exists(sql, self.session_id)

    def close(self) -> None:
        """End the open turns as interrupted, and let go of the database.

        Raises:
            UnsavedError: messages are in memory only.
        """
        try:
            for turn in tuple(self._open):
                turn.finish("interrupted")
            if not self._flush(self.messages, ()):
                raise UnsavedError(f"session {self.session_id}: {self.writer.failure}") from self.writer.failure
        finally:
            self._held.close()
            self.database.close()

    # Turns

    def begin(self, text: str, *, message_id: str | None = None) -> Turn:
        """Accept a message of the user: when this returns, it is durable, once, also if it is sent again under the same id.

        Raises:
            UnsavedError: it is not accepted.
            LockedError: a turn of another process is open.
            TurnOverError: a message of this id was accepted earlier, and the conversation has gone on since.
        """
        with self._holding():
            turn = self._make_turn(text, message_id)
            if not self.flush(turn):
                raise UnsavedError(f"the message was not accepted: {self.writer.failure}") from self.writer.failure
            if turn.user.get(STAMP, self.session_id) != self.session_id:
                raise TurnOverError(f"message {message_id} was accepted earlier, and a split has left it behind")
            self._open.append(turn)
            return turn

    def _make_turn(self, text: str, message_id: str | None) -> Turn:
        history = list(self.messages)
        user = next((one for one in history if message_id is not None and one.get(MESSAGE_ID) == message_id), None)
        if user is None:
            turn_id = self.ids()
            user = {"role": "user", "content": text, MESSAGE_ID: message_id or self.ids(), TURN: turn_id}
        elif [one for one in history if one.get("role") == "user"][-1] is not user:
            raise TurnOverError(f"message {message_id} was accepted earlier, and the conversation has gone on since")
        turn_id = user.get(TURN) or self.ids()
        return Turn(self, turn_id, user, history, DeliveredLog(self.shown, self._home, turn_id))

    def flush(self, turn: Turn) -> bool:
        """Write what the turn has said so far."""
        return self._flush(turn.messages, turn.history)

    def _flush(self, messages: Sequence[Message], history: Sequence[Message]) -> bool:
        return self.writer._flush_messages_to_session_db(messages, history) is not False  # noqa: SLF001  the name it is known by

    def why_unsaved(self) -> Exception | None:
        """The failure of the last flush."""
        return self.writer.failure

    def end(self, turn: Turn) -> None:
        """Take over the messages of a turn that is over; called by the turn."""
        with self.database.lock:
            known = {id(message) for message in self.messages}
            own = [message for message in logical(turn.messages) if id(message) not in known]
            names = {message.get(MESSAGE_ID) for message in self.messages}
            own = [message for message in own if message.get(TURN) == turn.id or message.get(MESSAGE_ID) not in names]
            self.messages = serial_order([*self.messages, *own])
            self._logs.append(turn.log)
            self._forget_logs()
            self._open = [one for one in self._open if one is not turn]
            self._let_go()

    def _forget_logs(self) -> None:
        """Logs are needed as long as a message is in memory only."""
        if all(STAMP in message for message in logical(self.messages)):
            for log in self._logs:
                with suppress(StorageError):  # the next resume finds that nothing in it is needed
                    log.remove()
            self._logs = []

    # Between turns

    def append(self, *messages: Message) -> None:
        """Add messages of foreign origin, all or none; one whose id is known already adds nothing.

        Raises:
            UnsavedError: none of them is in the session.
        """
        with self._holding():
            known = {message.get(MESSAGE_ID): message for message in self.messages}
            fresh = [one for one in messages if MESSAGE_ID not in one or known.setdefault(one[MESSAGE_ID], one) is one]
            if not self._flush([*self.messages, *fresh], self.messages):
                raise UnsavedError(f"session {self.session_id}: {self.writer.failure}") from self.writer.failure
            live = [message for message in fresh if message.get(STAMP) == self.session_id]  # and not left behind by a split
            self.messages = serial_order([*self.messages, *live])
            self._forget_logs()

    def split(self, keep: int, summarise: Summarise) -> SplitReceipt:
        """Go on in a child session with a summary and the last `keep` messages.

        Raises:
            BusyError: a turn is open.
        """
        if keep < 0:
            raise ValueError(f"keep={keep!r}: give 0 or more")
        if self._open:
            raise BusyError(f"session {self.session_id} has {len(self._open)} open turns: split it between turns")
        with self._holding():
            receipt = self._split(keep, summarise)
            if receipt.status == "done":
                self.messages = list(receipt.messages)
            return receipt

    def _split(self, keep: int, summarise: Summarise) -> SplitReceipt:
        return split(self.writer, self.messages, keep, summarise, self.ids())

    def transcript(self) -> list[Message]:
        """The messages as another process would load them."""
        return load_rows(self.writer)

    def archived(self) -> list[Message]:
        """The messages that splits left behind, oldest first."""
        return lineage.passed(self.database, self.session_id)

    # The lock of the session

    @contextmanager
    def _holding(self) -> Iterator[None]:
        """Hold the session's lock, which stays held while turns are open, and know what others did before."""
        with self.database.lock:
            if not self._open:
                self._held.enter_context(self.disk.lock(self._lock))
            try:
                if not self._open:
                    self._catch_up()
                yield
            finally:
                self._let_go()

    def _let_go(self) -> None:
        if not self._open:
            with suppress(sqlite3.Error):  # then the next operation catches up
                self._version = self.database.version()
            self._held.close()

    def _catch_up(self) -> None:
        """Another process may have gone on with the session since; what is in memory only is kept."""
        if self.database.version() == self._version:
            return
        found = resume(self.writer, self._home, None)
        unsaved = {id(one): one for one in logical(self.messages) if STAMP not in one}
        mine = {one[MESSAGE_ID]: one for one in unsaved.values() if MESSAGE_ID in one}
        self.messages = [mine.get(row[MESSAGE_ID], row) for row in found.messages]
        kept = {id(one) for one in self.messages}
        self.messages += [one for one in unsaved.values() if id(one) not in kept]
