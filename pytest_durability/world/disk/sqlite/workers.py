"""aiosqlite gives each connection a thread, and one that nobody closes waits for ever and keeps the interpreter from ending.

Rule: only threads of aiosqlite are ended, only when the life that opened a database in them is dead, and by the sign with which
aiosqlite ends them itself. Their connections are not reproached for being unclosed, which aiosqlite does with a new event loop.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any


def worker() -> threading.Thread | None:
    """The thread that runs now, if it is one that aiosqlite made for a connection."""
    if "aiosqlite" not in sys.modules:
        return None
    thread = threading.current_thread()
    return thread if _queue(thread) is not None else None


_ended: weakref.WeakSet[Any] = weakref.WeakSet()
_saved: list[tuple[type, str, Any]] = []


def end(workers: Iterable[threading.Thread]) -> None:
    """Let these threads end after what they are doing."""
    for thread in workers:
        _still()
        queue, core = _queue(thread), sys.modules.get("aiosqlite.core")
        sign = getattr(core, "_STOP_RUNNING_SENTINEL", None)
        if queue is not None and sign is not None:
            _ended.add(queue)
            queue.put_nowait((None, lambda sign=sign: sign))


def _still() -> None:
    """Make connections of the dead vanish without a word, as long as there is a world."""
    if _saved:
        return
    kind = sys.modules["aiosqlite"].Connection
    for name in ("__del__", "stop"):
        original = kind.__dict__.get(name)
        if original is not None:
            setattr(kind, name, _unless_ended(original))
            _saved.append((kind, name, original))


def _unless_ended(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def vanish(connection: Any) -> Any:
        return None if getattr(connection, "_tx", None) in _ended else original(connection)

    return vanish


def restore() -> None:
    """Put back what was changed in aiosqlite."""
    while _saved:
        kind, name, original = _saved.pop()
        setattr(kind, name, original)


def _queue(thread: threading.Thread) -> Any:
    """What aiosqlite gives a thread to do; None for other threads. Since 0.22 the connection is no thread itself."""
    if type(thread).__module__.startswith("aiosqlite"):
        return getattr(thread, "_tx", None)
    with suppress(AttributeError, IndexError):
        if thread._target.__module__.startswith("aiosqlite"):  # type: ignore[attr-defined]  # noqa: SLF001  there is no other way
            return thread._args[0]  # type: ignore[attr-defined]  # noqa: SLF001
    return None
