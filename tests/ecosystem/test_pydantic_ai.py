"""pydantic-ai 2.68.0 over the real client: a cut stream keeps its partial text, which must raise no alarm; and one writer that gets stuck.

Source: https://github.com/pydantic/pydantic-ai, `pydantic_ai_slim/pydantic_ai/_agent_graph.py`. It has no store of its own: the history
is a value, and the application writes it, here as one JSON file that is replaced.
"""

from __future__ import annotations

import os

import pytest

from pytest_durability import Anomaly, Ask, CutStream, Interrupt, Message, Wedged, Workload

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

KILL = ["process-kill"]
TOOLS = Workload((Ask("zu1z what?", "za1z one moment", "zt1z 42", "za2z it is 42"), Ask("zu2z and then?", "za3z nothing more")))


class History:
    """The messages of a conversation in one file."""

    def __init__(self, path):
        self.path = path
        self.messages = ModelMessagesTypeAdapter.validate_json(path.read_bytes()) if path.exists() else []

    def save(self, messages):
        """Replace the file."""
        self.messages = list(messages)
        fresh = self.path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(ModelMessagesTypeAdapter.dump_json(self.messages))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


class SavesTurns:
    """Writes what the user said before the run, and everything when the run has ended in whatever way."""

    tools = True
    handles = 1  # a history that is a value is read once

    def open(self, world):
        """The history, and a model of the provider."""
        history = History(world.root / "history.json")
        client = world.provider.client("async-openai", max_retries=0)
        history.model = OpenAIResponsesModel("gpt-4.1", provider=OpenAIProvider(openai_client=client))
        return history

    def agent(self, history, turn):
        """An agent with the tool of this turn."""
        agent = Agent(history.model)

        @agent.tool
        def act(context: RunContext[None], turn_number: int = 0) -> str:
            return turn.effect(context.tool_call_id)

        return agent

    async def turn(self, history, turn):
        """One run; its text is shown as it comes."""
        before = history.messages
        history.save([*before, ModelRequest([UserPromptPart(turn.text)])])
        events = None
        try:
            async with self.agent(history, turn).run_stream_events(turn.text, message_history=before) as events:
                async for event in events:
                    if piece := shown(event):
                        yield piece
        finally:
            if events is not None:
                history.save(events.all_messages())

    def transcript(self, history):
        """The messages of the file."""
        return [message for one in history.messages for part in one.parts for message in as_messages(part)]


class SavesSteps(SavesTurns):
    """Writes the history after each step of the run, so that a kill leaves what came before."""

    async def turn(self, history, turn):
        """One run, step by step."""
        history.save([*history.messages, ModelRequest([UserPromptPart(turn.text)])])
        async with self.agent(history, turn).iter(turn.text, message_history=history.messages[:-1]) as run:
            async for node in run:
                if Agent.is_model_request_node(node):
                    async with node.stream(run.ctx) as stream:
                        async for event in stream:
                            if piece := shown(event):
                                yield piece
                if len(run.all_messages()) >= len(history.messages):  # before the first request they lack what the user said
                    history.save(run.all_messages())


def shown(event):
    """The text that an event adds."""
    match event:
        case PartStartEvent(part=TextPart(content=content)):
            return content
        case PartDeltaEvent(delta=TextPartDelta(content_delta=delta)):
            return delta
    return ""


def as_messages(part):
    """A part of a message as the harness compares it."""
    match part:
        case UserPromptPart():
            yield Message("user", part.content)
        case TextPart():
            yield Message("assistant", part.content)
        case ToolCallPart():
            yield Message("assistant", "", tool_calls=(part.tool_call_id,))
        case ToolReturnPart():
            yield Message("tool", str(part.content), tool_call_id=part.tool_call_id)


def findings(question):
    """All fatal anomalies of a call."""
    found = []
    try:
        question()
    except* Anomaly as group:
        found.extend(group.exceptions)
    return found


@pytest.mark.parametrize("fault", [CutStream, Interrupt])
def test_a_broken_stream_keeps_its_text(durability, fault):
    """No false alarm: cut or stopped anywhere, what the user read is in the history."""
    assert findings(lambda: durability.check(SavesTurns, faults=[fault], models=KILL, max_examples=8, seed=1)) == []


def test_turns_with_tools_hold_at_every_kill(durability):
    """No false alarm: no call lacks its result, none is run again, and the conversation goes on."""
    report = durability.sweep(SavesTurns, TOOLS, models=KILL, depth=1)
    assert report.portability == ()
    assert report.models[0].states > 10


def test_a_history_saved_in_the_middle_of_a_tool_is_stuck(durability):
    """A kill between the call and its result leaves a history that refuses every further question."""
    found = findings(lambda: durability.sweep(SavesSteps, TOOLS, models=KILL, depth=1))
    assert [type(anomaly) for anomaly in found] == [Wedged]
    assert found[0].kind == "UserError"
