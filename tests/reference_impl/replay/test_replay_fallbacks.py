"""A refusal of what was replayed costs one request in one turn and no text, through every client, and inside a stream too."""

from __future__ import annotations

import json

import pytest

from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import (
    HttpTransport,
    OpenAIProvider,
    OpenAITransport,
    RefusedError,
    STARAgent,
)
from reference_impl.replay.errors import CutError
from tests.reference_impl.replay.helpers import ADD, HOST, KEY, MODEL, Direct, agent_over, bodies, items_in, texts_in, think


def talk(agent, service, turns, **options):
    """Some turns, each with a thought of its own."""
    for number in range(1, turns + 1):
        think(service, f"thought {number}", f"reply {number}")
        agent.turn(f"question {number}", **options)


def test_the_turn_after_a_refusal_pays_nothing():
    """A key that cannot read the old items costs one request in one turn; what it makes itself is replayed again later."""
    agent, service = agent_over()
    talk(agent, service, 2)
    agent.provider = agent_over(service, key="key-2")[0].provider
    spent = []
    for number in range(4):
        think(service, "t", f"answer {number}")
        assert agent.turn("x") == f"answer {number}"
        spent.append((agent.replies[0].requests, agent.replies[0].replayed))
    assert spent == [(2, 0), (1, 0), (1, 2), (1, 3)]


def test_both_fallbacks_fit_into_one_call():
    """A service that refuses the flag and then the items answers the third request."""
    agent, service = agent_over()
    talk(agent, service, 1)
    service.reject("responses.include_unsupported")
    service.reject("responses.item_not_found")
    talk(agent, service, 1)
    assert agent.replies[0].requests == 3
    assert texts_in(bodies(service)[-1]) == ["thought 1", "reply 1"]


def test_a_refusal_that_stays_is_raised_and_blames_no_item():
    """If the request is refused without the items too, they were not the reason."""
    agent, service = agent_over()
    talk(agent, service, 1)
    service.reject("responses.invalid_encrypted_content", times=2)
    with pytest.raises(RefusedError):
        agent.turn("x")
    assert len(service.requests) == 3
    assert all("replay" not in one.metadata for one in agent.timeline.entries)


def test_a_busy_service_after_a_refusal_does_not_make_it_forgotten():
    """The second request met a server error; the next turn does not send the refused items again."""
    agent, service = agent_over()
    talk(agent, service, 1)
    service.reject("responses.invalid_encrypted_content")
    service.reject("any.server_error")
    with pytest.raises(RefusedError):
        agent.turn("x")
    talk(agent, service, 1)
    assert items_in(bodies(service)[-1]) == []


def test_shown_text_of_a_cut_reply_is_in_the_next_request():
    """What the user has read stays in the conversation."""
    agent, service = agent_over()
    service.reasoning("hm").text(["one", " two", " three"]).cut(7)
    with pytest.raises(CutError):
        agent.turn("x", on_text=lambda _: None)
    talk(agent, service, 1)
    assert texts_in(bodies(service)[1]) == ["one two"]


def test_an_interrupt_keeps_what_was_shown():
    """The user presses Ctrl-C while the reply is read: the words on the screen stay in the conversation."""
    agent, service = agent_over()
    service.reasoning("hm").text(["one", " two", " three"])

    def show(piece):
        if piece == " two":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        agent.turn("x", on_text=show)
    talk(agent, service, 1)
    assert texts_in(bodies(service)[1]) == ["one two"]


@pytest.mark.parametrize("way", ["httpx", "httpx2", "openai"])
@pytest.mark.parametrize("stream", [False, True])
def test_real_clients_replay_and_fall_back(way, stream):
    """Through each library: the item is sent, a refusal of it costs one request, the next turn pays nothing."""
    pytest.importorskip(way)
    service = Provider()
    client = service.client(way, **({"max_retries": 0} if way == "openai" else {}))
    transport = (
        OpenAITransport(client)
        if way == "openai"
        else HttpTransport(client, f"https://{HOST}/v1", {"authorization": f"Bearer {KEY}"})
    )
    agent = STARAgent(OpenAIProvider(transport, MODEL), tools=[ADD])
    show = (lambda _: None) if stream else None
    service.reasoning("sum").tool_call("add", {"a": 2, "b": 2})
    talk(agent, service, 2, on_text=show)
    service.reject("responses.item_not_found")
    requests = []
    for _ in range(2):
        think(service, "t", "line\u2028separator")
        assert agent.turn("x", on_text=show) == "line\u2028separator"
        requests.append(agent.replies[0].requests)
    assert requests == [2, 1]
    assert [len(items_in(body)) for body in bodies(service)] == [0, 1, 2, 3, 0, 0]
    assert [str(exchange.findings) for exchange in service.requests] == ["no findings"] * 6


REFUSED = {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content", "param": None}
FORMS = {
    "nested": {"type": "error", "status": 400, "error": {"type": "invalid_request_error", **REFUSED}},
    "flat": {"type": "error", "sequence_number": 1, **REFUSED},
    "failed": {"type": "response.failed", "sequence_number": 1, "response": {"id": "r", "error": REFUSED, "output": []}},
}


@pytest.mark.parametrize("way", ["httpx", "httpx2", "openai"])
@pytest.mark.parametrize("form", FORMS)
def test_a_refusal_inside_a_stream_is_survived(way, form):
    """The status was 200, and the first event says that the items are refused, in one of three forms."""
    http = pytest.importorskip("httpx2" if way == "openai" else way)
    service = Provider()
    taught = STARAgent(OpenAIProvider(Direct(service), MODEL))
    talk(taught, service, 1)
    refusals = [1]

    def handle(request):
        if refusals:
            refusals.pop()
            data = f"event: {FORMS[form]['type']}\ndata: {json.dumps(FORMS[form])}\n\n"
            return http.Response(200, headers={"content-type": "text/event-stream"}, content=data.encode())
        return service.transport(http).handle_request(request)

    client = http.Client(transport=http.MockTransport(handle))
    if way == "openai":
        made = pytest.importorskip("openai").OpenAI(api_key=KEY, base_url=f"https://{HOST}/v1", http_client=client, max_retries=0)
        transport = OpenAITransport(made)
    else:
        transport = HttpTransport(client, f"https://{HOST}/v1", {"authorization": f"Bearer {KEY}"})
    agent = STARAgent(OpenAIProvider(transport, MODEL), taught.timeline)
    talk(agent, service, 1, on_text=lambda _: None)
    assert agent.replies[0].requests == 2
    assert texts_in(bodies(service)[-1]) == ["thought 1", "reply 1"]
