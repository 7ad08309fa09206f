"""What Anthropic Messages refuses: calls and results that do not pair, thinking that is not as it was, empty content.

Rule: neighbours with the same role count as one message; the numbers in an error are those of the request as it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Final

from pytest_durability.dialects.requests import text
from pytest_durability.dialects.rule import Group, Hit, Seen, rule, rules_in
from pytest_durability.dialects.turns import Block, Turn, blocks_of, last_assistant, tool_loop

_OLDER: Final = re.compile(r"claude-(?:instant|[123]\b|v?2|(?:opus|sonnet|haiku)-(?:3|4(?!-\d(?!\d))|4-[0-5](?!\d)))")
_NEWER: Final = re.compile(r"claude-(?:opus|sonnet|haiku)-(?:4-(?:[6-9]|\d\d)(?!\d)|[5-9](?!\d))")


def _all_blocks(seen: Seen) -> Iterator[Block]:
    for n, message in enumerate(seen.messages):
        yield from blocks_of(message, n)


@rule(
    "messages.missing_parameter", Group.ENVELOPE, "B", "{name}: Field required", sample={"name": "max_tokens"}, optional=True,
)  # fmt: skip
def missing_parameter(seen: Seen) -> Iterator[Hit]:
    """A field that every request has is not there."""
    yield from (Hit({"name": name}) for name in ("model", "messages", "max_tokens") if name not in seen.request.body)


@rule(
    "messages.content_required", Group.SHAPE, "C", "messages.{n}.content: Field required",
    sample={"n": 0}, about="assistant", sources=("redpanda-data/ai-sdk-go PR #162",),
)  # fmt: skip
def content_required(seen: Seen) -> Iterator[Hit]:
    """A message has no content at all."""
    for n, message in enumerate(seen.messages):
        if message.get("content") is None:
            yield Hit({"n": n}, f"messages.{n}")


@rule(
    "messages.empty_content", Group.SHAPE, "A",
    "messages.{n}: all messages must have non-empty content except for the optional final assistant message",
    sample={"n": 0}, about="user", sources=("anthropics/claude-code #6774", "anthropics/claude-code #3196"),
)  # fmt: skip
def empty_content(seen: Seen) -> Iterator[Hit]:
    """A message is empty, and is not the assistant's at the end."""
    for n, message in enumerate(seen.messages):
        final = n == len(seen.messages) - 1 and message.get("role") == "assistant"
        if message.get("content") in ("", []) and not final:
            yield Hit({"n": n}, f"messages.{n}")


@rule(
    "messages.cache_control_empty", Group.SHAPE, "A",
    "messages.{n}.content.{m}.text: cache_control cannot be set for empty text blocks",
    sample={"n": 0, "m": 0}, about="text", sources=("anthropics/claude-code #53671", "vercel/eve #2753"),
)  # fmt: skip
def cache_control_empty(seen: Seen) -> Iterator[Hit]:
    """An empty text block asks to be cached."""
    for block in _all_blocks(seen):
        if block.kind == "text" and block.item.get("text") == "" and block.item.get("cache_control"):
            yield Hit({"n": block.n, "m": block.m}, block.place)


@rule(
    "messages.empty_text", Group.SHAPE, "A", "messages: text content blocks must be non-empty",
    about="text", sources=("anthropics/claude-code #53473", "anthropics/claude-code #59812", "miurla/morphic #83"),
)  # fmt: skip
def empty_text(seen: Seen) -> Iterator[Hit]:
    """A text block in a list of blocks is empty."""
    for block in _all_blocks(seen):
        sent_as_list = isinstance(seen.messages[block.n].get("content"), list)
        empty = block.kind == "text" and block.item.get("text") == ""
        if sent_as_list and empty and not block.item.get("cache_control"):
            yield Hit({}, block.place)


@rule(
    "messages.blank_text", Group.SHAPE, "A", "messages: text content blocks must contain non-whitespace text",
    about="text", sources=("anthropics/claude-code #23352", "continuedev/continue #9605"),
)  # fmt: skip
def blank_text(seen: Seen) -> Iterator[Hit]:
    """A text is nothing but white space."""
    for block in _all_blocks(seen):
        written = text(block.item.get("text"))
        if block.kind == "text" and written and not written.strip():
            yield Hit({}, block.place)


@rule(
    "messages.prefill", Group.SHAPE, "A",
    "This model does not support assistant message prefill. The conversation must end with a user message.",
    about="assistant", sources=("smallmain/vscode-unify-chat-provider #249", "soleur #3250"),
)  # fmt: skip
def prefill(seen: Seen) -> Iterator[Hit]:
    """The last message is the assistant's: older models go on with it, newer ones refuse, others are not known."""
    model = seen.request.model.replace(".", "-")
    last = seen.turns[-1] if seen.turns else None
    if last is not None and last.role == "assistant" and not last.calls and not _OLDER.search(model):
        yield Hit({}, f"messages.{last.n}", sure=bool(_NEWER.search(model)))


@rule(
    "messages.duplicate_tool_use", Group.DUPLICATES, "A", "messages.{n}.content.{m}: `tool_use` ids must be unique",
    sample={"n": 0, "m": 0}, about="tool_use", sources=("anthropics/claude-code #28515", "trycua/cua #524"),
)  # fmt: skip
def duplicate_tool_use(seen: Seen) -> Iterator[Hit]:
    """One id is used by two calls."""
    known: set[str] = set()
    for block in _all_blocks(seen):
        if block.kind == "tool_use":
            if text(block.item.get("id")) in known:
                yield Hit({"n": block.n, "m": block.m}, block.place)
            known.add(text(block.item.get("id")))


@rule(
    "messages.multiple_results", Group.DUPLICATES, "C",
    "messages.{n}.content.{m}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}",
    sample={"n": 0, "m": 0, "id": "toolu_0"}, about="tool_result",
    sources=("sipeed/picoclaw PR #1793", "QwenLM/qwen-code PR #8163"),
)  # fmt: skip
def multiple_results(seen: Seen) -> Iterator[Hit]:
    """Two results answer one call, also in neighbouring user messages, which get merged."""
    for turn in seen.turns:
        known: set[str] = set()
        for block in turn.results:
            name = text(block.item.get("tool_use_id"))
            if name in known:
                yield Hit({"n": block.n, "m": block.m, "id": name}, block.place)
            known.add(name)


@rule(
    "messages.missing_result", Group.PAIRING, "A",
    "messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. "
    "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
    sample={"n": 0, "ids": "toolu_0"}, about="tool_use",
    sources=("anthropics/claude-code #1894", "anthropics/claude-code #8210", "anthropics/claude-code #5989 (two ids)"),
)  # fmt: skip
def missing_result(seen: Seen) -> Iterator[Hit]:
    """A call is not answered by the very next message; a text in front of the answer gives a warning."""
    for turn, after in zip_longest(seen.turns, seen.turns[1:]):
        answered = {text(block.item.get("tool_use_id")) for block in after.results} if after else set()
        missing = [text(block.item.get("id")) for block in turn.calls if text(block.item.get("id")) not in answered]
        if missing:
            yield Hit({"n": turn.n, "ids": ", ".join(missing)}, f"messages.{turn.n}")
        elif turn.calls and after is not None and after.blocks[0].kind != "tool_result":
            ids = ", ".join(text(block.item.get("id")) for block in turn.calls)
            yield Hit({"n": turn.n, "ids": ids}, f"messages.{turn.n}", sure=False)


@rule(
    "messages.orphan_result", Group.PAIRING, "A",
    "messages.{n}.content.{m}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. "
    "Each `tool_result` block must have a corresponding `tool_use` block in the previous message.",
    sample={"n": 0, "m": 0, "id": "toolu_0"}, about="tool_result",
    sources=("anthropics/claude-code #14132", "anthropics/claude-code #18947"),
)  # fmt: skip
def orphan_result(seen: Seen) -> Iterator[Hit]:
    """A result answers no call of the message before it."""
    before: Turn | None = None
    for turn in seen.turns:
        called = {text(block.item.get("id")) for block in before.calls} if before is not None else set()
        for block in turn.results:
            name = text(block.item.get("tool_use_id"))
            if name not in called:
                yield Hit({"n": block.n, "m": block.m, "id": name}, block.place)
        before = turn


@rule(
    "messages.thinking_not_first", Group.ADJACENCY, "B",
    "messages.{n}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, "
    "a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` "
    "blocks).",
    sample={"n": 0, "found": "tool_use"}, about="tool_use", sources=("continuedev/continue #4470",),
)  # fmt: skip
def thinking_not_first(seen: Seen) -> Iterator[Hit]:
    """Thinking is on, and the turn whose tool loop goes on has lost the thoughts it started with.

    When nothing is known of what was issued it is a warning: there may have been none.
    """
    setting = seen.request.body.get("thinking")
    turn = tool_loop(seen.turns)
    if turn is None or not isinstance(setting, Mapping) or setting.get("type") != "enabled" or not turn.blocks:
        return
    first = turn.blocks[0]
    if first not in turn.thinking and _as_issued(seen, turn) != ():
        yield Hit({"n": first.n, "found": first.kind}, first.place, sure=seen.issued is not None)


def _as_issued(seen: Seen, turn: Turn) -> tuple[object, ...] | None:
    """The thinking blocks of a turn as they were issued; None if nothing is known of it."""
    return seen.issued.thinking_of(seen.request, [block.item for block in turn.blocks]) if seen.issued is not None else None


@rule(
    "messages.thinking_modified", Group.ADJACENCY, "A",
    "messages.{n}.content.{m}: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response.",
    sample={"n": 0, "m": 0}, about="thinking", sources=("anthropics/claude-code #19539", "anthropics/claude-code #63404"),
)  # fmt: skip
def thinking_modified(seen: Seen) -> Iterator[Hit]:
    """The thinking of the last assistant message was altered, dropped in part, merged or reordered.

    Thinking that was left out as a whole is legal outside a tool loop, and another rule inside it; a signature that was
    never issued is another rule too.
    """
    turn = last_assistant(seen.turns)
    issued = _as_issued(seen, turn) if turn is not None else None
    if turn is None or issued is None or not turn.thinking or list(_unsigned(seen, turn)):
        return
    given = [_bare(block.item) for block in turn.thinking]
    expected = [_bare(item) for item in issued if isinstance(item, Mapping)]
    if given != expected:
        wrong = next(
            (i for i, (a, b) in enumerate(zip(given, expected, strict=False)) if a != b), min(len(given), len(expected)) - 1
        )
        block = turn.thinking[max(wrong, 0)]
        yield Hit({"n": block.n, "m": block.m}, block.place)


def _bare(item: object) -> tuple[str, ...]:
    """What must not change in a thinking block."""
    return tuple(text(item.get(name)) for name in ("type", "thinking", "signature", "data")) if isinstance(item, Mapping) else ()


def _unsigned(seen: Seen, turn: Turn) -> Iterator[Block]:
    """The thinking blocks of a turn whose signature was never issued for this model."""
    if seen.issued is None:
        return
    for block in turn.thinking:
        if block.kind == "thinking":
            signature, thought = text(block.item.get("signature")), text(block.item.get("thinking"))
            original = seen.issued.thought(signature)
            if not seen.issued.signed(seen.request, thought if original is None else original, signature):
                yield block


@rule(
    "messages.invalid_signature", Group.SECRETS, "A", "messages.{n}.content.{m}: Invalid `signature` in `thinking` block",
    sample={"n": 0, "m": 0}, about="thinking", sources=("openclaw #120596", "Antigravity-Manager #498", "anthropic-sdk-python #1598"),
)  # fmt: skip
def invalid_signature(seen: Seen) -> Iterator[Hit]:
    """A signature is empty, cut, altered, made by another model, or (in earlier messages) stands at another text.

    When nothing is known of what was issued, an empty signature is refused all the same.
    """
    last = last_assistant(seen.turns)
    for turn in seen.turns:
        unsigned = list(_unsigned(seen, turn))
        for block in turn.thinking:
            if block.kind == "thinking" and (_empty(block) or block in unsigned or (turn is not last and _strayed(seen, block))):
                yield Hit({"n": block.n, "m": block.m}, block.place)


def _empty(block: Block) -> bool:
    return not block.item.get("signature")


def _strayed(seen: Seen, block: Block) -> bool:
    """Whether a signature stands at another text than it was issued for."""
    original = seen.issued.thought(text(block.item.get("signature"))) if seen.issued is not None else None
    return original is not None and original != text(block.item.get("thinking"))


RULES: Final = rules_in(globals())
"""The rules of Anthropic Messages."""
