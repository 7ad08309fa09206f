"""A forced rejection still has to name something: this finds the element of a request that it would be about.

Rule: what is named exists in the request whenever the request has such an element, so that a client which looks up the named
element finds it.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_durability.dialects.issued import Item, input_items
from pytest_durability.dialects.requests import CHAT, RESPONSES, Request, text
from pytest_durability.dialects.rule import Rule, Seen
from pytest_durability.dialects.rules_responses import kind_of, short
from pytest_durability.dialects.turns import blocks_of

_IDS = {"reasoning": "rs_id", "function_call": "fc_id", "message": "msg_id"}


def aim(rule: Rule, request: Request) -> tuple[dict[str, object], str] | None:
    """The values for the words of a rule, and the place; None if the request has no element that the rule is about."""
    if not rule.about:
        return {}, ""
    if rule.about == "previous_response_id":
        previous = request.body.get(rule.about)
        return ({"id": previous}, rule.about) if isinstance(previous, str) else None
    if request.dialect == RESPONSES:
        return _item(rule.about, input_items(request))
    return _message(rule.about, request) if request.dialect == CHAT else _block(rule.about, request)


def fits(rule: Rule, request: Request) -> bool:
    """Whether a rejection can be about this request: it has the dialect of the rule, and an element that the rule names."""
    return rule.dialect == request.dialect and aim(rule, request) is not None


def _item(about: str, items: tuple[Item, ...]) -> tuple[dict[str, object], str] | None:
    n = next((n for n, item in enumerate(items) if kind_of(item) == about and (about != "message" or item.get("id"))), None)
    if n is None:
        return None
    values: dict[str, object] = {
        "n": n,
        "call_id": text(items[n].get("call_id")),
        "content": short(text(items[n].get("encrypted_content"))),
    }
    for item in (items[n], *items[n:], *items[:n]):
        name = _IDS.get(kind_of(item), "")
        if name and item.get("id"):
            values.setdefault(name, item["id"])
    values["id"] = text(items[n].get("id"))
    return {name: value for name, value in values.items() if value not in ("", "...")}, f"input[{n}]"


def _message(about: str, request: Request) -> tuple[dict[str, object], str] | None:
    messages = Seen.of(request, None).messages
    n = next((n for n, message in enumerate(messages) if message.get("role") == about), None)
    if n is None:
        return None
    calls = messages[n].get("tool_calls")
    ids = [text(call.get("id")) for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else []
    values = {"n": n, "ids": ", ".join(ids), "id": text(messages[n].get("tool_call_id")) or (ids or [""])[0]}
    return {name: value for name, value in values.items() if value != ""}, f"messages[{n}]"


def _block(about: str, request: Request) -> tuple[dict[str, object], str] | None:
    messages = Seen.of(request, None).messages
    if about in ("user", "assistant"):
        n = next((n for n, message in enumerate(messages) if message.get("role") == about), None)
        return None if n is None else ({"n": n}, f"messages.{n}")
    for n, message in enumerate(messages):
        for block in blocks_of(message, n):
            if block.kind == about:
                name = text(block.item.get("id")) or text(block.item.get("tool_use_id"))
                return {"n": n, "m": block.m, **({"id": name, "ids": name} if name else {})}, block.place
    return None
