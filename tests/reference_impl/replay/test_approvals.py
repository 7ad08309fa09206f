"""Calls that wait for the user's approval: they are run once, after it, whichever process is asked."""

from __future__ import annotations

import pytest

from reference_impl.replay import ReplayError, Snapshots, Tool
from reference_impl.replay.agent import DENIED, PASSED_OVER
from tests.reference_impl.replay.helpers import MemoryDisk, agent_over, bodies


class Session:
    """One session on a disk in memory, a tool that needs approval and one that does not, and what they did."""

    def __init__(self):
        self.disk, self.did, self.service = MemoryDisk(), [], None
        self.agent = self.again()

    def again(self):
        """A fresh process."""
        tools = [Tool("send", lambda: self.did.append("send"), gated=True), Tool("look", lambda: self.did.append("look"))]
        agent, self.service = agent_over(self.service, tools=tools, snapshots=Snapshots("folder", self.disk))
        agent.resume_from_session_id("session")
        return agent

    def asked(self):
        """The model calls both tools; the turn ends with the one that waits."""
        self.service.reply("may I?").tool_call("send", {}, id="c1").tool_call("look", {}, id="c2")
        assert self.agent.turn("send it") == "may I?"

    def outputs(self):
        """The results in the last request."""
        items = bodies(self.service)[-1]["input"]
        return {item["call_id"]: item["output"] for item in items if item.get("type") == "function_call_output"}


@pytest.mark.parametrize("fresh", [False, True])
def test_an_approved_call_runs_once(fresh):
    """The call beside it has run at once; the approval is good in another process too, and only once."""
    session = Session()
    session.asked()
    assert (session.did, len(session.service.requests)) == (["look"], 1)
    if fresh:
        session.agent = session.again()
    session.service.reply("sent")
    assert session.agent.decide("c1", approved=True) == "sent"
    assert session.did == ["look", "send"]
    with pytest.raises(ReplayError, match="no call 'c1' waits"):
        session.agent.decide("c1", approved=True)


def test_a_denied_call_never_runs():
    """The model is told, and the turn goes on."""
    session = Session()
    session.asked()
    session.service.reply("then not")
    assert session.agent.decide("c1", approved=False) == "then not"
    assert (session.did, session.outputs()["c1"]) == (["look"], DENIED)


def test_a_turn_passes_over_what_waits():
    """The next request says that the call was not run, and no approval can run it any more."""
    session = Session()
    session.asked()
    session.service.reply("as you like")
    session.agent.turn("never mind")
    assert (session.agent.pending, session.outputs()["c1"]) == ([], PASSED_OVER)
    with pytest.raises(ReplayError, match="passed over"):
        session.agent.decide("c1", approved=True)
