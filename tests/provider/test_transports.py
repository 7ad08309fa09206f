"""The transport for httpx and httpx2: sync, async, every way to break, and that nothing waits."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from pytest_durability.errors import UsageError

LIBRARIES = ["httpx", "httpx2"]
BODY = {"model": "m", "input": "hi", "stream": True}
ERRORS = {"reset": "ReadError", "protocol": "RemoteProtocolError", "timeout": "ReadTimeout", "stall": "ReadTimeout"}
URL = "http://any.host/v1/responses"


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Each library that is installed."""
    return pytest.importorskip(request.param)


def stream(library, provider, **options):
    """Read one streamed answer with a sync client: the bytes, and the exception."""
    got = b""
    with (
        library.Client(transport=provider.transport(library), **options) as client,
        client.stream("POST", URL, json=BODY) as response,
    ):
        try:
            for part in response.iter_raw():
                got += part
        except library.HTTPError as error:
            return got, error
    return got, None


async def astream(library, provider, **options):
    """The same with an async client."""
    got = b""
    async with (
        library.AsyncClient(transport=provider.transport(library), **options) as client,
        client.stream("POST", URL, json=BODY) as response,
    ):
        try:
            async for part in response.aiter_raw():
                got += part
        except library.HTTPError as error:
            return got, error
    return got, None


def both(library, provider, script, **options):
    """What a sync and an async client get of one script each."""
    script()
    yield stream(library, provider, **options)
    script()
    yield asyncio.run(astream(library, provider, **options))


def test_whole_answers(library, provider):
    """A stream comes as scripted, with its headers; a request without `stream` gets a JSON body."""
    provider.reply("Hello")
    provider.reply("Hello")
    got, error = stream(library, provider)
    assert error is None
    assert got == b"".join(event.data for event in provider.requests[0].answer.events)
    with library.Client(transport=provider.transport(library)) as client:
        response = client.post(URL, json={**BODY, "stream": False})
    assert response.json()["output"][0]["content"][0]["text"] == "Hello"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"] == "req_000002"


@pytest.mark.parametrize("how", ERRORS)
def test_a_broken_body(library, provider, how):
    """The bytes before the cut arrive, then this library's own exception, with its request, in both kinds of client."""
    for got, error in both(library, provider, lambda: provider.reply("Hello world").cut(5, how)):
        assert type(error) is getattr(library, ERRORS[how])
        assert error.request.url == URL
        assert provider.requests[-1].text == "Hello"
        assert got.endswith(provider.requests[-1].sent[-1].data)


def test_a_clean_end(library, provider):
    """A body that ends too early, but cleanly, is no exception."""
    for got, error in both(library, provider, lambda: provider.reply("Hello world").cut(5)):
        assert error is None
        assert b"Hello" in got
        assert b"response.completed" not in got


@pytest.mark.parametrize(("how", "name"), [("eof", "RemoteProtocolError"), *ERRORS.items()])
def test_no_answer_at_all(library, provider, how, name):
    """Without a status line the request itself fails."""
    provider.reply("x").cut("no-answer", how)
    with pytest.raises(getattr(library, name)):
        stream(library, provider)
    provider.reply("x").cut("no-answer", how)
    with pytest.raises(getattr(library, name)):
        asyncio.run(astream(library, provider))
    assert [exchange.ended for exchange in provider.requests] == ["cut", "cut"]


@pytest.mark.parametrize("point", [3, "no-answer"])
def test_a_stall_without_a_read_timeout(library, provider, point):
    """A sync client would wait for ever, which is told; an async program can give up by itself."""
    provider.reply("Hello").cut(point, "stall")
    with pytest.raises(UsageError, match="without a read timeout"):
        stream(library, provider, timeout=None)

    async def impatient():
        task = asyncio.create_task(astream(library, provider, timeout=None))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    provider.reply("Hello").cut(point, "stall")
    assert asyncio.run(impatient())
    assert provider.requests[-1].text == ("" if point == "no-answer" else "Hel")


@pytest.mark.parametrize("size", [1, 7])
def test_pieces_of_any_size(library, provider, size):
    """Characters and events may be torn between two pieces; nothing is lost."""
    provider.chunk_size = size
    for got, error in both(library, provider, lambda: provider.reply("wörld €")):
        assert error is None
        assert got == b"".join(event.data for event in provider.requests[-1].answer.events)
        assert provider.requests[-1].text == "wörld €"


def test_a_client_that_stops(library, provider):
    """Leaving the block ends the answer, sync and async."""
    for _ in range(2):
        provider.reply(["a", "b", "c"])
    with library.Client(transport=provider.transport(library)) as client, client.stream("POST", URL, json=BODY) as response:
        for part in response.iter_raw():
            if b'"delta":"a"' in part:
                break
    assert (provider.requests[0].text, provider.requests[0].ended) == ("a", "left")

    async def leave():
        async with (
            library.AsyncClient(transport=provider.transport(library)) as client,
            client.stream("POST", URL, json=BODY) as response,
            contextlib.aclosing(response.aiter_raw()) as parts,
        ):
            async for part in parts:
                if b'"delta":"b"' in part:
                    break

    asyncio.run(leave())
    assert (provider.requests[1].text, provider.requests[1].ended) == ("ab", "left")


def test_async_streams_interleave(library, provider):
    """Two streams on one loop take turns, piece by piece, as on a network."""
    provider.otherwise(["a", "b", "c"])

    async def two():
        await asyncio.gather(astream(library, provider), astream(library, provider))

    asyncio.run(two())
    calls = [op.call for op in provider.history if op.kind == "text"]
    assert calls[:2] == [provider.requests[0].op.seq, provider.requests[1].op.seq]
    assert calls != sorted(calls)


def test_cancelling_lands_between_two_pieces(library, provider):
    """A task that is cancelled in the middle has what came before, and the answer is over."""
    provider.reply(["a", "b", "c"])

    async def cancelled():
        task = asyncio.create_task(astream(library, provider))
        for _ in range(100):
            if provider.requests and provider.requests[0].text == "ab":
                break
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert (provider.requests[0].text, provider.requests[0].ended) == ("ab", "left")


def test_trio_is_not_needed_and_not_hindered(provider):
    """Outside of asyncio the transport suspends nowhere, so any loop can drive it."""
    library = pytest.importorskip("httpx2")
    provider.reply("Hello")
    transport = provider.transport(library)
    request = library.Request("POST", URL, json=BODY)

    async def read():
        response = await transport.handle_async_request(request)
        return [part async for part in response.stream]

    with pytest.raises(StopIteration) as done:
        read().send(None)
    assert b"".join(done.value.value).endswith(b"\n\n")


def test_a_name_is_as_good_as_the_module(provider):
    """`transport("httpx")` is `transport(httpx)`; a package that is missing is named."""
    library = pytest.importorskip("httpx")
    assert type(provider.transport("httpx")) is type(provider.transport(library))


def test_a_package_that_is_not_installed(provider, monkeypatch):
    """It is named, with another way in."""
    monkeypatch.setitem(__import__("sys").modules, "httpx2", None)
    with pytest.raises(UsageError, match="httpx2 is not installed"):
        provider.transport("httpx2")
