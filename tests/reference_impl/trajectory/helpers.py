"""Short ways to make trajectories and to look at them."""

from __future__ import annotations

import asyncio
from itertools import count

from reference_impl.trajectory import Chat, LinearTrajectory
from tests.reference_impl.trajectory.model import MistralChat, Scripted


def opened(journal=None, **options):
    """A trajectory over a journal (none: in memory)."""
    return LinearTrajectory(MistralChat(), journal=journal, **options)


def talking(model=None, trajectory=None):
    """A chat over a trajectory, with ids that are counted."""
    numbers = count(1)
    return Chat(trajectory or opened(), model or Scripted(), lambda: f"r{next(numbers)}")


def ask(chat, *messages, **more):
    """One request, answered."""
    return asyncio.run(chat.complete({"messages": list(messages), **more}))


def state(trajectory):
    """Everything that a trajectory holds, to be compared."""
    return (
        list(trajectory.messages),
        list(trajectory.records),
        list(trajectory.trajectory_token_ids),
        list(trajectory.generated_checkpoint_message_ends),
        trajectory.epoch,
        trajectory.closing,
    )


def reasons(trajectory):
    """How the recorded generations ended; provisional ones in brackets."""
    return [f"[{record.finish_reason}]" if record.provisional else record.finish_reason for record in trajectory.records]
