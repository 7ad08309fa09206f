"""A small stand-in for the Responses API on 127.0.0.1, so that the checks of `verify` can be run by anyone, without a key.

Rule: it refuses what the real service is known to refuse of a replay: fields that only replies have, contents that it did not seal
for this key and model, items without their follower, items twice, calls and outputs that do not pair.
"""

from __future__ import annotations

import hmac
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
from typing import Any, Self

from reference_impl.replay.model import ITEM_FIELDS

_SECRET = b"loopback"
Answer = tuple[int, Mapping[str, Any]]


class Loopback:
    """Serves while its `with` block runs. Each reply thinks first, and then says which one it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, key: str, body: Mapping[str, Any]) -> Answer:
        """Status and JSON of the answer to a request."""
        found = next(faults(key, body), None)
        if found is not None:
            message, param, code = found
            return 400, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
        with self._lock:
            self._count += 1
            number = self._count
        return 200, _reply(key, body, number)


Fault = tuple[str, str | None, str | None]


def faults(key: str, body: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a request: message, param and code of each fault."""
    items = body.get("input")
    if not isinstance(items, list):
        return
    yield from _unknown_fields(items)
    yield from _twice(items)
    yield from _unpaired(items)
    for n, (item, after) in enumerate(zip_longest(items, items[1:])):
        if item.get("type") == "reasoning":
            if not (after and (after.get("role") == "assistant" or after.get("type") == "function_call")):
                name = item.get("id")
                yield f"Item '{name}' of type 'reasoning' was provided without its required following item.", "input", None
            if item.get("encrypted_content") != _seal(key, body, str(item.get("id"))):
                yield f"The encrypted content of input[{n}] could not be verified.", None, "invalid_encrypted_content"


def _unknown_fields(items: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    for n, item in enumerate(items):
        strange = [name for name in item if name.startswith("_")]
        if item.get("type") == "reasoning":
            strange += [name for name in item if name not in ITEM_FIELDS]
        for name in strange:
            yield f"Unknown parameter: 'input[{n}].{name}'.", f"input[{n}].{name}", "unknown_parameter"


def _twice(items: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    names = [item["id"] for item in items if item.get("id")]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"Duplicate item found with id {name}. Remove duplicate items from your input and try again.", "input", None


def _unpaired(items: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    called = [item.get("call_id") for item in items if item.get("type") == "function_call"]
    answered = [item.get("call_id") for item in items if item.get("type") == "function_call_output"]
    for name in called:
        if name not in answered:
            yield f"No tool output found for function call {name}.", "input", None
    for name in answered:
        if name not in called:
            yield f"No tool call found for function call output with call_id {name}.", "input", None


def _seal(key: str, body: Mapping[str, Any], item_id: str) -> str:
    told = f"{key}\n{body.get('model')}\n{item_id}".encode()
    return "gAAAAA" + hmac.new(_SECRET, told, "sha256").hexdigest()


def _reply(key: str, body: Mapping[str, Any], number: int) -> dict[str, Any]:
    name = f"rs_{number}"
    thought = {"id": name, "type": "reasoning", "summary": [], "status": "completed"}
    if "reasoning.encrypted_content" in (body.get("include") or ()):
        thought["encrypted_content"] = _seal(key, body, name)
    text = {"type": "output_text", "text": f"This is reply {number}.", "annotations": []}
    said = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "output_tokens_details": {"reasoning_tokens": 3}}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": body.get("model"),
        "output": [thought, said],
        "usage": {**usage, "input_tokens_details": {"cached_tokens": 0}},
    }


def _handler(service: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))))
            if self.path.rstrip("/").endswith("/responses"):
                status, body = service.answer(self.headers.get("authorization", ""), sent)
            else:
                status, body = 404, {"error": {"message": f"nothing is served at {self.path}"}}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *told: object) -> None:
            """The checks print what matters."""

    return Handler
