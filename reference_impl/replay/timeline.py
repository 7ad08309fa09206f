"""The conversation as the agent remembers it: entries in the order in which they happened, and what a model is shown of them.

Rule: the order is a counter, never the clock. What a provider refused is written at the entries and never sent to it again, and
after a refusal it is given a rest, so that a service that takes no items at all does not cost a request in every turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from reference_impl.replay import compression_engine
from reference_impl.replay.compression_engine import Summarise
from reference_impl.replay.entries import REJECTED, REPLAY, USER, Entry, NativeMessage, TimelineEntry, entry_from_dict
from reference_impl.replay.model import LLMMessage, Rejected

Clock = Callable[[], str]
_SEPARATOR = "\n\n"
_SAID = ("user", "tool")
"""Who is shown to the model also when there is nothing in it."""


def now() -> str:
    """The time of day, for information only."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Timeline:
    """Entries in the older form. `clock` gives ISO times, `ids` ids that are never given twice.

    `turn`: how many messages the user has sent. `compaction`: how often it was compressed. `rests`: for a fingerprint
    whose provider refused items, how often in a row, and the last turn in which it gets none.
    """

    native = False

    def __init__(self, *, clock: Clock = now, ids: Callable[[], str] | None = None) -> None:
        self._clock, self._ids = clock, ids
        self.entries: list[Entry] = []
        self.turn = self.compaction = self.last_seq = 0
        self.rests: dict[str, tuple[int, int]] = {}

    # What happens

    def add(self, kind: str, content: Any = "", *, ephemeral: bool = False, **given: Any) -> Entry:
        """Add an entry of a type; `given`: its other fields (`metadata`, `tool_calls`, `tool_call_id`, `message_id`, `seq`)."""
        self.last_seq = max(given.pop("seq", 0), self.last_seq + 1)
        self.turn += kind == USER
        name = given.pop("message_id", None) or (self._ids() if self._ids is not None else f"m{self.last_seq}")
        made = TimelineEntry(kind, content, self._clock(), message_id=name, seq=self.last_seq, ephemeral=ephemeral, **given)
        entry: Entry = NativeMessage.from_entry(made) if self.native else made
        self.entries.append(entry)
        return entry

    def mark_rejected(self, rejected: Rejected) -> None:
        """Items were refused: never send them again, and none at all to that provider for a turn, two turns, four, ..."""
        for at, entry in enumerate(self.entries):
            if entry.message_id in rejected.message_ids and entry.metadata.get("reasoning_items"):
                told = {**entry.metadata, REPLAY: REJECTED, "replay_code": rejected.code}
                self.entries[at] = replace(entry, metadata=told)
        if rejected.fingerprint is not None:
            refusals = self.rests.get(rejected.fingerprint, (0, 0))[0] + 1
            self.rests[rejected.fingerprint] = (refusals, self.turn + 2 ** (refusals - 1))

    def mark_accepted(self, fingerprint: str | None) -> None:
        """Items were taken: an earlier refusal was about those items only."""
        if fingerprint is not None:
            self.rests.pop(fingerprint, None)

    def rests_now(self, fingerprint: str | None) -> bool:
        """Whether this provider gets no items in this turn, because it refused some not long ago."""
        return fingerprint is not None and self.turn <= self.rests.get(fingerprint, (0, -1))[1]

    def replace_oldest(self, count: int, summary: TimelineEntry) -> None:
        """Put a summary in the place of the oldest entries; what came in the meantime stays."""
        self.compaction += 1
        placed = replace(summary, seq=self.entries[count - 1].seq, message_id=f"summary-{self.compaction}")
        self.entries[:count] = [NativeMessage.from_entry(placed) if self.native else placed]

    def compress(self, summarise: Summarise, **bounds: Any) -> bool:
        """Summarise the oldest entries; `bounds` as in `compression_engine.compress`. False: nothing has changed."""
        done = compression_engine.compress(self.entries, summarise, timestamp=self._clock(), **bounds)
        if done is not None:
            self.replace_oldest(done[1], done[0])
        return done is not None

    # What a model is shown

    def to_llm_messages(self, *, merge: bool = True, separate_latest_user: bool = False) -> list[LLMMessage]:
        """The messages for a model. Each carries the reasoning that belongs to it, whatever the mode.

        `merge`: adjacent plain messages of one speaker become one. `separate_latest_user`: the newest message of the user
        is never one of them.
        """
        messages = [self._rested(entry.to_llm_message()) for entry in self.entries]
        shown = [one for one in messages if one.content or one.tool_calls or one.reasoning_items or one.role in _SAID]
        newest = next((one for one in reversed(shown) if one.role == "user"), None) if separate_latest_user else None
        return list(_merged(shown, newest)) if merge else shown

    def _rested(self, message: LLMMessage) -> LLMMessage:
        if message.reasoning_items and self.rests_now(message.reasoning_fingerprint):
            return replace(message, reasoning_items=None, reasoning_fingerprint=None, reasoning_followers=None, response_id=None)
        return message

    # To a file and back

    def to_entries(self) -> list[dict[str, Any]]:
        """The entries for a file, without the ephemeral ones."""
        return [entry.to_dict() for entry in self.entries if not entry.ephemeral]

    def load_from_entries(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Go on from saved entries, of either form or both; entries without a place or a name get one."""
        self.entries = []
        self.turn = self.last_seq = 0
        for data in entries:
            entry = entry_from_dict(data)
            self.last_seq = max(self.last_seq + 1, entry.seq)
            self.turn += entry.type == USER
            self.entries.append(_placed(entry, entry.seq or self.last_seq))

    def state(self) -> dict[str, Any]:
        """What a file holds beside the entries."""
        rests = {name: list(rest) for name, rest in self.rests.items()}
        return {"compaction": self.compaction, "last_seq": self.last_seq, "turn": self.turn, "rests": rests}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over what a file holds beside the entries, if it has it."""
        self.compaction = int(state.get("compaction") or 0)
        self.last_seq = max(self.last_seq, int(state.get("last_seq") or 0))
        self.turn = max(self.turn, int(state.get("turn") or 0))
        self.rests = {name: (int(rest[0]), int(rest[1])) for name, rest in (state.get("rests") or {}).items()}


class CompressedTimeline(Timeline):
    """A timeline in the form of chat messages."""

    native = True


def _placed(entry: Entry, seq: int) -> Entry:
    if entry.seq and entry.message_id:
        return entry
    name = entry.message_id or f"m{seq}"
    if isinstance(entry, NativeMessage):
        return replace(entry, metadata={**entry.metadata, "seq": seq, "message_id": name})
    return replace(entry, seq=seq, message_id=name)


def _merged(messages: Sequence[LLMMessage], newest: LLMMessage | None) -> Iterator[LLMMessage]:
    """Adjacent plain messages as one. A message with items stays as it is, and so does the one that follows it."""
    last: LLMMessage | None = None
    fixed = False
    for message in messages:
        if last is None:
            last = message
        elif not fixed and _mergeable(last, message) and message is not newest:
            last = replace(last, content=last.content + _SEPARATOR + message.content, thought=last.thought and message.thought)
        else:
            yield last
            fixed = bool(last.reasoning_items)
            last = message
    if last is not None:
        yield last


def _mergeable(first: LLMMessage, second: LLMMessage) -> bool:
    return first.role == second.role and first.role in ("user", "assistant") and _plain(first) and _plain(second)


def _plain(message: LLMMessage) -> bool:
    return isinstance(message.content, str) and not (message.tool_calls or message.reasoning_items or message.thought)
