"""No false alarms: whatever a correct client sends is accepted, and one fault in it is found."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.registry import NAMES, fits, reject
from pytest_durability.dialects.requests import DIALECTS, Request
from pytest_durability.dialects.strict import Strict, lint
from tests.dialects import smallest as make
from tests.dialects.histories import PLAYS, Said, plans
from tests.dialects.smallest import W

USED = make.assistant([*W.thoughts, *make.use("toolu_1")])
CORPUS = {
    "one text": make.responses(input="2+2?"),
    "a stored prompt without a model": {"prompt": {"id": "pmpt_1"}, "input": "2+2?"},
    "developer and system messages": make.responses({"role": "developer", "content": "be brief"}, "2+2?"),
    "reasoning kept whole": make.responses(make.reasoning("rs_1", W.sealed), make.said("msg_1"), "3+3?", store=False),
    "reasoning kept by id": make.responses(make.reasoning("rs_1"), make.said("msg_1"), "3+3?"),
    "references": make.responses({"type": "item_reference", "id": "rs_1"}, {"type": "item_reference", "id": "msg_1"}, "3+3?"),
    "references to a call and its reasoning": make.responses(
        {"type": "item_reference", "id": "rs_2"}, {"type": "item_reference", "id": "fc_1"}, make.output("call_1")
    ),
    "reasoning without an id": make.responses(make.reasoning(None, W.sealed), make.said("msg_1"), "3+3?"),
    "reasoning dropped with the ids": make.responses("2+2?", make.said(None), "3+3?"),
    "a response continued": make.responses(make.output("call_1"), previous_response_id="resp_2"),
    "a model that was told the answer": make.responses(
        make.call("call_5"), make.output("call_5"), make.call("call_6"), make.output("call_6")
    ),
    "a custom tool": make.responses(make.call("call_5", "ctc_5", "custom_tool_call"), make.output("call_5", "custom_tool_call")),
    "a search by the service": make.responses(
        {"type": "web_search_call", "id": "ws_1", "status": "completed"}, make.said("msg_9")
    ),
    "an image as a tool output": make.responses(
        make.call("call_5"), {"type": "function_call_output", "call_id": "call_5", "output": [{"type": "input_image"}]}
    ),
    "fields of replies on messages and calls": make.responses(
        {**make.call("call_5", "fc_5"), "status": "completed"},
        make.output("call_5"),
        {**make.said("msg_9"), "status": "completed"},
    ),
    "equal texts": make.chat("2+2?", make.assistant("4"), "2+2?", make.assistant("4"), "2+2?"),
    "an id used again in a later step": make.chat(
        make.calls("call_1"), make.tool("call_1"), make.calls("call_1"), make.tool("call_1"), "thanks"
    ),
    "content and calls together": make.chat(make.calls("call_1", content="let me see"), make.tool("call_1")),
    "an empty list of calls": make.chat(make.assistant("4", tool_calls=[]), "2+2?"),
    "an old function call": make.chat(make.assistant(None, function_call={"name": "add", "arguments": "{}"}), "2+2?"),
    "thinking in a tool loop": make.messages("2+2?", USED, make.user(make.result("toolu_1")), **make.FIELDS),
    "thinking of an earlier turn dropped": make.messages(
        "2+2?", make.assistant("4"), "3+3?", make.assistant("6"), "thanks", **make.FIELDS
    ),
    "redacted thinking": make.messages("2+2?", make.assistant([W.redacted, make.text("four")]), "3+3?", **make.FIELDS),
    "thinking off in the middle of a loop": make.messages(
        "2+2?", make.assistant(make.use("toolu_1")), make.user(make.result("toolu_1"))
    ),
    "results and a text behind them": make.messages("2+2?", USED, make.user([*make.result("toolu_1"), make.text("go on")])),
    "results in two messages": make.messages(
        "2+2?",
        make.assistant(make.use("toolu_7", "toolu_8")),
        make.user(make.result("toolu_8")),
        make.user(make.result("toolu_7")),
    ),
    "a tool of the service": make.messages(
        "news?",
        make.assistant(
            [
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
                make.text("none"),
            ]
        ),
        "thanks",
    ),
    "an empty result": make.messages(
        "go", make.assistant(make.use("toolu_7")), make.user([{**make.result("toolu_7")[0], "content": ""}])
    ),
    "prefill for an older model": make.messages("2+2?", make.assistant("It is"), model="claude-sonnet-4-5-20250929"),
    "a cached text": make.messages(make.user([make.text("2+2?", cache_control={"type": "ephemeral"})])),
    "system as blocks": make.messages("2+2?", system=[make.text("be brief")]),
}


def arrived(body, key=make.KEY):
    """A body of the corpus as it arrives."""
    return make.request(Request.of_body(body).dialect if "max_tokens" not in body else "messages", body, key=key)


@pytest.mark.parametrize("body", CORPUS.values(), ids=CORPUS)
def test_what_correct_clients_send_is_accepted(body):
    """A request as correct clients send it has no finding and no warning, also when nothing is known of what was issued."""
    assert str(Strict(W.issued).examine(arrived(body))) == "no findings"
    assert not lint(arrived(body)).refused


@pytest.mark.parametrize("dialect", DIALECTS)
def test_any_correct_conversation_is_accepted(dialect):
    """Each request of each generated conversation is accepted without a warning, by a provider that remembers all of it."""

    @settings(max_examples=60)
    @given(plans())
    def accepted(plan):
        issued = Issued()
        for request in PLAYS[dialect](plan, issued):
            assert str(Strict(issued).examine(request)) == "no findings"
            assert not lint(request).refused

    accepted()


def broken(fault, body):
    """A body with one fault in its input or messages; the first reply of the conversation is in it."""
    changed = copy.deepcopy(body)
    fault(changed.get("input") if "input" in changed else changed["messages"])
    return changed


def without(kind):
    """A fault: the first item of a kind is lost."""

    def fault(items):
        items.remove(next(item for item in items if kind in (item.get("type"), item.get("role"))))

    return fault


def twice(items):
    """A fault: the first item with an id is stored twice."""
    items.append(next(item for item in items if "id" in item))


def swapped(items):
    """A fault: a reasoning item comes behind what it belongs to."""
    at = next(i for i, item in enumerate(items) if item.get("type") == "reasoning")
    items[at], items[at + 1] = items[at + 1], items[at]


def with_status(items):
    """A fault: a field of replies is stored with a reasoning item."""
    next(item for item in items if item.get("type") == "reasoning")["status"] = "completed"


def altered(items):
    """A fault: a byte of an encrypted content is changed."""
    item = next(item for item in items if item.get("type") == "reasoning")
    item["encrypted_content"] = item["encrypted_content"].swapcase()


def no_contents(items):
    """A fault: the encrypted contents are not stored."""
    for item in items:
        item.pop("encrypted_content", None)


RESPONSES_FAULTS = {
    "responses.missing_output": without("function_call_output"),
    "responses.missing_call": without("function_call"),
    "responses.call_without_reasoning": without("reasoning"),
    "responses.reasoning_without_follower": without("function_call"),
    "responses.message_without_reasoning": swapped,
    "responses.duplicate_item": twice,
    "responses.unknown_parameter": with_status,
    "responses.invalid_encrypted_content": altered,
    "responses.item_not_found": no_contents,
}


@pytest.mark.parametrize(("rule", "fault"), RESPONSES_FAULTS.items(), ids=RESPONSES_FAULTS)
def test_one_fault_in_a_responses_conversation_is_found(rule, fault):
    """Whatever the conversation is, one damaged item of its history is refused by the rule for that damage."""
    first = Said(text=rule == "responses.message_without_reasoning", calls=1)

    @settings(max_examples=15)
    @given(plans(first, Said(), forms=("stateless",)))
    def found(plan):
        issued = Issued()
        requests = [request for request in PLAYS["responses"](plan, issued) if request.key == make.KEY]
        if len(requests) > 1:
            body = broken(fault, requests[-1].body)
            assert rule in {found.rule for found in Strict(issued).examine(make.request("responses", body)).refused}

    found()


def lost_block(kind):
    """A fault: the first block of a kind is lost from its message."""

    def fault(messages):
        for message in messages:
            blocks = message["content"]
            for block in blocks if isinstance(blocks, list) else ():
                if block["type"] == kind:
                    blocks.remove(block)
                    return

    return fault


def cut_signature(messages):
    """A fault: a signature lost its last character."""
    block = next(b for m in messages for b in m["content"] if isinstance(b, dict) and b["type"] == "thinking")
    block["signature"] = block["signature"][:-1]


PAIRED_FAULTS = {
    "chat.missing_tool_message": without("tool"),
    "chat.orphan_tool_message": lambda messages: messages.pop(2),
    "messages.missing_result": lost_block("tool_result"),
    "messages.orphan_result": lost_block("tool_use"),
    "messages.invalid_signature": cut_signature,
}


@pytest.mark.parametrize(("rule", "fault"), PAIRED_FAULTS.items(), ids=PAIRED_FAULTS)
def test_one_fault_in_a_conversation_is_found(rule, fault):
    """A lost answer, a lost call and a cut signature are refused by their rules, whatever else was said."""
    dialect = rule.partition(".")[0]

    @settings(max_examples=15)
    @given(plans(Said(calls=2, text=False), Said(), forms=("stateless",)))
    def found(plan):
        issued = Issued()
        body = broken(fault, next(iter(list(PLAYS[dialect](plan, issued))[1:2])).body)
        assert rule in {found.rule for found in Strict(issued).examine(make.request(dialect, body)).refused}

    found()


WORDS = [
    "type",
    "id",
    "call_id",
    "role",
    "content",
    "tool_calls",
    "encrypted_content",
    "text",
    "thinking",
    "signature",
    "function",
]
KINDS = [
    "reasoning",
    "message",
    "function_call",
    "function_call_output",
    "tool_use",
    "tool_result",
    "thinking",
    "assistant",
    "tool",
]
LEAVES = st.none() | st.booleans() | st.integers() | st.sampled_from(KINDS) | st.text(max_size=5)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner),
    max_leaves=15,
)
BODY = st.dictionaries(
    st.sampled_from(["input", "messages", "model", "include", "store", "conversation", "previous_response_id", "thinking"]), JSON
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_body_is_too_broken_to_be_judged(dialect):
    """Any JSON object is examined, and any rejection can be forced on it, without an exception."""

    @settings(max_examples=30)
    @given(BODY)
    def judged(body):
        request = make.request(dialect, body)
        findings = Strict(W.issued, enforce=[name for name in NAMES if not name.startswith("any.")]).examine(request)
        assert all(found.rule.startswith(dialect) for found in findings.refused)
        for name in NAMES:
            if name.startswith((dialect, "any.")):
                assert isinstance(fits(name, request), bool)
                assert reject(name, request).payload() == reject(name, request).payload()

    judged()
