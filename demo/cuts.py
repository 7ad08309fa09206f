"""Shows what each client makes of each broken stream, sync and async, and that a reference turn over it keeps what was shown, once.

Rule: the clients are the real ones, and nothing is said about one that is not installed. The turn is told of the end by the
terminal event, never by the end of the stream; what it kept is read by another agent, as after a restart.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_durability.dialects.cuts import HOWS, POINTS
from pytest_durability.dialects.replies import ENDS
from pytest_durability.world.provider.provider import Provider
from reference_impl.transcript import Agent, Done, Text
from reference_impl.transcript.errors import TranscriptError
from reference_impl.transcript.rows import visible_text


class _End(str):
    """No text: the terminal event has come."""

    __slots__ = ()


END = _End()
SAID = "Hello wörld, how are yöu?"
ASKED: dict[str, Any] = {"model": "m", "input": "hi"}
TALK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Column:
    """One way to read a stream: the kind of client, and how its text is read, sync and async."""

    title: str
    kind: str
    read: Callable[[Any], Iterator[str]]
    aread: Callable[[Any], AsyncIterator[str]]


@dataclass(frozen=True)
class Seen:
    """What a program saw of one reply: the text, the exception (or "-"), how often it asked; and what it was really sent."""

    text: str
    surfaced: str
    requests: int
    sent: str


def _responses(client: Any) -> Iterator[str]:
    for event in client.responses.create(**ASKED, stream=True):
        yield from _response_event(event)


def _response_event(event: Any) -> Iterator[str]:
    if event.type == "response.output_text.delta":
        yield event.delta
    elif event.type == "response.completed":
        yield END


async def _aresponses(client: Any) -> AsyncIterator[str]:
    async for event in await client.responses.create(**ASKED, stream=True):
        for text in _response_event(event):
            yield text


def _accumulated(client: Any) -> Iterator[str]:
    with client.responses.stream(**ASKED) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta
        stream.get_final_response()
        yield END


async def _aaccumulated(client: Any) -> AsyncIterator[str]:
    async with client.responses.stream(**ASKED) as stream:
        async for event in stream:
            if event.type == "response.output_text.delta":
                yield event.delta
        await stream.get_final_response()
        yield END


def _chat(client: Any) -> Iterator[str]:
    for chunk in client.chat.completions.create(**TALK, stream=True):
        yield from _chunk(chunk)


def _chunk(chunk: Any) -> Iterator[str]:
    for choice in chunk.choices:
        yield choice.delta.content or ""
        if choice.finish_reason is not None:
            yield END


async def _achat(client: Any) -> AsyncIterator[str]:
    async for chunk in await client.chat.completions.create(**TALK, stream=True):
        for text in _chunk(chunk):
            yield text


def _messages(client: Any) -> Iterator[str]:
    for event in client.messages.create(**TALK, max_tokens=9, stream=True):
        yield from _message_event(event)


def _message_event(event: Any) -> Iterator[str]:
    if event.type == "content_block_delta" and event.delta.type == "text_delta":
        yield event.delta.text
    elif event.type == "message_stop":
        yield END


async def _amessages(client: Any) -> AsyncIterator[str]:
    async for event in await client.messages.create(**TALK, max_tokens=9, stream=True):
        for text in _message_event(event):
            yield text


def _message(client: Any) -> Iterator[str]:
    with client.messages.stream(**TALK, max_tokens=9) as stream:
        yield from stream.text_stream
        stream.get_final_message()
        yield END


async def _amessage(client: Any) -> AsyncIterator[str]:
    async with client.messages.stream(**TALK, max_tokens=9) as stream:
        async for text in stream.text_stream:
            yield text
        await stream.get_final_message()
        yield END


class _Decoder:
    """The least that reads server-sent events: whole ones only."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """The text in the events that are whole now."""
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            content = json.loads(event.partition(b"data: ")[2])
            if content["type"] == "response.output_text.delta":
                yield content["delta"]
            elif content["type"] == "response.completed":
                yield END


def _plain(client: Any) -> Iterator[str]:
    decoder = _Decoder()
    with client.stream("POST", "/v1/responses", json={**ASKED, "stream": True}) as response:
        for data in response.iter_bytes():
            yield from decoder.feed(data)


async def _aplain(client: Any) -> AsyncIterator[str]:
    decoder = _Decoder()
    async with client.stream("POST", "/v1/responses", json={**ASKED, "stream": True}) as response:
        async for data in response.aiter_bytes():
            for text in decoder.feed(data):
                yield text


COLUMNS = (
    Column("openai Responses", "openai", _responses, _aresponses),
    Column("openai Chat", "openai", _chat, _achat),
    Column("anthropic", "anthropic", _messages, _amessages),
    Column("httpx", "httpx", _plain, _aplain),
    Column("openai responses.stream()", "openai", _accumulated, _aaccumulated),
    Column("anthropic messages.stream()", "anthropic", _message, _amessage),
)
"""The clients as most programs use them, then the accumulating helpers of the official ones."""


def scripted(provider: Provider, end: str = "complete") -> Any:
    """Reasoning, text with multi-byte characters, a tool call: every cut point exists in it."""
    return provider.reasoning("I think so").text(SAID).tool_call("search", {"query": "dürer"}).ends(end)


def installed(column: Column) -> bool:
    """Whether the client of a column can be used here."""
    return importlib.util.find_spec(column.kind) is not None


def seen(column: Column, script: Callable[[Provider], None], *, by: str) -> Seen:
    """Let one client read one reply; `by`: "sync" or "async"."""
    return asyncio.run(_aseen(column, script)) if by == "async" else _seen(column, script)


def _options(column: Column) -> dict[str, Any]:
    """Without the clients' own retries, which wait: they come before the body only."""
    return {} if column.kind == "httpx" else {"max_retries": 0}


def _seen(column: Column, script: Callable[[Provider], None]) -> Seen:
    provider, surfaced = Provider(), "-"
    got: list[str] = []
    script(provider)
    with provider.client(column.kind, **_options(column)) as client:
        try:
            got += column.read(client)
        except Exception as error:  # noqa: BLE001  what a program would have to catch is what is shown
            surfaced = _shown(error)
    return Seen("".join(got), surfaced, len(provider.requests), provider.requests[0].text)


async def _aseen(column: Column, script: Callable[[Provider], None]) -> Seen:
    provider, surfaced = Provider(), "-"
    got: list[str] = []
    script(provider)
    async with provider.client(f"async-{column.kind}", **_options(column)) as client:
        try:
            async for text in column.aread(client):
                got.append(text)  # noqa: PERF401  a comprehension would drop what came before an exception
        except Exception as error:  # noqa: BLE001  what a program would have to catch is what is shown
            surfaced = _shown(error)
    return Seen("".join(got), surfaced, len(provider.requests), provider.requests[0].text)


def kept(column: Column, script: Callable[[Provider], None], *, by: str) -> bool:
    """Whether a reference turn over this client has what was shown exactly once, as the next process finds it."""
    provider = Provider()
    script(provider)
    with tempfile.TemporaryDirectory() as folder:
        agent = _agent(folder)
        agent.resume()
        shown = asyncio.run(_aturn(agent, column, provider)) if by == "async" else _turn(agent, column, provider)
        agent.close()
        reader = _agent(folder)
        reader.resume()
        said = [visible_text(row) for row in reader.transcript() if row["role"] == "assistant"]
        reader.close()
    return [text for text in said if text] == ([shown] if shown else [])


def _agent(folder: str) -> Agent:
    """An agent of its own process, as far as the files can tell."""
    return Agent(folder, "session", clock=lambda: "2026-01-01T00:00:00.000+00:00", ids=lambda: uuid.uuid4().hex)


def _turn(agent: Agent, column: Column, provider: Provider) -> str:
    """Run one turn; what the user saw, however it ended."""
    shown = ""
    with provider.client(column.kind, **_options(column)) as client:
        try:
            for piece in agent.begin("hi").run(lambda _: map(_event, column.read(client))):
                shown += piece
        except TranscriptError:  # nothing was shown, and the turn says so
            pass
    return shown


async def _aturn(agent: Agent, column: Column, provider: Provider) -> str:
    shown = ""
    async with provider.client(f"async-{column.kind}", **_options(column)) as client:

        async def events(_: Any) -> AsyncIterator[Any]:
            async for piece in column.aread(client):
                yield _event(piece)

        try:
            async for piece in agent.begin("hi").arun(events):
                shown += piece
        except TranscriptError:  # nothing was shown, and the turn says so
            pass
    return shown


def _event(piece: str) -> Any:
    return Done() if piece is END else Text(piece)


def _shown(error: Exception) -> str:
    home = type(error).__module__.partition(".")[0]
    return f"{home}.{type(error).__name__}" if home.startswith("httpx") else type(error).__name__


def cut_script(point: int | str, how: str) -> Callable[[Provider], None]:
    """A script of one reply with one cut."""
    return lambda provider: scripted(provider).cut(point, how)


def end_script(end: str) -> Callable[[Provider], None]:
    """A script of one reply that ends in one way on the provider's side."""
    return lambda provider: scripted(provider, end)


def table(columns: tuple[Column, ...], rows: dict[tuple[str, str], Callable[[Provider], None]]) -> list[str]:
    """One line a row; a cell says what both ways show, or `sync | async` if they differ. `kept`: in how many of them a turn kept it."""
    lines = [f"{'':30}{'shown':>6}  {'kept':7}" + "".join(f"{column.title:28}" for column in columns).rstrip()]
    last = ""
    for (group, name), script in rows.items():
        both = [(seen(column, script, by="sync"), seen(column, script, by="async")) for column in columns]
        cells = [one.surfaced if one.surfaced == other.surfaced else f"{one.surfaced} | {other.surfaced}" for one, other in both]
        wrong = any(view.text != view.sent or view.requests != 1 for pair in both for view in pair)
        turns = [kept(column, script, by=by) for column in columns for by in ("sync", "async")]
        shown = {len(view.sent) for pair in both for view in pair}
        count = "/".join(map(str, sorted(shown)))
        lines.append(
            f"{group if group != last else '':10}{name:20}{count:>6}  "
            f"{f'{sum(turns)}/{len(turns)}':7}" + "".join(f"{cell:28}" for cell in cells)
        )
        lines[-1] = lines[-1].rstrip() + ("   TEXT DIFFERS FROM WHAT WAS SENT" if wrong else "")
        lines[-1] += "" if all(turns) else "   NOT KEPT ONCE"
        last = group
    return lines


def main() -> int:
    """Exit status 0 if every client showed exactly the text that it was sent, in one request, and every turn kept that once."""
    here = tuple(column for column in COLUMNS if installed(column))
    if not here:
        print("none of openai, anthropic and httpx is installed")
        return 1
    cuts = {(how, point): cut_script(point, how) for how in HOWS for point in POINTS}
    ends = {("", f"ends: {end}"): end_script(end) for end in ENDS}
    lines: list[str] = []
    for title, columns in (("as most programs use them", here[:4]), ("the accumulating helpers", here[4:])):
        lines += [
            "",
            f"{title} (shown: characters of {len(SAID)}; kept: reference turns over these clients, sync and async,",
            "that have the shown text exactly once; -: no exception; sync and async agree unless two are named)",
        ]
        lines += table(columns, cuts | ends) if columns else ["not installed"]
    print("\n".join(lines))
    return 1 if any("TEXT DIFFERS" in line or "NOT KEPT" in line for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
