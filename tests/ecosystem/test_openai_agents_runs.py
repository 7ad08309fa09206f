"""Streamed runs of openai-agents 0.24.0 over the real client: what the user read and the session does not have.

Source: https://github.com/openai/openai-agents-python, `src/agents/run_internal`. Items are saved when the model's turn is over; text
of a reply that breaks before is not. What is promised of complete turns holds, and no call is ever left without its result.
"""

from __future__ import annotations

import pytest

from pytest_durability import Anomaly, Ask, CutStream, Interrupt, LostDelivered, Message, Promise, Reload, Workload

pytest.importorskip("agents")

from agents import Agent, OpenAIResponsesModel, RunContextWrapper, Runner, SQLiteSession, function_tool, set_tracing_disabled
from agents.tool_context import ToolContext

set_tracing_disabled(disabled=True)

TALK = Workload((Ask("zu1z what?", "za1z three findings in it"), Reload(), Ask("zu2z and then?", "za2z nothing more")))
TOOLS = Workload((Ask("zu1z what?", "za1z one moment", "zt1z 42", "za2z it is 42"), Ask("zu2z and then?", "za3z nothing more")))
KILL = ["process-kill"]


class Runs:
    """An application as the documentation shows it: a session in a file, a streamed run for each turn."""

    async def open(self, world):
        """The session, and a client of the provider."""
        session = SQLiteSession("s", world.root / "x.db")
        session.client = world.provider.client("async-openai", max_retries=0)
        return session

    async def turn(self, session, turn):
        """One run; each delta is shown as it comes."""

        @function_tool
        def act(context: RunContextWrapper, turn_number: int = 0) -> str:
            assert isinstance(context, ToolContext)
            return turn.effect(context.tool_call_id)

        model = OpenAIResponsesModel("gpt-4.1", session.client)
        run = Runner.run_streamed(Agent(name="a", model=model, tools=[act]), turn.text, session=session)
        try:
            async for event in run.stream_events():
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                    yield event.data.delta
        finally:
            run.cancel()

    async def transcript(self, session):
        """The items of the session."""
        return [as_message(item) for item in await session.get_items()]


class CompleteTurns(Runs):
    """The same, of which only complete turns are expected, with tools."""

    promise = Promise(delivered="complete-only")
    tools = True


class AtOnce(Runs):
    """The same, expected to keep text from the moment at which it is shown."""

    promise = Promise(delivered="process-kill")


def as_message(item):
    """An item of a session as the harness compares it."""
    if item.get("type") == "function_call":
        return Message("assistant", "", tool_calls=(item["call_id"],))
    if item.get("type") == "function_call_output":
        return Message("tool", item["output"], tool_call_id=item["call_id"])
    content = item["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return Message(item["role"], text)


def findings(question):
    """All fatal anomalies of a call."""
    found = []
    try:
        question()
    except* Anomaly as group:
        found.extend(group.exceptions)
    return found


def test_a_search_finds_text_that_is_not_in_the_session(durability):
    """Unaided: what the user read of a reply that broke is gone, and nothing else is wrong."""
    found = findings(lambda: durability.check(Runs, models=KILL, max_examples=25, seed=1))
    assert {type(anomaly) for anomaly in found} == {LostDelivered}
    assert all(len(anomaly.result.workload) == 1 for anomaly in found)


@pytest.mark.parametrize("fault", [CutStream, Interrupt])
def test_a_cut_and_a_cancel_take_it(durability, fault):
    """Each by itself, with no other fault but the end of the process."""
    found = findings(lambda: durability.check(Runs, faults=[fault], models=KILL, max_examples=5, seed=1))
    assert {type(anomaly) for anomaly in found} == {LostDelivered}
    assert all(any(isinstance(one, fault) for one in anomaly.result.schedule) for anomaly in found)


def test_a_kill_takes_it(durability):
    """Although the reply came whole: it was shown, and the run had not saved it."""
    found = findings(lambda: durability.sweep(AtOnce, TALK, models=KILL, depth=1))
    assert {type(anomaly) for anomaly in found} == {LostDelivered}


def test_complete_turns_hold_with_their_tools(durability):
    """No false alarm: at every kill the session is a prefix, no call lacks its result, no tool is run again, and the next turn works."""
    report = durability.sweep(CompleteTurns, TOOLS, models=KILL, depth=1)
    assert report.portability == ()
    assert report.models[0].states > 50
