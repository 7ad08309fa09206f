"""What a service answers when it refuses a request, as data: the status, the headers and the body, byte for byte.

Rule: a rejection is made by a rule and a request alone; it holds no clock and no chance, so the same request gets it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from pytest_durability.dialects.requests import MESSAGES, Request

GRADES: Final = {
    "A": "the whole body is quoted in a public report",
    "B": "the message is quoted in a public report; the shape of the body is assumed (unverified)",
    "C": "known from a paraphrase only (unverified): a warning, never a failure",
}
"""How well the words of a rejection are known."""

EFFECTS: Final = ("answer", "lost", "truncated", "abort")
"""What a provider does with it: send `status` and `body`; or let the request succeed and then lose the whole answer, end the
stream before its last event, or end a complete reply with finish reason `abort`."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refusal: `status` and `headers` of the answer, `body` a JSON object or the text of another kind of body.

    `grade` is a key of `GRADES`; `where` names the element that is to blame (`input[2]`), "" if there is none; `effect` is
    one of `EFFECTS` (the rest of the fields matter for `answer` only); `retried` says whether the official clients send the
    request again by themselves.
    """

    rule: str
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    grade: str = "A"
    where: str = ""
    effect: str = "answer"
    retried: bool = False

    @property
    def error(self) -> Mapping[str, Any]:
        """The `error` object of the body, empty if the body has none."""
        error = self.body.get("error") if isinstance(self.body, Mapping) else None
        return error if isinstance(error, Mapping) else {}

    @property
    def message(self) -> str:
        """The message that the service gives, or the text of the body."""
        return str(self.error.get("message", "" if isinstance(self.body, Mapping) else self.body))

    @property
    def param(self) -> str | None:
        """What the body names as the wrong parameter; None for Anthropic."""
        return self.error.get("param")

    @property
    def code(self) -> str | None:
        """The code in the body; None for Anthropic."""
        return self.error.get("code")

    def payload(self) -> bytes:
        """The bytes of the body."""
        return json.dumps(self.body).encode() if isinstance(self.body, Mapping) else str(self.body).encode()

    def __str__(self) -> str:
        known = "" if self.grade == "A" else f" [grade {self.grade}: {GRADES[self.grade]}]"
        return f"{self.rule}{f' at {self.where}' if self.where else ''}: {self.status} {self.message}{known}"


def openai_body(message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None) -> Any:
    """The body in which OpenAI refuses a request."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def anthropic_body(message: str, request: Request | None, *, kind: str = "invalid_request_error") -> Any:
    """The body in which Anthropic refuses a request."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id(request)}


def request_id(request: Request | None) -> str:
    """An id for a request that depends on nothing but its content."""
    text = "" if request is None else json.dumps([request.path, request.body], sort_keys=True, default=str)
    return f"req_{blake2b(text.encode(), digest_size=12).hexdigest()}"


def json_headers(dialect: str, request: Request | None) -> dict[str, str]:
    """The headers of a JSON answer; both services name the request in one."""
    name = "request-id" if dialect == MESSAGES else "x-request-id"
    return {"content-type": "application/json", name: request_id(request)}
