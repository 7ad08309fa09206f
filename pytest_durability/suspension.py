"""Where a program would wait for a network, it has to be possible that something else happens first.

Rule: it gives way exactly once, and takes no time; outside of asyncio it does nothing.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Generator


@types.coroutine
def _once() -> Generator[None, None, None]:
    yield


async def let_others_run() -> None:
    """Suspend once if an asyncio loop runs: here a task can be cancelled, and others go on."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio, or a loop of somebody's own: nothing here depends on it
        return
    await _once()
