"""Hypothesis chooses requests, outcomes, closings and crashes; the driver plays them and asks every invariant."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.reference_impl.trajectory.driver import OUTCOMES, REQUESTS, Driver


class TrajectoryMachine(RuleBasedStateMachine):
    """Chooses steps only; several requests may be under way, and each may end in any way, late or never."""

    make_driver = Driver

    def __init__(self):
        super().__init__()
        self.driver = type(self).make_driver()
        self.steps = []

    def step(self, *step):
        """Write a step down, then play it."""
        self.steps.append(step)
        self.driver.do(*step)

    @rule(kind=st.sampled_from(REQUESTS), outcome=st.sampled_from(OUTCOMES))
    def whole(self, kind, outcome):
        """A request and its outcome, with nothing in between."""
        self.step("begin", kind)
        self.step("finish", len(self.driver.pending) - 1, outcome)

    @rule(kind=st.sampled_from(REQUESTS))
    def begin(self, kind):
        """A request that stays under way."""
        self.step("begin", kind)

    @precondition(lambda self: self.driver.pending)
    @rule(which=st.integers(0, 3), outcome=st.sampled_from(OUTCOMES))
    def finish(self, which, outcome):
        """One of those under way ends."""
        self.step("finish", which, outcome)

    @rule()
    def crash(self):
        """The process dies and another one goes on."""
        self.step("crash")

    @precondition(lambda self: len(self.steps) > 4)
    @rule()
    def close(self):
        """The session is closed."""
        self.step("close")


def test_every_invariant_holds():
    """Requests that overlap, retries, rollbacks, aborts, closings and crashes in any order break none of T1 to T10."""
    run_state_machine_as_test(
        TrajectoryMachine,
        settings=settings(max_examples=60, stateful_step_count=20, derandomize=True, database=None, deadline=None),
    )
