"""Drives the reference trajectory for the harness: a message of the harness is one half of a turn, and its token names it."""

from __future__ import annotations

from pytest_durability import Message, Promise
from reference_impl.durable import StorageError
from reference_impl.trajectory import FileJournal, LinearTrajectory, SessionRecord, TokenPolicy, assemble
from tests.reference_impl.trajectory.driver import Broken
from tests.reference_impl.trajectory.helpers import state
from tests.reference_impl.trajectory.invariants import ALWAYS

ROLES = ("user", "assistant")


class Characters:
    """A tokenizer of one token a character: the model may say any text, so the harness can choose it."""

    def prompt(self, messages, tools=()):
        """Each message ends with the token 0."""
        return [token for message in messages for token in (*map(ord, message["content"]), 0)]

    def suffix(self, messages, start, tools=()):
        """The same for what is new."""
        return self.prompt(messages[start:])

    def end_of_turn(self):
        """The token 0."""
        return (0,)


class ReferenceTrajectory:
    """Each append is a whole turn, with the message as its question or its answer; some are aborted before they succeed."""

    promise = Promise(acknowledged="power-loss", overlap="refuse", text="exact")
    refuses = (StorageError,)
    sessions = True

    def open(self, world):
        """Fold the journal."""
        return LinearTrajectory(
            Characters(),
            policy=TokenPolicy(),
            journal=FileJournal(str(world.root / f"{world.session}.jsonl")),
        )

    def append(self, trajectory, message):
        """An aborted attempt, then the turn."""
        question = message.text if message.role == "user" else "go on"
        answer = message.text if message.role != "user" else "yes"
        plan = trajectory.prepare_pretokenized([*trajectory.messages, {"role": "user", "content": question}])
        trajectory.append_provisional_record(_record(plan, answer[:3], "abort"), plan)
        trajectory.update_pretokenized_state(plan, {"role": "assistant", "content": answer}, _record(plan, answer, "stop"))

    def transcript(self, trajectory):
        """The committed messages; what does not hold of a trajectory after a crash is told as a failure to load."""
        for name, rule in ALWAYS.items():
            if rule(trajectory):
                raise Broken(name, rule(trajectory))
        tokens = trajectory.token_ids
        if tokens and assemble(trajectory)[0].tokens[: len(tokens)] != tokens:
            raise Broken("T10", "the committed turns are not in the samples")
        again = LinearTrajectory(trajectory.tokenizer, policy=trajectory.policy, journal=trajectory.journal)
        if state(again) != state(trajectory):
            raise Broken("T9", "the fold of the journal is another trajectory")
        return [Message(message["role"], message["content"]) for message in trajectory.messages]


def _record(plan, text, reason):
    output = (*map(ord, text), *([0] if reason == "stop" else []))
    return SessionRecord(
        "r", {}, {}, 200, reason, plan.prompt_token_ids, output, (-0.5,) * len(output), provisional=reason == "abort"
    )
