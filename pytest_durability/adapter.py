"""The contract between a project and the harness: how a store is driven, and what it promises.

Rule: an adapter is a plain class, nothing to inherit; which methods it has decides what is tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from pytest_durability.errors import AdapterError, UsageError


@dataclass(frozen=True, slots=True)
class Message:
    """One message as the adapter is given it, and as `transcript` returns it.

    `complete=False` marks an assistant text whose turn was interrupted. `tool_calls`: the calls of an assistant message, each its
    id, or a mapping or an object that has one (`id`, `call_id`); `tool_call_id`: the call that a result answers.
    """

    role: str
    text: str
    id: str | None = None
    tool_calls: tuple[Any, ...] = ()
    tool_call_id: str | None = None
    complete: bool = True


ACKNOWLEDGED = ("clean-exit", "process-kill", "power-loss")
DELIVERED = ("complete-only", "turn-end", "process-kill", "power-loss")
_CHOICES: dict[str, tuple[str, ...]] = {
    "acknowledged": ACKNOWLEDGED,
    "delivered": DELIVERED,
    "lost_writes": ("report", "consistent"),
    "torn_tail": ("skip", "refuse"),
    "overlap": ("serialise", "refuse"),
    "retry": ("none", "idempotent"),
    "text": ("trimmed", "exact"),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """What a store claims; it decides which findings fail a test and which are only reported.

    `acknowledged`: what a message survives once `append` returned. `delivered`: the same for text the user saw.
    `filesystems`: persistence models on which "power-loss" is claimed (None: all local ones). `torn_tail`: what the store
    does about a record that a crash cut off: "skip" loads the rest; with "refuse" it may refuse to load (by one of the
    adapter's `refuses`) after a crash in the middle of a call, though not after a crash between two calls.

    Raises:
        UsageError: a value that is not one of the valid ones.
    """

    acknowledged: str = "process-kill"
    delivered: str = "turn-end"
    filesystems: tuple[str, ...] | None = None
    lost_writes: str = "report"
    torn_tail: str = "skip"
    overlap: str = "serialise"
    retry: str = "none"
    text: str = "trimmed"

    def __post_init__(self) -> None:
        for field in fields(self):
            valid, value = _CHOICES.get(field.name), getattr(self, field.name)
            if valid is not None and value not in valid:
                raise UsageError(
                    f"Promise({field.name}={value!r}) is not a promise",
                    why="what fails a test is derived from the promise",
                    fix=f"choose from: {', '.join(map(repr, valid))}",
                )
        if isinstance(self.filesystems, str):
            raise UsageError(f"Promise(filesystems={self.filesystems!r}) is a string", fix="give a tuple of model names")


@runtime_checkable
class SessionAdapter(Protocol):
    """The two methods that every adapter has; `append` or `turn` is needed besides (see `check_members`)."""

    def open(self, world: Any) -> Any:
        """Open the session below `world.root`; called for the first open and for every reopen after a crash."""

    def transcript(self, store: Any) -> Sequence[Message] | Any:
        """What a resumed agent would remember, in order. May be `async def`."""


OPTIONAL = ("append", "append_many", "commit", "archived", "close", "heal", "request", "records", "turn")
"""Optional methods; which of them exist decides what is tested."""


def check_members(adapter: Any) -> None:
    """Say in one message what an adapter lacks, before anything runs.

    Raises:
        AdapterError: a required member is missing, or a member has the wrong type.
    """
    name = type(adapter).__name__
    lacking = [f"{member}(...)" for member in ("open", "transcript") if not callable(getattr(adapter, member, None))]
    if not callable(getattr(adapter, "append", None)) and not callable(getattr(adapter, "turn", None)):
        lacking.append("append(store, message) or turn(store, turn)")
    wrong = [
        f"{m} is not callable" for m in OPTIONAL if getattr(adapter, m, None) is not None and not callable(getattr(adapter, m))
    ]
    promise = getattr(adapter, "promise", None)
    if promise is not None and not isinstance(promise, Promise):
        wrong.append(f"promise is {promise!r}, not a Promise")
    refuses = getattr(adapter, "refuses", ())
    if not isinstance(refuses, tuple) or not all(isinstance(r, type) and issubclass(r, BaseException) for r in refuses):
        wrong.append(f"refuses is {refuses!r}, not a tuple of exception types")
    if getattr(adapter, "after_error", "continue") not in ("continue", "reopen"):
        wrong.append(f"after_error is {adapter.after_error!r}, not 'continue' or 'reopen'")
    if not isinstance(getattr(adapter, "overlaps", False), bool):
        wrong.append(f"overlaps is {adapter.overlaps!r}, not True or False")
    if not isinstance(getattr(adapter, "tools", False), bool):
        wrong.append(f"tools is {adapter.tools!r}, not whether its turns call tools")
    handles = getattr(adapter, "handles", 2)
    if not isinstance(handles, int) or isinstance(handles, bool) or handles < 1:
        wrong.append(f"handles is {handles!r}, not how many store objects of a process may be open on a session")
    volatile = getattr(adapter, "volatile", ())
    if not isinstance(volatile, (tuple, list)) or not all(isinstance(pattern, str) for pattern in volatile):
        wrong.append(f"volatile is {volatile!r}, not a tuple of file name patterns")
    if lacking or wrong:
        parts = ([f"lacks {', '.join(lacking)}"] if lacking else []) + wrong
        raise AdapterError(
            f"the adapter {name} {'; '.join(parts)}",
            why="without these the store can be neither driven nor judged",
            fix="an adapter has open(world), append(store, message) and transcript(store); see the README",
        )


def promise_of(adapter: Any) -> Promise:
    """The adapter's promise, or the default one."""
    promise = getattr(adapter, "promise", None)
    return promise if isinstance(promise, Promise) else Promise()
