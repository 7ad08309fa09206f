"""Asks a model through the Responses API, and turns a refusal of what was replayed into one more request instead of a dead session.

Rule: each fallback fires at most once in a call, so a call is at most three requests; what was refused for any other reason is
raised, and then nothing has changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reference_impl.replay import splice
from reference_impl.replay.errors import CutError, RefusedError
from reference_impl.replay.events import Assembled
from reference_impl.replay.items import capture, endpoint_hash, serialize_output_item
from reference_impl.replay.model import Item, LLMResponse, OnRejected, OnText, Rejected
from reference_impl.replay.refusal import INCLUDE, INCLUDE_VALUE, REASONING, classify
from reference_impl.replay.splice import Spliced, Splicer
from reference_impl.replay.transport import Transport

_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter", "abort": "abort"}


class OpenAICompatibleProvider:
    """One model at one endpoint. `store`: whether the service keeps responses; encrypted content needs it not to.

    `options` are added to every request (`reasoning`, `max_output_tokens`, ...).
    """

    name: str | None = "openai-compatible"

    def __init__(
        self, transport: Transport, model: str, *, store: bool = False, options: Mapping[str, Any] | None = None
    ) -> None:
        self.transport, self.model, self.store = transport, model, store
        self.options = dict(options or {})
        self.asks_for_encrypted_content = True
        """The sticky switch: off for good once the service has refused the flag."""

    @property
    def endpoint_hash(self) -> str:
        """The first 8 hex characters of the SHA-256 of the endpoint's address."""
        return endpoint_hash(self.transport.base_url)

    @property
    def fingerprint(self) -> str | None:
        """`provider:model:endpoint`: who can read what this provider sealed. None, which equals nothing, if that is unknown."""
        return f"{self.name}:{self.model}:{self.endpoint_hash}" if self.name and self.model else None

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: OnText | None = None,
        on_rejected: OnRejected | None = None,
    ) -> LLMResponse:
        """One reply to wire messages. With `on_text` it is streamed, and each piece of text is handed over as it comes.

        `on_rejected` is told which messages hold items that the service refused; they should not be sent again.

        Raises:
            RefusedError: the request was refused, and not because of what was replayed.
            CutError: the reply broke off after a part of it was shown.
            Exception: what the transport raises, if nothing was shown.
        """
        return self._chat_via_responses(messages, tools, on_text, on_rejected)

    def _chat_via_responses(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        on_text: OnText | None,
        on_rejected: OnRejected | None,
    ) -> LLMResponse:
        """Ask, and after a refusal of the flag or of the items ask again without it, or them."""
        sent = self._convert_to_responses_input(messages, replay=self._replay_on())
        refused: Rejected | None = None
        requests = 0
        while True:
            requests += 1
            body = self._body(sent, tools)
            try:
                response = self._ask(body, on_text)
            except RefusedError as refusal:
                verdict = self._classify(refusal, body)
                if verdict == INCLUDE:
                    self.asks_for_encrypted_content = False
                elif verdict == REASONING and sent.items:
                    refused = Rejected(sent.holders, self.fingerprint, refusal.code or refusal.message[:80])
                    sent = self._convert_to_responses_input(messages, replay=False)
                else:
                    # Refused again, so the items were not the reason; unless the service was only busy.
                    self._tell(on_rejected, refused if refusal.transient else None)
                    raise
            except Exception:
                self._tell(on_rejected, refused)
                raise
            else:
                self._tell(on_rejected, refused)
                return self._answered(response, requests, sent)

    def _convert_to_responses_input(self, messages: Sequence[Mapping[str, Any]], *, replay: bool) -> Spliced:
        """The `input[]` for wire messages: kept items before what they stood before, no carriers."""
        return Splicer(self.fingerprint, bare=self.store).splice(messages, replay=replay)

    def _serialize_output_item(self, item: Mapping[str, Any]) -> Item:
        """What is kept of a reasoning item."""
        return serialize_output_item(item)

    def _replay_on(self) -> bool:
        return splice.replay_on()

    def _classify(self, refusal: RefusedError, body: Mapping[str, Any]) -> str:
        return classify(refusal, body)

    def _tell(self, on_rejected: OnRejected | None, refused: Rejected | None) -> None:
        if on_rejected is not None and refused is not None:
            on_rejected(refused)

    def _body(self, sent: Spliced, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        body: dict[str, Any] = {**self.options, "model": self.model, "input": sent.input, "store": self.store}
        if self.asks_for_encrypted_content:
            body["include"] = [*self.options.get("include", ()), INCLUDE_VALUE]
        if tools:
            body["tools"] = [dict(tool) for tool in tools]
        return body

    def _ask(self, body: Mapping[str, Any], on_text: OnText | None) -> Mapping[str, Any]:
        """One request: the response object, complete."""
        if on_text is None:
            whole = self.transport.send(body)
            if whole.get("status") == "failed":
                raise RefusedError.of(None, whole)
            return whole
        return self._streamed(body, on_text)

    def _streamed(self, body: Mapping[str, Any], on_text: OnText) -> Mapping[str, Any]:
        assembled = Assembled(on_text)
        try:
            for event in self.transport.stream(body):
                assembled.add(event)
        except Exception as error:
            if not assembled.shown:
                raise
            raise CutError(repr(error), self._kept(assembled.partial())) from error
        if assembled.whole is None:
            raise CutError("the stream ended without its last event", self._kept(assembled.partial()))
        return assembled.whole

    def _answered(self, response: Mapping[str, Any], requests: int, sent: Spliced) -> LLMResponse:
        found = capture(response.get("output") or ())
        usage = response.get("usage") or {}
        details = usage.get("output_tokens_details") or {}
        reason = (response.get("incomplete_details") or {}).get("reason")
        finish = _FINISH.get(reason, "length") if reason else "tool_calls" if found.calls else "stop"
        return self._kept(
            LLMResponse(
                content=found.text,
                model=str(response.get("model") or self.model),
                usage=usage,
                finish_reason=finish,
                tool_calls=found.calls,
                reasoning_tokens=int(details.get("reasoning_tokens") or 0),
                reasoning_content=found.summary,
                reasoning_items=found.items,
                response_id=response.get("id"),
                reasoning_followers=found.followers,
                requests=requests,
                replayed=sent.items,
            )
        )

    def _kept(self, response: LLMResponse) -> LLMResponse:
        items = response.reasoning_items
        return response if not items else replace(response, reasoning_items=tuple(map(self._serialize_output_item, items)))


class OpenAIProvider(OpenAICompatibleProvider):
    """The service of OpenAI."""

    name = "openai"


class AzureOpenAIProvider(OpenAICompatibleProvider):
    """A deployment on Azure: what it sealed, OpenAI cannot read."""

    name = "azure"
