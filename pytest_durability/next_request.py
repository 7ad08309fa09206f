"""What a reopened session would send next, judged as a strict service would: many broken sessions look healthy until then.

Rule: the adapter's `request` either returns the body or lets the program send it to `world.provider`. A body is judged with a message
of the user behind it, because a turn has something to say. What only a service with a memory knows is no finding here: that of the
earlier lives is gone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_durability.dialects.strict import lint
from pytest_durability.errors import AdapterError, DurabilityError
from pytest_durability.incarnation import FAILURES, Incarnation, failure
from pytest_durability.observation import Asked, Failure, Refused
from pytest_durability.tokens import find

NEXT = {"role": "user", "content": "go on"}
SEALS = ("responses.invalid_encrypted_content", "messages.invalid_signature")
"""What a service sees of a seal by itself, whoever else has forgotten the reply that it came with."""


def next_request(life: Incarnation, refuses: tuple[type[BaseException], ...], root: str) -> Asked:
    """The next request of an open session, as an observation.

    Raises:
        AdapterError: `request` sent nothing, and returned something that is no body of a request.
    """
    before = len(_received(life))
    failed: Failure | None = None
    body: Any = None
    try:
        body = life.call("request")
    except DurabilityError:
        raise
    except FAILURES as error:  # a session that can ask nothing any more is what we came to see
        failed = failure("request", error, refuses, root)
    sent = _received(life)[before:]
    if sent:
        return _sent(sent, failed)
    if failed is not None:
        return Asked((), failure=failed)
    if not isinstance(body, Mapping):
        raise AdapterError(
            f"{type(life.adapter).__name__}.request gave {ascii(body)[:80]} of type {type(body).__name__}",
            why="the next request is judged by the rules of its dialect, which are about the fields of its body",
            fix='return the body that the next turn would send, {"messages": [...]} or {"input": [...]}, or send it to world.provider',
        )
    return judged(body)


def judged(body: Mapping[str, Any]) -> Asked:
    """What a service would say to a body; warnings are left out.

    >>> judged({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "4"}]}).refused[0].rule
    'chat.orphan_tool_message'
    """
    return Asked(_tokens(body), _refused(lint(_whole(body)).refused))


def _received(life: Incarnation) -> Sequence[Any]:
    """What the program sent so far in this life; most programs of the harness never ask for a service."""
    provider = life.world._provider  # noqa: SLF001  asking for it would make one, at each reopen
    return () if provider is None else list(provider.requests)


def _sent(exchanges: Sequence[Any], failed: Failure | None) -> Asked:
    """The first of some requests that is refused, else the last one. A program may raise what an answer made it raise."""
    found = []
    for one in exchanges:
        seals = [fault for fault in one.findings.refused if fault.rule in SEALS]
        found.append((one.request, _refused([*lint(one.request).refused, *seals])))
    request, refused = next((pair for pair in found if pair[1]), found[-1])
    return Asked(_tokens(request.body), refused, None if exchanges[-1].rejected else failed)


def _refused(rejections: Sequence[Any]) -> tuple[Refused, ...]:
    return tuple(Refused(one.rule, one.message, one.where) for one in rejections)


def _tokens(body: Mapping[str, Any]) -> tuple[str, ...]:
    return find(json.dumps(body, default=str, ensure_ascii=False))


def _whole(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with something to answer at its end."""
    for name in ("messages", "input"):
        said = body.get(name)
        if isinstance(said, list) and not (said and isinstance(said[-1], Mapping) and said[-1].get("role") == "user"):
            return {**body, name: [*said, NEXT]}
    return body
