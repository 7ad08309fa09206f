"""What a provider issued is recognised for the key, the endpoint and the model it was issued to, and for no other."""

from __future__ import annotations

import pickle

import pytest

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.strict import Strict
from tests.dialects import smallest as make
from tests.dialects.smallest import W


def replay(**changes):
    """A request that replays a sealed reasoning item, with a part of it changed."""
    body = make.responses(make.reasoning("rs_1", W.sealed), make.said("msg_1"), model=changes.pop("model", "gpt-5"))
    return make.request("responses", body, **changes)


def test_a_sealed_content_is_good_for_its_owner():
    """The key, endpoint and model that it was made for may replay it."""
    assert Strict(W.issued).examine(replay()).rejection is None


@pytest.mark.parametrize(
    "changes", [{"key": "sk-b"}, {"model": "gpt-5-mini"}, {"host": "azure.test"}, {"path": "/azure/v1/responses"}], ids=str
)
def test_a_sealed_content_is_no_good_for_another(changes):
    """Another key, model, host or path prefix cannot read it."""
    assert Strict(W.issued).examine(replay(**changes)).rejection.rule == "responses.invalid_encrypted_content"


def test_each_byte_of_a_sealed_content_counts():
    """There is no byte that can be changed, added or left out."""
    strict = Strict(W.issued)
    altered = [W.sealed[:i] + ("A" if W.sealed[i] != "A" else "B") + W.sealed[i + 1 :] for i in range(len(W.sealed))]
    for content in [*altered, W.sealed[:-1], W.sealed + "A", W.sealed + "\n", "x", "é", "\ud800"]:
        body = make.responses(make.reasoning("rs_1", content), make.said("msg_1"))
        refused = strict.examine(make.request("responses", body)).refused
        assert [found.rule for found in refused] == ["responses.invalid_encrypted_content"]


def test_a_sealed_content_belongs_to_its_item():
    """The content of one item cannot stand in another one."""
    body = make.responses(make.reasoning("rs_9", W.sealed), make.said(None))
    assert Strict(W.issued).examine(make.request("responses", body)).rejection.rule == "responses.invalid_encrypted_content"


def test_a_sealed_content_looks_like_a_real_one():
    """Programs that look at the first letters find what they expect."""
    assert W.sealed.startswith("gAAAAA")


def test_contents_prove_themselves_to_a_ledger_that_forgot():
    """A new ledger of the same provider reads what an old one sealed and signed; another provider does not."""
    assert Issued().sealed(W.asked, W.sealed) == "rs_1"
    assert Issued("another").sealed(W.asked, W.sealed) is None


def test_a_ledger_can_be_pickled():
    """A ledger goes to another process as it is."""
    copied = pickle.loads(pickle.dumps(W.issued))  # noqa: S301
    assert [str(Strict(copied).examine(make.request(p.dialect, p.broken)).rejection) for p in make.PAIRS if not p.path] == [
        str(Strict(W.issued).examine(make.request(p.dialect, p.broken)).rejection) for p in make.PAIRS if not p.path
    ]


def test_a_signature_is_good_for_every_key_and_for_one_model():
    """A key switch keeps thinking valid, a model switch does not."""
    body = make.messages("2+2?", make.assistant([*W.thoughts, *make.use("toolu_1")]), make.user(make.result("toolu_1")))
    strict = Strict(W.issued)
    assert strict.examine(make.request("messages", body, key="sk-b")).rejection is None
    other = strict.examine(make.request("messages", {**body, "model": "claude-sonnet-4-6"}))
    assert {found.rule for found in other.refused} == {"messages.invalid_signature"}


@pytest.mark.parametrize("text", ["carried", "", "carry "])
def test_a_signature_binds_its_text(text):
    """Altered thoughts are refused in the last assistant message as modified, in earlier ones by their signature."""
    changed = make.assistant([{**W.thoughts[0], "thinking": text}, W.thoughts[1], *make.use("toolu_1")])
    answered = make.user(make.result("toolu_1"))
    last = make.messages("2+2?", changed, answered)
    earlier = make.messages("2+2?", changed, answered, make.assistant("4"), "thanks")
    rules = [[f.rule for f in Strict(W.issued).examine(make.request("messages", body)).refused] for body in (last, earlier)]
    assert rules == [["messages.thinking_modified"], ["messages.invalid_signature"]]


@pytest.mark.parametrize("kept", [[0], [1], [1, 0], [0, 1, 1]], ids=str)
def test_thoughts_of_the_last_message_stay_as_they_were(kept):
    """A dropped, swapped or doubled thinking block of the last assistant message is refused."""
    body = make.messages(
        "2+2?", make.assistant([*(W.thoughts[i] for i in kept), *make.use("toolu_1")]), make.user(make.result("toolu_1"))
    )
    assert [f.rule for f in Strict(W.issued).examine(make.request("messages", body)).refused] == ["messages.thinking_modified"]


def test_items_of_a_reply_that_was_cut_off_are_not_found():
    """An id of an interrupted reply leads nowhere, and the reply cannot be continued."""
    strict = Strict(W.issued)
    by_id = make.request("responses", make.responses(make.reasoning("rs_4"), make.said(None)))
    onwards = make.request("responses", make.responses("2+2?", previous_response_id="resp_4"))
    assert strict.examine(by_id).rejection.rule == "responses.item_not_found"
    assert strict.examine(onwards).rejection.rule == "responses.previous_response_not_found"


def test_a_conversation_takes_one_request_at_a_time():
    """A conversation is locked from the beginning of a reply to its end."""
    issued, request = Issued(), make.request("responses", make.responses("2+2?", conversation="conv_1"))
    strict = Strict(issued)
    issued.begin(request)
    assert strict.examine(request).rejection.rule == "responses.conversation_locked"
    issued.end(request)
    assert strict.examine(request).rejection is None


def test_a_conversation_remembers_its_items():
    """An item that is already in the conversation is a duplicate in the input."""
    issued, first = Issued(), make.request("responses", make.responses("2+2?", conversation="conv_1"))
    issued.response(first, "resp_1", [make.said("msg_1")])
    again = make.request("responses", make.responses(make.said("msg_1"), "3+3?", conversation="conv_1"))
    assert Strict(issued).examine(again).rejection.rule == "responses.duplicate_item"
