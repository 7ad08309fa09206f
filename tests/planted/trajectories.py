"""Broken variants of the reference trajectory: each plants one flaw that designs of this kind are known for.

Rule: a variant changes as little as it can, and everything else of it is the reference code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reference_impl.trajectory import Chat, LinearTrajectory, assemble
from reference_impl.trajectory.errors import PrefixError, SamplesError
from reference_impl.trajectory.linear import _read, _written
from reference_impl.trajectory.record import LENGTH
from reference_impl.trajectory.samples import _sample, merge_samples


class CountGate(LinearTrajectory):
    """The number of turns stands for the epoch: a rollback and a commit bring it back to where it was."""

    def _check_current(self, plan):
        if self.closing or plan.keep + plan.discards != self.num_assistant:
            super()._check_current(plan)


class RollsBackFirst(LinearTrajectory):
    """The turn that a retry replaces is taken back when the retry is planned."""

    def prepare_pretokenized(self, messages, tools=()):
        plan = super().prepare_pretokenized(messages, tools)
        if plan.discards:
            self._drop_provisional_records()
            self._roll_back_to(plan.keep)
        return plan


class DropsBeforeTheCheck(LinearTrajectory):
    """A commit drops the aborted tail before it looks at the tokens."""

    def update_pretokenized_state(self, plan, message, record):
        self._check_current(plan)
        self._drop_provisional_records()
        super().update_pretokenized_state(plan, message, record)


class CollectsAborts(LinearTrajectory):
    """An abort is added behind an earlier one."""

    def _apply(self, event):
        if event["type"] == "provisional":
            self.records.append(_read(event, self.token_ids))
        else:
            super()._apply(event)


class ReadsTheLastRecord(LinearTrajectory):
    """Whether a turn ended by length is read from the last record, which may be a provisional one."""

    def prepare_pretokenized(self, messages, tools=()):
        at, tail = self.num_assistant - 1, self.provisional
        if tail is None or at < 0 or self.records[at].finish_reason != LENGTH:
            return super().prepare_pretokenized(messages, tools)
        kept, self.records[at] = self.records[at], tail
        try:
            return super().prepare_pretokenized(messages, tools)
        finally:
            self.records[at] = kept


class CommitsAborts(LinearTrajectory):
    """The finish reason is not looked at: an aborted generation becomes a turn like any other."""

    def append_provisional_record(self, record, plan=None):
        assert plan is not None
        self._check_current(plan)
        before = self.trajectory_token_ids[plan.keep - 1] if plan.keep else ()
        messages = [*map(dict, plan.messages), {"role": "assistant", "content": "?"}]
        self._record({"type": "commit", "keep": plan.keep, "messages": messages, **_written(record, before)})


class KeepsAborts(LinearTrajectory):
    """A success does not take the aborted tail away, so that it stands in the middle."""

    def _apply(self, event):
        tail = self.provisional
        super()._apply(event)
        if event["type"] == "commit" and tail is not None:
            self.records.insert(-1, tail)


class CountsEveryAssistant(LinearTrajectory):
    """Each assistant message is a checkpoint, those that the client supplied too."""

    def _apply(self, event):
        super()._apply(event)
        if event["type"] == "commit":
            supplied = [at for at, message in enumerate(self.messages, 1) if message["role"] == "assistant"]
            self.generated_checkpoint_message_ends[:] = supplied


class MemoryOnly(LinearTrajectory):
    """Nothing is journaled."""

    def _record(self, event):
        self._apply(event)


class StateBeforeJournal(LinearTrajectory):
    """Aborts are kept in memory and never reach the journal."""

    def _record(self, event):
        if event["type"] == "provisional":
            self._apply(event)
        else:
            super()._record(event)


class RecordsAfterClosing(LinearTrajectory):
    """A turn that was under way is recorded although the session was closed."""

    def _check_current(self, plan):
        closing, self.closing = self.closing, False
        try:
            super()._check_current(plan)
        finally:
            self.closing = closing


class TakesAnyTokens(LinearTrajectory):
    """Whether the new tokens continue the committed ones is not asked."""

    def update_pretokenized_state(self, plan, message, record):
        try:
            super().update_pretokenized_state(plan, message, record)
        except PrefixError:
            before = self.trajectory_token_ids[plan.keep - 1]
            messages = [*map(dict, plan.messages), dict(message)]
            self._record({"type": "commit", "keep": plan.keep, "messages": messages, **_written(record, before)})


class HoldsTheLock(Chat):
    """The lock is held while the backend works, so that closing waits for a model."""

    async def complete(self, request):
        outer, self._lock = self._lock, _NoLock()
        try:
            async with outer:
                return await super().complete(request)
        finally:
            self._lock = outer

    async def close(self):
        async with self._held:
            self.trajectory.close()

    def __init__(self, *args):
        super().__init__(*args)
        self._held = self._lock


class _NoLock:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        return None


def aligns_the_tail(trajectory):
    """Demands that the last record of all ends at the accumulated tokens, which an aborted one does not."""
    if trajectory.provisional is not None and trajectory.provisional.output_token_ids:
        raise SamplesError("the last record does not end at the accumulated tokens")
    return assemble(trajectory)


def stops_at_an_abort(trajectory):
    """Merges the records up to the first aborted one, wherever it stands."""
    pieces = []
    for record in trajectory.records:
        if record.provisional:
            break
        pieces.append(_sample(record))
    return (merge_samples(pieces),) if pieces else ()


@dataclass(frozen=True)
class Variant:
    """One planted flaw, with the shortest steps that show it and the invariant that then fails."""

    name: str
    rule: str
    steps: tuple[tuple[Any, ...], ...]
    make: Any = LinearTrajectory
    samples: Any = assemble


def turn(kind="append", outcome="stop"):
    """A request and its outcome."""
    return ("begin", kind), ("finish", 0, outcome)


LATE = (*turn(), ("begin", "retry"), ("begin", "retry"), ("finish", 1, "stop"), ("finish", 0, "stop"))
MIDDLE = (*turn("append", "abort"), *turn())

VARIANTS = (
    Variant("count gate", "T7", LATE, CountGate),
    Variant("rolls back first", "T2", (*turn(), ("begin", "retry")), RollsBackFirst),
    Variant(
        "drops before the check",
        "T2",
        (*turn(), *turn("append", "abort"), *turn("append", "wrong tokens")),
        DropsBeforeTheCheck,
    ),
    Variant("collects aborts", "T6", (*turn("append", "abort"), *turn("append", "abort")), CollectsAborts),
    Variant(
        "reads the last record",
        "T4",
        (*turn("append", "length"), *turn("retry", "abort"), ("begin", "append")),
        ReadsTheLastRecord,
    ),
    Variant("commits aborts", "T5", turn("append", "abort"), CommitsAborts),
    Variant("keeps aborts", "T6", MIDDLE, KeepsAborts),
    Variant("counts every assistant", "T1", turn("inject"), CountsEveryAssistant),
    Variant("memory only", "T9", (*turn(), ("crash",)), MemoryOnly),
    Variant("aborts in memory only", "T9", (*turn("append", "abort"), ("crash",)), StateBeforeJournal),
    Variant("records after closing", "T8", (("begin", "append"), ("close",), ("finish", 0, "stop")), RecordsAfterClosing),
    Variant("takes any tokens", "T2", (*turn(), *turn("append", "wrong tokens")), TakesAnyTokens),
    Variant("aligns the tail", "T10", (*turn(), *turn("append", "abort")), samples=aligns_the_tail),
    Variant("stops at an abort", "T10", turn("append", "abort"), samples=stops_at_an_abort),
)
