"""A thin agent loop: it asks, writes down what came of it, runs the tools, and asks again.

Rule: what the user said is durable before the model is asked, a reply before its tools run, and an approval before what it allows.
Reasoning is written at the thought it belongs to, and at nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from reference_impl.replay import entries as kinds
from reference_impl.replay.codec import Codec, NativeToolCodec
from reference_impl.replay.compression_engine import Summarise
from reference_impl.replay.errors import CutError, ReplayError
from reference_impl.replay.model import Call, LLMResponse, OnText, ParsedResponse
from reference_impl.replay.provider import OpenAICompatibleProvider
from reference_impl.replay.snapshots import Snapshots
from reference_impl.replay.splice import UNKNOWN_RESULT
from reference_impl.replay.timeline import CompressedTimeline, Timeline

MOST_ROUNDS = 32
"""Replies of one turn before it is stopped."""
AWAITING: Final = "awaiting_approval"
"""In the metadata of a call that was not run yet, because the user has not approved it."""
DENIED: Final = "[The user did not approve this call; it was not run.]"
PASSED_OVER: Final = "[The user went on without approving this call; it was not run.]"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON schema; `run` takes the arguments by name.

    `gated`: a call is run only after the user has approved it.
    """

    name: str
    run: Callable[..., object]
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    gated: bool = False


class STARAgent:
    """One session with a model. `provider` may be exchanged between turns; `snapshots`: where the session is kept, if anywhere.

    `replies`: what the provider answered in the last turn. `bytes_saved`: the size of the timeline when it was saved last.
    """

    def __init__(
        self,
        provider: OpenAICompatibleProvider,
        timeline: Timeline | None = None,
        *,
        codec: Codec | None = None,
        tools: Sequence[Tool] = (),
        snapshots: Snapshots | None = None,
        session_id: str = "session",
    ) -> None:
        self.provider, self.codec = provider, codec or NativeToolCodec()
        self._timeline = timeline or CompressedTimeline()
        self._tools = {tool.name: tool for tool in tools}
        self._snapshots, self.session_id = snapshots, session_id
        self.replies: list[LLMResponse] = []
        self.bytes_saved = 0

    @property
    def timeline(self) -> Timeline:
        """The conversation."""
        return self._timeline

    def resume_from_session_id(self, session_id: str) -> bool:
        """Go on with a saved session; False if there is none of that id, and then it is a new one.

        Raises:
            ReplayError: the agent keeps no sessions.
            DamagedError: it cannot be read.
        """
        if self._snapshots is None:
            raise ReplayError(f"cannot resume {session_id!r}: this agent was given no snapshots")
        self.session_id = session_id
        return self._snapshots.load(session_id, self._timeline)

    @property
    def pending(self) -> list[Call]:
        """The calls that wait for the user's approval, oldest first."""
        return [call for entry in self._timeline.entries if entry.metadata.get(AWAITING) for call in entry.tool_calls]

    def turn(self, text: str, *, on_text: OnText | None = None) -> str:
        """Answer the user: the text of the last reply. With `on_text` replies are streamed to it.

        A reply may end the turn with calls that are `pending`: `decide` goes on with it, and another turn passes them over.

        Raises:
            CutError: the reply broke off; what was shown of it is in the timeline.
            LockedError: another process has a turn of this session open.
            Exception: what the provider raises. What the user said is in the timeline.
        """
        with self._alone():
            self.replies = []
            self._pass_over()
            self._close_calls()
            self._timeline.add(kinds.USER, text)
            self._save()
            return self._converse(on_text)

    def decide(self, call_id: str, *, approved: bool, on_text: OnText | None = None) -> str:
        """Approve or deny a call that waits; when no other one does, the turn goes on: the text of its last reply, else "".

        Raises:
            ReplayError: no call of this id waits.
            Exception: as `turn`. The decision is in the timeline.
        """
        with self._alone():
            self.replies = []
            call = next((one for one in self.pending if one["id"] == call_id), None)
            if call is None:
                raise ReplayError(f"no call {call_id!r} waits for approval: it was decided, or passed over by a later turn")
            self._close_calls()
            self._settle(call_id)
            if approved:
                self._save()  # a crash in the tool must not leave an approval that can be given again
            self._timeline.add(kinds.TOOL_RESULT, self._run(call) if approved else DENIED, tool_call_id=call_id)
            self._save()
            return "" if self.pending else self._converse(on_text)

    def _converse(self, on_text: OnText | None) -> str:
        """Ask, run what the model calls, and ask again, until it calls nothing or something that the user has to approve."""
        for _ in range(MOST_ROUNDS):
            parsed = self._think(on_text)
            self._record_think_results(parsed)
            self._save()
            if not parsed.tool_calls or self.pending:
                return parsed.content
        raise ReplayError(f"the turn was stopped after {MOST_ROUNDS} replies")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else works on the session meanwhile; what they did before is taken over."""
        if self._snapshots is None:
            yield
            return
        with self._snapshots.holding(self.session_id):
            self._snapshots.catch_up(self.session_id, self._timeline)
            yield

    def compress(self, summarise: Summarise, **bounds: Any) -> bool:
        """Summarise the oldest entries (see `compression_engine.compress`); the entries they replace stay on disk."""
        with self._alone():
            changed = self._timeline.compress(summarise, **bounds)
            if changed:
                self._save()
        return changed

    def _pass_over(self) -> None:
        """The user has gone on: what waited for approval never will be run."""
        for call in self.pending:
            self._settle(str(call["id"]))
            self._timeline.add(kinds.TOOL_RESULT, PASSED_OVER, tool_call_id=str(call["id"]))

    def _settle(self, call_id: str) -> None:
        """A call waits no more."""
        for at, entry in enumerate(self._timeline.entries):
            if entry.metadata.get(AWAITING) and any(call["id"] == call_id for call in entry.tool_calls):
                told = {key: value for key, value in entry.metadata.items() if key != AWAITING}
                self._timeline.entries[at] = replace(entry, metadata=told)

    def _close_calls(self) -> None:
        """A process that died in a tool left a call without a result; nobody knows what became of it."""
        messages = [entry.to_llm_message() for entry in self._timeline.entries if not entry.metadata.get(AWAITING)]
        answered = {message.tool_call_id for message in messages}
        for call in [call for message in messages for call in message.tool_calls if call["id"] not in answered]:
            self._timeline.add(kinds.TOOL_RESULT, UNKNOWN_RESULT, tool_call_id=str(call["id"]))

    def _think(self, on_text: OnText | None) -> ParsedResponse:
        messages = self.codec.prepare_messages(self._timeline.to_llm_messages())
        specs = [{"name": one.name, "description": one.description, "parameters": one.parameters} for one in self._tools.values()]
        shown: list[str] = []
        try:
            response = self.provider.chat(
                messages,
                tools=self.codec.tools(specs),
                on_text=None if on_text is None else _noting(shown, on_text),
                on_rejected=self._timeline.mark_rejected,
            )
        except CutError as cut:
            self._record_cut(cut.partial)
            self._save()
            raise
        except BaseException:  # an interrupt of the user too
            self._record_cut(LLMResponse("".join(shown)))
            self._save()  # what was refused is remembered, whatever became of the second attempt
            raise
        self.replies.append(response)
        if response.replayed:
            self._timeline.mark_accepted(self._provider_fingerprint())
        return self.codec.parse(response)

    def _record_cut(self, partial: LLMResponse) -> None:
        """The user has seen this much. Calls of a reply that was cut are not run, so they are not written down."""
        parsed = self.codec.parse(partial)
        self._record_thought(parsed)
        if partial.content:
            self._timeline.add(kinds.RESPONSE, partial.content, metadata={"interrupted": True})

    def _record_think_results(self, parsed: ParsedResponse) -> None:
        """Write down a reply: its thought, what it said, and each call with its result right after it."""
        self._record_thought(parsed)
        if parsed.content:
            self._timeline.add(kinds.RESPONSE, parsed.content)
        for call in parsed.tool_calls:
            self._record_call(call)

    def _record_thought(self, parsed: ParsedResponse) -> None:
        if parsed.reasoning or parsed.reasoning_items:
            self._timeline.add(kinds.THOUGHTS, parsed.reasoning, metadata=self._build_thinking_metadata(parsed))

    def _build_thinking_metadata(self, parsed: ParsedResponse) -> dict[str, Any]:
        """What is kept with a thought; nothing if the reply has no items."""
        if not parsed.reasoning_items:
            return {}
        followers = parsed.reasoning_followers
        return {
            "reasoning_items": [dict(item) for item in parsed.reasoning_items],
            "fingerprint": self._provider_fingerprint(),
            "response_id": parsed.response_id,
            **({} if followers is None else {"followers": list(followers)}),
        }

    def _provider_fingerprint(self) -> str | None:
        """Who made the items; None if the provider does not say."""
        try:
            found = self.provider.fingerprint
        except Exception:
            return None
        return found if isinstance(found, str) else None

    def _record_call(self, call: Call) -> None:
        tool = self._tools.get(str(call["name"]))
        kind = kinds.TOOL_CALL if tool is not None else kinds.FAILED_CALL
        waits = tool is not None and tool.gated
        self._timeline.add(kind, "", tool_calls=(dict(call),), metadata={AWAITING: True} if waits else {})
        self._save()  # a crash in the tool leaves the call, and the next request says that its outcome is unknown
        if not waits:
            self._timeline.add(kinds.TOOL_RESULT, self._run(call), tool_call_id=str(call["id"]))
            self._save()

    def _run(self, call: Call) -> str:
        """The result of a call; a failure is a result too, and the model decides what to do about it."""
        tool = self._tools.get(str(call["name"]))
        if tool is None:
            return f"[There is no tool named {call['name']}.]"
        try:
            return str(tool.run(**json.loads(call["arguments"] or "{}")))
        except Exception as error:
            return f"[The tool failed: {error!r}]"

    def _save(self) -> None:
        if self._snapshots is not None:
            self.bytes_saved = self._snapshots.save(self.session_id, self._timeline)


def _noting(shown: list[str], on_text: OnText) -> OnText:
    """Shows a piece of text, and notes it before."""

    def show(piece: str) -> None:
        shown.append(piece)
        on_text(piece)

    return show
