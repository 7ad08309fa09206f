"""The server under the real `openai` client, in process: statuses, lost answers, closing while a generation is under way."""

from __future__ import annotations

import asyncio
from itertools import count

import httpx2
import openai
import pytest

from reference_impl.trajectory import Answer, FileJournal
from reference_impl.trajectory.server import Sessions, application
from tests.reference_impl.trajectory.helpers import opened, reasons
from tests.reference_impl.trajectory.model import Scripted, answer, said, user

BASE = "http://trajectories.test"


class Served:
    """A server in this process with the clients of one session."""

    def __init__(self, model, make=lambda name: opened(), transport=None):
        numbers = count(1)
        self.sessions = Sessions(make, model, lambda: f"id{next(numbers)}")
        self.transport = transport or httpx2.ASGITransport(application(self.sessions))
        self.http = httpx2.AsyncClient(transport=self.transport, base_url=BASE)

    async def openai(self, retries=0):
        """The real client, pointed at a new session."""
        name = (await self.http.post("/sessions")).json()["session_id"]
        client = openai.AsyncOpenAI(
            base_url=f"{BASE}/sessions/{name}/v1", api_key="none", http_client=self.http, max_retries=retries
        )
        return name, client

    def trajectory(self, name):
        """What was recorded."""
        return self.sessions.find(name).trajectory


def ask(client, *messages):
    """One request of the real client."""
    return client.chat.completions.create(model="scripted", messages=list(messages))


def run(story, *args, **options):
    """Run a story with a server, and close its client."""

    async def told():
        served = Served(*args, **options)
        async with served.http:
            return await story(served)

    return asyncio.run(told())


def test_abort_retry_supersede_through_the_client():
    """The agent sees `abort`, asks again, and the record of the session is the second answer."""

    async def story(served):
        name, client = await served.openai()
        first = await ask(client, user("hello"))
        second = await ask(client, user("hello"))
        return first, second, served.trajectory(name)

    first, second, trajectory = run(story, Scripted().abort("go").say("good day"))
    assert (first.choices[0].finish_reason, second.choices[0].message.content) == ("abort", "good day")
    assert reasons(trajectory) == ["stop"]


def test_a_lost_answer_on_the_first_turn_is_no_wedge():
    """The server committed, the client never saw it and asks again by itself: it goes on from the second answer."""

    class Losing(httpx2.AsyncBaseTransport):
        def __init__(self, inner):
            self.inner, self.lost = inner, 0

        async def handle_async_request(self, request):
            response = await self.inner.handle_async_request(request)
            if request.url.path.endswith("completions") and not self.lost:
                self.lost = 1
                await response.aread()
                raise httpx2.ReadError("connection reset by peer", request=request)
            return response

    async def story(served):
        served.transport = Losing(served.transport)
        served.http = httpx2.AsyncClient(transport=served.transport, base_url=BASE)
        async with served.http:
            name, client = await served.openai(retries=2)
            first = await ask(client, user("hello"))
            more = [user("hello"), said(first.choices[0].message.content), user("and?")]
            await ask(client, *more)
            return first, served.trajectory(name)

    first, trajectory = run(story, Scripted().say("lost").say("kept").say("more"))
    assert first.choices[0].message.content == "kept"
    assert [message["content"] for message in trajectory.messages] == ["hello", "kept", "and?", "more"]


@pytest.mark.parametrize(
    ("model", "messages", "error", "says"),
    [
        (Scripted().say("a"), [], openai.BadRequestError, "at least one"),
        (Scripted().status(400), [user("x")], openai.BadRequestError, "no"),
        (Scripted().status(429), [user("x")], openai.RateLimitError, "no"),
        (Scripted().status(503), [user("x")], openai.InternalServerError, "no"),
        (Scripted().down(), [user("x")], openai.InternalServerError, "connection refused"),
    ],
)
def test_what_the_client_raises(model, messages, error, says):
    """Refusals and failures of the backend reach the client with their status, and nothing is recorded."""

    async def story(served):
        name, client = await served.openai()
        with pytest.raises(error) as caught:
            await ask(client, *messages)
        return caught.value, served.trajectory(name)

    raised, trajectory = run(story, model)
    assert says in str(raised)
    assert trajectory.records == []


def test_each_status_of_the_protocol():
    """404, 400, 409 and 502, as a client sees them."""

    async def story(served):
        name, client = await served.openai()
        await ask(client, user("hello"))
        statuses = {}
        for what, messages in (
            ("extends a turn that ended by length", [user("hello"), said("good d"), user("more")]),
            ("adds nothing", [user("hello"), said("good d")]),
            ("bad answer", [user("hello")]),
        ):
            with pytest.raises(openai.APIStatusError) as caught:
                await ask(client, *messages)
            statuses[what] = caught.value.status_code
        gone = await served.http.post("/sessions/none/v1/chat/completions", json={"messages": [user("x")]})
        unreadable = await served.http.post(f"/sessions/{name}/v1/chat/completions", content=b"{")
        streamed = await served.http.post(f"/sessions/{name}/v1/chat/completions", json={"messages": [user("x")], "stream": True})
        return [*statuses.values(), gone.status_code, unreadable.status_code, streamed.status_code]

    backend = _then(Scripted().say("good d", "length"), _without_tokens)
    assert run(story, backend) == [409, 400, 502, 404, 400, 400]


@pytest.mark.parametrize("change", ["no tokens", "too few logprobs", "other count", "other prompt", "no message"])
def test_a_bad_answer_of_the_backend_is_refused(change):
    """A 200 that a record cannot be made of is 502, with the reason, and nothing is recorded."""

    async def backend(request, prompt):
        good = answer(prompt, "good day")
        body = {**good.body, "usage": {"completion_tokens": 1}} if change == "other count" else good.body
        body = {"choices": []} if change == "no message" else body
        tokens = None if change == "no tokens" else good.output_token_ids
        logprobs = good.output_logprobs[:-1] if change == "too few logprobs" else good.output_logprobs
        return Answer(200, body, [1] if change == "other prompt" else good.prompt_token_ids, tokens, logprobs)

    async def story(served):
        name, client = await served.openai()
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(client, user("hello"))
        return caught.value.status_code, served.trajectory(name).records

    assert run(story, backend) == (502, [])


def test_deleting_never_waits_for_the_backend():
    """A generation under way gets its answer, is not recorded, and does not hold the session; the second delete is 404."""

    async def story(served):
        begun, go_on = asyncio.Event(), asyncio.Event()
        inner = served.sessions.backend

        async def slow(request, prompt):
            begun.set()
            await go_on.wait()
            return await inner(request, prompt)

        served.sessions.backend = slow
        name, client = await served.openai()
        trajectory = served.trajectory(name)
        asking = asyncio.ensure_future(ask(client, user("hello")))
        await begun.wait()
        deleted = [(await served.http.delete(f"/sessions/{name}")).status_code for _ in range(2)]
        go_on.set()
        return deleted, (await asking).choices[0].message.content, trajectory.records

    assert run(story, Scripted().say("good day")) == ([204, 404], "good day", [])


def test_close_is_idempotent_and_keeps_the_samples():
    """A closed session refuses chats and still gives its state and samples."""

    async def story(served):
        name, client = await served.openai()
        await ask(client, user("hello"))
        closed = [(await served.http.post(f"/sessions/{name}/close")).status_code for _ in range(2)]
        with pytest.raises(openai.NotFoundError):
            await ask(client, user("hello"))
        state = (await served.http.get(f"/sessions/{name}")).json()
        samples = (await served.http.get(f"/sessions/{name}/samples")).json()["samples"]
        return closed, state["closing"], state["num_assistant"], [sample["status"] for sample in samples]

    assert run(story, Scripted().say("good day")) == ([200, 200], True, 1, ["completed"])


def test_samples_that_cannot_be_assembled_are_422():
    """The answer names the turn, and holds the samples that can be."""

    async def story(served):
        name, client = await served.openai()
        await ask(client, user("hello"))
        trajectory = served.trajectory(name)
        trajectory.trajectory_token_ids[0] = (*trajectory.token_ids[:-1], 9)
        limit = await served.http.get(f"/sessions/{name}/samples", params={"max_tokens": "-1"})
        return await served.http.get(f"/sessions/{name}/samples"), limit

    response, limit = run(story, Scripted().say("good day"))
    assert (response.status_code, response.json()["samples"], limit.status_code) == (422, [], 400)
    assert "turn 1 of 1" in response.json()["error"]["message"]


def test_a_restarted_server_goes_on(tmp_path):
    """A new server over the same directory opens the session by its id and continues its tokens."""

    def make(name):
        return opened(FileJournal(str(tmp_path / f"{name}.jsonl")))

    async def before(served):
        name, client = await served.openai()
        await ask(client, user("hello"))
        return name, served.trajectory(name).token_ids

    name, tokens = run(before, Scripted().say("good day"), make)

    async def after(served):
        await served.http.post("/sessions", json={"session_id": name})
        client = openai.AsyncOpenAI(base_url=f"{BASE}/sessions/{name}/v1", api_key="none", http_client=served.http)
        await ask(client, user("hello"), said("good day"), user("and?"))
        return served.trajectory(name)

    trajectory = run(after, Scripted().say("fine"), make)
    assert trajectory.num_assistant == 2
    assert trajectory.token_ids[: len(tokens)] == tokens


def test_a_session_id_is_a_plain_name():
    """It becomes the name of a file, so anything that could leave the directory is refused."""

    async def story(served):
        names = ("../up", "a/b", "", "x" * 101)
        return [(await served.http.post("/sessions", json={"session_id": name})).status_code for name in names]

    assert run(story, Scripted()) == [400, 400, 400, 400]


async def _without_tokens(request, prompt):
    return Answer(200, answer(prompt, "good day").body)


def _then(first, second):
    """A backend that is `first` for one request and `second` from then on."""
    asked = count()

    async def backend(request, prompt):
        return await (first if next(asked) == 0 else second)(request, prompt)

    return backend
