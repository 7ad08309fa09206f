"""Drives the reference replay for the harness: a message of the harness is one half of a turn, and its token names it."""

from __future__ import annotations

from pytest_durability import Message, Promise
from reference_impl.durable import StorageError
from reference_impl.replay import OpenAIProvider, Snapshots, STARAgent
from reference_impl.replay.entries import ROLES as SPEAKERS

ROLES = ("user", "assistant")
SHOWN = ("user_message", "agent_response")


class Echo:
    """A transport that thinks, and then says what it was told to say."""

    base_url = "https://one.test/v1"
    text = ""

    def send(self, body):
        """The response object."""
        name = str(len(body["input"]))
        thought = {
            "type": "reasoning",
            "id": f"rs_{name}",
            "summary": [],
            "encrypted_content": f"sealed {name}",
            "status": "completed",
        }
        said = {"type": "message", "id": f"msg_{name}", "content": [{"type": "output_text", "text": self.text}]}
        return {"id": f"resp_{name}", "output": [thought, said]}


class ReferenceReplay:
    """Each append is a whole turn, with the message as its question or its answer."""

    promise = Promise(acknowledged="power-loss", overlap="refuse", text="exact")
    refuses = (StorageError,)
    sessions = True

    def open(self, world):
        """A fresh process, which goes on with the session."""
        agent = STARAgent(OpenAIProvider(Echo(), "m"), snapshots=Snapshots(str(world.root)))
        agent.resume_from_session_id(world.session)
        return agent

    def append(self, agent, message):
        """One turn."""
        agent.provider.transport.text = message.text if message.role != "user" else "yes"
        agent.turn(message.text if message.role == "user" else "go on")

    def transcript(self, agent):
        """What was said; a session that does not send each item of it is told as a failure to load."""
        replies = sum(entry.type == "agent_response" for entry in agent.timeline.entries)
        items = self._sent(agent).items
        assert items == replies, f"{items} items for {replies} replies"
        shown = [entry for entry in agent.timeline.entries if entry.type in SHOWN]
        return [Message(SPEAKERS[entry.type], entry.content) for entry in shown]

    def request(self, agent):
        """What the next turn would send."""
        return agent.provider._body(self._sent(agent), ())

    def _sent(self, agent):
        messages = agent.codec.prepare_messages(agent.timeline.to_llm_messages())
        return agent.provider._convert_to_responses_input(messages, replay=True)
