"""Plays steps against a trajectory and an independent model of it; after each step all invariants of the design are asked.

Rule: the steps are the whole reproduction: plain tuples, chosen by Hypothesis or written down in a saved case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reference_impl.trajectory import LinearTrajectory, Memory, SessionRecord, Status, assemble
from reference_impl.trajectory.errors import TrajectoryError
from reference_impl.trajectory.plan import Plan
from tests.reference_impl.trajectory.helpers import state
from tests.reference_impl.trajectory.invariants import ALWAYS
from tests.reference_impl.trajectory.model import MistralChat, answer, said, user

REQUESTS = ("append", "retry", "back two", "inject")
OUTCOMES = ("stop", "length", "abort", "abort at once", "fail", "wrong tokens")


class Broken(AssertionError):
    """An invariant does not hold; `rule` names it."""

    def __init__(self, rule, what):
        super().__init__(f"{rule}: {what}")
        self.rule = rule


@dataclass
class Turn:
    """A turn that must be committed: the messages that led to it, and what was answered."""

    added: list
    text: str
    reason: str


@dataclass
class Asked:
    """A request under way, and what the model knew when it was made."""

    plan: Plan
    keep: int
    added: list
    version: int


@dataclass
class Driver:
    """One run. `make` opens a trajectory over a journal; `samples` assembles it."""

    make: type = LinearTrajectory
    samples: object = assemble
    journal: Memory = field(default_factory=Memory)
    turns: list = field(default_factory=list)
    tail: object = None
    closed: bool = False
    version: int = 0
    pending: list = field(default_factory=list)
    said: int = 0

    def __post_init__(self):
        self.trajectory = self.make(MistralChat(), journal=self.journal)

    def play(self, steps):
        """Play all steps."""
        for step in steps:
            self.do(*step)

    def do(self, kind, *args):
        """Play one step, then ask everything."""
        getattr(self, "_" + kind)(*args)
        self._ask()

    def _begin(self, kind):
        """A client sends a request; what must be refused is refused, and changes nothing."""
        messages, keep, added = self._request(kind)
        before = state(self.trajectory)
        try:
            plan = self.trajectory.prepare_pretokenized(messages)
        except TrajectoryError:
            plan = None
        self._same("T2", before, "a request that was only planned or refused")
        if (plan is not None) != self._allowed(kind, keep, added):
            raise Broken(
                "T4", f"a request to {kind} with {len(self.turns)} turns was {'refused' if plan is None else 'accepted'}"
            )
        if plan is not None:
            self.pending.append(Asked(plan, keep, added, self.version))

    def _request(self, kind):
        known = self.turns
        if kind == "inject":
            added = [user(self._new()), said(self._new()), user(self._new())]
            return [*self._told(len(known)), *added], len(known), added
        back = {"append": 0, "retry": 1, "back two": 2}[kind]
        keep = max(0, len(known) - back)
        added = list(known[keep].added) if back and keep < len(known) else [user(self._new())]
        return [*self._told(keep), *added], keep, added

    def _allowed(self, kind, keep, added):
        if self.closed or len(self.turns) - keep > 1:
            return False
        if kind == "inject" and keep:
            return False
        return not (keep and self.turns[keep - 1].reason == "length")

    def _told(self, keep):
        return [message for turn in self.turns[:keep] for message in (*turn.added, said(turn.text))]

    def _new(self):
        self.said += 1
        return f"word {self.said}"

    def _finish(self, which, outcome):
        """The backend answers one of the requests that are under way."""
        if not self.pending:
            return None
        asked = self.pending.pop(which % len(self.pending))
        before = state(self.trajectory)
        if outcome == "fail":
            return self._same("T2", before, "a backend that failed")
        current = not self.closed and asked.version == self.version
        text = "" if outcome == "abort at once" else self._new()
        reason = {"abort at once": "abort", "wrong tokens": "stop"}.get(outcome, outcome)
        prompt = (9, 9, *asked.plan.prompt_token_ids) if outcome == "wrong tokens" else asked.plan.prompt_token_ids
        record = _record(prompt, text, reason)
        taken = self._record(asked.plan, record, text)
        if outcome == "wrong tokens" and asked.keep:
            return self._same("T2", before, "a commit whose tokens do not continue")
        if not current:
            return self._same("T8" if self.closed else "T7", before, "a turn that came too late")
        if not taken:
            raise Broken("T7", f"a current {reason} was not recorded")
        if reason == "abort":
            self._same_but_tail("T5", before)
            self.tail = record
        else:
            self.turns[asked.keep :] = [Turn(asked.added, text, reason)]
            self.tail, self.version = None, self.version + 1
        return None

    def _record(self, plan, record, text):
        try:
            if record.provisional:
                self.trajectory.append_provisional_record(record, plan)
            else:
                self.trajectory.update_pretokenized_state(plan, said(text), record)
        except TrajectoryError:
            return False
        return True

    def _close(self):
        """The session is closed, perhaps again."""
        self.trajectory.close()
        self.closed = True

    def _crash(self):
        """The process dies; the next one opens the journal. Requests under way die with it."""
        before = state(self.trajectory)
        self.pending.clear()
        self.trajectory = self.make(MistralChat(), journal=self.journal)
        self._same("T9", before, "a crash")

    def _same(self, rule, before, after):
        if state(self.trajectory) != before:
            raise Broken(rule, f"{after} changed the trajectory")

    def _same_but_tail(self, rule, before):
        now = state(self.trajectory)
        if (now[0], *now[2:]) != (before[0], *before[2:]):
            raise Broken(rule, "an abort changed more than the tail")

    def _ask(self):
        for name, holds in ALWAYS.items():
            wrong = holds(self.trajectory)
            if wrong:
                raise Broken(name, wrong)
        if self.trajectory.messages != self._told(len(self.turns)):
            raise Broken("T7", f"{len(self.trajectory.messages)} messages are committed, {len(self.turns)} turns are due")
        if (self.trajectory.provisional is None) != (self.tail is None):
            raise Broken("T6", "the aborted tail is not what was aborted last")
        self._ask_samples()

    def _ask_samples(self):
        try:
            samples = self.samples(self.trajectory)
        except TrajectoryError as error:
            raise Broken("T10", f"no samples: {error}") from error
        tokens = self.trajectory.token_ids
        if tokens and samples[:1] and samples[0].tokens[: len(tokens)] != tokens:
            raise Broken("T10", "the committed turns are not in the samples")
        if bool(samples) != bool(tokens or (self.tail and self.tail.output_token_ids)):
            raise Broken("T10", f"{len(samples)} samples of {len(self.turns)} turns")
        if samples and (samples[-1].status is Status.ABORTED) != (self.tail is not None):
            raise Broken("T10", f"the last sample is {samples[-1].status}")


def _record(prompt, text, reason):
    given = answer(prompt, text, reason)
    return SessionRecord(
        "r",
        {},
        {},
        200,
        reason,
        tuple(prompt),
        tuple(given.output_token_ids),
        tuple(given.output_logprobs),
        provisional=reason == "abort",
    )
