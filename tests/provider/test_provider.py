"""What the provider answers, notes and remembers, asked directly and without any HTTP."""

from __future__ import annotations

import json

import pytest

from pytest_durability.dialects.strict import Strict
from pytest_durability.errors import UsageError
from pytest_durability.history import Lane, Outcome
from pytest_durability.verdict import VacuousRun
from pytest_durability.world.provider.provider import Provider

PATHS = {"responses": "/v1/responses", "chat": "/v1/chat/completions", "messages": "/v1/messages"}
KEY = {"authorization": "Bearer k", "host": "provider.test"}


def ask(provider, dialect="responses", *, stream=True, **body):
    """Send a request that is fine."""
    content = {"input": "hi"} if dialect == "responses" else {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    sent = {"model": "m", "stream": stream, **content, **body}
    return provider.receive("POST", PATHS[dialect], KEY, json.dumps(sent).encode())


def read(exchange):
    """Read an answer to its end."""
    return b"".join(exchange.parts())


def ops(provider, *lanes):
    """Kind and target of the ops of some lanes."""
    return [(op.kind, op.target) for op in provider.history if op.lane in (lanes or tuple(Lane))]


def ask_all(provider):
    """One request in each dialect, streamed and not: the bytes of the answers."""
    return [read(ask(provider, dialect, stream=stream)) for dialect in PATHS for stream in (True, False)]


def test_the_same_script_gives_the_same_bytes():
    """Two providers with one script answer the same requests with the same bytes, in all dialects."""

    def answers():
        provider = Provider()
        for _ in range(6):
            provider.reasoning("hm").text("Hello wörld").tool_call("f", {"q": 1})
        return ask_all(provider)

    first = answers()
    assert first == answers()
    assert len(set(first)) == 6


@pytest.mark.parametrize("dialect", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_what_was_sent_is_noted(provider, dialect, stream):
    """The request, each piece and the end are ops in the order in which they happened; the record adds up to the text."""
    provider.reply(["Hel", "lo"])
    exchange = ask(provider, dialect, stream=stream)
    assert ops(provider) == [("request", dialect)]
    read(exchange)
    assert ops(provider, Lane.STREAM) == [
        *([("text", "Hel"), ("text", "lo")] if stream else [("text", "Hello")]),
        ("end", dialect),
    ]
    assert {op.call for op in provider.history.lane(Lane.STREAM)} == {exchange.op.seq}
    assert (exchange.text, exchange.ended, exchange.complete) == ("Hello", "end", True)
    assert provider.requests == [exchange]


def test_a_piece_is_delivered_when_its_event_is_whole(provider):
    """With pieces of one byte, the op comes with the byte that completes the event, not before."""
    provider.chunk_size = 1
    provider.reply("Hi")
    exchange = ask(provider)
    delivered = next(event for event in exchange.answer.events if event.text)
    upto = sum(len(event.data) for event in exchange.answer.events[: exchange.answer.events.index(delivered) + 1])
    parts = exchange.parts()
    assert all(len(next(parts)) == 1 for _ in range(upto - 1))
    assert exchange.text == ""
    next(parts)
    assert exchange.text == "Hi"


def test_a_cut_is_noted_with_its_place(provider):
    """The op of the cut failed, says how and where, and nothing comes after it."""
    provider.reply("Hello world").cut(5, "reset")
    exchange = ask(provider)
    read(exchange)
    last = provider.history[-1]
    assert (last.kind, last.note, last.outcome) == ("cut", "reset after 5 characters", Outcome.FAILED)
    assert (exchange.text, exchange.ended, exchange.breaks) == ("Hello", "cut", "reset")


def test_a_client_that_stops_reading(provider):
    """What it had by then is noted; one that stops behind the end has simply read everything."""
    provider.reply(["a", "b", "c"])
    exchange = ask(provider)
    for _ in exchange.parts():
        if exchange.text == "ab":
            break
    exchange.leave()
    exchange.leave()
    assert ops(provider, Lane.STREAM) == [("text", "a"), ("text", "b"), ("left", "responses")]
    provider.reply("a")
    whole = ask(provider)
    parts = whole.parts()
    for _ in whole.answer.events:
        next(parts)
    whole.leave()
    assert whole.ended == "end"


def test_the_dead_are_not_noted(provider):
    """After the process died, what its objects still read is no delivery."""
    provider.reply(["a", "b", "c"])
    exchange = ask(provider)
    parts = exchange.parts()
    while exchange.text != "a":
        next(parts)
    provider.bury()
    list(parts)
    exchange.leave()
    assert (exchange.text, exchange.ended) == ("a", "dead")
    assert ops(provider, Lane.STREAM) == [("text", "a")]


def test_a_reply_is_built_part_by_part(provider):
    """Each method of the provider starts a reply, each method of what it returns adds to it."""
    provider.reasoning("hm").tool_call("f", {"a": 1}).tool_call("g", id="own").text("so")
    provider.reply("next")
    first = json.loads(read(ask(provider, stream=False)))
    assert [item["type"] for item in first["output"]] == ["reasoning", "function_call", "function_call", "message"]
    assert first["output"][2]["call_id"] == "own"
    assert json.loads(read(ask(provider, stream=False)))["output"][0]["content"][0]["text"] == "next"


def test_nothing_scripted_is_told(provider):
    """The request is refused with a message that no client tries again, and that says what to do."""
    exchange = ask(provider)
    error = json.loads(read(exchange))["error"]
    assert exchange.answer.status == 400
    assert "request 1 (/v1/responses) has no scripted reply" in error["message"]
    assert ops(provider, Lane.PROVIDER) == [("request", "responses"), ("unscripted", "responses")]
    provider.otherwise("always")
    assert [read(ask(provider)) != b"" and provider.requests[-1].text for _ in range(2)] == ["always", "always"]
    provider.otherwise(None)
    assert ask(provider).answer.status == 400


def test_a_path_of_no_dialect(provider):
    """It is refused, noted and kept apart from the requests."""
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/embeddings"), ("GET", "/v1/responses")):
        exchange = provider.receive(method, path, KEY, b"")
        assert exchange.answer.status == 404
        assert f"{method} {path}" in json.loads(read(exchange))["error"]["message"]
    assert provider.requests == []
    assert [op.kind for op in provider.history] == ["stray"] * 3
    assert len(provider.strays) == 3


def test_cuts_apply_to_the_reply_scripted_last(provider):
    """Or, if none waits, to the next one that is served."""
    provider.reply("first")
    provider.reply("second")
    provider.cut(3, "reset")
    provider.otherwise("third")
    texts = []
    for _ in range(3):
        read(ask(provider))
        texts.append(provider.requests[-1].text)
    provider.cut(2)
    read(ask(provider))
    assert [*texts, provider.requests[-1].text] == ["first", "sec", "third", "th"]


def test_a_reply_is_cut_once(provider):
    """A second cut could never strike."""
    provider.reply("text").cut(1)
    with pytest.raises(UsageError, match=r"cut already \(eof after 1 characters\)"):
        provider.cut(2)
    with pytest.raises(UsageError, match="only 4 characters"):
        provider.reply("text").cut(5)


def test_faults_that_never_struck_are_told(provider):
    """A cut of a reply that nobody asked for, a cut at a place that was not there, a rejection that waits."""
    assert provider.idle() == []
    provider.check()
    provider.reply("text").cut(1)
    provider.reject("chat.orphan_tool_message")
    provider.otherwise("short")
    assert provider.idle() == ["cut(eof after 1 characters)", "reject('chat.orphan_tool_message')"]
    read(ask(provider))
    provider.cut("event:99", "reset")
    read(ask(provider))
    assert provider.requests[-1].text == "short"
    with pytest.raises(VacuousRun, match=r"cut\(reset event:99\) never struck"):
        provider.check()


@pytest.mark.parametrize("dialect", PATHS)
def test_rejections_can_be_forced(provider, dialect):
    """They win over what is scripted, which waits; they are noted with their words."""
    rule = {"responses": "responses.missing_output", "chat": "chat.orphan_tool_message", "messages": "messages.missing_result"}[
        dialect
    ]
    provider.reply("after all")
    provider.reject(rule, times=2)
    for _ in range(2):
        exchange = ask(provider, dialect)
        assert (exchange.answer.status, exchange.rejected) == (400, rule)
        assert json.loads(read(exchange))["error"]["message"]
        assert exchange.ended == "rejected"
    assert [op.target for op in provider.history if op.kind == "rejected"] == [rule, rule]
    read(ask(provider, dialect))
    assert provider.requests[-1].text == "after all"
    assert provider.idle() == []


def test_a_rejection_waits_for_its_dialect(provider):
    """A refusal in the words of another provider would be no test of anything."""
    provider.reply("hello")
    provider.reject("messages.prefill")
    assert read(ask(provider, "chat"))
    assert provider.requests[0].rejected == ""
    assert ask(provider, "messages").rejected == "messages.prefill"


def test_transient_answers(provider):
    """Status and words can be chosen; a lost, a truncated and an aborted answer use up the reply."""
    provider.reject("any.server_error", status=503)
    assert ask(provider).answer.status == 503
    for rule in ("any.response_lost", "any.truncated_stream", "any.abort"):
        provider.reply("text")
        provider.reject(rule)
    lost, truncated, aborted = (ask(provider, "chat") for _ in range(3))
    assert (lost.answer.position.answered, lost.breaks) == (False, "reset")
    assert b"[DONE]" not in read(truncated)
    assert (truncated.text, truncated.ended) == ("text", "cut")
    assert b'"finish_reason":"abort"' in read(aborted)
    assert provider.idle() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: p.reject("chat.nothing"), "is not a rejection"),
        (lambda p: p.reject("any.conflict", times=0), "give 1 or more"),
        (lambda p: p.reject("any.server_error", status=200), "has no status"),
        (lambda p: p.cut("somewhere"), "cut"),
        (lambda p: p.reply("x", end="maybe"), "cannot end"),
        (lambda p: p.client("telnet"), "async-openai"),
        (lambda p: p.transport("requests"), "no library that has transports"),
        (lambda p: p.transport(json), "no library that has transports"),
    ],
)
def test_misuse_is_refused_at_once(provider, call, message):
    """What can never work is told when it is asked for, not when a client has swallowed it."""
    with pytest.raises(UsageError, match=message):
        call(provider)


def test_malformed_conversations_are_refused(provider):
    """A tool result without its call gets the real refusal, is on record with its finding, and leaves the script alone."""
    provider.reply("fine")
    broken = ask(provider, "chat", messages=[{"role": "tool", "tool_call_id": "x", "content": "4"}])
    assert (broken.rejected, broken.answer.status) == ("chat.orphan_tool_message", 400)
    assert [finding.rule for finding in broken.findings.refused] == ["chat.orphan_tool_message"]
    fine = ask(provider, "chat")
    assert not fine.findings
    assert fine.rejected == ""


def test_every_request_is_examined_even_if_it_is_rejected_anyway(provider):
    """The lint result is kept when a forced rejection hides it."""
    provider.reject("any.rate_limited")
    exchange = ask(provider, "chat", messages=[{"role": "tool", "tool_call_id": "x", "content": "4"}])
    assert exchange.rejected == "any.rate_limited"
    assert exchange.findings.rejection.rule == "chat.orphan_tool_message"


def test_reasoning_can_be_sent_back(provider):
    """What was issued whole is accepted; the item of a stream that broke was never stored."""
    provider.reasoning("hm").text("Hello")
    read(ask(provider))
    items = provider.requests[0].items
    provider.reply("ok")
    assert ask(provider, input=[*items, {"role": "user", "content": "go on"}]).rejected == ""
    provider.reasoning("hm").text("Hello").cut("after-text")
    broken = ask(provider)
    read(broken)
    assert [item["type"] for item in broken.items] == ["reasoning"]
    bare = {key: value for key, value in broken.items[0].items() if key != "encrypted_content"}
    refused = ask(provider, input=[bare, {"role": "user", "content": "go on"}]).findings.refused
    assert "responses.item_not_found" in [finding.rule for finding in refused]


def test_signed_thinking_can_be_sent_back(provider):
    """A thinking block is accepted as it was issued, and refused when it was changed."""
    provider.reasoning("hm").tool_call("f", id="toolu_1")
    read(ask(provider, "messages"))
    said = {"role": "assistant", "content": provider.requests[0].items}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "4"}]}
    provider.reply("ok")
    first = {"role": "user", "content": "hi"}
    assert ask(provider, "messages", messages=[first, said, result]).rejected == ""
    changed = [{**said["content"][0], "thinking": "hmm"}, said["content"][1]]
    refused = ask(provider, "messages", messages=[first, {**said, "content": changed}, result])
    assert refused.rejected in ("messages.invalid_signature", "messages.thinking_modified")


def test_a_conversation_is_busy_while_its_answer_is_on_its_way(provider):
    """Two responses in flight on one conversation are refused as the service does; afterwards it is free."""
    provider.otherwise("text")
    first = ask(provider, conversation="conv_1")
    assert ask(provider, conversation="conv_1").rejected == "responses.conversation_locked"
    read(first)
    assert ask(provider, conversation="conv_1").rejected == ""


def test_other_rules_can_be_enforced():
    """A provider can be made with a `Strict` of one's own."""
    provider = Provider(strict=Strict(keys=["other"]))
    provider.reply("text")
    assert ask(provider).rejected == "any.unauthorized"


@pytest.mark.parametrize(
    ("dialect", "end", "status"),
    [
        ("responses", "failed", 200),
        ("responses", "error", 500),
        ("chat", "error", 500),
        ("messages", "error", 529),
        ("messages", "failed", 500),
    ],
)
def test_a_failed_reply_that_is_not_streamed(provider, dialect, end, status):
    """It has a status of its own, where a stream has said 200 already."""
    provider.reply("text", end=end)
    exchange = ask(provider, dialect, stream=False)
    assert exchange.answer.status == status
    assert b"text" not in read(exchange) or dialect == "responses"
    assert exchange.text == ""
    provider.reply("text", end=end)
    assert ask(provider, dialect).answer.status == 200


def test_a_failure_of_the_provider_itself_is_not_hidden():
    """A client would take it for a broken network; it is kept, and told at the end."""
    provider = Provider()
    provider.reply("text")
    provider._judge.examine = lambda request: 1 / 0
    with pytest.raises(ZeroDivisionError):
        ask(provider)
    with pytest.raises(ZeroDivisionError):
        provider.check()


def test_another_history_can_be_put_in_its_place(provider):
    """A run that rewinds makes a new history; what happens from then on is noted there."""
    from pytest_durability.history import History

    provider.reply(["a", "b"])
    exchange = ask(provider)
    parts = exchange.parts()
    while exchange.text != "a":
        next(parts)
    provider.history = History(provider.history[:1])
    list(parts)
    assert ops(provider) == [("request", "responses"), ("text", "b"), ("end", "responses")]
