"""Tool calls that a kill leaves without a result in langgraph 1.2.22 and in a program on pydantic-ai 2.68.0: found, not staged.

Source: https://github.com/langchain-ai/langgraph (`libs/langgraph`, `libs/checkpoint-sqlite`) and https://github.com/pydantic/pydantic-ai.
The model is the harness's provider behind the real openai client; the next request is what that client really sent.
"""

from __future__ import annotations

import os
import sqlite3
from types import SimpleNamespace

import pytest

from pytest_durability import Anomaly, Append, Message
from pytest_durability.world.process import in_child, kill_now
from pytest_durability.world.provider.provider import Provider

langgraph = pytest.importorskip("langgraph")
langchain_openai = pytest.importorskip("langchain_openai")
pydantic_ai = pytest.importorskip("pydantic_ai")

import openai  # noqa: E402  after the imports that may skip this module
from langchain_core.messages import ToolMessage  # noqa: E402
from langchain_core.tools import tool  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402
from langgraph.graph import START, MessagesState, StateGraph  # noqa: E402
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition  # noqa: E402
from pydantic_ai import ModelMessagesTypeAdapter  # noqa: E402
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, UserPromptPart  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402

CONFIG = {"configurable": {"thread_id": "t"}}
SPEAKERS = {"human": "user", "ai": "assistant"}
STEPS = [Append("user", "which primes are below 20?"), Append("user", "add them up")]


@tool
def look(word: str) -> str:
    """Look a word up."""
    return f"{word}: eight of them"


class Graph:
    """The graph of the manual, model and tools, over the SQLite saver; one message of the user is one turn, with a tool call."""

    def open(self, world):
        self.provider = world.provider
        connection = sqlite3.connect(world.root / "graph.db", check_same_thread=False)
        return self.compiled(connection)

    def append(self, graph, message):
        self.provider.tool_call("look", {"word": "primes"})
        self.provider.reply("there you are")
        graph.invoke({"messages": [(message.role, message.text)]}, CONFIG, durability="sync")

    def transcript(self, graph):
        said = graph.get_state(CONFIG).values.get("messages", ())
        return [Message(SPEAKERS[one.type], one.content) for one in said if one.type in SPEAKERS and one.content]

    def request(self, graph):
        """The next question, asked of a copy, so that the session itself does not go on."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        graph.checkpointer.conn.backup(copy)
        self.compiled(copy).invoke({"messages": [("user", "and then?")]}, CONFIG, durability="sync")

    def compiled(self, connection):
        builder = StateGraph(MessagesState)
        asked = self.model().bind_tools([look])
        builder.add_node("model", lambda state: {"messages": [asked.invoke(self.sent(state["messages"]))]})
        builder.add_node("tools", ToolNode([look]))
        builder.add_edge(START, "model")
        builder.add_conditional_edges("model", tools_condition)
        builder.add_edge("tools", "model")
        return builder.compile(checkpointer=SqliteSaver(connection))

    def model(self):
        client = self.provider.client("openai", max_retries=0)
        return langchain_openai.ChatOpenAI(model="m", api_key="k", client=client.chat.completions, root_client=client)

    def sent(self, messages):
        return messages


class Answering(Graph):
    """With what an application can do about it: a call without a result is sent with one that says so."""

    def sent(self, messages):
        answered = {one.tool_call_id for one in messages if one.type == "tool"}
        found = []
        for one in messages:
            open_calls = [call["id"] for call in getattr(one, "tool_calls", ()) if call["id"] not in answered]
            found += [one, *(ToolMessage("nobody knows what became of this call", tool_call_id=name) for name in open_calls)]
        return found


class React(Graph):
    """The agent that comes ready-made; it looks for such calls itself."""

    def compiled(self, connection):
        with pytest.warns(DeprecationWarning, match="create_react_agent"):
            return create_react_agent(self.model(), [look], checkpointer=SqliteSaver(connection))


class Program:
    """A program on pydantic-ai, which has no store: after each step the history is saved by replacing a file."""

    marks = False

    def open(self, world):
        self.provider, self.path = world.provider, world.root / "history.json"
        client = self.provider.client("async-openai", max_retries=0)
        agent = pydantic_ai.Agent(OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client)))
        agent.tool_plain(lambda word: f"{word}: eight of them", name="look")
        return agent

    async def append(self, agent, message):
        self.provider.tool_call("look", {"word": "primes"})
        self.provider.reply("there you are")
        async with agent.iter(message.text, message_history=self.history()) as run:
            async for _ in run:
                self.save(run.all_messages())

    def transcript(self, agent):
        parts = [part for message in self.history() for part in message.parts]
        speaker = {UserPromptPart: "user", TextPart: "assistant"}
        return [Message(speaker[type(part)], part.content) for part in parts if type(part) in speaker and part.content]

    async def request(self, agent):
        await agent.run("and then?", message_history=self.history())

    def history(self):
        if not self.path.exists():
            return []
        messages = ModelMessagesTypeAdapter.validate_json(self.path.read_bytes())
        last = messages[-1] if messages else None
        if self.marks and isinstance(last, ModelResponse) and any(isinstance(part, ToolCallPart) for part in last.parts):
            last.state = "interrupted"
        return messages

    def save(self, messages):
        new = self.path.with_suffix(".new")
        new.write_bytes(ModelMessagesTypeAdapter.dump_json(messages))
        os.replace(new, self.path)


class Marking(Program):
    """With what a program can do about it: a call at the end of what was saved is marked as interrupted."""

    marks = True


def swept(durability, adapter):
    """What a sweep finds, by name and kind; nothing is told to it but the two questions."""
    try:
        durability.sweep(adapter, STEPS, models="process-kill", depth=1)
    except (Anomaly, ExceptionGroup) as error:
        found = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        return {(type(one).__name__, one.kind) for one in found}
    return set()


def test_langgraph_sends_the_call_without_its_result(durability):
    """A kill in the tool, then a question: the real client sends the call alone, which is refused."""
    assert swept(durability, Graph) == {("UnansweredCall", "chat.missing_tool_message")}


def test_the_agent_that_comes_ready_made_cannot_go_on(durability):
    """It raises ValueError before it asks anything, at this question and each later one."""
    assert swept(durability, React) == {("Wedged", "ValueError")}


def test_a_history_saved_after_each_step_cannot_go_on(durability):
    """pydantic-ai refuses the next question while a call has no result."""
    assert swept(durability, Program) == {("Wedged", "UserError")}


@pytest.mark.parametrize("adapter", [Answering, Marking])
def test_what_an_application_can_do(durability, adapter):
    """With the result that says nothing is known, and with the mark, no kill leaves a session that cannot go on."""
    assert swept(durability, adapter) == set()


def test_a_real_kill_in_the_tool_shows_the_same(tmp_path, monkeypatch):
    """A process that ends inside the tool, knowing nothing of computed states, leaves the call that the next request holds."""

    def dies():
        monkeypatch.setattr(look, "func", lambda word: kill_now())
        adapter = Graph()
        adapter.append(adapter.open(world_at(tmp_path)), Message("user", "which primes are below 20?"))

    assert in_child(dies).killed
    adapter = Graph()
    graph = adapter.open(world_at(tmp_path))
    with pytest.raises(openai.BadRequestError):
        adapter.request(graph)
    assert [one.rule for one in adapter.provider.requests[-1].findings.refused] == ["chat.missing_tool_message"]


def world_at(root):
    """What an adapter needs of a world, without one."""
    return SimpleNamespace(root=root, provider=Provider())
