"""Broken variants of the reference provider: what it sends, and what it makes of a refusal.

Rule: a variant changes as little as it can, and everything else of it is the reference code.
"""

from __future__ import annotations

from dataclasses import replace

from reference_impl.replay import OpenAIProvider, STARAgent
from reference_impl.replay.errors import RefusedError
from reference_impl.replay.items import REASONING as ITEM
from reference_impl.replay.items import serialize_output_item
from reference_impl.replay.model import FINGERPRINT, ITEMS
from reference_impl.replay.refusal import INCLUDE, INCLUDE_VALUE, OTHER, REASONING
from reference_impl.replay.splice import UNKNOWN_RESULT, Spliced, replay_on, sends_items

# What is captured and sent


class LeaksStatus(OpenAIProvider):
    """An item is kept as it came, and sent as it was kept."""

    def _serialize_output_item(self, item):
        return dict(item)

    def _convert_to_responses_input(self, messages, *, replay):
        spliced = super()._convert_to_responses_input(messages, replay=replay)
        kept = {item.get("id"): item for message in messages for item in message.get(ITEMS) or ()}
        return replace(spliced, input=[kept.get(item.get("id"), item) for item in spliced.input])


class LeaksOnMismatch(OpenAIProvider):
    """Carriers are taken off only where items are sent."""

    def _convert_to_responses_input(self, messages, *, replay):
        spliced = super()._convert_to_responses_input(messages, replay=replay)
        for message in messages:
            if ITEMS in message and not sends_items(message, self.fingerprint):
                spliced.input[-1] = {**spliced.input[-1], FINGERPRINT: message[FINGERPRINT]}
        return spliced


class ModelFamily(OpenAIProvider):
    """Models of one family pass for one another."""

    @property
    def fingerprint(self):
        return f"{self.name}:{self.model.rpartition('-')[0]}:{self.endpoint_hash}" if self.name else None


class AnyEndpoint(OpenAIProvider):
    """Where the model runs is not asked."""

    @property
    def fingerprint(self):
        return f"{self.name}:{self.model}" if self.name else None


class NamelessAreEqual(OpenAIProvider):
    """Providers that do not say who they are pass for one another."""

    @property
    def fingerprint(self):
        return super().fingerprint or "None"


class AsksTheSwitchOnce(OpenAIProvider):
    """The kill switch is read when the provider is made."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._on = replay_on()

    def _replay_on(self):
        return self._on


class StreamsCaptureNothing(OpenAIProvider):
    """Reasoning is captured from whole answers only."""

    def _streamed(self, body, on_text):
        whole = super()._streamed(body, on_text)
        return {**whole, "output": [item for item in whole["output"] if item["type"] != ITEM]}


class SendsDanglingItems(OpenAIProvider):
    """Items stand before the next message, whatever that is."""

    def _convert_to_responses_input(self, messages, *, replay):
        if not replay:
            return super()._convert_to_responses_input(messages, replay=False)
        sent, items = [], []
        for message in messages:
            if sends_items(message, self.fingerprint):
                clean = [serialize_output_item(item) for item in message[ITEMS]]
                items, sent = [*items, *clean], [*sent, *clean]
            else:
                sent += self._flat(message)
        return Spliced(sent, len(items), frozenset(message["_message_id"] for message in messages if message.get(ITEMS)))

    def _flat(self, message):
        if message["role"] == "tool":
            return [{"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]}]
        flat = super()._convert_to_responses_input([message], replay=False).input
        return [item for item in flat if item.get("type") != "function_call_output"]


class BlanksText(OpenAIProvider):
    """What items replace is not sent: the text of their message too, which the user has seen."""

    def _convert_to_responses_input(self, messages, *, replay):
        spliced = super()._convert_to_responses_input(messages, replay=replay)
        kept, before = [], {}
        for item in spliced.input:
            if before.get("type") == ITEM and item.get("role") == "assistant":
                item = {**item, "content": ""}  # noqa: PLW2901  this is the flaw
            kept.append(item)
            before = item
        return replace(spliced, input=kept)


# Fallbacks


class NoFallback(OpenAIProvider):
    """A refusal of items is raised like any other."""

    def _classify(self, refusal, body):
        verdict = super()._classify(refusal, body)
        return OTHER if verdict == REASONING else verdict


class WordsOnly(OpenAIProvider):
    """The first heuristic of its kind: it knows the words that were seen once, and neither code nor status."""

    def _classify(self, refusal, body):
        text = refusal.message.lower()
        if "include" in text or refusal.param == "include":
            return INCLUDE if "include" in body else OTHER
        return REASONING if "reasoning" in text or "input[" in text else OTHER


class AnyInputError(OpenAIProvider):
    """An error about the input is taken for one about its reasoning."""

    def _classify(self, refusal, body):
        reasoned = any(item.get("type") == ITEM for item in body["input"])
        return REASONING if reasoned and refusal.status == 400 else super()._classify(refusal, body)


class IncludeComesFirst(OpenAIProvider):
    """The word "include" is looked for before anything else."""

    def _classify(self, refusal, body):
        if "include" in body and ("include" in refusal.message or INCLUDE_VALUE.rpartition(".")[2] in refusal.code):
            return INCLUDE
        return super()._classify(refusal, body)


class NoFallbackForStreams(OpenAIProvider):
    """A stream is asked for once."""

    def _streamed(self, body, on_text):
        try:
            return super()._streamed(body, on_text)
        except RefusedError as error:
            raise RefusedError(409, error.message) from error


class OneFallbackOnly(OpenAIProvider):
    """After one fallback every refusal is final."""

    def chat(self, messages, **options):
        self._left = 1
        return super().chat(messages, **options)

    def _classify(self, refusal, body):
        self._left -= 1
        return super()._classify(refusal, body) if self._left >= 0 else OTHER


class ForgetsTheFlag(OpenAIProvider):
    """That the include flag was refused is forgotten after the call."""

    def chat(self, messages, **options):
        self.asks_for_encrypted_content = True
        return super().chat(messages, **options)


class LeavesThoughtsOut(OpenAIProvider):
    """The fallback takes the items out and does not put back what they stood for."""

    def _convert_to_responses_input(self, messages, *, replay):
        if replay:
            self._sent = super()._convert_to_responses_input(messages, replay=True)
            return self._sent
        if replay_on() and getattr(self, "_sent", None) is not None:
            return Spliced([item for item in self._sent.input if item.get("type") != ITEM])
        return super()._convert_to_responses_input(messages, replay=False)


class TellsNobody(OpenAIProvider):
    """A refusal is forgotten as soon as it was survived."""

    def _tell(self, on_rejected, refused):
        pass


class SendsUnanswered(OpenAIProvider):
    """A call whose result nobody knows is sent without one."""

    def _convert_to_responses_input(self, messages, *, replay):
        spliced = super()._convert_to_responses_input(messages, replay=replay)
        return replace(spliced, input=[item for item in spliced.input if item.get("output") != UNKNOWN_RESULT])


class StoresTheUserTwice(STARAgent):
    """After a refusal the message of the user is written down again, with the attempt that succeeded."""

    def _think(self, on_text):
        parsed = super()._think(on_text)
        if self.replies[-1].requests > 1:
            asked = [entry.content for entry in self.timeline.entries if entry.type == "user_message"]
            self.timeline.add("user_message", asked[-1])
        return parsed


class DropsCutReplies(STARAgent):
    """A reply that broke off is no reply."""

    def _record_cut(self, partial):
        pass
