"""The steps that the driver of replay plays: their names, walks of them by chance, and what the service is told to do.

Rule: plain tuples and plain names; nothing here judges.
"""

from __future__ import annotations

from pytest_durability.dialects.rule import Group, Hit, Rule

REPLIES = ("plain", "thought", "quiet", "silent", "tool", "both", "interleaved", "gated", "beside", "behind")
GATED = ("gated", "beside", "behind")
"""Replies with a call that waits for approval: alone, before a call that does not wait, behind one."""
ANSWERS = ("yes", "no")
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
BUSY = ("any.server_error", "any.rate_limited", "any.overloaded", "any.conflict")
BROKEN = ("any.response_lost", "any.truncated_stream", "any.abort")
OTHERS = ("responses.duplicate_item", "responses.conversation_locked", "any.unauthorized", *BUSY, *BROKEN)
FORCED = tuple(name for name in (*REASONING, *INCLUDE, *OTHERS) if not name.startswith("test."))
SWITCHES = ("model", "endpoint", "key", "nameless")
BETWEEN = (
    (("resume",),),
    *((("compact", keep),) for keep in (0, 1, 2, 3, 5)),
    (("compact", 2), ("resume",), ("compact", 0)),
    (("flip",),),
    *((("switch", what),) for what in SWITCHES),
    (("switch", "model"), ("say", "thought", "whole"), ("switch", "model")),
    (("stubborn",),),
    (("clock",), ("compact", 1)),
    (("say", "plain", "whole"), ("flip",), ("resume",), ("say", "plain", "whole"), ("flip",)),
)
"""What may come between any two steps."""

STORY = (
    ("say", "thought", "stream"),
    ("say", "behind", "whole"),
    ("decide", "yes"),
    ("decide", "no"),
    ("dies",),
    ("say", "interleaved", "whole"),
    ("reject", "responses.include_unsupported"),
    ("reject", "responses.invalid_encrypted_content"),
    ("say", "beside", "stream"),
    ("dies",),
    ("decide", "yes"),
    ("cut",),
    ("say", "silent", "whole"),
    ("say", "quiet", "stream"),
)
"""A long story in which something happens already."""


def disturbed():
    """The story with something else besides: each of `BETWEEN` and each refusal, at each place."""
    for more in (*BETWEEN, *((("reject", name),) for name in FORCED)):
        for place in range(len(STORY)):
            yield (*STORY[:place], *more, *STORY[place:])


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
                (("decide", chosen.choice(ANSWERS)),),
                (("resume",), ("decide", "yes")),
                (("dies",), ("decide", "yes"), ("decide", "yes")),
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
        made.tool_call("ask" if reply in ("gated", "beside") else "look", {})
        if reply == "interleaved":
            made.reasoning(word()).tool_call("look", {})
        elif reply == "beside":
            made.tool_call("look", {})
        elif reply == "behind":
            made.reasoning(word()).tool_call("ask", {}).tool_call("ask", {})
        service.reasoning(word()).text(word())


def refusing(name, message, param, holds):
    """A rule of a service that refuses each request of which `holds` is true."""

    def find(seen):
        if holds(seen.request.body):
            yield Hit({})

    return Rule(name, "responses", Group.SHAPE, "A", message, find, param=param)
