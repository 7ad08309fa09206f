"""The reference transcript with planted bugs, driven turn by turn by the harness: each is caught in its story, the sound one in none.

The bugs that are not here need what a turn of the harness does not do: messages that are amended, a source that rows are
reconciled with, a clock that stands still, or a reader who looks at a notice.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pytest_durability import Ask, Schedule, Workload
from pytest_durability.explore.examine import Examiner
from pytest_durability.explore.search import at_boundary
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly
from pytest_durability.world.arena import Arena
from tests.planted.transcripts import VARIANTS, Sound
from tests.reference_impl.transcript_adapter import ReferenceTools, ReferenceTranscript

ONE = 'Ask("zu1z one", "za1z the first answer")'
TWO = f'{ONE}; Ask("zu2z two", "za2z the second answer")'
SPLIT = f'{TWO}; Commit(1); Ask("zu3z three", "za3z the third answer")'
AGAIN = 'Ask("zu1z one", "za1z yes"); Ask("zu2z two", "za1z yes")'

TOOL = 'Ask("zu1z one", "za1z one moment", "zt1z 42", "za2z it is 42")'
TYPED = f'{ONE}; Append("user", "zu7z more"); Ask("zu2z two", "za2z two"); Commit(3); Ask("zu3z three", "za3z three")'


class Story(NamedTuple):
    """What is done, what goes wrong, and the anomaly that comes of it."""

    workload: str
    schedule: str
    anomaly: str


MATRIX = {
    "DropsEqual": Story('Ask("zu1z one", "za1z yes"); Ask("zu1z one", "za1z yes")', "", "LostInput"),
    "BackfillsByText": Story(AGAIN, "Interrupt(1, 2)", "LostDelivered"),
    "StoresSentinel": Story(ONE, 'CutStream(0, 10, "reset")', "LostDelivered"),
    "ForgetsFirst": Story(ONE, 'CutStream(0, 10, "reset")', "LostDelivered"),
    "ShowsFirst": Story(ONE, "", "LostDelivered"),
    "IgnoresLogs": Story(ONE, "", "LostDelivered"),
    "SwallowsErrors": Story(ONE, 'WriteError("write:state.db-wal:24")', "LostInput"),
    "StampsFirst": Story(TWO, 'WriteError("write:state.db-wal:38")', "LostDelivered"),
    "Positional": Story(SPLIT, "", "LostInput"),
    "Clamped": Story(SPLIT, "", "LostInput"),
    "KeepsAddresses": Story(SPLIT, "", "LostInput"),
    "KeepsStamps": Story(SPLIT, "", "LostDelivered"),
    "FreshDicts": Story(f'{ONE}; Reload(); Ask("zu2z two", "za2z the second answer")', "", "HealNotIdempotent"),
    "RotatesFirst": Story(
        f'{ONE}; Commit(0); Ask("zu2z two", "za2z yes")', 'WriteError("create:state.db.lock:1")', "SilentEmpty"
    ),
    "EndsFirst": Story(f"{ONE}; Commit(0)", "", "Unloadable"),
    "BackfillsByRole": Story(TOOL, 'CutStream(0, 20, "reset")', "LostDelivered"),
    "TrustsTheList": Story(TOOL, "", "UnansweredCall"),
    "RepairsMemory": Story(TYPED, "", "Duplicate"),
}
"""The stories are the shortest ones known; each crash state of a killed process is judged."""


def found(kind, story) -> str:
    """The name of what is wrong in a story, or empty."""
    workload = Workload.parse(story.workload)
    base = ReferenceTools if any(isinstance(step, Ask) and step.tool for step in workload) else ReferenceTranscript
    adapter = type(kind.__name__, (base,), {"kind": kind})
    with Arena() as arena:
        runner = Runner(adapter, arena)
        try:
            case = runner.prepare(workload, Schedule.parse(story.schedule))
        except Anomaly as anomaly:  # it goes wrong without any fault
            return type(anomaly).__name__
        assert case.unfired == ()
        anomaly = at_boundary(runner, case) or runner.wedged(case)
        if anomaly is not None:
            return type(anomaly).__name__
        examiner = Examiner(runner, case)
        suspects = examiner.examine("process-kill").suspects
        return type(examiner.rebuild(suspects[0], fatal=True)).__name__ if suspects else ""


@pytest.mark.parametrize("name", MATRIX)
def test_each_planted_bug_is_caught_by_its_anomaly(name):
    """In its story, which needs a turn or two and at most one fault."""
    assert found(VARIANTS[name], MATRIX[name]) == MATRIX[name].anomaly


@pytest.mark.parametrize("story", dict.fromkeys(story[:2] for story in MATRIX.values()), ids=str)
def test_the_sound_transcript_passes_every_story(story):
    """The same stories show nothing, although the same faults strike."""
    assert found(Sound, Story(*story, "")) == ""
