"""The bad answers that need no bad request: a busy service, a broken proxy, a reply that is lost or cut on its way.

Rule: only the status and the kind matter; the words are unverified, so each is grade C and still answered when it is asked
for. What official clients send again by themselves is said here and shown by a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_durability.dialects.rejection import Rejection, anthropic_body, json_headers, openai_body
from pytest_durability.dialects.requests import MESSAGES, Request
from pytest_durability.errors import UsageError

FORMS: Final = ("json", "html", "empty")
"""The kinds of body: the envelope of the provider, a page of a proxy in front of it, nothing."""

_HTML: Final = "<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body>\r\n</html>\r\n"


@dataclass(frozen=True, slots=True)
class Transient:
    """One such answer: `statuses` that it may have (the first one is the default), the message, and the envelope's words.

    `anthropic` is the error type; `openai` the error type and the code. `effect` is one of `rejection.EFFECTS`.
    """

    name: str
    statuses: tuple[int, ...]
    message: str = ""
    anthropic: str = "api_error"
    openai: tuple[str, str | None] = ("server_error", None)
    effect: str = "answer"
    retried: bool = False
    forms: tuple[str, ...] = ("json",)
    openai_status: Mapping[int, int] = field(default_factory=dict)

    def answer(
        self, request: Request, *, status: int | None = None, retry_after: float | None = None, form: str = "json"
    ) -> Rejection:
        """The answer in the dialect of a request. `retry_after` is in seconds; None sends no such header.

        Raises:
            UsageError: a status or a form that this answer does not have.
        """
        for name, value, known in (("status", status or self.statuses[0], self.statuses), ("form", form, self.forms)):
            if value not in known:
                raise UsageError(
                    f"{self.name} has no {name} {value!r}",
                    why="a client treats answers by their status and kind",
                    fix=f"choose from: {', '.join(map(str, known))}",
                )
        code = status or self.statuses[0]
        code = code if request.dialect == MESSAGES else self.openai_status.get(code, code)
        headers = json_headers(request.dialect, request)
        if form != "json":
            headers["content-type"] = "text/html"
        if retry_after is not None:
            headers["retry-after"] = f"{retry_after:g}"
        body = self._body(request, code, form)
        return Rejection(self.name, code, body, headers, "C", effect=self.effect, retried=self.retried)

    def _body(self, request: Request, status: int, form: str) -> Any:
        if form == "html":
            return _HTML.format(status=status)
        if form == "empty" or self.effect != "answer":
            return ""
        if request.dialect == MESSAGES:
            return anthropic_body(self.message, request, kind=self.anthropic)
        kind, code = self.openai
        return openai_body(self.message, kind=kind, code=code)


TRANSIENTS: Final = {
    transient.name: transient
    for transient in (
        Transient(
            "any.rate_limited", (429,), "Rate limit reached for requests", "rate_limit_error",
            ("requests", "rate_limit_exceeded"), retried=True,
        ),
        Transient(
            "any.server_error", (500, 502, 503), "The server had an error while processing your request. Sorry about that!",
            retried=True, forms=FORMS,
        ),
        Transient(
            "any.overloaded", (529,), "Overloaded", "overloaded_error", ("server_error", "server_overloaded"),
            retried=True, openai_status={529: 503},
        ),
        Transient(
            "any.unauthorized", (401,), "Incorrect API key provided", "authentication_error",
            ("invalid_request_error", "invalid_api_key"),
        ),
        Transient("any.conflict", (409,), "The request conflicts with another one", "invalid_request_error", retried=True),
        Transient("any.response_lost", (200,), effect="lost", retried=True),
        Transient("any.truncated_stream", (200,), effect="truncated"),
        Transient("any.abort", (200,), effect="abort"),
    )
}  # fmt: skip
"""Every transient answer by its name."""
