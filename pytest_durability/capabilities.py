"""What an adapter can do decides which steps make sense for it, and is asked before anything runs.

Rule: a capability is a method that is there, or an attribute that is declared; nothing is found out by trying.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_durability.adapter import OPTIONAL, Promise, promise_of
from pytest_durability.errors import AdapterError
from pytest_durability.workload import SESSION, Append, AppendMany, Ask, Close, Commit, On, Together, Workload


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which optional methods the adapter has, and what it declares.

    `sessions`: several sessions may live in one root. `overlaps`: turns may be made at once. `tools`: its turns call tools.
    `handles`: so many store objects of one process may be open on a session.
    """

    name: str
    promise: Promise
    members: frozenset[str]
    refuses: tuple[type[BaseException], ...] = ()
    volatile: tuple[str, ...] = ()
    after_error: str = "continue"
    sessions: bool = False
    handles: int = 2
    overlaps: bool = False
    tools: bool = False

    @classmethod
    def of(cls, adapter: Any) -> Capabilities:
        """What this adapter has and declares."""
        return cls(
            name=type(adapter).__name__,
            promise=promise_of(adapter),
            members=frozenset(name for name in OPTIONAL if callable(getattr(adapter, name, None))),
            refuses=tuple(getattr(adapter, "refuses", ())),
            volatile=tuple(getattr(adapter, "volatile", ())),
            after_error=getattr(adapter, "after_error", "continue"),
            sessions=bool(getattr(adapter, "sessions", False)),
            handles=int(getattr(adapter, "handles", 2)),
            overlaps=bool(getattr(adapter, "overlaps", False)),
            tools=bool(getattr(adapter, "tools", False)),
        )


def check_workload(workload: Workload, able: Capabilities) -> None:
    """Say which step the adapter cannot do, before anything runs.

    Raises:
        AdapterError: a step needs a method, or a declaration, that the adapter lacks.
    """
    needs = {Append: "append", AppendMany: "append_many", Ask: "turn", Commit: "commit", Close: "close"}
    if any(isinstance(step, Together) for step in workload) and not able.overlaps:
        raise AdapterError(
            f"the workload has Together, but {able.name} does not declare overlaps = True",
            why="calls that are made one after the other instead would make the run say less than it seems to",
            fix="declare overlaps = True, or leave the step out of the workload",
        )
    for step in (one for given in workload for one in (given.steps if isinstance(given, Together) else (given,))):
        inner = step.step if isinstance(step, On) else step
        method = needs.get(type(inner))
        if method is not None and method not in able.members:
            raise AdapterError(
                f"the workload has {type(inner).__name__}, but {able.name} has no {method} method",
                why="a step that is left out would make the run say less than it seems to",
                fix=f"add {method} to the adapter, or leave the step out of the workload",
            )
        if isinstance(inner, Ask) and inner.tool and not able.tools:
            raise AdapterError(
                f"the workload has a turn with a tool, but {able.name} does not declare tools = True",
                why="a turn that takes the first reply for the last one would leave half of it out",
                fix="let turn run turn.calls and go on with turn.chunks(), and declare tools = True",
            )
        if isinstance(inner, Ask) and inner.meanwhile and "append" not in able.members:
            raise AdapterError(
                f"the workload has a message that comes while a tool runs, but {able.name} has no append method",
                why="there is no other way in while a turn runs",
                fix="add append to the adapter, or leave `meanwhile` out of the workload",
            )
        if isinstance(step, On) and step.session != SESSION and not able.sessions:
            raise AdapterError(
                f"the workload has a session {step.session!r}, but {able.name} does not declare sessions = True",
                why="an adapter that opens the same session under any name would seem to hurt the other one",
                fix="let open(world) follow world.session and declare sessions = True",
            )
