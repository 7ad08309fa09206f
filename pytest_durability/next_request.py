"""What a reopened session would send next, judged as a strict service would: many broken sessions look healthy until then.

Rule: the adapter's `request` is asked, and nothing is sent. A turn has something to say, so a request that ends otherwise is judged
with a message of the user behind it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_durability.dialects.strict import lint
from pytest_durability.errors import AdapterError, DurabilityError
from pytest_durability.incarnation import FAILURES, Incarnation, failure
from pytest_durability.observation import Asked, Refused
from pytest_durability.tokens import find

NEXT = {"role": "user", "content": "go on"}


def next_request(life: Incarnation, refuses: tuple[type[BaseException], ...], root: str) -> Asked:
    """The next request of an open session, as an observation.

    Raises:
        AdapterError: `request` returned something that is no body of a request.
    """
    try:
        body = life.call("request")
    except DurabilityError:
        raise
    except FAILURES as error:  # a session that can ask nothing any more is what we came to see
        return Asked((), failure=failure("request", error, refuses, root))
    if not isinstance(body, Mapping):
        raise AdapterError(
            f"{type(life.adapter).__name__}.request gave {ascii(body)[:80]} of type {type(body).__name__}",
            why="the next request is judged by the rules of its dialect, which are about the fields of its body",
            fix='return the body that the next turn would send, as a dict: {"messages": [...]} or {"input": [...]}',
        )
    return judged(body)


def judged(body: Mapping[str, Any]) -> Asked:
    """What a service would say to a body; warnings are left out.

    >>> judged({"messages": [{"role": "tool", "tool_call_id": "call_1", "content": "4"}]}).refused[0].rule
    'chat.orphan_tool_message'
    """
    refused = tuple(Refused(one.rule, one.message, one.where) for one in lint(_whole(body)).refused)
    return Asked(find(json.dumps(body, default=str, ensure_ascii=False)), refused)


def _whole(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The body with something to answer at its end."""
    for name in ("messages", "input"):
        said = body.get(name)
        if isinstance(said, list) and not (said and isinstance(said[-1], Mapping) and said[-1].get("role") == "user"):
            return {**body, name: [*said, NEXT]}
    return body
