"""Answers that a reasoning fallback must tell apart: what was refused, the reasoning, the include flag, or something else.

Each one is a request, the status and the body of the answer, and the verdict; a fallback that looks at words alone gets
several of them wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_durability.dialects.registry import reject
from pytest_durability.dialects.rejection import openai_body
from tests.dialects import smallest as make
from tests.dialects.smallest import TWO, W

REASONING, INCLUDE, OTHER = "reasoning", "include", "other"
Body = dict[str, Any]


@dataclass(frozen=True)
class Signal:
    """One answer: `verdict` says what the fallback has to give up for the next try."""

    name: str
    verdict: str
    dialect: str
    body: Body
    status: int
    answer: Body

    @property
    def message(self) -> str:
        """The message of the answer."""
        return str(self.answer["error"]["message"])


REPLAY = make.responses(
    TWO,
    make.reasoning("rs_1", W.sealed),
    make.said("msg_1"),
    make.reasoning("rs_2", W.issued.seal(W.asked, "rs_2")),
    make.call("call_1", "fc_1"),
    make.output("call_1"),
    include=["reasoning.encrypted_content"],
    store=False,
)
PLAIN = make.responses(TWO, make.said(None), make.call("call_1"), make.output("call_1"), include=["reasoning.encrypted_content"])
CLAUDE = make.messages(TWO, make.assistant([*W.thoughts, *make.use("toolu_1")]), make.user(make.result("toolu_1")))


def _forced(verdict: str, rule: str, note: str = "", **values: Any) -> Signal:
    """What a rule answers to a replay."""
    body = CLAUDE if rule.startswith("messages.") else REPLAY
    dialect = "messages" if body is CLAUDE else "responses"
    rejection = reject(rule, make.request(dialect, body), **values)
    return Signal(f"{rule}{note and f': {note}'}", verdict, dialect, body, rejection.status, dict(rejection.body))


def _said(
    name: str,
    verdict: str,
    message: str,
    *,
    body: Body = REPLAY,
    status: int = 400,
    param: str | None = None,
    code: str | None = None,
) -> Signal:
    """An answer in the envelope of OpenAI, as compatible servers and proxies use it too."""
    return Signal(name, verdict, "responses", body, status, openai_body(message, param=param, code=code))


SIGNALS = (
    _forced(REASONING, "responses.invalid_encrypted_content"),
    _forced(
        REASONING,
        "responses.invalid_encrypted_content",
        "with a reason",
        reason=" Reason: Encrypted content could not be decrypted or parsed.",
    ),
    _forced(REASONING, "responses.unknown_parameter"),
    _forced(REASONING, "responses.unknown_parameter", "content", field="content"),
    _forced(REASONING, "responses.unknown_parameter", "the later item", n=3),
    _forced(REASONING, "responses.reasoning_without_follower"),
    _forced(REASONING, "responses.call_without_reasoning"),
    _forced(REASONING, "responses.message_without_reasoning"),
    _forced(REASONING, "responses.item_not_found"),
    _forced(REASONING, "messages.invalid_signature"),
    _said("the code alone", REASONING, "Bad request.", code="invalid_encrypted_content"),
    _said("the newer words, which name the item", REASONING, "The encrypted content for item rs_1 could not be verified."),
    _said("the words without the code", REASONING, "The encrypted content gAAA...xx== could not be verified."),
    _said("cannot decrypt", REASONING, "Could not decrypt the provided encrypted_content."),
    _said("the code of a proxy", REASONING, "Bad request.", code="thinking_signature_invalid"),
    _said("Anthropic through a proxy", REASONING, "messages.1.content.0: Invalid `signature` in `thinking` block"),
    _said("a compatible server", REASONING, "Unsupported content type"),
    _said(
        "encrypted content, with the word include",
        REASONING,
        "The encrypted content gAAA...xx== could not be verified. Do not include it in the input.",
        code="invalid_encrypted_content",
    ),
    _forced(INCLUDE, "responses.include_unsupported"),
    _said(
        "the include value without a param",
        INCLUDE,
        "Unsupported value: 'reasoning.encrypted_content' is not supported for 'include' with this model.",
    ),
    _said("the param alone", INCLUDE, "Invalid value.", param="include", code="invalid_value", body=PLAIN),
    _forced(OTHER, "responses.missing_output"),
    _forced(OTHER, "responses.missing_call"),
    _forced(OTHER, "responses.duplicate_item"),
    _forced(OTHER, "responses.previous_response_not_found", status=404),
    _forced(OTHER, "responses.conversation_locked"),
    _forced(OTHER, "responses.id_prefix"),
    _forced(OTHER, "responses.unknown_parameter", "on a call", n=4),
    _forced(OTHER, "messages.missing_result"),
    _forced(OTHER, "messages.prefill"),
    _forced(OTHER, "any.unauthorized"),
    _forced(OTHER, "any.rate_limited"),
    _forced(OTHER, "any.server_error"),
    _said(
        "a bad image",
        OTHER,
        "Invalid 'input[0].content[1].image_url'. Expected a valid URL.",
        param="input[0].content[1].image_url",
        code="invalid_value",
    ),
    _said(
        "a bad tool name",
        OTHER,
        "Invalid 'input[4].name': string does not match pattern.",
        param="input[4].name",
        code="invalid_value",
    ),
    _said(
        "a bad tool", OTHER, "Invalid schema for function 'add'.", param="tools[0].parameters", code="invalid_function_parameters"
    ),
    _said(
        "an unknown field elsewhere",
        OTHER,
        "Unknown parameter: 'reasoning_mode'.",
        param="reasoning_mode",
        code="unknown_parameter",
    ),
    _said("no such model", OTHER, "The model 'gpt-5' does not exist.", status=404, code="model_not_found"),
    _said(
        "too long", OTHER, "Your input exceeds the context window of this model.", param="input", code="context_length_exceeded"
    ),
    _said("an upload, without reasoning", OTHER, "Unsupported content type", body=PLAIN),
    _said("a person, without reasoning", OTHER, "Your organization could not be verified.", body=PLAIN),
)
"""The answers; names are unique."""
