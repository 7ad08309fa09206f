"""Answers chat requests over a trajectory: plan, generate, record.

Rule: the lock is held while planning and while recording, never while the backend works; so closing and deleting never
wait for a model. What moved on in the meantime is answered and not recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from reference_impl.trajectory.errors import BadAnswerError, GoneError, HistoryError, StaleError
from reference_impl.trajectory.linear import LinearTrajectory
from reference_impl.trajectory.plan import Plan
from reference_impl.trajectory.record import ABORT, ChatMessage, SessionRecord


@dataclass(frozen=True, slots=True)
class Answer:
    """What a backend answered: an HTTP status and body, and the tokens of the generation."""

    status: int
    body: Mapping[str, Any]
    prompt_token_ids: Sequence[int] | None = None
    output_token_ids: Sequence[int] | None = None
    output_logprobs: Sequence[float] | None = None


Backend = Callable[[Mapping[str, Any], Sequence[int]], Awaitable[Answer]]
"""Generates from the tokens of a prompt (the request is the client's). Raises `UnreachableError` if there is no answer."""


class Chat:
    """One session in front of a backend. `ids` gives the ids of records."""

    def __init__(self, trajectory: LinearTrajectory, backend: Backend, ids: Callable[[], str]) -> None:
        self.trajectory = trajectory
        self._backend, self._ids = backend, ids
        self._lock = asyncio.Lock()

    async def complete(self, request: Mapping[str, Any]) -> Answer:
        """Answer one request, and record what was generated.

        Raises:
            TrajectoryError: it was refused, and nothing has changed; `status` says how.
        """
        messages, tools = _conversation(request)
        async with self._lock:
            plan = self.trajectory.prepare_pretokenized(messages, tools)
        answer = await self._backend(request, plan.prompt_token_ids)
        if answer.status != 200:  # noqa: PLR2004  the one status that carries a generation
            return answer  # the client is told what the backend said, and the next attempt starts where this one did
        message, record = _generation(request, answer, plan, self._ids())
        async with self._lock:
            with suppress(GoneError, StaleError):  # it was closed, or another turn won: the client still gets its answer
                self._keep(plan, message, record)
        return answer

    async def close(self) -> None:
        """Record nothing from now on."""
        async with self._lock:
            self.trajectory.close()

    def _keep(self, plan: Plan, message: ChatMessage, record: SessionRecord) -> None:
        if record.provisional:
            self.trajectory.append_provisional_record(record, plan)
        else:
            self.trajectory.update_pretokenized_state(plan, message, record)


def _conversation(request: Mapping[str, Any]) -> tuple[list[ChatMessage], list[Any]]:
    """The messages and tools of a request.

    Raises:
        HistoryError: they are not lists of objects, or a stream is asked for.
    """
    messages, tools = request.get("messages"), request.get("tools") or []
    if not isinstance(messages, list) or not messages or not all(isinstance(message, Mapping) for message in messages):
        raise HistoryError("`messages` must be a list of chat messages, at least one")
    if not isinstance(tools, list):
        raise HistoryError("`tools` must be a list")
    if request.get("stream"):
        raise HistoryError("a trajectory records whole generations: send the request without `stream`")
    return messages, tools


def _generation(request: Mapping[str, Any], answer: Answer, plan: Plan, name: str) -> tuple[ChatMessage, SessionRecord]:
    """The assistant message and the record of a 200.

    Raises:
        BadAnswerError: there is no message, or the tokens are missing or contradict each other.
    """
    try:
        choice = answer.body["choices"][0]
        message, reason = dict(choice["message"]), str(choice["finish_reason"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadAnswerError(f"the backend answered 200 without a message that can be recorded: {error!r}") from error
    prompt, output, logprobs = answer.prompt_token_ids, answer.output_token_ids, answer.output_logprobs
    if prompt is None or output is None or logprobs is None:
        raise BadAnswerError("the backend answered 200 without the tokens of the generation, which cannot be guessed afterwards")
    if len(output) != len(logprobs):
        raise BadAnswerError(f"the backend gave {len(output)} output tokens and {len(logprobs)} log probabilities")
    told = (answer.body.get("usage") or {}).get("completion_tokens")
    if told is not None and told != len(output):
        raise BadAnswerError(f"the backend counts {told} completion tokens and gave {len(output)}")
    if tuple(prompt) != plan.prompt_token_ids:
        raise BadAnswerError(
            f"the backend generated from {len(prompt)} tokens that are not the {len(plan.prompt_token_ids)} it got"
        )
    record = SessionRecord(
        record_id=name,
        request=request,
        response=answer.body,
        status_code=answer.status,
        finish_reason=reason,
        prompt_token_ids=tuple(prompt),
        output_token_ids=tuple(output),
        output_logprobs=tuple(logprobs),
        provisional=reason == ABORT,
        message_id=str(answer.body.get("id", "")),
    )
    return message, record
