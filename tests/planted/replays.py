"""Broken variants of the reference replay: each plants one flaw that designs of this kind are known for.

Rule: a variant changes as little as it can, and everything else of it is the reference code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from reference_impl.replay import CompressedTimeline, LLMMessage, Snapshots
from reference_impl.replay.compression_engine import PROMPT, compress
from reference_impl.replay.timeline import _merged
from tests.planted.replay_agents import (
    ApprovalAfterTheTool,
    ForgetsApprovals,
    HoldsTheOthers,
    LeavesItOpen,
    NoGate,
    RunsUnasked,
)
from tests.planted.replay_providers import (
    AnyEndpoint,
    AnyInputError,
    AsksTheSwitchOnce,
    BlanksText,
    DropsCutReplies,
    ForgetsTheFlag,
    IncludeComesFirst,
    LeaksOnMismatch,
    LeaksStatus,
    LeavesThoughtsOut,
    ModelFamily,
    NamelessAreEqual,
    NoFallback,
    NoFallbackForStreams,
    OneFallbackOnly,
    SendsDanglingItems,
    SendsUnanswered,
    StoresTheUserTwice,
    StreamsCaptureNothing,
    TellsNobody,
    WordsOnly,
)
from tests.reference_impl.replay.driver import Parts


class ForgetsRefusals(CompressedTimeline):
    """What was refused is remembered by the process, and not written down."""

    def mark_rejected(self, rejected):
        self._refused = getattr(self, "_refused", frozenset()) | rejected.message_ids

    def to_llm_messages(self, **modes):
        refused = getattr(self, "_refused", frozenset())
        found = super().to_llm_messages(**modes)
        return [replace(one, reasoning_items=None) if one.message_id in refused else one for one in found]


class NeverRests(CompressedTimeline):
    """Only the refused items are remembered: a service that takes none is offered the next ones in the next turn."""

    def rests_now(self, fingerprint):
        return False


class MergesItems(CompressedTimeline):
    """Adjacent assistant messages are merged, and their items thrown together."""

    def to_llm_messages(self, *, merge=True, separate_latest_user=False):
        found = super().to_llm_messages(merge=merge, separate_latest_user=separate_latest_user)
        merged = []
        for one in found:
            last = merged[-1] if merged else None
            if merge and last and last.role == one.role == "assistant" and not (last.tool_calls or one.tool_calls):
                items = (*(last.reasoning_items or ()), *(one.reasoning_items or ())) or None
                text = "\n\n".join(filter(None, [last.content, one.content]))
                held = last if last.reasoning_items else one
                merged[-1] = replace(held, content=text, reasoning_items=items, thought=False)
            else:
                merged.append(one)
        return merged


class OneModeDropsItems(CompressedTimeline):
    """The mode that keeps the newest message of the user apart builds its messages anew, without their reasoning."""

    def to_llm_messages(self, *, merge=True, separate_latest_user=False):
        found = super().to_llm_messages(merge=merge, separate_latest_user=separate_latest_user)
        if not separate_latest_user:
            return found
        return list(_merged([LLMMessage(one.role, one.content, one.tool_calls, one.tool_call_id) for one in found], None))


class ForgetsOnTheWay(CompressedTimeline):
    """A message in the form for files loses its reasoning when it becomes one for a model."""

    def _rested(self, message):
        return replace(message, reasoning_items=None, reasoning_fingerprint=None, reasoning_followers=None, response_id=None)


class ItemsSurvive(CompressedTimeline):
    """The metadata of a summary is put together from those of the entries it stands for."""

    def replace_oldest(self, count, summary):
        inherited = {}
        for entry in self.entries[:count]:
            inherited |= entry.metadata
        super().replace_oldest(count, replace(summary, metadata={**inherited, **summary.metadata}))


class ForgetsSummaries(CompressedTimeline):
    """The prompt for a summary is what was said since the last one."""

    def compress(self, summarise, **bounds):
        before = [str(entry.content) for entry in self.entries if entry.is_summary]

        def without(prompt):
            for summary in before:
                prompt = prompt.replace(summary, PROMPT)
            return summarise(prompt)

        return super().compress(without, **bounds)


class CutsPairs(CompressedTimeline):
    """The window falls where it falls, between a call and its result too."""

    def compress(self, summarise, *, keep=None):
        cut = len(self.entries) - min(keep, len(self.entries))
        done = compress(self.entries[:cut], summarise, timestamp=self._clock(), keep=0)
        if done is not None:
            self.replace_oldest(cut, done[0])
        return done is not None


class NewestByTheClock(Snapshots):
    """Each compaction is kept under the time at which it was made, and the latest time wins."""

    def save(self, session_id, timeline):
        super().save(session_id, timeline)
        made = next((entry.timestamp for entry in timeline.entries if entry.is_summary), "000000")
        self._disk.replace(f"{self._folder}/{session_id}__at__{made}", self._disk.read(self.path(session_id)))

    def load(self, session_id, timeline):
        found = super().load(session_id, timeline)
        times = [name for name in self._disk.names(self._folder) if name.startswith(f"{session_id}__at__")]
        if not times:
            return found
        newest = self._read(f"{self._folder}/{max(times)}")
        timeline.load_from_entries(newest["entries"])
        timeline.load_state(newest)
        return found


class DropsMetadata(Snapshots):
    """The file holds what a chat message has, and nothing beside it."""

    def load(self, session_id, timeline):
        found = super().load(session_id, timeline)
        timeline.entries = [replace(entry, metadata=_essential(entry)) for entry in timeline.entries]
        return found


def _essential(entry):
    return {key: value for key, value in entry.metadata.items() if key in ("type", "message_id", "seq", "compressed_context")}


@dataclass(frozen=True)
class Variant:
    """One planted flaw, with the shortest steps that show it and the invariant that then fails."""

    name: str
    rule: str
    steps: tuple[tuple[Any, ...], ...]
    parts: Parts = field(default_factory=Parts)


def of(**parts):
    """The reference with one part exchanged."""
    return Parts(**parts)


SAY, STREAM = ("say", "thought"), ("say", "thought", "stream")
GATED = ("say", "gated")
SEALED, FLAG = ("reject", "responses.invalid_encrypted_content"), ("reject", "responses.include_unsupported")

VARIANTS = (
    Variant("leaks status", "R8", (SAY,), of(provider=LeaksStatus)),
    Variant("carriers leak on a mismatch", "R1", (SAY, ("switch", "model"), SAY), of(provider=LeaksOnMismatch)),
    Variant("model family as fingerprint", "R2", (SAY, ("switch", "model"), SAY), of(provider=ModelFamily)),
    Variant("fingerprint without endpoint", "R2", (SAY, ("switch", "endpoint"), SAY), of(provider=AnyEndpoint)),
    Variant("nameless providers are equal", "R2", (("switch", "nameless"), SAY, SAY), of(provider=NamelessAreEqual)),
    Variant("switch read once", "R2", (SAY, ("flip",), SAY), of(provider=AsksTheSwitchOnce)),
    Variant("streams capture nothing", "R2", (("say", "quiet", "stream"), SAY), of(provider=StreamsCaptureNothing)),
    Variant("dangling items", "R3", (("say", "silent"), SAY), of(provider=SendsDanglingItems)),
    Variant("blanked text", "R10", (SAY, SAY), of(provider=BlanksText)),
    Variant("no fallback", "R4", (SAY, SEALED, SAY), of(provider=NoFallback)),
    Variant("misses invalid_encrypted_content", "R4", (SAY, SEALED, SAY), of(provider=WordsOnly)),
    Variant("any input error", "R9", (SAY, ("reject", "responses.duplicate_item"), SAY), of(provider=AnyInputError)),
    Variant("include comes first", "R4", (SAY, SEALED, SAY), of(provider=IncludeComesFirst)),
    Variant("no fallback for streams", "R4", (SAY, SEALED, STREAM), of(provider=NoFallbackForStreams)),
    Variant("one fallback only", "R4", (SAY, FLAG, SEALED, SAY), of(provider=OneFallbackOnly)),
    Variant("include flag not sticky", "R9", (FLAG, SAY, SAY), of(provider=ForgetsTheFlag)),
    Variant("thoughts not put back", "R4", (SAY, SEALED, SAY), of(provider=LeavesThoughtsOut)),
    Variant("fallback not remembered", "R9", (SAY, ("switch", "key"), SAY, SAY), of(provider=TellsNobody)),
    Variant("user message stored twice", "R7", (SAY, SEALED, SAY, SAY), of(agent=StoresTheUserTwice)),
    Variant("cut reply dropped", "R10", (("cut",), SAY), of(agent=DropsCutReplies)),
    Variant("unanswered call sent", "R7", (("dies",), ("say", "tool"), SAY), of(provider=SendsUnanswered)),
    Variant("refusals in memory only", "R5", (SAY, ("switch", "key"), SAY), of(native=ForgetsRefusals)),
    Variant("no rest after a refusal", "R9", (("stubborn",), SAY, SAY, SAY), of(native=NeverRests)),
    Variant("merge throws items together", "R3", (SAY, SAY), of(native=MergesItems)),
    Variant("one mode drops items", "R2", (SAY,), of(native=OneModeDropsItems)),
    Variant("items lost on the way", "R2", (SAY, SAY), of(native=ForgetsOnTheWay)),
    Variant("items survive compression", "R6", (SAY, ("compact", 0)), of(native=ItemsSurvive)),
    Variant(
        "second summary forgets the first", "R10", (SAY, ("compact", 0), SAY, ("compact", 0), SAY), of(native=ForgetsSummaries)
    ),
    Variant("window cuts a call from its result", "R7", (("say", "tool"), ("compact", 3), SAY), of(native=CutsPairs)),
    Variant(
        "newest by the clock",
        "R5",
        (SAY, ("compact", 0), SAY, ("clock",), ("compact", 0)),
        of(snapshots=NewestByTheClock),
    ),
    Variant("metadata dropped by the file", "R5", (SAY,), of(snapshots=DropsMetadata)),
    Variant("waiting call run on resume", "R11", (GATED, ("resume",)), of(agent=RunsUnasked)),
    Variant("approval taken for granted", "R11", (GATED, GATED), of(agent=NoGate)),
    Variant("approval noted too late", "R11", (GATED, ("dies",), ("decide", "yes")), of(agent=ApprovalAfterTheTool)),
    Variant("approval forgotten on resume", "R11", (GATED, ("resume",)), of(agent=ForgetsApprovals)),
    Variant("call left waiting", "R7", (GATED, SAY), of(agent=LeavesItOpen)),
    Variant("ungated call held back", "R11", (("say", "beside"),), of(agent=HoldsTheOthers)),
)
