"""The strict half of the provider: what it holds against a request, and what it remembers of its own replies.

Rule: a service knows what it issued only as far as the reply came: items of a reply that broke are not stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.registry import check_name, reject
from pytest_durability.dialects.rejection import Rejection
from pytest_durability.dialects.requests import DIALECTS, MESSAGES, RESPONSES, Request
from pytest_durability.dialects.strict import Findings, Strict
from pytest_durability.world.provider.exchange import Exchange


class Judge:
    """Examines requests with `strict`, and keeps the ledger of what was issued for it."""

    def __init__(self, strict: Strict | None = None) -> None:
        self._strict = Strict() if strict is None else strict
        if self._strict.issued is None:
            self._strict.issued = Issued()
        self.issued = self._strict.issued

    def examine(self, request: Request) -> Findings:
        """What is wrong with a request."""
        return self._strict.examine(request)

    def check(self, rule: str, details: Mapping[str, Any]) -> None:
        """Refuse what can never be answered, before any request comes.

        Raises:
            UsageError: there is no such rule, or its words have no such variable.
        """
        dialect = check_name(rule).partition(".")[0]
        reject(rule, Request.of_body({}, dialect=dialect if dialect in DIALECTS else RESPONSES), **details)

    def forced(self, rule: str, request: Request, details: Mapping[str, Any]) -> Rejection:
        """The answer to a request that need not deserve it."""
        return reject(rule, request, **details)

    def sealing(self, request: Request) -> Callable[[str, str], str]:
        """How reasoning is sealed in the reply to a request: from the id of its item, or from its text."""
        if request.dialect == MESSAGES:
            return lambda _, text: self.issued.sign(request, text)
        return lambda item_id, _: self.issued.seal(request, item_id)

    def begin(self, exchange: Exchange) -> None:
        """The answer to a request is on its way."""
        self.issued.begin(exchange.request)

    def end(self, exchange: Exchange) -> None:
        """The answer is over: remember what the client has of it."""
        request = exchange.request
        self.issued.end(request)
        if request.dialect == RESPONSES and exchange.answer.response_id:
            self.issued.response(request, exchange.answer.response_id, exchange.items, complete=exchange.complete)
        elif request.dialect == MESSAGES:
            self.issued.message(request, exchange.items)
