"""Sessions of an earlier layout: they load, and neither the load nor the first write destroys anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.reference_impl.helpers import opened, say, texts, tree

FIXTURES = Path(__file__).parent / "fixtures"
LIVE = ["a line\u2028separator", "yes", "again?", "yes"]


@pytest.fixture
def legacy(tmp_path):
    """A copy of a session of the earlier layout, without counters."""
    return Path(shutil.copytree(FIXTURES / "without_meta", tmp_path / "without_meta"))


@pytest.fixture
def counted(tmp_path):
    """A copy of one with counters, whose last clear was lost."""
    return Path(shutil.copytree(FIXTURES / "with_meta", tmp_path / "with_meta"))


def test_it_loads_and_is_left_alone(legacy):
    """Messages without id, number or kind, raw separators and a missing last newline included; no byte changes."""
    before = tree(legacy)
    session = opened(legacy)
    assert texts(session.messages) == LIVE
    assert texts(session.archived_messages()) == ["hello", "welcome"]
    assert session.context().overviews == ("A greeting was exchanged.",)
    assert texts(session.context().messages) == LIVE
    assert not session.last_report
    assert tree(legacy) == before


def test_every_load_gives_the_same_ids_and_numbers(legacy):
    """They are derived from the lines alone, archives before live ones."""
    first, second = opened(legacy), opened(legacy)
    assert first.messages == second.messages
    everything = [*first.archived_messages(), *first.messages]
    assert [message.seq for message in everything] == [1, 2, 3, 4, 5, 6]
    assert len({message.id for message in everything}) == 6


def test_the_first_append_destroys_nothing(legacy):
    """Every file is as it was, except that the live file goes on and the counters are there."""
    before = tree(legacy)
    added = opened(legacy).add_message(say("new", "new"))
    after = tree(legacy)
    assert added.seq == 7
    assert after.pop("messages.jsonl") == before.pop("messages.jsonl") + b"\n" + added.line + b"\n"
    counters = json.loads(after.pop(".meta.json"))
    assert (counters["message_count"], counters["total_message_count"]) == (5, 7)
    assert after == before
    session = opened(legacy)
    assert not session.last_report
    assert texts(session.messages) == [*LIVE, "new"]


def test_the_first_commit_destroys_nothing(legacy):
    """Derived ids and numbers are said now, fields of the earlier layout stay, and equal texts stay two messages."""
    session = opened(legacy)
    before = session.messages
    assert session.commit(1).archive == 2
    session = opened(legacy)
    assert not session.last_report
    moved = [*session.archived_messages()[2:], *session.messages]
    assert [(m.id, m.seq, m.text) for m in moved] == [(m.id, m.seq, m.text) for m in before]
    assert json.loads(moved[0].line)["mood"] == "curious"
    assert texts(session.messages) == ["yes"]
    assert texts(session.context().messages) == LIVE


def test_a_lost_clear_of_the_first_commit_is_healed(legacy):
    """Also for lines that had no id: the equal one that was retained is not taken for the one that was archived."""
    stale = (legacy / "messages.jsonl").read_bytes()
    opened(legacy).commit(1)
    (legacy / "messages.jsonl").write_bytes(stale)
    session = opened(legacy)
    assert len(session.last_report.dropped_stale) == 3
    assert texts(session.messages) == ["yes"]
    assert not opened(legacy).last_report


def test_a_lost_clear_of_the_earlier_layout_is_healed(counted):
    """Its archive has no record; the completion marker and the content together prove what is archived."""
    session = opened(counted)
    assert session.last_report.dropped_stale == ("m1", "m2")
    assert texts(session.messages) == ["third"]
    assert texts(session.archived_messages()) == ["first", "second"]
    session.add_message(say("fourth", "m4"))
    counters = json.loads((counted / ".meta.json").read_text())
    assert counters["memories_extracted"] == {"total": 4}
    assert (counters["message_count"], counters["total_message_count"]) == (2, 4)
    assert not opened(counted).last_report


def test_an_archive_without_a_valid_marker_proves_nothing(counted):
    """Then its messages stay live, once."""
    (counted / "history/archive_001/.done").write_text("{}")
    session = opened(counted)
    assert session.last_report.dropped_stale == ()
    assert texts(session.messages) == ["first", "second", "third"]
    assert session.archived_messages() == ()
