"""The lost clear: an archive is complete, but the write that cleared the live file never reached the disk."""

from __future__ import annotations

import pytest

from reference_impl.store import Session
from tests.reference_impl.helpers import filled, live, opened, texts, tree


def lose_the_clear(path, keep):
    """Commit, then put back the live file that the commit replaced."""
    session = filled(path, "m1", "m2", "m3", "m4")
    before = (path / "messages.jsonl").read_bytes()
    session.commit(keep)
    after = (path / "messages.jsonl").read_bytes()
    (path / "messages.jsonl").write_bytes(before)
    return after


def test_a_lost_clear_without_a_keep_window_leaves_nothing_stale(path):
    """keep=0: every archived message leaves the live file, which is healed on disk."""
    after = lose_the_clear(path, keep=0)
    session = opened(path)
    assert session.messages == ()
    assert session.last_report.dropped_stale == ("m1", "m2", "m3", "m4")
    assert (path / "messages.jsonl").read_bytes() == after == b""
    assert texts(session.archived_messages()) == ["m1", "m2", "m3", "m4"]


def test_a_lost_clear_with_a_keep_window_leaves_the_retained_tail(path):
    """keep>0: only the retained tail survives, and a reload finds nothing left to heal."""
    after = lose_the_clear(path, keep=2)
    assert texts(opened(path).messages) == ["m3", "m4"]
    assert (path / "messages.jsonl").read_bytes() == after
    again = opened(path)
    assert texts(again.messages) == ["m3", "m4"]
    assert not again.last_report


def test_a_consistent_session_is_left_alone(path):
    """A session in which nothing was lost loads without a single byte changing."""
    filled(path, "m1", "m2", "m3").commit(1)
    before = tree(path)
    session = opened(path)
    assert texts(session.messages) == ["m3"]
    assert not session.last_report
    assert tree(path) == before


def test_a_legacy_session_without_meta_is_left_alone(path):
    """Without `.meta.json` there is no commit to have been lost, so nothing is dropped and nothing is written."""
    filled(path, "m1", "m2", "m3")
    (path / ".meta.json").unlink()
    before = tree(path)
    session = opened(path)
    assert texts(session.messages) == ["m1", "m2", "m3"]
    assert not session.last_report
    assert tree(path) == before


@pytest.mark.parametrize("keep", [0, 2])
def test_it_is_the_heal_that_heals(path, keep, monkeypatch):
    """With the reconciliation switched off the archived messages are live again."""
    lose_the_clear(path, keep)
    monkeypatch.setattr(Session, "_reconcile_stale_live_messages", lambda self, healer, archives, live: (archives, live))
    assert live(path) == ["m1", "m2", "m3", "m4"]
