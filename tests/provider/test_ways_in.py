"""The other ways in: clients ready made, clients that the program builds itself, and routes of respx."""

from __future__ import annotations

import asyncio

import pytest

from pytest_durability.errors import UsageError
from pytest_durability.world.provider.clients import KINDS
from pytest_durability.world.provider.provider import Provider

BODY = {"model": "m", "input": "hi", "stream": True}
ERRORS = {"reset": "ReadError", "protocol": "RemoteProtocolError", "timeout": "ReadTimeout"}
URL = "http://model.example/v1/responses"


def asked(client):
    """The text of a reply through any client, sync or async."""
    if hasattr(client, "responses"):
        return client.responses.create(model="m", input="hi"), lambda reply: reply.output_text
    if hasattr(client, "messages"):
        talk = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        return client.messages.create(**talk), lambda reply: reply.content[0].text
    return client.post("/v1/responses", json={**BODY, "stream": False}), lambda reply: reply.json()["output"][0]["content"][0][
        "text"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_ready_clients(provider, kind):
    """Every kind of client gets the reply, and needs nothing but its package."""
    pytest.importorskip(kind.removeprefix("async-"))
    provider.reply("Hello")

    async def aask():
        async with provider.client(kind) as client:
            reply, text = asked(client)
            return text(await reply)

    if kind.startswith("async-"):
        assert asyncio.run(aask()) == "Hello"
    else:
        with provider.client(kind) as client:
            reply, text = asked(client)
            assert text(reply) == "Hello"


def test_options_go_to_the_client(provider):
    """What is given replaces what a ready client has."""
    openai = pytest.importorskip("openai")
    with provider.client("openai", api_key="mine", max_retries=5) as client:
        assert (client.api_key, client.max_retries) == ("mine", 5)
    assert isinstance(client, openai.OpenAI)


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
def test_clients_that_the_program_builds(provider, name):
    """Inside the block they end in the provider, sync and async, whenever they were built; afterwards all is as before."""
    library = pytest.importorskip(name)
    real = library.HTTPTransport.handle_request, library.AsyncHTTPTransport.handle_async_request
    provider.otherwise("Hello")

    async def aask():
        async with library.AsyncClient(trust_env=False) as client:
            return (await client.post(URL, json=BODY)).text

    with library.Client(trust_env=False) as early, provider.patched(library):
        assert "Hello" in early.post(URL, json=BODY).text
        assert "Hello" in asyncio.run(aask())
        provider.reply("Hello").cut(3, "reset")
        with pytest.raises(library.ReadError):
            early.post(URL, json=BODY)
    assert (library.HTTPTransport.handle_request, library.AsyncHTTPTransport.handle_async_request) == real


def test_official_clients_that_the_program_builds(provider):
    """A program that only knows its API key talks to the provider, whatever libraries are installed."""
    openai = pytest.importorskip("openai")
    provider.reply("Hello")
    with provider.patched(), openai.OpenAI(api_key="k") as client:
        assert client.responses.create(model="m", input="hi").output_text == "Hello"
    assert provider.requests[0].request.headers["host"] == "api.openai.com"


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_patch_ends_with_its_block(provider, error):
    """Whatever ends the block, the classes are put back."""
    library = pytest.importorskip("httpx2")
    real = library.HTTPTransport.handle_request
    with pytest.raises(error), provider.patched("httpx2"):
        raise error("inside the block") if library.HTTPTransport.handle_request is not real else AssertionError
    assert library.HTTPTransport.handle_request is real


def test_a_patch_lets_nothing_out(provider):
    """Another path of this machine passes, as for a service of the program's own; another machine is refused."""
    library = pytest.importorskip("httpx2")
    other = Provider()
    with provider.patched("httpx2"), library.Client(trust_env=False) as client:
        assert client.get(f"{other.base_url}/health").status_code == 404
        assert client.get("http://elsewhere.example/health").status_code == 404
    assert (len(other.strays), len(provider.strays)) == (1, 1)
    other.close()


def test_what_cannot_be_patched(provider):
    """A library without transports is refused when the block is entered."""
    with pytest.raises(UsageError, match="no library that has transports"), provider.patched("requests"):
        pass


USING = [("httpx", "httpx"), ("httpcore", "httpx"), ("httpcore2", "httpx2")]


def mocked(using):
    """A respx router on one layer."""
    respx = pytest.importorskip("respx")
    if using == "httpcore2":
        pytest.importorskip("pytest_httpx2")
    return respx.mock(using=using)


@pytest.mark.parametrize(("using", "name"), USING)
@pytest.mark.parametrize("how", ["eof", *ERRORS])
def test_routes(provider, using, name, how):
    """A route answers streams, and a broken one raises the exception of the program's library, sync and async."""
    library = pytest.importorskip(name)
    got = []

    def read():
        provider.reply("Hello world").cut(5, how)
        with library.Client(trust_env=False) as client, client.stream("POST", URL, json=BODY) as response:
            got.extend(response.iter_raw())

    async def aread():
        provider.reply("Hello world").cut(5, how)
        async with library.AsyncClient(trust_env=False) as client, client.stream("POST", URL, json=BODY) as response:
            async for part in response.aiter_raw():
                got.append(part)  # noqa: PERF401  a comprehension would drop what came before an exception

    with mocked(using) as router:
        provider.route(router)
        for action in (read, lambda: asyncio.run(aread())):
            got.clear()
            if how == "eof":
                action()
            else:
                with pytest.raises(library.HTTPError) as raised:
                    action()
                assert type(raised.value) is getattr(library, ERRORS[how])
            assert b"".join(got).count(b"Hello") == 1
            assert provider.requests[-1].text == "Hello"


@pytest.mark.parametrize(("using", "name"), USING)
def test_a_route_without_an_answer(provider, using, name):
    """The request fails with the exception of the program's library."""
    library = pytest.importorskip(name)
    with mocked(using) as router, library.Client(trust_env=False) as client:
        provider.route(router)
        for how, error in {"eof": "RemoteProtocolError", **ERRORS}.items():
            provider.reply("x").cut("no-answer", how)
            with pytest.raises(library.HTTPError) as raised:
                client.post(URL, json=BODY)
            assert type(raised.value) is getattr(library, error)


def test_a_route_leaves_the_others_alone(provider):
    """Paths of no dialect go to the other routes of the router."""
    library = pytest.importorskip("httpx")
    provider.reply("Hello")
    with mocked("httpx") as router, library.Client(trust_env=False) as client:
        provider.route(router)
        router.get("http://model.example/health").respond(204)
        assert client.get("http://model.example/health").status_code == 204
        assert client.post(URL + "?x=1", json=BODY).status_code == 200


def test_the_router_of_pytest_httpx2(request, provider):
    """Its fixture takes a route, and the official client gets the reply through it."""
    pytest.importorskip("pytest_httpx2")
    openai = pytest.importorskip("openai")
    if not request.config.pluginmanager.has_plugin("pytest_httpx2"):
        pytest.skip("plugins are not loaded by themselves here")
    provider.reply("Hello")
    provider.route(request.getfixturevalue("httpx2_mock"))
    with openai.OpenAI(api_key="k") as client:
        assert client.responses.create(model="m", input="hi").output_text == "Hello"
