"""What a provider remembers of its own replies: a replayed item is judged by what was issued, and to whom.

Rule: encrypted contents and signatures are keyed digests, so they prove themselves, also to a ledger that has forgotten;
ids, order and neighbours are remembered. There is no clock and no chance: the same replies give the same ledger.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import zip_longest
from typing import Any

from pytest_durability.dialects.requests import Request

_DIGEST = 16
_FERNET = b"\x80" + bytes(8)
"""Real encrypted contents are Fernet tokens: a version byte and a time, hence the `gAAAAA` in every report."""

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IssuedItem:
    """One output item of a response: the item, the reasoning before it (ids), what followed it, whether an id finds it.

    `reasoning` is the nearest reasoning item before it in the same output; `follower` the item right behind it.
    """

    item: Item
    reasoning: str | None = None
    follower: str | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class _Response:
    """A response that can be continued: everything that was sent for it, and its output."""

    items: tuple[Item, ...]
    kept: bool


class Issued:
    """The ledger of one provider: everything that its replies contained, by endpoint and key.

    It holds plain data, so it can be pickled. `name` tells providers apart that must not read each other's contents.
    """

    def __init__(self, name: str = "provider") -> None:
        self._secret = name.encode()[:64]
        self._items: dict[tuple[str, str, str], IssuedItem] = {}
        self._responses: dict[tuple[str, str, str], _Response] = {}
        self._conversations: dict[tuple[str, str, str], tuple[Item, ...]] = {}
        self._thoughts: dict[str, str] = {}
        self._marks: dict[tuple[str, str], tuple[Item, ...]] = {}
        self._busy: set[tuple[str, str, str]] = set()

    def seal(self, request: Request, item_id: str) -> str:
        """The encrypted content for a reasoning item of the reply to `request`; the same item gets the same content."""
        body = _FERNET + item_id.encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(body + self._digest(request.endpoint, request.key, request.model, item_id)).decode()

    def sign(self, request: Request, thinking: str) -> str:
        """The signature for a thinking block; it binds the text to the model, and is good for every key and endpoint."""
        return base64.b64encode(b"\x12" + self._digest("thinking", request.model, thinking) * 2).decode()

    def redact(self, request: Request, name: str) -> str:
        """The `data` of a redacted thinking block; `name` tells the blocks of a reply apart."""
        return base64.b64encode(b"\x11" + self._digest("redacted", request.model, name) * 2).decode()

    def response(self, request: Request, response_id: str, output: Sequence[Item], *, complete: bool = True) -> None:
        """Remember the output items of a Responses reply, as the client got them.

        `complete=False` is a reply that was cut off: its items are not stored, and cannot be found by their ids.
        """
        kept = complete and request.body.get("store") is not False
        sent = self.effective(request)
        reasoning: str | None = None
        for item, after in zip_longest(output, output[1:]):
            item_id, kind = str(item.get("id") or ""), str(item.get("type"))
            follower = None if after is None else str(after.get("id") or "") or None
            before = None if kind == "reasoning" else reasoning
            reasoning = item_id if kind == "reasoning" else reasoning
            if item_id:
                self._items[*_owner(request), item_id] = IssuedItem(item, before, follower, kept)
        self._responses[*_owner(request), response_id] = _Response((*sent, *output), kept)
        if complete and request.conversation is not None:
            self._conversations[*_owner(request), request.conversation] = (*sent, *output)

    def message(self, request: Request, blocks: Sequence[Item]) -> None:
        """Remember the content blocks of a Messages reply, as the client got them."""
        thinking = tuple(block for block in blocks if is_thinking(block))
        for block in thinking:
            if isinstance(block.get("signature"), str):
                self._thoughts[block["signature"]] = str(block.get("thinking"))
        for block in blocks:
            for mark in _marks(block):
                self._marks[request.endpoint, mark] = thinking

    def begin(self, request: Request) -> None:
        """The conversation of a request is worked on from now on; it takes no second request until `end`."""
        if request.conversation is not None:
            self._busy.add((*_owner(request), request.conversation))

    def end(self, request: Request) -> None:
        """The reply to a request is over."""
        if request.conversation is not None:
            self._busy.discard((*_owner(request), request.conversation))

    def item(self, request: Request, item_id: str) -> IssuedItem | None:
        """What is known of an output item that was issued to the key of this request."""
        return self._items.get((*_owner(request), item_id))

    def has_response(self, request: Request, response_id: str) -> bool:
        """Whether a response can be continued by the key of this request."""
        found = self._responses.get((*_owner(request), response_id))
        return found is not None and found.kept

    def busy(self, request: Request) -> bool:
        """Whether another request works on the conversation of this one."""
        return request.conversation is not None and (*_owner(request), request.conversation) in self._busy

    def before(self, request: Request) -> tuple[Item, ...]:
        """The items that a request reaches through `previous_response_id` or its conversation."""
        previous = request.body.get("previous_response_id")
        if isinstance(previous, str):
            found = self._responses.get((*_owner(request), previous))
            return found.items if found is not None and found.kept else ()
        if request.conversation is not None:
            return self._conversations.get((*_owner(request), request.conversation), ())
        return ()

    def effective(self, request: Request) -> tuple[Item, ...]:
        """Everything the model is given: what is reached through the state of the service, then the input.

        A reference to an item that was stored is that item.
        """
        return (*self.before(request), *(self._resolved(request, item) for item in input_items(request)))

    def _resolved(self, request: Request, item: Item) -> Item:
        found = self.item(request, str(item.get("id"))) if item.get("type") == "item_reference" else None
        return found.item if found is not None and found.kept else item

    def knows_state(self, request: Request) -> bool:
        """Whether everything that a request reaches through the state of the service is known."""
        conversation = request.conversation
        return conversation is None or (*_owner(request), conversation) in self._conversations

    def sealed(self, request: Request, content: str) -> str | None:
        """The id of the item whose encrypted content this is, if it was made for this endpoint, key and model."""
        item_id = sealed_id(content)
        return item_id if item_id is not None and self.seal(request, item_id) == content else None

    def thought(self, signature: str) -> str | None:
        """The text that a signature was issued for."""
        return self._thoughts.get(signature)

    def signed(self, request: Request, thinking: str, signature: str) -> bool:
        """Whether a signature fits a text and the model of a request."""
        return self.sign(request, thinking) == signature

    def thinking_of(self, request: Request, blocks: Sequence[Item]) -> tuple[Item, ...] | None:
        """The thinking blocks that belong to an assistant message, as they were issued; None if it was never issued.

        The message is recognised by any tool call, signature or redacted block that it still has; merged messages count
        one after the other.
        """
        found: dict[int, tuple[Item, ...]] = {}
        for block in blocks:
            for mark in _marks(block):
                thinking = self._marks.get((request.endpoint, mark))
                if thinking is not None:
                    found[id(thinking)] = thinking
        return tuple(block for thinking in found.values() for block in thinking) if found else None

    def _digest(self, *parts: str) -> bytes:
        digest = blake2b(key=self._secret, digest_size=_DIGEST)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.digest()


def input_items(request: Request) -> tuple[Item, ...]:
    """The items of the input of a Responses request, in the places that its errors name; a text is one user message.

    What is not an object keeps its place as an empty one.
    """
    given = request.body.get("input")
    given = request.body.get("items") if given is None else given
    if isinstance(given, str):
        return ({"type": "message", "role": "user", "content": given},)
    return tuple(item if isinstance(item, Mapping) else {} for item in given) if isinstance(given, list) else ()


def sealed_id(content: str) -> str | None:
    """The item id inside an encrypted content; None if it was not made by `Issued.seal`."""
    try:
        body = base64.b64decode(content.encode(), altchars=b"-_", validate=True)
        inside = body.startswith(_FERNET) and len(body) > len(_FERNET) + _DIGEST
        return body[len(_FERNET) : -_DIGEST].decode() if inside else None
    except ValueError:
        return None


def is_thinking(block: Item) -> bool:
    """Whether a content block holds thoughts, readable or redacted."""
    return block.get("type") in ("thinking", "redacted_thinking")


def _marks(block: Item) -> tuple[str, ...]:
    """By what a block is recognised when it comes back."""
    name = {"tool_use": "id", "server_tool_use": "id", "thinking": "signature", "redacted_thinking": "data"}
    value = block.get(name.get(str(block.get("type")), ""))
    return (value,) if isinstance(value, str) and value else ()


def _owner(request: Request) -> tuple[str, str]:
    return request.endpoint, request.key
