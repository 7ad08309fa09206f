"""Tells the stories of an aborted generation: what is recorded after each answer, and how many tokens count.

Rule: the tokens are those of a real vocabulary and chat template, the journal is a real file, and every line printed is
read from the trajectory after it was opened again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from reference_impl.trajectory import Chat, FileJournal, LinearTrajectory, assemble
from tests.reference_impl.trajectory.model import MistralChat, Scripted, said, user

FIRST = (user("what is in the report?"),)
SECOND = (*FIRST, said("three findings"), user("and the first?"))
STORIES: dict[str, tuple[Scripted, Sequence[tuple[Any, ...]]]] = {
    "an abort, its retry, and the success that supersedes it": (
        Scripted().abort("three fin").say("three findings"),
        [FIRST, FIRST],
    ),
    "an abort before the first token, twice, then success": (
        Scripted().say("three findings").abort("").abort("it is").say("it is short"),
        [FIRST, SECOND, SECOND, SECOND],
    ),
    "retries are exhausted: the abort stays as the honest last turn": (
        Scripted().say("three findings").abort("it").abort("it is"),
        [FIRST, SECOND, SECOND],
    ),
    "the client lost an answer and asks again: taken back only by the success that replaces it": (
        Scripted().say("two findings").status(503).abort("three").say("three findings"),
        [FIRST, FIRST, FIRST, FIRST],
    ),
}


def main() -> None:
    """Print every story."""
    with tempfile.TemporaryDirectory() as folder:
        for at, (title, (model, requests)) in enumerate(STORIES.items()):
            print(f"{title}\n")
            print(f"  {'answer':<22} {'records':<26} {'turns':>5} {'tokens':>6} {'epoch':>5}   samples")
            path = str(Path(folder) / f"story{at}.jsonl")
            for request in requests:
                told = asyncio.run(_ask(path, model, request))
                print(f"  {told:<22} {_state(_opened(path))}")
            print()


async def _ask(path: str, model: Scripted, request: Sequence[Any]) -> str:
    """One request, by a process that opens the journal afresh; what the client saw."""
    numbers = count(1)
    answer = await Chat(_opened(path), model, lambda: f"r{next(numbers)}").complete({"messages": list(request)})
    if answer.status != 200:
        return str(answer.status)
    choice = answer.body["choices"][0]
    return f"{choice['message']['content'] or ''!r} ({choice['finish_reason']})"


def _opened(path: str) -> LinearTrajectory:
    return LinearTrajectory(MistralChat(), journal=FileJournal(path))


def _state(trajectory: LinearTrajectory) -> str:
    records = " ".join(
        f"[{record.finish_reason} +{len(record.output_token_ids)}]"
        if record.provisional
        else f"{record.finish_reason} +{len(record.output_token_ids)}"
        for record in trajectory.records
    )
    samples = ", ".join(
        f"{sum(sample.loss_mask)} of {len(sample.tokens)} {sample.status.value}" for sample in assemble(trajectory)
    )
    counts = f"{trajectory.num_assistant:>5} {len(trajectory.token_ids):>6} {trajectory.epoch:>5}"
    return f"{records or '-':<26} {counts}   {samples or '-'}"


if __name__ == "__main__":
    main()
