"""The first phase: what moves, what stays, what nothing changes, and what a failure leaves."""

from __future__ import annotations

import json

import pytest

from reference_impl.durable import StorageError
from reference_impl.store import CommitError, Draft
from tests.reference_impl.helpers import Faulty, call, failing, filled, opened, result, say, texts, tree

RECORD = Draft(None, (), kind="record", metadata={"record": "turn_end"})


def split(path, drafts, keep):
    """Ids of archived and live messages after a commit of these drafts."""
    session = opened(path)
    for draft in drafts:
        session.add_message(draft)
    session.commit(keep)
    session = opened(path)
    return [m.id for m in session.archived_messages()], [m.id for m in session.messages]


def test_the_record_says_what_was_planned(path):
    """The three lists of ids, and the counters of the session afterwards."""
    session = filled(path, "m1", "m2", "m3")
    receipt = session.commit(1)
    phase1 = json.loads((path / "history/archive_001/.meta.json").read_text())["phase1"]
    assert phase1["status"] == "ready"
    assert phase1["original_message_ids"] == ["m1", "m2", "m3"]
    assert (phase1["archived_message_ids"], phase1["retained_message_ids"]) == (["m1", "m2"], ["m3"])
    meta = json.loads((path / ".meta.json").read_text())
    names = ("message_count", "total_message_count", "commit_count", "keep_recent_count", "next_seq")
    assert [meta[name] for name in names] == [1, 3, 1, 1, 4]
    assert (receipt.status, receipt.archive, receipt.archived) == ("accepted", 1, 2)


@pytest.mark.parametrize(("keep", "reason"), [(2, "all_within_keep_window"), (9, "all_within_keep_window"), (0, "no_messages")])
def test_a_commit_with_nothing_to_archive_changes_no_byte(path, keep, reason):
    """It says why, and that is all."""
    session = filled(path, "m1", "m2")
    if keep == 0:
        session.commit()
    before = tree(path)
    receipt = session.commit(keep)
    assert (receipt.status, receipt.reason) == ("skipped", reason)
    assert tree(path) == before


def test_a_negative_window_is_a_mistake(path):
    """And archives nothing."""
    with pytest.raises(ValueError, match="keep_recent_count=-1"):
        filled(path, "m1").commit(-1)


def test_numbers_rise_and_are_never_used_twice(path):
    """Not after a failure either."""
    session = filled(path, "m1", "m2", "m3")
    assert session.commit(2).archive == 1
    session.disk = failing("replace", "archive_002/messages.jsonl")
    with pytest.raises(CommitError):
        session.commit(1)
    session = opened(path)
    assert session.commit(1).archive == 3


@pytest.mark.parametrize(
    "step", ["make_dir", "replace archive_001/.meta.json", "replace archive_001/messages.jsonl", "replace session/messages.jsonl"]
)
def test_a_failure_before_the_commit_point_moves_nothing(path, step):
    """The live file is untouched, the archive is marked, and the next commit works."""
    filled(path, "m1", "m2")
    live = (path / "messages.jsonl").read_bytes()
    operation, _, part = step.partition(" ")
    session = opened(path)
    session.disk = failing(operation, part or "history")
    with pytest.raises((CommitError, StorageError)):
        session.commit()
    assert (path / "messages.jsonl").read_bytes() == live
    assert texts(opened(path).messages) == ["m1", "m2"]
    opened(path).commit()
    assert texts(opened(path).archived_messages()) == ["m1", "m2"]


def test_an_archive_that_does_not_read_back_is_not_trusted(path):
    """What the disk acknowledged and did not keep is missed while the messages are still live."""
    session = filled(path, "m1", "m2")
    session.disk = Faulty(lambda name, at: name == "replace" and at.endswith("archive_001/messages.jsonl"))
    with pytest.raises(CommitError, match="does not read back"):
        session.commit()
    assert texts(opened(path).messages) == ["m1", "m2"]


def test_an_error_after_the_rename_is_past_the_commit_point(path):
    """The file itself is asked on which side of the rename the error struck."""
    session = filled(path, "m1", "m2")
    disk = Faulty(lambda name, at: None)

    def renamed_then_failed(name, at):
        if name == "replace" and at.endswith("session/messages.jsonl"):
            disk.real.replace(at, b"")
            raise StorageError("sync", at, "injected")

    disk.strike = renamed_then_failed
    session.disk = disk
    assert session.commit().status == "accepted"
    assert disk.struck == 1
    assert texts(opened(path).archived_messages()) == ["m1", "m2"]


def test_a_commit_of_unknown_outcome_is_not_marked_as_failed(path):
    """If nobody can say whether the rename happened, a mark would hide the messages if it did."""
    session = filled(path, "m1", "m2")
    disk = Faulty(lambda name, at: None)
    broken = []

    def renamed_then_blind(name, at):
        if at.endswith("session/messages.jsonl") and (broken or name == "replace"):
            broken.append(name)
            if name == "replace":
                disk.real.replace(at, b"")
            raise StorageError(name, at, "injected")

    disk.strike = renamed_then_blind
    session.disk = disk
    with pytest.raises(CommitError, match="may or may not"):
        session.commit()
    session = opened(path)
    assert session.last_report.rolled_forward == (1,)
    assert texts(session.archived_messages()) == ["m1", "m2"]


@pytest.mark.parametrize(("keep", "archived"), [(0, 4), (1, 3), (2, 1), (3, 1), (4, 0)])
def test_a_call_and_its_result_stay_on_one_side(path, keep, archived):
    """A cut between them moves back, so that the window is wider than asked for, never narrower."""
    drafts = [say("u1", "u1"), call("c1", "call"), result("c1", "result"), say("a1", "a1", "assistant")]
    ids = [draft.id for draft in drafts]
    assert split(path, drafts, keep) == (ids[:archived], ids[archived:])


def test_a_call_that_waits_for_its_result_stays(path):
    """It belongs to the running turn, and its result will come."""
    drafts = [say("u1", "u1"), say("a1", "a1", "assistant"), say("u2", "u2"), call("c1", "call")]
    assert split(path, drafts, 0) == (["u1", "a1", "u2"], ["call"])


def test_a_call_that_nobody_answered_in_an_earlier_turn_holds_nothing_back(path):
    """Otherwise one lost result would end all commits for ever."""
    drafts = [say("u1", "u1"), call("c1", "call"), say("u2", "u2"), say("a2", "a2", "assistant")]
    assert split(path, drafts, 1) == (["u1", "call", "u2"], ["a2"])


def test_record_lines_go_with_the_message_before_them(path):
    """They are not counted in the window, and they are in no context."""
    drafts = [say("u1", "u1"), RECORD, say("u2", "u2"), RECORD]
    archived, live = split(path, drafts, 1)
    assert (len(archived), len(live)) == (2, 2)
    assert texts(opened(path).context().messages) == ["u1", "u2"]
    assert opened(path).commit(1).reason == "all_within_keep_window"


def test_records_alone_are_no_messages(path):
    """There is nothing to archive."""
    session = opened(path)
    session.add_message(RECORD)
    assert session.commit().reason == "no_messages"
