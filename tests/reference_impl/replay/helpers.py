"""What the tests of replay share: the strict provider without HTTP, a disk in memory, and agents over both."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import count

from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import OpenAIProvider, RefusedError, STARAgent, Tool
from reference_impl.replay.transport import events_of

HOST, KEY, MODEL = "one.test", "key-1", "gpt-5-mini"


class Direct:
    """A transport that ends in the strict provider. Reasoning items have a `status` here, as those of the real service do."""

    def __init__(self, provider, *, host=HOST, key=KEY):
        self.provider, self.host, self.key = provider, host, key

    @property
    def base_url(self):
        """Where requests go."""
        return f"https://{self.host}/v1"

    def send(self, body):
        """The response object."""
        exchange = self._asked(body)
        whole = json.loads(b"".join(exchange.parts()))
        self._broken(exchange)
        return {**whole, "output": [_as_served(item) for item in whole["output"]]}

    def stream(self, body):
        """The events of a streamed response."""
        exchange = self._asked({**body, "stream": True})
        for event in events_of(exchange.parts()):
            if "response" in event:
                output = [_as_served(item) for item in event["response"]["output"]]
                yield {**event, "response": {**event["response"], "output": output}}
            else:
                yield {**event, "item": _as_served(event["item"])} if "item" in event else event
        self._broken(exchange)

    def _asked(self, body):
        headers = {"authorization": f"Bearer {self.key}", "host": self.host}
        exchange = self.provider.receive("POST", "/v1/responses", headers, json.dumps(body).encode())
        if not exchange.answer.position.answered:
            exchange.finish()
            raise ConnectionError("no answer")
        if exchange.answer.status >= 400:
            raise RefusedError.of(exchange.answer.status, b"".join(exchange.parts()))
        return exchange

    def _broken(self, exchange):
        if exchange.breaks not in ("", "eof"):
            raise ConnectionError(exchange.breaks)


def _as_served(item):
    return {**item, "status": "completed"} if item["type"] == "reasoning" else item


class MemoryDisk:
    """The disk that snapshots need, in a dict."""

    def __init__(self):
        self.files = {}

    def read(self, path):
        """The content, or None."""
        return self.files.get(path)

    def replace(self, path, data):
        """A new content."""
        self.files[path] = data

    def names(self, folder):
        """The names in a folder."""
        return sorted({path[len(folder) + 1 :].partition("/")[0] for path in self.files if path.startswith(folder + "/")})

    def make_dir(self, path):
        """Folders need not be made."""

    @contextmanager
    def lock(self, path):
        """Nobody else is here."""
        yield


def clock():
    """Times that grow."""
    numbers = count(1)
    return lambda: f"2026-01-01T00:00:{next(numbers):02}"


def agent_over(provider=None, *, timeline=None, model=MODEL, host=HOST, key=KEY, kind=OpenAIProvider, **options):
    """An agent over the strict provider, and the provider."""
    service = Provider() if provider is None else provider
    asked = kind(Direct(service, host=host, key=key), model)
    return STARAgent(asked, timeline, **options), service


def think(service, thought, text):
    """Script a reply that thinks first."""
    return service.reasoning(thought).text(text)


def items_in(body):
    """The reasoning items of a request."""
    return [item for item in body["input"] if item.get("type") == "reasoning"]


def texts_in(body, role="assistant"):
    """What somebody says in a request."""
    return [item["content"] for item in body["input"] if item.get("role") == role]


def bodies(service):
    """What was sent, request by request."""
    return [dict(exchange.body) for exchange in service.requests]


ADD = Tool("add", lambda a, b: a + b, "Add two numbers.")
