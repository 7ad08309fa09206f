"""The steps that the driver of replay plays: their names, walks of them by chance, and what the service is told to do.

Rule: plain tuples and plain names; nothing here judges.
"""

from __future__ import annotations

from pytest_durability.dialects.rule import Group, Hit, Rule

REPLIES = ("plain", "thought", "quiet", "silent", "tool", "both", "interleaved")
WAYS = ("whole", "stream")
REASONING = (
    "responses.invalid_encrypted_content",
    "responses.unknown_parameter",
    "responses.reasoning_without_follower",
    "responses.call_without_reasoning",
    "responses.message_without_reasoning",
    "responses.item_not_found",
    "test.unsupported",
)
INCLUDE = ("responses.include_unsupported", "test.no_include")
OTHERS = ("responses.duplicate_item", "responses.conversation_locked", "any.server_error", "any.rate_limited")
FORCED = tuple(name for name in (*REASONING, *INCLUDE, *OTHERS) if not name.startswith("test."))
SWITCHES = ("model", "endpoint", "key", "nameless")


def walk(chosen, length):
    """Some steps by chance: turns, and between them everything else that can happen."""
    steps = []
    while len(steps) < length:
        between = chosen.choice(
            (
                (("reject", chosen.choice(FORCED)),),
                (("reject", chosen.choice(FORCED)), ("reject", chosen.choice(FORCED))),
                (("switch", chosen.choice(SWITCHES)),),
                (("resume",), ("say", "thought"), ("switch", "model")),
                (("compact", chosen.randrange(6)),),
                (("clock",), ("compact", 0)),
                (("flip",),),
                (("stubborn",),),
                (("flagless",),),
                (("dies",),),
                (("cut",),),
                (("resume",),),
                (),
                (),
            )
        )
        steps += [*between, ("say", chosen.choice(REPLIES), chosen.choice(WAYS))]
    return steps


def script(service, word, reply, *, cut=False):
    """Let the model answer in one of the ways `REPLIES`; `word` gives the words, `cut` breaks the stream inside its text."""
    if reply == "plain":
        service.reply(word())
    elif reply in ("thought", "quiet"):
        made = service.reasoning(word() if reply == "thought" else "").text([word(), " ", word()])
        if cut:
            made.cut(2)
    elif reply == "silent":
        service.reasoning(word()).ends("incomplete")
    else:
        made = service.reasoning(word())
        if reply == "both":
            made.text(word())
        made.tool_call("look", {})
        if reply == "interleaved":
            made.reasoning(word()).tool_call("look", {})
        service.reasoning(word()).text(word())


def refusing(name, message, param, holds):
    """A rule of a service that refuses each request of which `holds` is true."""

    def find(seen):
        if holds(seen.request.body):
            yield Hit({})

    return Rule(name, "responses", Group.SHAPE, "A", message, find, param=param)
