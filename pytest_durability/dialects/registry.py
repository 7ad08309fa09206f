"""Every rejection by its name, for those who force one and for those who misspell it.

Rule: this is the one place that knows all rules; a rule is found by its name only.
"""

from __future__ import annotations

from typing import Any, Final

from pytest_durability.dialects import rules_chat, rules_messages, rules_responses
from pytest_durability.dialects.aim import aim
from pytest_durability.dialects.aim import fits as _fits
from pytest_durability.dialects.rejection import Rejection
from pytest_durability.dialects.requests import Request
from pytest_durability.dialects.rule import Rule
from pytest_durability.dialects.transient import TRANSIENTS
from pytest_durability.errors import UsageError

RULES: Final[dict[str, Rule]] = {rule.name: rule for rule in (*rules_responses.RULES, *rules_chat.RULES, *rules_messages.RULES)}
"""Every rule that a request can break, by its name."""

NAMES: Final = (*RULES, *TRANSIENTS)
"""The names that `reject` takes."""


def check_name(name: str) -> str:
    """The name itself, if it names a rejection.

    Raises:
        UsageError: it does not; the message shows the names that look like it.
    """
    if name in NAMES:
        return name
    from difflib import get_close_matches

    last = name.rpartition(".")[2]
    close = get_close_matches(name, NAMES, 3, 0.6) or [known for known in NAMES if last and known.endswith(last)]
    raise UsageError(
        f"{name!r} is not a rejection",
        why="a provider refuses in the exact words of a named rule, or not at all",
        fix=f"did you mean: {', '.join(close)}?" if close else f"choose from: {', '.join(NAMES)}",
    )


def fits(name: str, request: Request) -> bool:
    """Whether a forced rejection can be about a request: the dialect is that of the rule, and what it names is there.

    Raises:
        UsageError: an unknown name.
    """
    found = RULES.get(check_name(name))
    return found is None or _fits(found, request)


def reject(name: str, request: Request, **values: Any) -> Rejection:
    """A rejection by its name, as the answer to a request that need not deserve it.

    It names the element of the request that it would be about, if there is one. `values` replace parts of the words (`n=3`,
    `status=404`, `reason=" Reason: ..."`); a transient answer takes `status`, `retry_after` (seconds) and `form`.

    Raises:
        UsageError: an unknown name, a rule of another dialect than the request, or an unknown value.
    """
    transient = TRANSIENTS.get(check_name(name))
    if transient is not None:
        unknown = sorted(values.keys() - {"status", "retry_after", "form"})
        _check_values(name, unknown, ("status", "retry_after", "form"))
        return transient.answer(request, **values)
    found = RULES[name]
    if found.dialect != request.dialect:
        raise UsageError(
            f"{name} cannot answer a request to {request.path}",
            why=f"its words are those of another dialect than {request.dialect}",
            fix=f"force a rule that starts with '{request.dialect}.' or 'any.'",
        )
    allowed = (*found.sample, "status", *(("code",) if found.code is not None else ()))
    _check_values(name, sorted(values.keys() - set(allowed)), allowed)
    named, where = aim(found, request) or ({}, "")
    return found.reject(request, {**named, **values}, where)


def _check_values(name: str, unknown: list[str], allowed: tuple[str, ...]) -> None:
    if unknown:
        raise UsageError(
            f"{name} has no {', '.join(map(repr, unknown))}",
            why="only what varies in its words can be given",
            fix=f"give some of: {', '.join(allowed)}",
        )
