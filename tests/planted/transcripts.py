"""The reference transcript with one bug at a time, each of a kind that real transcripts had.

Rule: a variant changes one decision and nothing else; the docstring says what it does wrong, and `SCENARIOS` of the test beside
this module shows what comes of it.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import suppress
from dataclasses import replace

from reference_impl.durable import StorageError
from reference_impl.transcript import Agent, Done, Turn, lineage, resume
from reference_impl.transcript.errors import CorruptError
from reference_impl.transcript.finalizer import turn_rows
from reference_impl.transcript.flush import Writer
from reference_impl.transcript.repair import provider_view, repair_message_sequence
from reference_impl.transcript.resume import Resumed, ResumeReport, load_rows
from reference_impl.transcript.rows import MESSAGE_ID, SEQ, STAMP, SYNTHETIC, VIEW_ONLY, amend, logical, visible_text
from reference_impl.transcript.split import SplitReceipt, boundary, clear_stamps, move, summary_row


class Sound(Agent):
    """The reference agent with its collaborators where a variant can reach them; it has no bug of its own."""

    writer_kind = Writer
    turn_kind = Turn

    def __init__(self, folder, session_id, **options):
        super().__init__(folder, session_id, **options)
        old = self.writer
        self.writer = self.writer_kind(self.database, session_id, clock=old.clock, ids=old.ids, profile=old.profile)

    def _make_turn(self, text, message_id):
        turn = super()._make_turn(text, message_id)
        return self.turn_kind(self, turn.id, turn.user, turn.history, turn.log)

    def repair(self, messages):
        """Repair a list of this conversation in place."""
        return repair_message_sequence(messages)

    def amend(self, message, content):
        """Change what a message says."""
        amend(message, content)

    def reconcile(self, source):
        """Make the rows agree with a source."""
        return resume.reconcile(self.writer, source)


# The flush


class PositionalWriter(Writer):
    """Writes what lies behind the history and behind the cursor, which all turns share."""

    def _scan(self, messages, history):
        start = max(len(history), self._last_flushed_db_idx)
        return list(logical(messages[start:])), []


class Positional(Sound):
    """Flushes by position."""

    writer_kind = PositionalWriter


class ClampedWriter(Writer):
    """Clamps the cursor to the list, and not the length of the history."""

    def _scan(self, messages, history):
        start = max(len(history), min(self._last_flushed_db_idx, len(messages)))
        return list(logical(messages[start:])), []


class Clamped(Sound):
    """Flushes by position, with a cursor that is clamped to the list."""

    writer_kind = ClampedWriter


class Addresses:
    """Addresses as an allocator gives them that reuses the first free one, so that it does not depend on luck which is reused."""

    def __init__(self):
        self.slots, self.kept = [], set()

    def of(self, message):
        """The address of an object; one that nobody else holds any more has given up its own."""
        for slot, held in enumerate(self.slots):
            if held is message:
                return slot
        for slot in range(len(self.slots)):
            if sys.getrefcount(self.slots[slot]) <= 2:
                self.slots[slot] = message
                return slot
        self.slots.append(message)
        return len(self.slots) - 1


class KeepsAddresses(Sound):
    """Knows what it wrote by a set of addresses, which outlive the objects."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        @property
        def addresses(self):
            return self.__dict__.setdefault("_addresses", Addresses())

        def _has_row(self, message):
            return self.addresses.of(message) in self.addresses.kept

        def follow(self, session_id, placed):
            super().follow(session_id, placed)
            self.addresses.kept.update(self.addresses.of(message) for message, _, _ in placed)


class StampsUnseen(Sound):
    """Stamps every entry of the history, whether it has a row or not."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def _scan(self, messages, history):
            own = {id(entry) for entry in history}
            queue, recognised = super()._scan(messages, history)
            return [m for m in queue if id(m) not in own], recognised + [m for m in queue if id(m) in own]


class FreshDicts(Sound):
    """Loads rows as messages without stamp and id, so that none of them is recognised."""

    def _resume(self):
        found = super()._resume()
        for message in found.messages:
            for key in (STAMP, MESSAGE_ID, SEQ):
                message.pop(key)
        return found


class OwnObjects(Sound):
    """Has no key in the database: what was not written from this very object is new."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def write(self, sql, session_id, queue):
            for message in queue:
                if lineage.find_row(sql, session_id, message[MESSAGE_ID]) is not None:
                    message[MESSAGE_ID] = self.ids()
            return super().write(sql, session_id, queue)


class MergesInPlace(Sound):
    """Merges a new message into the dict of the one before it, which has its row and its stamp."""

    def repair(self, messages):
        done = 0
        for at in range(len(messages) - 1, 0, -1):
            first, second = messages[at - 1 : at + 1]
            if first["role"] == second["role"] == "user":
                first["content"] += "\n\n" + second["content"]
                del messages[at]
                done += 1
        return done


class AmendsUnseen(Sound):
    """Edits a message and leaves its stamp on."""

    def amend(self, message, content):
        message["content"] = content


class DropsEqual(Sound):
    """Takes equal text of one role for one message."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def write(self, sql, session_id, queue):
            held = {tuple(row) for row in sql.execute("SELECT role, content FROM messages WHERE session_id = ?", (session_id,))}
            return super().write(sql, session_id, [m for m in queue if (m["role"], m["content"]) not in held])


class StampsFirst(Sound):
    """Stamps what it is about to write."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def _save(self, queue):
            for message in queue:
                message[STAMP] = self.session_id
            return super()._save(queue)


class WritesViews(Sound):
    """Writes what was made for view only."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def _scan(self, messages, history):
            queue, recognised = super()._scan(messages, history)
            return queue + [m for m in messages if m.get(SYNTHETIC) == VIEW_ONLY and STAMP not in m], recognised


class LeavesOpen(Sound):
    """Does not roll back a flush that failed, so that nobody else can write."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.database._undo = lambda connection, error: None


class SwallowsErrors(Sound):
    """Takes a failed flush for a success: nobody is told, and the log of what was shown goes."""

    def _flush(self, messages, history):
        super()._flush(messages, history)
        return True

    def _forget_logs(self):
        for log in self._logs:
            log.remove()


class OrdersByClock(Sound):
    """Orders messages by their time, which may stand still or go back."""

    def transcript(self):
        return sorted(super().transcript(), key=lambda message: message["_timestamp"])


# The split


class KeepsStamps(Sound):
    """Copies the survivors into the child with their stamps on and leaves writing them to the flush, which finds them stamped."""

    class writer_kind(Writer):  # noqa: D106, N801  a hook
        def _has_row(self, message):
            return bool(message.get(STAMP))

    def _split(self, keep, summarise):
        survivors = self.messages[boundary(self.messages, keep) :]
        receipt = super()._split(0, summarise)
        return replace(receipt, messages=(*receipt.messages, *survivors))


class EndsFirst(Sound):
    """Ends the parent in one transaction and makes the child in another."""

    between = staticmethod(lambda: None)

    def _split(self, keep, summarise):
        parent = self.session_id
        with self.database.transaction() as sql:
            sql.execute("UPDATE sessions SET end_reason = ? WHERE id = ?", (lineage.SPLIT, parent))
        self.between()
        with self.database.transaction() as sql:
            sql.execute("UPDATE sessions SET end_reason = NULL WHERE id = ?", (parent,))
        return super()._split(keep, summarise)


class RotatesFirst(Sound):
    """Goes on in a child before what is in memory has reached the parent."""

    def _split(self, keep, summarise):
        at = boundary(self.messages, keep)
        old, survivors = self.messages[:at], self.messages[at:]
        summary = summary_row(summarise(old), self.ids())
        clear_stamps(survivors)
        child = self.ids()
        self.writer.follow(child, move(self.writer, child, [summary, *survivors], old))
        return SplitReceipt("done", "", child, (summary, *survivors), len(old))


class BareChild(Sound):
    """Makes a child that knows nothing about itself."""

    def _split(self, keep, summarise):
        receipt = super()._split(keep, summarise)
        if receipt.status == "done":
            with self.database.transaction() as sql:
                query = (
                    "UPDATE sessions SET source = NULL, user_id = NULL, model = NULL, title = NULL, metadata = NULL WHERE id = ?"
                )
                sql.execute(query, (receipt.session_id,))
        return receipt


# The turn


class BackfillsByText(Sound):
    """Leaves out the text of an interrupted reply if any turn has said it before."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def _finalize(self, end):
            known = {visible_text(message) for message in self.history}
            return super()._finalize(replace(end, delivered=[one for one in end.delivered if one.text not in known]))


class BackfillsByRole(Sound):
    """Leaves out the text of an interrupted reply if the turn has any row of the assistant."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def _finalize(self, end):
            replied = any(row["role"] == "assistant" for row in turn_rows(end))
            return super()._finalize(replace(end, delivered=[] if replied else end.delivered))


class StoresSentinel(Sound):
    """Notes that a turn was interrupted where the text belongs that the user saw."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def _finalize(self, end):
            shown = [replace(one, text="[waiting for the model]") for one in end.delivered]
            return super()._finalize(end if end.outcome == "complete" else replace(end, delivered=shown))


class MarksShown(Sound):
    """Takes a partial reply for one that was shown as a whole, so that the user is never told."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def finish(self, outcome):
            result = super().finish(outcome)
            self.result = replace(result, notice="") if result.delivered else result
            return self.result


class QuietEnd(Sound):
    """Takes a stream that ends for a stream that is complete."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def end_of_stream(self):
            self._done = self._done or Done()
            return super().end_of_stream()


class ShowsFirst(Sound):
    """Journals a piece of text when the next one comes."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def __init__(self, *args):
            super().__init__(*args)
            append, waiting = self.log.append, []

            def later(*piece):
                waiting.append(piece)
                if len(waiting) > 1:
                    append(*waiting.pop(0))

            self.log.append = later


class ForgetsFirst(Sound):
    """Removes the log of what was shown before the rows are saved."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def finish(self, outcome):
            if self.result is None:
                self.log.remove()
            return super().finish(outcome)


class RepairsMemory(Sound):
    """Repairs the list of the turn itself to make a request, and edits what it merges."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def open(self):
            request = super().open()
            MergesInPlace.repair(None, self.messages)
            return request


# The resume


class PrunesCalls(Sound):
    """Leaves out calls without a result when it loads: the model does not know that a write may have happened."""

    def _resume(self):
        found = super()._resume()
        answered = {message.get("tool_call_id") for message in found.messages}
        for message in found.messages:
            calls = message.get("tool_calls") or []
            if any(call["id"] not in answered for call in calls):
                message["tool_calls"] = [call for call in calls if call["id"] in answered]
        return found


class EmptyOnError(Sound):
    """Takes a database that it cannot read for an empty one."""

    def _resume(self):
        with suppress(CorruptError, sqlite3.DatabaseError, StorageError):
            return super()._resume()
        return Resumed(self.session_id, [], ResumeReport())

    def resume(self, *, create=True):
        with suppress(sqlite3.DatabaseError):
            return super().resume(create=create)


class ReconcilesTheEnd(Sound):
    """Adds what the source has beyond the number of rows, and looks at nothing before that."""

    def reconcile(self, source):
        return resume.reconcile(self.writer, source[len(load_rows(self.writer)) :])


class ReconcilesByContent(Sound):
    """Adds what has text that no row has."""

    def reconcile(self, source):
        held = {json.dumps(message["content"]) for message in load_rows(self.writer)}
        fresh = []
        for message in source:
            if message["content"] and json.dumps(message["content"]) not in held:
                fresh.append({**message, MESSAGE_ID: self.ids()})
                held.add(json.dumps(message["content"]))
        return resume.reconcile(self.writer, fresh)


class IgnoresLogs(Sound):
    """Throws away what a dead process had shown."""

    def _resume(self):
        for path in resume.logs_in(self.disk, self._home):
            self.disk.remove(path)
        return super()._resume()


class TrustsTheList(Sound):
    """Sends a provider the list as it is."""

    class turn_kind(Turn):  # noqa: D106, N801  a hook
        def open(self):
            super().open()
            return [message for one in self.messages for message in provider_view([one]) if message["role"] == one["role"]]


VARIANTS = {
    kind.__name__: kind
    for kind in (
        *(Positional, Clamped, KeepsAddresses, StampsUnseen, FreshDicts, OwnObjects, MergesInPlace, AmendsUnseen, DropsEqual),
        *(StampsFirst, WritesViews, LeavesOpen, SwallowsErrors, OrdersByClock),
        *(KeepsStamps, EndsFirst, RotatesFirst, BareChild),
        *(BackfillsByText, BackfillsByRole, StoresSentinel, MarksShown, QuietEnd, ShowsFirst, ForgetsFirst, RepairsMemory),
        *(PrunesCalls, EmptyOnError, ReconcilesTheEnd, ReconcilesByContent, IgnoresLogs, TrustsTheList),
    )
}
"""The planted bugs by name."""
