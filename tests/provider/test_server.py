"""The loopback server: real sockets agree with the transport, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import threading
import warnings

import pytest

from pytest_durability.dialects.cuts import HOWS, POINTS
from pytest_durability.history import History
from pytest_durability.world.provider.provider import Provider

BODY = {"model": "m", "input": "hi", "stream": True}
SHORT = 0.5
"""Seconds until a client gives up on a stalled answer: real time, because the server really is silent."""
SILENT = {"timeout": ["inside-character"], "stall": ["no-answer"]}
"""Where an answer stalls: not everywhere, because each time is a real one."""


@pytest.fixture
def library():
    """The client of the tests."""
    return pytest.importorskip("httpx2")


def scripted(provider, point, how):
    """A reply with everything that can be cut."""
    provider.reasoning("I think").text("Hello wörld").tool_call("f", {"q": "dürer"}).cut(point, how)


def read(library, url, client):
    """Bytes and the name of the exception."""
    got = b""
    try:
        with client.stream("POST", url, json=BODY) as response:
            for part in response.iter_raw():
                got += part
    except library.HTTPError as error:
        return got, type(error).__name__
    return got, "-"


@pytest.mark.parametrize("how", HOWS)
def test_it_agrees_with_the_transport(library, provider, how):
    """Each cut gives the same bytes and the same exception over a socket and through the transport."""
    quick = Provider()
    url = f"{provider.base_url}/v1/responses"
    with (
        library.Client(timeout=SHORT if how in SILENT else 60, trust_env=False) as slow,
        library.Client(transport=quick.transport(library)) as fast,
    ):
        for point in SILENT.get(how, POINTS):
            scripted(provider, point, how)
            scripted(quick, point, how)
            assert read(library, url, slow) == read(library, "http://provider.test/v1/responses", fast)
            assert provider.requests[-1].text == quick.requests[-1].text
            assert provider.requests[-1].ended == quick.requests[-1].ended == "cut"
    quick.close()


def test_async_clients(library, provider):
    """A reset surfaces in an async client too, after everything that was sent."""
    url = f"{provider.base_url}/responses"
    provider.reply("Hello world").cut(5, "reset")

    async def ask():
        async with library.AsyncClient(trust_env=False) as client, client.stream("POST", url, json=BODY) as response:
            async for part in response.aiter_raw():
                got.append(part)  # noqa: PERF401  a comprehension would drop what came before an exception

    got = []
    with pytest.raises(library.ReadError):
        asyncio.run(ask())
    assert b"Hello" in b"".join(got)
    assert provider.requests[0].text == "Hello"


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_official_clients_share_one_url(provider, prefix):
    """The same server answers openai and anthropic, with and without `/v1` in their base URL."""
    openai, anthropic = pytest.importorskip("openai"), pytest.importorskip("anthropic")
    provider.otherwise("Hello")
    talk = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with openai.OpenAI(api_key="k", base_url=provider.base_url + prefix, max_retries=0) as client:
        assert client.responses.create(model="m", input="hi").output_text == "Hello"
        assert client.chat.completions.create(**talk).choices[0].message.content == "Hello"
    with anthropic.Anthropic(api_key="k", base_url=provider.base_url + prefix, max_retries=0) as client:
        assert client.messages.create(**talk, max_tokens=9).content[0].text == "Hello"
    assert [exchange.dialect for exchange in provider.requests] == ["responses", "chat", "messages"]


def test_connections_are_kept_alive(provider):
    """Several requests go over one connection, refusals included; `connection: close` ends it."""
    provider.otherwise("Hello")
    host = provider.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    statuses = []
    for path in ("/v1/responses", "/nowhere", "/v1/responses"):
        connection.request("POST", path, body=b'{"model": "m", "input": "hi"}')
        with connection.getresponse() as response:
            statuses.append((response.status, len(response.read()) > 0))
            used = connection.sock
    assert used is not None
    connection.request("POST", "/v1/responses", body=b'{"model": "m", "input": "hi"}', headers={"connection": "close"})
    with connection.getresponse() as response:
        statuses.append((response.status, len(response.read()) > 0))
    connection.close()
    assert statuses == [(200, True), (404, True), (200, True), (200, True)]


def test_chunked_requests_and_expectations(provider):
    """A body that comes in chunks, and a client that waits for 100 Continue, are understood."""
    provider.otherwise("Hello")
    host, port = provider.base_url.removeprefix("http://").split(":")
    body = b'{"model": "m", "input": "hi"}'
    with socket.create_connection((host, int(port))) as sock, sock.makefile("rb") as reader:
        sock.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        reader.readline()
        sock.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
    assert provider.requests[0].body["input"] == "hi"


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"POST /v1/responses HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b""])
def test_what_is_no_request_ends_the_connection(provider, data):
    """The server hangs up, and serves the next one."""
    host, port = provider.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == b""
    assert provider.requests == []


def test_only_this_machine_and_only_while_it_is_asked_for(provider):
    """It listens on 127.0.0.1, one port as long as the provider lives; closing ends its threads and open connections."""
    before = threading.active_count()
    provider.close()
    assert threading.active_count() == before
    url = provider.base_url
    assert url == provider.base_url
    host, port = url.removeprefix("http://").split(":")
    assert host == "127.0.0.1"
    idle = http.client.HTTPConnection(host, int(port))
    idle.request("GET", "/")
    with idle.getresponse() as response:
        response.read()
    provider.close()
    assert idle.sock.recv(1) == b""
    idle.close()
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)))
    assert provider.base_url != url


def test_closing_frees_a_server_that_stalls(provider):
    """A stalled answer does not keep the provider from closing; its client sees the end."""
    provider.reply("Hello").cut(3, "stall")
    host, port = provider.base_url.removeprefix("http://").split(":")
    body = b'{"model": "m", "input": "hi", "stream": true}'
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        data = b""
        while b'"delta":"Hel"' not in data:
            data += sock.recv(65536)
        provider.close()
        while more := sock.recv(65536):
            data += more
    assert b"completed" not in data
    assert provider.requests[0].ended == "cut"


def test_ops_of_many_threads_are_numbered_one_by_one(provider):
    """The history has no gap and no double number when connections are served at the same time."""
    provider.otherwise([str(number) for number in range(50)])
    host, port = provider.base_url.removeprefix("http://").split(":")

    def ask():
        connection = http.client.HTTPConnection(host, int(port))
        for _ in range(5):
            connection.request("POST", "/v1/responses", body=b'{"model": "m", "input": "hi", "stream": true}')
            with connection.getresponse() as response:
                response.read()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [op.seq for op in provider.history] == list(range(1, len(provider.history) + 1))
    assert sorted(exchange.number for exchange in provider.requests) == list(range(1, 21))


def test_a_forked_child_has_a_server_of_its_own(provider):
    """The child gets another port, and what it closes stays open in the parent."""
    library = pytest.importorskip("httpx2")
    provider.otherwise("Hello")
    url = provider.base_url
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: the child only closes and opens sockets
        child = os.fork()
    if child == 0:
        own = provider.base_url
        provider.close()
        os._exit(0 if own != url else 1)
    assert os.waitpid(child, 0)[1] == 0
    with library.Client(trust_env=False) as client:
        assert client.post(f"{url}/v1/responses", json=BODY).status_code == 200


def test_a_history_that_takes_the_place_of_another_is_shared_too(provider):
    """Threads of the server add to it one at a time."""
    assert provider.base_url
    provider.history = History()
    shared = History()
    shared.share()
    assert type(provider.history) is type(shared)
