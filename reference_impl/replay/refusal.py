"""A provider that refuses a replayed item must not end the session, and one that refuses anything else must not be silenced.

Rule: the code and the parameter decide, the words come last, and encrypted content is tested before the include flag. What was not
in the request cannot have been refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from reference_impl.replay.errors import RefusedError

REASONING, INCLUDE, OTHER = "reasoning", "include", "other"
"""What has to be given up for the next try: the replayed items, the include flag, or nothing (raise)."""
INCLUDE_VALUE: Final = "reasoning.encrypted_content"

_DECIDES = (None, 400, 404, 422)
_CODES = ("invalid_encrypted_content", "thinking_signature_invalid")
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_PLACE = re.compile(r"\binput\[(\d+)\]")
_WORDS = re.compile(
    r"(?<!organization )could not be verified"
    r"|could not decrypt"
    r"|could not be decrypted"
    r"|invalid `?signature`? in `?thinking`? block"
    r"|unsupported content type"
    r"|provided without its required following item"
    r"|provided without its required 'reasoning' item",
    re.IGNORECASE,
)


def classify(refusal: RefusedError, body: Mapping[str, Any]) -> str:
    """What was refused of the request `body`: `REASONING`, `INCLUDE` or `OTHER`."""
    reasoned = any(True for _ in _thoughts(body))
    asked = INCLUDE_VALUE in (body.get("include") or ())
    verdict = OTHER
    if refusal.status not in _DECIDES:
        verdict = OTHER
    elif refusal.code in _CODES:
        verdict = REASONING
    elif refusal.param.startswith("include"):
        verdict = INCLUDE
    elif (place := _place(refusal)) is not None:
        verdict = REASONING if _kind(body, place) == "reasoning" else OTHER
    elif refusal.param in ("", "input"):
        verdict = _by_words(refusal.message, body) if reasoned else OTHER
        verdict = INCLUDE if verdict == OTHER and INCLUDE_VALUE in refusal.message else verdict
    possible = {REASONING: reasoned, INCLUDE: asked, OTHER: True}
    return verdict if possible[verdict] else OTHER


def _place(refusal: RefusedError) -> int | None:
    """The element of the input that was refused, by the parameter; by the words only if there is no parameter."""
    found = _PLACE.search(refusal.param or refusal.message)
    return int(found[1]) if found else None


def _by_words(message: str, body: Mapping[str, Any]) -> str:
    return REASONING if _WORDS.search(message) or _named(message, body) else OTHER


def _thoughts(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The reasoning items of an input, or the thinking blocks of messages."""
    for item in (*_listed(body.get("input")), *_listed(body.get("messages"))):
        yield from (one for one in (item, *_listed(item.get("content"))) if one.get("type") in _THOUGHTS)


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _kind(body: Mapping[str, Any], place: int) -> object:
    items = body.get("input")
    item = items[place] if isinstance(items, list) and place < len(items) else None
    return item.get("type") if isinstance(item, Mapping) else None


def _named(message: str, body: Mapping[str, Any]) -> bool:
    """Whether the words name the id of a reasoning item that was sent: not found, duplicate, or in words yet unknown."""
    names = set(re.findall(r"\w+", message))
    return any(str(item.get("id")) in names for item in _thoughts(body) if item.get("id"))
