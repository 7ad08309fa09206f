"""The reference transcript under the harness, turn by turn: cut, stopped, killed at each operation, it keeps what the user saw."""

from __future__ import annotations

from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from tests.reference_impl.transcript_adapter import ReferenceTranscript

STORY = 'Ask("zu1z one", "za1z the first answer"); Ask("zu2z two", "za2z the second"); Commit(1); Ask("zu3z three", "za3z third")'


def test_every_crash_state_of_a_turn_keeps_what_was_shown(tmp_path):
    """Text that was shown survives a kill and a power cut at any operation, whether the journal or the database has it."""
    report = sweep(ReferenceTranscript, STORY, models=["process-kill", "strict"], depth=1, context=Context(directory=tmp_path))
    assert report.portability == ()
    assert report.states > 100


def test_the_standard_sweep_has_turns(tmp_path):
    """One of them is cut; process kills only, with crashes during healing."""
    report = sweep(ReferenceTranscript, models=["process-kill"], context=Context(directory=tmp_path))
    assert report.portability == ()
    assert report.steps == 17


def test_a_search_finds_nothing(tmp_path):
    """Cuts, interrupts, I/O errors, full disks and restarts."""
    report = check(ReferenceTranscript, models=["process-kill"], max_examples=2, seed=1, context=Context(directory=tmp_path))
    assert report.anomalies == ()
    assert report.states > 50
