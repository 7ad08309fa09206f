"""A recording: everything that happened, also what was left out."""

from __future__ import annotations

import asyncio

import pytest

from pytest_durability.adapter import Message
from pytest_durability.capabilities import Capabilities
from pytest_durability.history import Lane
from pytest_durability.recording import Play
from pytest_durability.workload import Append, Commit, Reload, Workload, with_tokens
from pytest_durability.world.arena import Arena


class Remembers:
    """Keeps its messages in a file; subclasses fail somewhere."""

    def open(self, world):
        return world.root / "log"

    def append(self, store, message):
        with open(store, "a") as file:
            file.write(message.text + "\n")

    def commit(self, store, keep):
        return None

    def transcript(self, store):
        return [Message("user", text) for text in store.read_text().splitlines()]


def played(adapter, *steps):
    """The recording of one run."""
    with Arena() as arena:
        return Play(adapter, Capabilities.of(adapter()), arena).run(with_tokens(Workload.of(steps)))


def user(recording):
    """Kind and target of what the user did."""
    return [(op.kind, op.target) for op in recording.history.lane(Lane.USER)]


def test_steps_that_a_failed_open_leaves_out_are_told():
    """Each of them by its kind; a reload leaves nothing out."""

    class OpensOnce(Remembers):
        def open(self, world):
            if (world.root / "log").exists():
                raise ValueError("exists")
            return super().open(world)

    found = user(played(OpensOnce, Append("user", "a"), Reload(), Commit(1), Append("user", "b")))
    failed = [("open", ""), ("raised", "open")]
    skipped = [("skipped", "commit"), ("skipped", "append")]
    assert found == [
        ("open", ""),
        ("ack", "open"),
        ("append", "u1"),
        ("ack", "u1"),
        *failed,
        *failed,
        skipped[0],
        *failed,
        skipped[1],
    ]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), asyncio.CancelledError()], ids=repr)
@pytest.mark.parametrize("coroutine", [False, True])
@pytest.mark.parametrize("method", ["open", "append"])
def test_whatever_the_store_raises_is_recorded(error, coroutine, method):
    """A store that exits or cancels itself has failed; the run goes on."""

    def plain(self, *args):
        raise error

    async def awaited(self, *args):
        await asyncio.sleep(0)
        raise error

    recording = played(type("Broken", (Remembers,), {method: awaited if coroutine else plain}), Append("user", "a"), Commit(0))
    assert {failed.kind for _, failed in recording.failures} == {type(error).__name__}
    assert {failed.during for _, failed in recording.failures} == {method}
    assert user(recording)[-1] == (("skipped", "commit") if method == "open" else ("ack", "commit"))


@pytest.mark.parametrize("coroutine", [False, True])
def test_ctrl_c_is_no_failure_of_the_store(coroutine):
    """It ends the run."""

    def plain(self, *args):
        raise KeyboardInterrupt

    async def awaited(self, *args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        played(type("Stopped", (Remembers,), {"append": awaited if coroutine else plain}), Append("user", "a"))
