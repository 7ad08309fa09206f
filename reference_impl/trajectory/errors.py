"""Every way to refuse a request has a type of its own, and with it the HTTP status that tells the client what to do.

Rule: when one of these is raised, not a byte of the trajectory has changed.
"""

from __future__ import annotations

from typing import Any, ClassVar


class TrajectoryError(Exception):
    """Any refusal; `status` is the HTTP status that a server answers with."""

    status: ClassVar[int] = 500


class GoneError(TrajectoryError):
    """The session is unknown, or closing: nothing is recorded any more."""

    status = 404


class HistoryError(TrajectoryError):
    """The request does not continue the recorded conversation: it is malformed, or goes back too far."""

    status = 400


class EndedByLengthError(TrajectoryError):
    """The turn before ended because its tokens ran out, so what would follow it was never seen by the model."""

    status = 409


class SamplesError(TrajectoryError):
    """The committed records do not line up with the accumulated tokens; `samples` are those that do."""

    status = 422

    def __init__(self, text: str, samples: tuple[Any, ...] = ()) -> None:
        super().__init__(text)
        self.samples = samples


class PrefixError(TrajectoryError):
    """The new tokens do not begin with the committed ones: a sample made of them would not be what the model saw."""


class MatcherError(TrajectoryError):
    """The function that compares messages raised: a fault of the server, and never "no match"."""


class StaleError(TrajectoryError):
    """The trajectory moved on while the request was under way: the answer goes to the client and is not recorded."""


class BadAnswerError(TrajectoryError):
    """The backend said 200 and left out what a record needs, or contradicted itself."""

    status = 502


class UnreachableError(TrajectoryError):
    """The backend did not answer at all."""

    status = 503
