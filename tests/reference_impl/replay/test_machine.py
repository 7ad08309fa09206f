"""Hypothesis chooses turns, refusals, switches, compactions and restarts; the driver plays them and asks every invariant."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.reference_impl.replay.driver import Driver
from tests.reference_impl.replay.steps import ANSWERS, FORCED, GATED, REPLIES, STORY, SWITCHES, WAYS, disturbed


class ReplayMachine(RuleBasedStateMachine):
    """Chooses steps only; each of them can come between any two others."""

    make_driver = Driver

    @initialize(form=st.sampled_from(["native", "legacy"]))
    def begin(self, form):
        """A new session, in one of the two forms."""
        self.driver = type(self).make_driver(form=form)
        self.steps = []

    def step(self, *step):
        """Write a step down, then play it."""
        self.steps.append(step)
        self.driver.do(*step)

    @rule(reply=st.sampled_from(REPLIES), way=st.sampled_from(WAYS))
    def say(self, reply, way):
        """A turn."""
        self.step("say", reply, way)

    @rule(
        name=st.sampled_from(FORCED),
        more=st.sampled_from(("", *FORCED)),
        reply=st.sampled_from(REPLIES),
        way=st.sampled_from(WAYS),
    )
    def refused(self, name, more, reply, way):
        """A turn whose first request is refused, or the second one too."""
        for one in filter(None, (name, more)):
            self.step("reject", one)
        self.step("say", reply, way)

    @rule(name=st.sampled_from(FORCED))
    def reject(self, name):
        """The request after those that are refused already is refused too."""
        self.step("reject", name)

    @rule()
    def cut(self):
        """A reply breaks off."""
        self.step("cut")

    @rule(what=st.sampled_from(SWITCHES), reply=st.sampled_from(REPLIES))
    def switch(self, what, reply):
        """Another model, endpoint or key, or a provider that does not say who it is, between two turns."""
        self.step("say", reply, "whole")
        self.step("switch", what)
        self.step("say", reply, "whole")

    @rule(kind=st.sampled_from(["flip", "flagless", "clock"]))
    def world(self, kind):
        """The kill switch is flipped, the service forgets the flag, the clock is set back."""
        self.step(kind)

    @rule(turns=st.integers(1, 3))
    def stubborn(self, turns):
        """The service takes no items at all, for some turns at least."""
        self.step("stubborn")
        for _ in range(turns):
            self.step("say", "thought", "whole")

    @rule()
    def backwards(self):
        """The clock is set back between two compactions."""
        self.step("compact", 0)
        self.step("say", "thought", "whole")
        self.step("clock")
        self.step("compact", 0)

    @rule(keep=st.integers(0, 6))
    def compact(self, keep):
        """Old entries are summarised."""
        self.step("compact", keep)

    @rule()
    def dies(self):
        """The process dies in a tool, and another one goes on."""
        self.step("dies")
        self.step("say", "interleaved", "whole")

    @rule(answer=st.sampled_from(ANSWERS), way=st.sampled_from(WAYS))
    def decide(self, answer, way):
        """The user approves or denies the call that has waited longest."""
        self.step("decide", answer, way)

    @rule(reply=st.sampled_from(GATED), name=st.sampled_from((*FORCED, "")), dies=st.booleans())
    def waits(self, reply, name, dies):
        """A call waits for approval; then the process is another one, and the turn goes on, refused or not."""
        self.step("say", reply, "whole")
        self.step("resume")
        if dies:
            self.step("dies")
        if name:
            self.step("reject", name)
        self.step("decide", "yes")

    @rule()
    def resume(self):
        """Another process goes on."""
        self.step("resume")


def test_every_invariant_holds():
    """Turns of every kind, refused, cut, switched, compacted and resumed in any order, break none of R1 to R11."""
    run_state_machine_as_test(
        ReplayMachine, settings=settings(max_examples=20, stateful_step_count=15, derandomize=True, database=None, deadline=None)
    )


SHARE = 4
"""Every so-manieth of the disturbed stories is played here; all of them by `bench/replays.py`."""


@pytest.mark.parametrize("form", ["native", "legacy"])
def test_anything_can_come_anywhere(form):
    """A fresh process, a compaction, a flip of the switch, another provider or any refusal, at any place of a long story."""
    for steps in list(disturbed())[form == "legacy" :: SHARE]:
        Driver(form=form).play(steps)


def test_resumed_after_every_step():
    """A process that lives for one step only loses nothing."""
    for form in ("native", "legacy"):
        Driver(form=form).play([one for step in STORY for one in ((step,) if step == ("dies",) else (step, ("resume",)))])
