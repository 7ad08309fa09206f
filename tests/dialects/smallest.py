"""The smallest request that breaks each rule, and the nearest one that does not; tests and the printed table share them.

Rule: a pair differs in as little as possible, so that a rule that looks at the wrong thing confuses the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.registry import RULES
from pytest_durability.dialects.requests import Request
from pytest_durability.dialects.strict import Strict

KEY = "sk-a"
HOST = "api.test"
MODELS = {"responses": "gpt-5", "chat": "gpt-5", "messages": "claude-opus-4-6"}
PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions", "messages": "/v1/messages"}
ITEMS = "/v1/conversations/conv_1/items"

Body = dict[str, Any]


def request(dialect: str, body: Mapping[str, Any], *, key: str = KEY, path: str | None = None, host: str = HOST) -> Request:
    """A request as a client would send it."""
    return Request.of(path or PATHS[dialect], {"Authorization": f"Bearer {key}", "Host": host}, dict(body))


def responses(*items: Any, **fields: Any) -> Body:
    """A body for OpenAI Responses; a text is a user message."""
    return {"model": MODELS["responses"], "input": [user(item) if isinstance(item, str) else item for item in items], **fields}


def chat(*messages: Any, **fields: Any) -> Body:
    """A body for Chat Completions; a text is a user message."""
    return {"model": MODELS["chat"], "messages": [user(m) if isinstance(m, str) else m for m in messages], **fields}


def messages(*given: Any, **fields: Any) -> Body:
    """A body for Anthropic Messages; a text is a user message, a list the blocks of the next speaker."""
    turns = [user(m) if isinstance(m, str) else m for m in given]
    return {"model": MODELS["messages"], "max_tokens": 99, "messages": turns, **fields}


def user(content: Any) -> Body:
    """A message of the user, in every dialect."""
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> Body:
    """A message of the assistant, in every dialect."""
    return {"role": "assistant", "content": content, **fields}


def reasoning(rs_id: str | None, content: str | None = None, **fields: Any) -> Body:
    """A reasoning item of Responses."""
    named = {} if rs_id is None else {"id": rs_id}
    return {"type": "reasoning", **named, "summary": [], **({} if content is None else {"encrypted_content": content}), **fields}


def said(msg_id: str | None, text: str = "4") -> Body:
    """An output message of Responses."""
    named = {} if msg_id is None else {"id": msg_id}
    return {"type": "message", **named, "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(call_id: str, fc_id: str | None = None, kind: str = "function_call") -> Body:
    """A tool call of Responses."""
    return {"type": kind, **({} if fc_id is None else {"id": fc_id}), "call_id": call_id, "name": "add", "arguments": "{}"}


def output(call_id: str, kind: str = "function_call") -> Body:
    """The output of a tool call of Responses."""
    return {"type": f"{kind}_output", "call_id": call_id, "output": "4"}


def calls(*ids: str, content: Any = None, arguments: str = "{}") -> Body:
    """An assistant message of Chat Completions that calls tools."""
    made = [{"id": name, "type": "function", "function": {"name": "add", "arguments": arguments}} for name in ids]
    return assistant(content, tool_calls=made)


def tool(call_id: str) -> Body:
    """A tool message of Chat Completions."""
    return {"role": "tool", "tool_call_id": call_id, "content": "4"}


def use(*ids: str) -> list[Body]:
    """The tool_use blocks of Messages."""
    return [{"type": "tool_use", "id": name, "name": "add", "input": {}} for name in ids]


def result(*ids: str) -> list[Body]:
    """The tool_result blocks of Messages."""
    return [{"type": "tool_result", "tool_use_id": name, "content": "4"} for name in ids]


def thinking(text: str, signature: str) -> Body:
    """A thinking block of Messages."""
    return {"type": "thinking", "thinking": text, "signature": signature}


def text(written: str, **fields: Any) -> Body:
    """A text block of Messages."""
    return {"type": "text", "text": written, **fields}


class World:
    """A provider that issued a few replies, so that requests can replay them."""

    def __init__(self) -> None:
        self.issued = Issued()
        self.asked = request("responses", responses("2+2?"))
        self.sealed = self.issued.seal(self.asked, "rs_1")
        self.issued.response(self.asked, "resp_1", [reasoning("rs_1", self.sealed), said("msg_1")])
        self.issued.response(self.asked, "resp_2", [reasoning("rs_2"), call("call_1", "fc_1")])
        forgetful = request("responses", responses("2+2?", store=False))
        self.issued.response(forgetful, "resp_3", [reasoning("rs_3"), said("msg_3")])
        self.issued.response(self.asked, "resp_4", [reasoning("rs_4")], complete=False)
        self.issued.begin(request("responses", responses("2+2?", conversation="conv_busy")))
        claude = request("messages", messages("2+2?"))
        self.thoughts = [thinking(said_, self.issued.sign(claude, said_)) for said_ in ("carry", "the two")]
        self.issued.message(claude, [*self.thoughts, *use("toolu_1")])
        self.redacted = {"type": "redacted_thinking", "data": self.issued.redact(claude, "0")}
        self.issued.message(claude, [self.redacted, text("four")])


W = World()
TWO = "2+2?"
FIELDS: Body = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
OTHER_MODEL = Issued().sign(request("messages", {"model": "claude-sonnet-4-6"}), "carry")


@dataclass(frozen=True)
class Pair:
    """A request that breaks a rule, and the nearest one that does not break any.

    `sure=False`: the rule only warns. `enforced`: the rule is looked for only when it is asked for.
    """

    rule: str
    broken: Body
    sound: Body
    path: str | None = None
    sure: bool = True
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def dialect(self) -> str:
        """The dialect of the rule."""
        return RULES[self.rule].dialect

    @property
    def enforced(self) -> tuple[str, ...]:
        """What the provider must be told to enforce, for this rule to count."""
        known = RULES[self.rule]
        return (self.rule,) if known.optional or known.grade == "C" else ()

    def request(self, body: Body) -> Request:
        """One of the two as it arrives."""
        return request(self.dialect, body, path=self.path)

    def strict(self, *, enforce: bool = True) -> Strict:
        """The provider that judges both."""
        return Strict(W.issued, enforce=self.enforced if enforce else ())


def _bad(content: str) -> str:
    """An encrypted content with one byte changed in the middle."""
    middle = len(content) // 2
    return content[:middle] + ("A" if content[middle] != "A" else "B") + content[middle + 1 :]


PAIRS = (
    Pair("responses.missing_parameter", {"input": TWO}, responses(TWO), values={"name": "model"}),
    Pair(
        "responses.previous_response_not_found",
        responses(TWO, previous_response_id="resp_3"),
        responses(TWO, previous_response_id="resp_1"),
        values={"id": "resp_3"},
    ),
    Pair("responses.conversation_locked", responses(TWO, conversation="conv_busy"), responses(TWO, conversation="conv_1")),
    Pair(
        "responses.include_unsupported",
        responses(TWO, include=["reasoning.encrypted_content"]),
        responses(TWO, include=["message.output_text.logprobs"]),
    ),
    Pair(
        "responses.invalid_conversation_item",
        {"items": [reasoning(None, W.sealed)]},
        {"items": [said(None)]},
        path=ITEMS,
    ),
    Pair(
        "responses.unknown_parameter",
        responses(TWO, reasoning("rs_1", W.sealed, status="completed"), said("msg_1")),
        responses(TWO, reasoning("rs_1", W.sealed), {**said("msg_1"), "status": "completed"}),
        values={"n": 1, "field": "status"},
    ),
    Pair(
        "responses.id_prefix",
        responses(call("call_9", "msg_9"), output("call_9")),
        responses(call("call_9", "fc_9"), output("call_9")),
        values={"n": 0, "id": "msg_9", "prefix": "fc"},
    ),
    Pair(
        "responses.duplicate_item",
        responses(said("msg_7"), said("msg_7")),
        responses(said("msg_7"), said("msg_8")),
        values={"id": "msg_7"},
    ),
    Pair(
        "responses.missing_output",
        responses(call("call_9"), output("call_9"), call("call_8")),
        responses(call("call_9"), output("call_9"), call("call_8"), output("call_8")),
        values={"call_id": "call_8"},
    ),
    Pair(
        "responses.missing_call",
        responses(output("call_9"), call("call_9")),
        responses(call("call_9"), output("call_9")),
        values={"call_id": "call_9"},
    ),
    Pair(
        "responses.reasoning_without_follower",
        responses(reasoning("rs_1", W.sealed), TWO),
        responses(reasoning("rs_1", W.sealed), said(None)),
        values={"rs_id": "rs_1"},
    ),
    Pair(
        "responses.call_without_reasoning",
        responses(TWO, call("call_1", "fc_1"), output("call_1")),
        responses(TWO, call("call_1"), output("call_1")),
        values={"fc_id": "fc_1", "rs_id": "rs_2"},
    ),
    Pair(
        "responses.message_without_reasoning",
        responses(said("msg_1"), reasoning("rs_1", W.sealed), said(None)),
        responses(reasoning("rs_1", W.sealed), said("msg_1")),
        values={"msg_id": "msg_1", "rs_id": "rs_1"},
    ),
    Pair(
        "responses.item_not_found",
        responses(reasoning("rs_3"), said("msg_3")),
        responses(reasoning("rs_1"), said("msg_1")),
        values={"rs_id": "rs_3"},
    ),
    Pair(
        "responses.invalid_encrypted_content",
        responses(reasoning("rs_1", _bad(W.sealed)), said("msg_1")),
        responses(reasoning("rs_1", W.sealed), said("msg_1")),
        values={"content": f"gAAA...{W.sealed[-4:]}"},
    ),
    Pair("chat.missing_parameter", {"model": "gpt-5"}, chat(TWO), values={"name": "messages"}),
    Pair("chat.empty_assistant", chat(TWO, assistant(None, reasoning_content="hm")), chat(TWO, assistant("4"))),
    Pair(
        "chat.bad_arguments",
        chat(calls("call_9", arguments='{"a": 1'), tool("call_9")),
        chat(calls("call_9", arguments='{"a": 1}'), tool("call_9")),
        values={"id": "call_9"},
    ),
    Pair(
        "chat.missing_tool_message",
        chat(TWO, calls("call_8", "call_9"), tool("call_8"), TWO),
        chat(TWO, calls("call_8", "call_9"), tool("call_9"), tool("call_8"), TWO),
        values={"ids": "call_9", "n": 3},
    ),
    Pair("chat.orphan_tool_message", chat(TWO, tool("call_9")), chat(calls("call_9"), tool("call_9")), values={"n": 1}),
    Pair("chat.orphan_tool_message_compatible", chat(TWO, tool("call_9")), chat(calls("call_9"), tool("call_9"))),
    Pair(
        "chat.unknown_tool_call_id",
        chat(calls("call_9"), tool("call_9"), tool("call_8")),
        chat(calls("call_9", "call_8"), tool("call_9"), tool("call_8")),
        values={"n": 2, "id": "call_8"},
    ),
    Pair(
        "messages.missing_parameter",
        {"model": MODELS["messages"], "messages": [user(TWO)]},
        messages(TWO),
        values={"name": "max_tokens"},
    ),
    Pair(
        "messages.content_required",
        messages(TWO, {"role": "assistant"}, TWO),
        messages(TWO, assistant("4"), TWO),
        values={"n": 1},
    ),
    Pair("messages.empty_content", messages(TWO, assistant([]), TWO), messages(TWO, assistant("4"), TWO), values={"n": 1}),
    Pair(
        "messages.cache_control_empty",
        messages(user([text("", cache_control={"type": "ephemeral"})])),
        messages(user([text("2", cache_control={"type": "ephemeral"})])),
        values={"n": 0, "m": 0},
    ),
    Pair("messages.empty_text", messages(user([text(TWO), text("")])), messages(user([text(TWO), text("!")]))),
    Pair("messages.blank_text", messages(user([text(TWO), text("\n")])), messages(user([text(TWO), text("\n.")]))),
    Pair("messages.prefill", messages(TWO, assistant("It is")), messages(TWO, assistant("It is"), user("what?"))),
    Pair(
        "messages.duplicate_tool_use",
        messages(TWO, assistant(use("toolu_9", "toolu_9")), user(result("toolu_9"))),
        messages(TWO, assistant(use("toolu_9", "toolu_8")), user(result("toolu_9", "toolu_8"))),
        values={"n": 1, "m": 1},
    ),
    Pair(
        "messages.multiple_results",
        messages(TWO, assistant(use("toolu_9")), user(result("toolu_9")), user(result("toolu_9"))),
        messages(TWO, assistant(use("toolu_9", "toolu_8")), user(result("toolu_9")), user(result("toolu_8"))),
        values={"n": 3, "m": 0, "id": "toolu_9"},
    ),
    Pair(
        "messages.missing_result",
        messages(TWO, assistant(use("toolu_8", "toolu_9")), TWO),
        messages(TWO, assistant(use("toolu_8", "toolu_9")), user(result("toolu_9", "toolu_8")), TWO),
        values={"n": 1, "ids": "toolu_8, toolu_9"},
    ),
    Pair(
        "messages.orphan_result",
        messages(TWO, assistant("4"), user(result("toolu_9"))),
        messages(TWO, assistant(use("toolu_9")), user(result("toolu_9"))),
        values={"n": 2, "m": 0, "id": "toolu_9"},
    ),
    Pair(
        "messages.thinking_not_first",
        messages(TWO, assistant(use("toolu_1")), user(result("toolu_1")), **FIELDS),
        messages(TWO, assistant([*W.thoughts, *use("toolu_1")]), user(result("toolu_1")), **FIELDS),
        values={"n": 1, "found": "tool_use"},
    ),
    Pair(
        "messages.thinking_modified",
        messages(TWO, assistant([W.thoughts[1], W.thoughts[0], *use("toolu_1")]), user(result("toolu_1"))),
        messages(TWO, assistant([*W.thoughts, *use("toolu_1")]), user(result("toolu_1"))),
        values={"n": 1, "m": 0},
    ),
    Pair(
        "messages.invalid_signature",
        messages(TWO, assistant([thinking("carry", _bad(W.thoughts[0]["signature"])), text("4")]), TWO),
        messages(TWO, assistant([W.thoughts[0], text("4")]), TWO, assistant("4"), TWO),
        values={"n": 1, "m": 0},
    ),
)


ALWAYS = {"summary": [], "name": "add", "arguments": "{}", "input": {}, "budget_tokens": 1024}
"""What stands in every item of its kind and tells nothing."""


def shown(body: Body, limit: int = 300) -> str:
    """The part of a body that matters, as short JSON: without what is always the same, long values cut in the middle."""
    part = {name: value for name, value in body.items() if name not in ("model", "max_tokens")}
    written = json.dumps(_brief(part), separators=(",", ":"), ensure_ascii=True)
    return written if len(written) <= limit else f"{written[: limit - 3]}..."


def _brief(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _brief(inner) for name, inner in value.items() if name not in ALWAYS or inner != ALWAYS[name]}
    if isinstance(value, list):
        return [_brief(inner) for inner in value]
    return f"{value[:4]}...{value[-4:]}" if isinstance(value, str) and len(value) > 30 else value
