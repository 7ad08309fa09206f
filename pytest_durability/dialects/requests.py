"""A request to a model as it arrived, told apart by its path, so that it can be judged without any HTTP library.

Rule: a request is a value; nothing in it is checked here, because the judging of a malformed body is a rule like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_durability.errors import UsageError

RESPONSES: Final = "responses"
CHAT: Final = "chat"
MESSAGES: Final = "messages"
DIALECTS: Final = (RESPONSES, CHAT, MESSAGES)
"""OpenAI Responses (with its Conversations), OpenAI Chat Completions, Anthropic Messages."""

_ENDINGS = (("/responses", RESPONSES), ("/chat/completions", CHAT), ("/messages", MESSAGES))
_CONVERSATION = "/conversations/"


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `dialect` is one of `DIALECTS`, `key` the API key ("" if none), `headers` have lower-case names.

    `endpoint` is where the service lives (host and the path in front of the dialect's own, without `/v1`); what one
    endpoint issued, another one cannot read.
    """

    dialect: str
    path: str
    key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    endpoint: str = ""

    @classmethod
    def of(cls, path: str, headers: Mapping[str, str], body: Any, *, endpoint: str | None = None) -> Request:
        """A request from what a client sent: `body` is a JSON object, or its bytes or text.

        The dialect follows the path, with and without `/v1`. `endpoint` is taken from the `host` header if it is not given.

        Raises:
            UsageError: the path belongs to no dialect.
        """
        path = path.partition("?")[0].rstrip("/")
        named = dialect_of_path(path)
        if named is None:
            raise UsageError(
                f"the path {path!r} belongs to no dialect",
                why="the rules for a request follow from its path",
                fix=f"send to a path that ends with one of: {', '.join(ending for ending, _ in _ENDINGS)}",
            )
        dialect, front = named
        lower = {str(name).lower(): str(value) for name, value in headers.items()}
        sent = _object(body)
        where = lower.get("host", "") + front.removesuffix("/v1") if endpoint is None else endpoint
        return cls(dialect, path, _key(lower), lower, sent, str(sent.get("model") or ""), where)

    @classmethod
    def of_body(cls, body: Mapping[str, Any], *, dialect: str | None = None, key: str = "", endpoint: str = "") -> Request:
        """A request that was never sent, from its body alone; the dialect is guessed from its shape if it is not given.

        Raises:
            UsageError: `dialect` is not one of `DIALECTS`.
        """
        guessed = dialect_of_body(body) if dialect is None else dialect
        if guessed not in DIALECTS:
            raise UsageError(f"{guessed!r} is not a dialect", fix=f"choose from: {', '.join(DIALECTS)}")
        path = "/v1" + next(ending for ending, named in _ENDINGS if named == guessed)
        return cls(guessed, path, key, {}, body, str(body.get("model") or ""), endpoint)

    @property
    def streams(self) -> bool:
        """Whether the client asked for server-sent events."""
        return self.body.get("stream") is True

    @property
    def adds_items(self) -> bool:
        """Whether it adds items to a conversation (`items` in its body) and asks for no reply."""
        return _CONVERSATION in self.path

    @property
    def conversation(self) -> str | None:
        """The id of the conversation (Responses) that this request works on, from its body or its path."""
        if self.adds_items:
            return self.path.partition(_CONVERSATION)[2].partition("/")[0] or None
        named = self.body.get("conversation")
        named = named.get("id") if isinstance(named, Mapping) else named
        return named if isinstance(named, str) else None


def dialect_of_path(path: str) -> tuple[str, str] | None:
    """The dialect of a path, and what stands in front of its own part (`/x/v1/responses` -> `("responses", "/x/v1")`)."""
    path = path.partition("?")[0].rstrip("/")
    if _CONVERSATION in path and path.endswith("/items"):
        return RESPONSES, path.partition(_CONVERSATION)[0]
    for ending, dialect in _ENDINGS:
        if path.endswith(ending):
            return dialect, path.removesuffix(ending)
    return None


def dialect_of_body(body: Mapping[str, Any]) -> str:
    """The dialect that a body is written in; a body that is valid in two of them counts as Chat Completions."""
    if "input" in body or "previous_response_id" in body:
        return RESPONSES
    if "system" in body or "anthropic_version" in body:
        return MESSAGES
    messages = body.get("messages")
    kinds: set[object] = set()
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, Mapping) else None
        kinds.update(block.get("type") for block in content if isinstance(block, Mapping)) if isinstance(content, list) else None
    theirs = kinds & {"tool_use", "tool_result", "thinking", "redacted_thinking", "image", "document"}
    return MESSAGES if theirs else CHAT


def text(value: object) -> str:
    """A value of a body as it stands in a message."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def _object(body: Any) -> Mapping[str, Any]:
    """The JSON object of a body; what is not an object counts as an empty one, which the rules then refuse."""
    if isinstance(body, (bytes, bytearray, str)):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            body = {}
    return body if isinstance(body, Mapping) else {}


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return headers.get("x-api-key") or headers.get("api-key") or bearer
