"""The judgement of a request as the real service would give it: accepted, or refused in these words.

Rule: it never answers by chance or by the clock; the first rejection is the one that is answered, and a warning never is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.registry import RULES, check_name, reject
from pytest_durability.dialects.rejection import Rejection
from pytest_durability.dialects.requests import Request
from pytest_durability.dialects.rule import Rule, Seen


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong with a request: what the service refuses, in its order, and what it may refuse."""

    refused: tuple[Rejection, ...] = ()
    warnings: tuple[Rejection, ...] = ()

    @property
    def rejection(self) -> Rejection | None:
        """The answer of the service, None if it accepts the request."""
        return self.refused[0] if self.refused else None

    def __bool__(self) -> bool:
        return bool(self.refused)

    def __str__(self) -> str:
        lines = [str(rejection) for rejection in self.refused]
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)]) or "no findings"


class Strict:
    """Examines requests by the rules of their dialect.

    `issued` is the ledger of what was issued; without it only faults are found that are visible in the request. `enforce`
    names rules that count although they are of grade C or not common to all services. `keys`: the valid API keys, None for
    any. `rules`: further rules.

    Raises:
        UsageError: `enforce` names no rule.
    """

    def __init__(
        self,
        issued: Issued | None = None,
        *,
        enforce: Iterable[str] = (),
        keys: Collection[str] | None = None,
        rules: Iterable[Rule] = (),
    ) -> None:
        extra = {rule.name: rule for rule in rules}
        self.issued = issued
        self._keys = keys
        self._enforced = frozenset(name if name in extra else check_name(name) for name in enforce)
        known = {**RULES, **extra}.values()
        wanted = [rule for rule in known if not rule.optional or rule.name in self._enforced]
        replaced = {rule.instead_of for rule in wanted}
        self._rules = sorted((rule for rule in wanted if rule.name not in replaced), key=lambda rule: rule.group)

    def examine(self, request: Request) -> Findings:
        """Everything that is wrong with a request; it never raises, whatever the body is."""
        refused: list[Rejection] = []
        warnings: list[Rejection] = []
        if self._keys is not None and request.key not in self._keys:
            refused.append(reject("any.unauthorized", request))
        seen = Seen.of(request, self.issued)
        for rule in self._rules:
            if rule.dialect == request.dialect:
                for hit in rule.find(seen):
                    counts = rule.name in self._enforced or (hit.sure and rule.grade != "C")
                    rejection = rule.reject(request, hit.values, hit.where, sure=hit.sure)
                    (refused if counts else warnings).append(rejection)
        return Findings(tuple(refused), tuple(warnings))


def lint(request: Request | Mapping[str, Any], issued: Issued | None = None) -> Findings:
    """Examine a request without any HTTP: a `Request`, or the body that a client would send.

    >>> body = {"model": "m", "messages": [{"role": "tool", "tool_call_id": "call_1", "content": "4"}]}
    >>> print(lint(body).rejection.rule)
    chat.orphan_tool_message
    """
    known = request if isinstance(request, Request) else Request.of_body(request)
    return Strict(issued).examine(known)
