"""Drives the reference replay against the strict provider, so that items are sealed, and asks the next question of another model.

Rule: the question is asked of a copy of the session, in memory; nothing of it is saved.
"""

from __future__ import annotations

from pytest_durability import Message
from reference_impl.replay import CompressedTimeline, OpenAIProvider, Snapshots, STARAgent, Tool
from reference_impl.replay.entries import ROLES as SPEAKERS
from tests.reference_impl.replay.adapter import SHOWN, ReferenceReplay
from tests.reference_impl.replay.helpers import Direct


class SwitchesModels(ReferenceReplay):
    """Each append is a turn that thinks and looks something up."""

    kind = OpenAIProvider
    model, next_model = "gpt-5-one", "gpt-5-two"

    def open(self, world):
        self.service = world.provider
        agent = self.agent(self.model, snapshots=Snapshots(str(world.root)))
        agent.resume_from_session_id(world.session)
        return agent

    def append(self, agent, message):
        self.service.reasoning("which one?").tool_call("look", {})
        self.service.reasoning("that one").text(message.text if message.role != "user" else "yes")
        agent.turn(message.text if message.role == "user" else "go on")

    def transcript(self, agent):
        shown = [entry for entry in agent.timeline.entries if entry.type in SHOWN]
        return [Message(SPEAKERS[entry.type], entry.content) for entry in shown]

    def request(self, agent):
        timeline = CompressedTimeline()
        timeline.load_from_entries(agent.timeline.to_entries())
        timeline.load_state(agent.timeline.state())
        self.agent(self.next_model, timeline=timeline).turn("and then?")

    def agent(self, model, **options):
        provider = type(self).kind(Direct(self.service), model)
        return STARAgent(provider, tools=[Tool("look", lambda: "seen")], **options)


class SameModel(SwitchesModels):
    """Goes on with the model that made the items, which takes them back."""

    next_model = SwitchesModels.model
