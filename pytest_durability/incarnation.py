"""One life of a store, from its open to its death: the only place that calls into an adapter.

Rule: sync and async adapters look the same from here; one event loop per life, and nothing of it runs after the death.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_durability.adapter import Message
from pytest_durability.dialects.transcript import call_id_of
from pytest_durability.errors import AdapterError, DurabilityError, UsageError
from pytest_durability.observation import Failure, Row
from pytest_durability.world.disk.site import of_traceback

AdapterFactory = Callable[[], Any]

_rows: dict[tuple[str, str, tuple[str, ...], str | None], Row] = {}
_ROWS_KEPT = 100_000

FAILURES = (Exception, SystemExit, asyncio.CancelledError)
"""What counts as a failure of the store. Ctrl-C, closing generators and the outcomes of a test runner are not its own."""


class Incarnation:
    """An adapter of its own, the store it opened, and its event loop (made when first needed, unless one was given).

    The adapter is made when it is first asked for anything: what it does then belongs to the opening, and may fail like the rest.
    """

    __slots__ = ("_adapter", "_factory", "_loop", "store", "world")

    def __init__(self, factory: AdapterFactory, world: Any, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._factory: AdapterFactory | None = factory
        self._adapter: Any = None
        self.world = world
        self.store: Any = None
        self._loop = loop

    @property
    def adapter(self) -> Any:
        """The adapter of this life; None once that is over."""
        if self._adapter is None and self._factory is not None:
            self._adapter = self._factory()
        return self._adapter

    def open(self) -> None:
        """Open the store; exceptions of the store pass through."""
        self.store = self._settle(self.adapter.open(self.world))

    def call(self, name: str, *args: Any) -> Any:
        """Call a method of the adapter with the store first; an awaitable result is awaited on this life's loop."""
        return self._settle(getattr(self.adapter, name)(self.store, *args))

    def rows(self, name: str = "transcript") -> tuple[Row, ...]:
        """The transcript (or the archive) as rows.

        Raises:
            AdapterError: the adapter returned something that is no sequence of `Message`.
        """
        return self._rows(name, self.call(name))

    def records(self) -> tuple[tuple[str, tuple[Row, ...]], ...]:
        """What the other records of the conversation hold, by name.

        Raises:
            AdapterError: the adapter returned something that is no mapping of sequences of `Message`.
        """
        value = self.call("records")
        if not isinstance(value, Mapping):
            raise _wrong_type(self.adapter, "records", value)
        return tuple((str(name), self._rows("records", items)) for name, items in value.items())

    def _rows(self, name: str, value: Any) -> tuple[Row, ...]:
        if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
            raise _wrong_type(self.adapter, name, value)
        return tuple([_row(self.adapter, name, item) for item in value])

    def settle(self, value: Any) -> Any:
        """Await what an adapter returned, on this life's loop, if it is awaitable."""
        return self._settle(value)

    def finalise(self) -> None:
        """Drop everything; called when the root is gated shut."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            for task in asyncio.all_tasks(loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  they are meant to die
            loop.close()
        self.store = self._adapter = self._factory = self.world = None

    def _settle(self, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value
        if self._loop is None:
            _no_loop_around(value)
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_awaiting(value))


def _no_loop_around(value: Any) -> None:
    """Say in time what asyncio would say of each call of the store, where it would look like a failure of the store."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if inspect.iscoroutine(value):
        value.close()
    raise UsageError(
        "an adapter with async methods was given to the harness inside of a running event loop",
        why="each life of the store has a loop of its own, and loops do not nest",
        fix="call durability from a plain `def test_...`, also where other tests are coroutines",
    )


async def _awaiting(value: Any) -> Any:
    return await value


def _row(adapter: Any, name: str, item: Any) -> Row:
    if not isinstance(item, Message):
        raise _wrong_type(adapter, name, item)
    role, text = _parts(item)
    if not isinstance(text, str) or not isinstance(role, str):
        raise _wrong_type(adapter, name, item)
    key = (role, text, *(_calls(item) if getattr(adapter, "tools", False) else ((), None)))
    row = _rows.get(key)
    if row is None:
        if len(_rows) >= _ROWS_KEPT:
            _rows.clear()
        row = _rows[key] = Row.of(*key)
    return row


def _parts(item: Message) -> tuple[Any, Any]:
    """Role and text as the adapter really set them, whatever they are declared to be."""
    return item.role, item.text


def _calls(item: Message) -> tuple[tuple[str, ...], str | None]:
    """The ids of the calls that a message makes, and of the one that it answers."""
    answers: Any = item.tool_call_id
    return tuple(filter(None, map(call_id_of, item.tool_calls or ()))), answers if isinstance(answers, str) else None


def _wrong_type(adapter: Any, name: str, value: Any) -> AdapterError:
    shown = ascii(value)[:80]
    return AdapterError(
        f"{type(adapter).__name__}.{name} gave {shown} of type {type(value).__name__}",
        why="rows are matched by role and text",
        fix=f"return a list of Message(role, text) from {name}(store)",
    )


def failure(during: str, error: BaseException, refuses: tuple[type[BaseException], ...], root: str) -> Failure:
    """What left the store, as a value. Misuse errors of the harness are raised again: they are not the store's.

    `root` is written as `<root>` in the message, because its name differs between processes.
    """
    if isinstance(error, DurabilityError):
        raise error
    try:
        told = str(error)
    except FAILURES as broken:  # the store's own exception class cannot print itself
        told = f"(its message cannot be read: {type(broken).__name__})"
    message = told.replace(root, "<root>").split("\n", 1)[0][:200]
    return Failure(during, type(error).__name__, message, of_traceback(error), isinstance(error, refuses))
