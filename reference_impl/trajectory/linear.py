"""One conversation as a straight line of generated turns, each with the exact tokens that made it.

Rule: planning changes nothing, and recording changes everything in one step or nothing. An aborted generation is a tail
that no later turn builds on: the retry starts from the checkpoint before it, and its success takes the tail away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reference_impl.trajectory.errors import GoneError, PrefixError, StaleError
from reference_impl.trajectory.journal import Event, Journal, Memory
from reference_impl.trajectory.matching import Matcher, same_message
from reference_impl.trajectory.plan import Plan, find_base
from reference_impl.trajectory.record import ABORT, ChatMessage, SessionRecord
from reference_impl.trajectory.tokenizing import ChatTokenizer, TokenPolicy


class LinearTrajectory:
    """The recorded turns of one session; opening one folds what its journal holds.

    `messages`: the committed conversation. `records`: one for each committed turn, then at most one provisional one.
    `trajectory_token_ids`: for each committed turn all tokens up to its end. `generated_checkpoint_message_ends`: for each
    of them how many messages there were then. `epoch`: grows with each commit and is never used twice.
    """

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        *,
        policy: TokenPolicy | None = None,
        same: Matcher = same_message,
        journal: Journal | None = None,
    ) -> None:
        self.tokenizer, self.policy, self.same = tokenizer, policy or TokenPolicy(), same
        self.journal: Journal = journal or Memory()
        self.messages: list[ChatMessage] = []
        self.records: list[SessionRecord] = []
        self.trajectory_token_ids: list[tuple[int, ...]] = []
        self.generated_checkpoint_message_ends: list[int] = []
        self.epoch = 0
        self.closing = False
        for event in self.journal.events():
            self._apply(event)

    @property
    def num_assistant(self) -> int:
        """How many generated turns are committed; assistant messages that a client supplied are not generated."""
        return len(self.trajectory_token_ids)

    @property
    def token_ids(self) -> tuple[int, ...]:
        """All tokens up to the end of the last committed turn."""
        return self.trajectory_token_ids[-1] if self.trajectory_token_ids else ()

    @property
    def committed(self) -> tuple[SessionRecord, ...]:
        """The records of the committed turns."""
        return tuple(self.records[: self.num_assistant])

    @property
    def provisional(self) -> SessionRecord | None:
        """The aborted generation that nothing has superseded yet."""
        return self.records[-1] if len(self.records) > self.num_assistant else None

    def prepare_pretokenized(self, messages: Sequence[ChatMessage], tools: Sequence[Any] = ()) -> Plan:
        """What a request with these messages would do. An abort changes no plan: the retry gets the same tokens.

        Raises:
            GoneError: the session is closing.
            HistoryError, EndedByLengthError, MatcherError: see `find_base`.
        """
        if self.closing:
            raise GoneError("the session is closing")
        ends = self.generated_checkpoint_message_ends
        base = find_base(messages, self.messages, ends, self.records, self.policy, self.same)
        if base.keep:
            snapshot = self.trajectory_token_ids[base.keep - 1]
            suffix = self.tokenizer.suffix(messages, base.start, tools)
            tokens = self.policy.merge_tokens(snapshot, suffix, self.tokenizer.end_of_turn())
        else:
            tokens = tuple(self.tokenizer.prompt(messages, tools))
        return Plan(self.epoch, base.keep, self.num_assistant - base.keep, tuple(messages[base.start :]), tokens)

    def update_pretokenized_state(self, plan: Plan, message: ChatMessage, record: SessionRecord) -> None:
        """Commit a generated turn: the rollback that the plan implies, the turn itself, and the end of any provisional record.

        Raises:
            GoneError, StaleError: the session is closing, or moved on since the plan was made.
            PrefixError: the tokens of the record do not continue those of the turn before it.
            StorageError: the journal did not take it. In every case nothing has changed.
        """
        self._check_current(plan)
        before = self.trajectory_token_ids[plan.keep - 1] if plan.keep else ()
        if not self.policy.continues(before, record.token_ids):
            raise PrefixError(
                f"turn {plan.keep + 1} begins with other tokens than the {len(before)} that turn {plan.keep} ended with:"
                " a sample made of them would not be what the model saw"
            )
        messages = [*map(dict, plan.messages), dict(message)]
        self._record({"type": "commit", "keep": plan.keep, "messages": messages, **_written(record, before)})

    def append_provisional_record(self, record: SessionRecord, plan: Plan | None = None) -> None:
        """Record an aborted generation as the tail, in place of an earlier one. Messages, tokens and counts do not change.

        `plan`: the plan it was generated by; a late abort of an older one is refused.

        Raises:
            GoneError, StaleError: the session is closing, or moved on since the plan was made.
            ValueError: the record is of a generation that was not aborted.
            StorageError: the journal did not take it. In every case nothing has changed.
        """
        if record.finish_reason != ABORT:
            raise ValueError(f"record {record.record_id!r} ended by {record.finish_reason!r}: only an abort is provisional")
        if plan is not None:
            self._check_current(plan)
        elif self.closing:
            raise GoneError("the session is closing")
        self._record({"type": "provisional", **_written(record, self.token_ids)})

    def close(self) -> None:
        """Record nothing from now on; closing twice is as good."""
        if not self.closing:
            self._record({"type": "close"})

    def _check_current(self, plan: Plan) -> None:
        if self.closing:
            raise GoneError("the session is closing")
        if plan.epoch != self.epoch:
            raise StaleError(f"the turn was planned in epoch {plan.epoch}, and the trajectory is in epoch {self.epoch}")

    def _record(self, event: Event) -> None:
        """First the journal, then the state: what is in the state is durable, and what raises has changed nothing."""
        self.journal.append(event)
        self._apply(event)

    def _apply(self, event: Event) -> None:
        """The one place where the state changes: live, and when a journal is folded."""
        if event["type"] == "commit":
            self._drop_provisional_records()
            self._roll_back_to(event["keep"])
            record = _read(event, self.token_ids)
            self.messages.extend(event["messages"])
            self.generated_checkpoint_message_ends.append(len(self.messages))
            self.trajectory_token_ids.append(record.token_ids)
            self.records.append(record)
            self.epoch += 1
        elif event["type"] == "provisional":
            self._drop_provisional_records()
            self.records.append(_read(event, self.token_ids))
        elif event["type"] == "close":
            self.closing = True
        else:
            raise ValueError(f"an event of the unknown type {event['type']!r}: the journal is of a later version")

    def _drop_provisional_records(self) -> None:
        """Discard every record beyond the committed ones."""
        del self.records[self.num_assistant :]

    def _roll_back_to(self, keep: int) -> None:
        """Forget the turns after the first `keep` (the provisional record is gone already)."""
        ends = self.generated_checkpoint_message_ends
        del self.messages[ends[keep - 1] if keep else 0 :]
        del ends[keep:], self.trajectory_token_ids[keep:], self.records[keep:]


def _written(record: SessionRecord, before: Sequence[int]) -> dict[str, Any]:
    """A record for the journal, without the part of its prompt that the turn before it holds already.

    With it, a file would grow with the square of the conversation.
    """
    prompt = record.prompt_token_ids
    pairs = zip(before, prompt, strict=False)
    shared = next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(before), len(prompt)))
    return {"shared": shared, "record": replace(record, prompt_token_ids=prompt[shared:]).to_json()}


def _read(event: Event, before: Sequence[int]) -> SessionRecord:
    """What `_written` made, whole again."""
    record = SessionRecord.from_json(event["record"])
    return replace(record, prompt_token_ids=(*before[: event["shared"]], *record.prompt_token_ids))
