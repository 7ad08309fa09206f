"""What OpenAI Responses refuses: calls and outputs that do not pair, reasoning that lost its neighbour, foreign contents.

Rule: an item without an id is never looked up and has no required neighbour; what was issued to another key or endpoint is
unknown here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from pytest_durability.dialects.issued import Item, input_items, sealed_id
from pytest_durability.dialects.requests import text
from pytest_durability.dialects.rule import Group, Hit, Seen, rule, rules_in

INCLUDE: Final = "reasoning.encrypted_content"
_PREFIXES: Final = {"reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc", "message": "msg"}
_OUTPUT: Final = "_output"


def kind_of(item: Item) -> str:
    """The type of an item; a message may leave it out."""
    return text(item.get("type")) or ("message" if "role" in item else "")


def _id(item: Item) -> str:
    return text(item.get("id"))


def _content(item: Item) -> str:
    """The encrypted content of a reasoning item, "" if it has none."""
    return text(item.get("encrypted_content")) if kind_of(item) == "reasoning" else ""


def _answerable(item: Item) -> bool:
    return kind_of(item).endswith("_call") and bool(item.get("call_id"))


@rule(
    "responses.missing_parameter", Group.ENVELOPE, "A", "Missing required parameter: '{name}'.",
    param="{name}", code="missing_required_parameter", sample={"name": "model"}, optional=True, sources=("openai/codex #6934",),
)  # fmt: skip
def missing_parameter(seen: Seen) -> Iterator[Hit]:
    """There is no model, and no stored prompt that names one."""
    body = seen.request.body
    if not body.get("model") and not body.get("prompt") and not seen.request.adds_items:
        yield Hit({"name": "model"})


@rule(
    "responses.previous_response_not_found", Group.ENVELOPE, "A", "Previous response with id '{id}' not found.",
    param="previous_response_id", code="previous_response_not_found", sample={"id": "resp_0"}, about="previous_response_id",
    sources=("maximhq/bifrost #2441", "bigduu/Bamboo-agent #64", "openclaw #88499 (as 404)"),
)  # fmt: skip
def previous_response_not_found(seen: Seen) -> Iterator[Hit]:
    """The previous response is unknown, or was made with `store=false`."""
    previous = seen.request.body.get("previous_response_id")
    if isinstance(previous, str) and seen.issued is not None and not seen.issued.has_response(seen.request, previous):
        yield Hit({"id": previous}, "previous_response_id")


@rule(
    "responses.conversation_locked", Group.ENVELOPE, "A",
    "Another process is currently operating on this conversation. Please retry in a few seconds.",
    param="conversation", code="conversation_locked", sources=("paulgmiller/careme #379",),
)  # fmt: skip
def conversation_locked(seen: Seen) -> Iterator[Hit]:
    """Another response on the same conversation is not finished."""
    if seen.issued is not None and seen.issued.busy(seen.request):
        yield Hit({}, "conversation")


@rule(
    "responses.include_unsupported", Group.ENVELOPE, "C", "The include value '{include}' is not supported with this model.",
    param="include", sample={"include": INCLUDE}, optional=True, sources=("dana-runtime PR 10",),
)  # fmt: skip
def include_unsupported(seen: Seen) -> Iterator[Hit]:
    """The account or the API version does not know the include flag for encrypted reasoning."""
    include = seen.request.body.get("include")
    if isinstance(include, list) and INCLUDE in include:
        yield Hit({"include": INCLUDE}, "include")


@rule(
    "responses.invalid_conversation_item", Group.SHAPE, "A", "Invalid item",
    param="item", code="invalid_item", sources=("openai/openai-agents-python #1709",),
)  # fmt: skip
def invalid_conversation_item(seen: Seen) -> Iterator[Hit]:
    """A reasoning item is added through the Conversations API."""
    if seen.request.adds_items:
        for n, item in enumerate(input_items(seen.request)):
            if kind_of(item) == "reasoning":
                yield Hit({}, f"items[{n}]")


@rule(
    "responses.unknown_parameter", Group.SHAPE, "A", "Unknown parameter: 'input[{n}].{field}'.",
    param="input[{n}].{field}", code="unknown_parameter", sample={"n": 0, "field": "status"}, about="reasoning",
    sources=("1jehuang/jcode #1028", "dana-runtime PR 10"),
)  # fmt: skip
def unknown_parameter(seen: Seen) -> Iterator[Hit]:
    """A reasoning item carries a field that only replies have: `status`; `content` (unverified)."""
    for index in range(seen.reached, len(seen.items)):
        item = seen.items[index]
        if kind_of(item) == "reasoning":
            n = index - seen.reached
            if "status" in item:
                yield Hit({"n": n, "field": "status"}, f"input[{n}]", sure=item["status"] is not None)
            if item.get("content"):
                yield Hit({"n": n, "field": "content"}, f"input[{n}]", sure=False)


@rule(
    "responses.id_prefix", Group.SHAPE, "A", "Invalid 'input[{n}].id': '{id}'. Expected an ID that begins with '{prefix}'.",
    param="input[{n}].id", code="invalid_value", sample={"n": 0, "id": "call_0", "prefix": "fc"}, about="function_call",
    sources=("continuedev/continue #11811", "jlcodes99/cockpit-tools #2090", "BigPizzaV3/CodexPlusPlus #1929 (another code)"),
)  # fmt: skip
def id_prefix(seen: Seen) -> Iterator[Hit]:
    """The prefix of an id does not fit the type of its item, as in the history of another provider."""
    for index in range(seen.reached, len(seen.items)):
        item = seen.items[index]
        prefix = _PREFIXES.get(kind_of(item), "")
        if _id(item) and not _id(item).startswith(prefix):
            n = index - seen.reached
            yield Hit({"n": n, "id": _id(item), "prefix": prefix}, f"input[{n}]")


@rule(
    "responses.duplicate_item", Group.DUPLICATES, "A",
    "Duplicate item found with id {id}. Remove duplicate items from your input and try again.",
    param="input", sample={"id": "msg_0"}, about="message", sources=("continuedev/continue #10200",),
)  # fmt: skip
def duplicate_item(seen: Seen) -> Iterator[Hit]:
    """One item id stands twice in what the model is given."""
    counts = Counter(_id(item) for item in seen.items)
    for index, item in enumerate(seen.items):
        if _id(item) and counts[_id(item)] > 1:
            counts[_id(item)] = 0
            yield Hit({"id": _id(item)}, seen.place(index))


@rule(
    "responses.missing_output", Group.PAIRING, "A", "No tool output found for {kind} {call_id}.",
    param="input", sample={"call_id": "call_0", "kind": "function call"}, about="function_call",
    sources=("symgraph/GhidrAssist #78", "openai/codex #394"),
)  # fmt: skip
def missing_output(seen: Seen) -> Iterator[Hit]:
    """A call has no output. The words are known for function calls; other calls give a warning."""
    answered = {text(item.get("call_id")) for item in seen.items if kind_of(item).endswith(_OUTPUT)}
    for index, item in enumerate(() if seen.partial else seen.items):
        if _answerable(item) and text(item["call_id"]) not in answered:
            kind = kind_of(item).replace("_", " ")
            yield Hit({"call_id": text(item["call_id"]), "kind": kind}, seen.place(index), sure=kind == "function call")


@rule(
    "responses.missing_call", Group.PAIRING, "A", "No tool call found for {kind} output with call_id {call_id}.",
    param="input", sample={"call_id": "call_0", "kind": "function call"}, about="function_call_output",
    sources=("dataelement/Clawith #446", "cline/cline #9288"),
)  # fmt: skip
def missing_call(seen: Seen) -> Iterator[Hit]:
    """An output has no call before it. The words are known for function calls; other calls give a warning."""
    called: set[str] = set()
    for index, item in enumerate(() if seen.partial else seen.items):
        if _answerable(item):
            called.add(text(item["call_id"]))
        elif kind_of(item).endswith(f"_call{_OUTPUT}") and text(item.get("call_id")) not in called:
            kind = kind_of(item).removesuffix(_OUTPUT).replace("_", " ")
            yield Hit({"call_id": text(item.get("call_id")), "kind": kind}, seen.place(index), sure=kind == "function call")


@rule(
    "responses.reasoning_without_follower", Group.ADJACENCY, "B",
    "Item '{rs_id}' of type 'reasoning' was provided without its required following item.",
    param="input", sample={"rs_id": "rs_0"}, about="reasoning",
    sources=("openai/openai-agents-js #326", "openai/openai-agents-js #929"),
)  # fmt: skip
def reasoning_without_follower(seen: Seen) -> Iterator[Hit]:
    """A reasoning item is kept by id, and the output that followed it is absent or not next."""
    for index in range(seen.reached, len(seen.items)):
        item = seen.items[index]
        after = seen.items[index + 1] if index + 1 < len(seen.items) else None
        if kind_of(item) == "reasoning" and _id(item) and not _follows(seen, _id(item), after):
            yield Hit({"rs_id": _id(item)}, seen.place(index))


def _follows(seen: Seen, rs_id: str, after: Item | None) -> bool:
    """Whether an item can be what the model made right behind a reasoning item; an item without an id is not looked at."""
    if after is None or kind_of(after).endswith(_OUTPUT):
        return False
    if kind_of(after) == "message" and text(after.get("role")) not in ("assistant", ""):
        return False
    known = seen.issued.item(seen.request, rs_id) if seen.issued is not None else None
    return known is None or known.follower is None or not _id(after) or _id(after) == known.follower


def _lacking(seen: Seen) -> Iterator[tuple[int, str]]:
    """The places in the input whose items need a reasoning item that does not stand before them, and its id."""
    before: set[str | None] = set()
    for index, item in enumerate(seen.items):
        if kind_of(item) == "reasoning":
            before |= {_id(item), sealed_id(_content(item))}
        elif index >= seen.reached and seen.issued is not None and _id(item):
            known = seen.issued.item(seen.request, _id(item))
            if known is not None and known.reasoning is not None and known.reasoning not in before:
                yield index, known.reasoning


@rule(
    "responses.call_without_reasoning", Group.ADJACENCY, "A",
    "Item '{fc_id}' of type '{kind}' was provided without its required 'reasoning' item: '{rs_id}'.",
    param="input", sample={"fc_id": "fc_0", "rs_id": "rs_0", "kind": "function_call"}, about="function_call",
    sources=("VRSEN/agency-swarm #367",),
)  # fmt: skip
def call_without_reasoning(seen: Seen) -> Iterator[Hit]:
    """A call keeps its id, and the reasoning item it was made with is gone. Other calls than functions give a warning."""
    for index, rs_id in _lacking(seen):
        kind = kind_of(seen.items[index])
        if kind.endswith("_call"):
            values = {"fc_id": _id(seen.items[index]), "rs_id": rs_id, "kind": kind}
            yield Hit(values, seen.place(index), sure=kind == "function_call")


@rule(
    "responses.message_without_reasoning", Group.ADJACENCY, "A",
    "Item '{msg_id}' of type 'message' was provided without its required 'reasoning' item: '{rs_id}'.",
    param="input", sample={"msg_id": "msg_0", "rs_id": "rs_0"}, about="message",
    sources=("openai/openai-agents-python #1900",),
)  # fmt: skip
def message_without_reasoning(seen: Seen) -> Iterator[Hit]:
    """A message keeps its id, and the reasoning item it was made with is gone, or comes after it."""
    for index, rs_id in _lacking(seen):
        if kind_of(seen.items[index]) == "message":
            yield Hit({"msg_id": _id(seen.items[index]), "rs_id": rs_id}, seen.place(index))


@rule(
    "responses.item_not_found", Group.SECRETS, "A",
    "Item with id '{rs_id}' not found. Items are not persisted when `store` is set to false. "
    "Try again with `store` set to true, or remove this item from your input.",
    status=404, param="input", sample={"rs_id": "rs_0"}, about="reasoning",
    sources=("openai/openai-agents-python #919", "opencode #4426", "opencode #8746", "vercel/ai #7543"),
)  # fmt: skip
def item_not_found(seen: Seen) -> Iterator[Hit]:
    """An item that stands for itself by its id only was not stored, was cut off, or was never issued to this key.

    When nothing is known of what was issued, a request that says `store=false` gives a warning.
    """
    for index in range(seen.reached, len(seen.items)):
        item = seen.items[index]
        bare = kind_of(item) == "item_reference" or (kind_of(item) == "reasoning" and not _content(item))
        if bare and _id(item):
            known = seen.issued.item(seen.request, _id(item)) if seen.issued is not None else None
            doubtful = seen.issued is None and (kind_of(item) == "item_reference" or seen.request.body.get("store") is not False)
            if not doubtful and (known is None or not known.kept):
                yield Hit({"rs_id": _id(item)}, seen.place(index), sure=seen.issued is not None)


@rule(
    "responses.invalid_encrypted_content", Group.SECRETS, "A", "The encrypted content {content} could not be verified.{reason}",
    code="invalid_encrypted_content", sample={"content": "gAAA...xx==", "reason": ""}, about="reasoning",
    sources=("openai/codex #8145", "openai/codex #8119", "Wei-Shaw/sub2api #2863 (with a reason)"),
)  # fmt: skip
def invalid_encrypted_content(seen: Seen) -> Iterator[Hit]:
    """An encrypted content was altered, belongs to another item, or was made for another key, endpoint or model."""
    for index in range(seen.reached, len(seen.items)):
        item = seen.items[index]
        if _content(item) and seen.issued is not None:
            made_for = seen.issued.sealed(seen.request, _content(item))
            if made_for is None or (_id(item) and made_for != _id(item)):
                yield Hit({"content": short(_content(item))}, seen.place(index))


def short(content: str) -> str:
    """An encrypted content as the service quotes it."""
    return f"{content[:4]}...{content[-4:]}"


RULES: Final = rules_in(globals())
"""The rules of OpenAI Responses."""
