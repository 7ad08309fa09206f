"""Typed use of the public names: the type checker reads this file, nothing runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_durability as pd


class Store:
    """The least a session store can be."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Plain:
    """An adapter whose methods are plain functions."""

    promise = pd.Promise(acknowledged="power-loss", filesystems=("ext4-delalloc",))
    refuses = (ValueError,)

    def open(self, world: pd.World) -> Store:
        return Store(Path(world.root) / world.session)

    def append(self, store: Store, message: pd.Message) -> None:
        store.path.write_text(message.role + message.text)

    def transcript(self, store: Store) -> list[pd.Message]:
        return [pd.Message("user", store.path.read_text())]


class Asynchronous:
    """The same with coroutines and an asynchronous generator."""

    async def open(self, world: pd.World) -> Store:
        return Store(Path(world.root) / world.session)

    async def turn(self, store: Store, turn: object) -> AsyncIterator[str]:
        yield store.path.read_text()

    async def transcript(self, store: Store) -> tuple[pd.Message, ...]:
        return (pd.Message("user", store.path.read_text(), id="1", complete=False),)


plain: pd.SessionAdapter = Plain()
asynchronous: pd.SessionAdapter = Asynchronous()

schedule: pd.Schedule = pd.Schedule.parse("LostWrite(at='write:session.jsonl:1')")
text: str = str(pd.Schedule.of([pd.LostWrite(at="write:a:1"), pd.Crash(after="sync:a:1"), pd.LostAck(at="write:a:2")]))
place: pd.Place = pd.Place.parse("write:session.jsonl:1")
workload: pd.Workload = pd.Workload.of([pd.Append("user", "hi"), pd.Commit(keep=1), pd.Reload(), pd.Close()])
batch: pd.AppendMany = pd.AppendMany((pd.Say("user", "hi"), pd.Say("assistant", "hello", id="2")))


def read_report(report: pd.SweepReport) -> tuple[int, pd.Verdict, list[str]]:
    """A report is made of typed parts."""
    return report.states, report.verdict, [anomaly.summary for anomaly in report.anomalies]


def handle(error: Exception) -> str:
    """Findings and misuse are told apart by type."""
    if isinstance(error, pd.LostAcknowledged):
        identity: tuple[str, str, str] = error.identity
        return identity[0]
    if isinstance(error, pd.UsageError | pd.AdapterError):
        return error.fix
    return ""


def deliveries(history: pd.History) -> list[int]:
    """A history is a sequence of ops."""
    return [op.seq for op in history.lane(pd.Lane.USER) if op.outcome is pd.Outcome.OK]


class Machine(pd.SessionMachine):
    """A machine of a user's own."""

    adapter = Plain

    def wonder(self) -> None:
        """Acts on the living store."""
        stored: bool | None = self.append("user", "yes or no?")
        if stored:
            self.do(pd.On(pd.Append("assistant", "yes"), handle=2))
        self.do(pd.PowerLoss("posix"))
        texts: list[str] = [message.text for message in self.transcript()]
        del texts


deaths: pd.Workload = pd.Workload.of([pd.Append("user", "hi"), pd.FullDisk(2), pd.Retry(), pd.Read()])
