"""What is kept of a reply: reasoning items with four fields, from whole answers and from streams, and who made them."""

from __future__ import annotations

import hashlib

import pytest

from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import AzureOpenAIProvider, CutError, OpenAICompatibleProvider, OpenAIProvider, RefusedError
from reference_impl.replay.items import capture
from tests.reference_impl.replay.helpers import MODEL, Direct, bodies, items_in, think

USER = [{"role": "user", "content": "hello"}]
FLAG = ["reasoning.encrypted_content"]


def ask(service, *, kind=OpenAIProvider, stream=False, messages=USER, **options):
    """One reply; the provider object is new."""
    return kind(Direct(service), MODEL, **options).chat(messages, on_text=(lambda _: None) if stream else None)


@pytest.mark.parametrize("stream", [False, True])
def test_an_item_is_kept_with_its_encrypted_content(stream):
    """An item has type, id, summary and encrypted content, and nothing else, streamed or not."""
    service = Provider()
    think(service, "hm", "4")
    (item,) = ask(service, stream=stream).reasoning_items
    assert set(item) == {"type", "id", "summary", "encrypted_content"}
    assert (item["type"], item["summary"]) == ("reasoning", [{"type": "summary_text", "text": "hm"}])


def test_an_item_without_encrypted_content_is_kept_too():
    """An account that gets no encrypted content still gets its item kept, without that field."""
    service = Provider()
    service.reasoning("hm", sealed=False).text("4")
    (item,) = ask(service).reasoning_items
    assert set(item) == {"type", "id", "summary"}


def test_an_empty_summary_with_encrypted_content_is_kept():
    """A thought that is not shown even in summary can be replayed all the same."""
    service = Provider()
    think(service, "", "4")
    response = ask(service)
    assert response.reasoning_items[0]["summary"] == []
    assert (response.reasoning_content, response.content) == ("", "4")


def test_output_only_fields_are_dropped():
    """`status`, which the service sends and refuses to take back, is not kept."""
    kept = OpenAIProvider(Direct(Provider()), MODEL)._serialize_output_item(
        {"type": "reasoning", "id": "rs_1", "status": "completed"}
    )
    assert kept == {"type": "reasoning", "id": "rs_1"}


def test_a_reply_without_reasoning_has_no_items():
    """None says that there was nothing, so that no empty list travels."""
    service = Provider()
    service.reply("4")
    assert ask(service).reasoning_items is None


def test_each_reasoning_output_is_one_item_in_order():
    """Two thoughts with a call each are two items, and each knows its call."""
    service = Provider()
    service.reasoning("a").tool_call("f", {}, id="c1").reasoning("b").tool_call("g", {}, id="c2")
    response = ask(service)
    assert [item["summary"][0]["text"] for item in response.reasoning_items] == ["a", "b"]
    assert response.reasoning_followers == ("c1", "c2")
    assert response.finish_reason == "tool_calls"


def test_an_item_behind_the_last_text_has_no_follower():
    """What stood before nothing is told apart from what stood before the text."""
    output = [
        {"type": "reasoning", "id": "rs_1"},
        {"type": "message", "content": [{"text": "x"}]},
        {"type": "reasoning", "id": "rs_2"},
    ]
    assert capture(output).followers == ("text", None)


def test_the_id_of_the_response_is_kept():
    """The response id goes with the items."""
    service = Provider()
    think(service, "hm", "4")
    assert ask(service).response_id.startswith("resp_")


@pytest.mark.parametrize("how", ["eof", "reset"])
def test_a_cut_stream_keeps_no_item_whose_text_is_not_whole(how):
    """The item was complete, but what it stood before was not; the text that was shown is kept."""
    service = Provider()
    think(service, "hm", ["4", " and", " more"])
    service.cut(5, how)
    with pytest.raises(CutError) as caught:
        ask(service, stream=True)
    assert (caught.value.partial.content, caught.value.partial.reasoning_items) == ("4 and", None)


def test_a_stream_without_its_last_event_keeps_what_is_whole():
    """The text and its item arrived, only the end is missing: both are kept."""
    service = Provider()
    think(service, "hm", "4")
    service.cut("before-terminal")
    with pytest.raises(CutError) as caught:
        ask(service, stream=True)
    assert (caught.value.partial.content, len(caught.value.partial.reasoning_items)) == ("4", 1)


def test_encrypted_content_is_asked_for():
    """Each request has the include flag, and asks the service to store nothing."""
    service = Provider()
    service.reply("4")
    ask(service)
    assert (bodies(service)[0]["include"], bodies(service)[0]["store"]) == (FLAG, False)


@pytest.mark.parametrize("stream", [False, True])
def test_a_refused_include_flag_is_given_up_for_good(stream):
    """One request more, and from then on the flag is not sent by this provider object."""
    service = Provider()
    service.reject("responses.include_unsupported")
    service.otherwise("4")
    provider = OpenAIProvider(Direct(service), MODEL)
    counts = [provider.chat(USER, on_text=(lambda _: None) if stream else None).requests for _ in range(2)]
    assert counts == [2, 1]
    assert [body.get("include") for body in bodies(service)] == [FLAG, None, None]


def test_a_refused_include_flag_is_not_given_up_by_others():
    """Another provider object, perhaps of another account, asks for itself."""
    service = Provider()
    service.reject("responses.include_unsupported")
    service.otherwise("4")
    ask(service)
    ask(service)
    assert [body.get("include") for body in bodies(service)] == [FLAG, None, FLAG]


def test_any_other_refusal_is_raised_and_changes_nothing():
    """The error is the service's, one request was made, and the flag is still asked for."""
    service = Provider()
    service.reject("responses.conversation_locked")
    provider = OpenAIProvider(Direct(service), MODEL)
    with pytest.raises(RefusedError, match="conversation_locked"):
        provider.chat(USER)
    assert (len(service.requests), provider.asks_for_encrypted_content) == (1, True)


def test_an_endpoint_is_known_by_its_hash():
    """The first 8 hex characters of the SHA-256 of the address."""
    provider = OpenAIProvider(Direct(Provider(), host="one.test"), MODEL)
    assert provider.endpoint_hash == hashlib.sha256(b"https://one.test/v1").hexdigest()[:8]
    assert provider.endpoint_hash != OpenAIProvider(Direct(Provider(), host="two.test"), MODEL).endpoint_hash


@pytest.mark.parametrize(
    ("kind", "name"),
    [(OpenAIProvider, "openai"), (AzureOpenAIProvider, "azure"), (OpenAICompatibleProvider, "openai-compatible")],
)
def test_a_fingerprint_names_provider_model_and_endpoint(kind, name):
    """The exact model is in it: a sibling of the same family is somebody else."""
    provider = kind(Direct(Provider()), MODEL)
    assert provider.fingerprint == f"{name}:{MODEL}:{provider.endpoint_hash}"


@pytest.mark.parametrize(("name", "model"), [(None, MODEL), ("openai", "")])
def test_who_is_unknown_has_no_fingerprint(name, model):
    """Without a name or a model there is none, rather than one that others may have too."""
    provider = OpenAIProvider(Direct(Provider()), model)
    provider.name = name
    assert provider.fingerprint is None


def test_a_bare_item_is_sent_only_to_a_service_that_stores():
    """Without encrypted content an item stands for itself by its id, which a service that stores nothing cannot find."""
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    found = []
    for store in (False, True):
        service = Provider()
        service.otherwise("ok")
        provider = OpenAIProvider(Direct(service), MODEL, store=store)
        carried = {"_reasoning_items": [item], "_reasoning_fingerprint": provider.fingerprint, "_message_id": "m"}
        provider.chat([*USER, {"role": "assistant", "content": "4", **carried}, *USER])
        found.append(len(items_in(bodies(service)[0])))
    assert found == [0, 1]
