"""Settling archives on load: each state that a crash, a lost write or damage can leave, and what becomes of it."""

from __future__ import annotations

import json

import pytest

from reference_impl.durable import StorageError
from tests.reference_impl.helpers import Faulty, Killed, failing, filled, live, opened, say, texts, tree

ARCHIVE = "history/archive_001"


def killed(path, strike, keep=0):
    """Commit until `strike(operation, path)` is true, and die there, before that operation."""

    def before(name, at):
        if strike(name, at):
            raise Killed

    with pytest.raises(Killed):
        opened(path, disk=Faulty(before)).commit(keep)


def replacing(part):
    """The replacement of a file with this end."""
    return lambda name, at: name == "replace" and at.endswith(part)


def everything(session):
    """Archived and live texts."""
    return texts(session.archived_messages()), texts(session.messages)


def test_an_archive_without_messages_is_rolled_back(path):
    """Row 1: the live messages stay, the number stays used."""
    filled(path, "m1", "m2")
    killed(path, replacing(f"{ARCHIVE}/messages.jsonl"))
    before = (path / "messages.jsonl").read_bytes()
    session = opened(path)
    assert session.last_report.rolled_back == (1,)
    assert everything(session) == ([], ["m1", "m2"])
    assert (path / "messages.jsonl").read_bytes() == before
    assert json.loads((path / ARCHIVE / ".failed.json").read_text())["stage"] == "phase1"
    assert session.commit().archive == 2


def test_a_complete_archive_before_the_commit_point_is_rolled_back(path):
    """Row 2: complete or not, nothing was moved."""
    filled(path, "m1", "m2")
    killed(path, replacing("session/messages.jsonl"))
    session = opened(path)
    assert session.last_report.rolled_back == (1,)
    assert everything(session) == ([], ["m1", "m2"])
    assert texts(session.context().messages) == ["m1", "m2"]
    assert not opened(path).last_report


@pytest.mark.parametrize("step", ["session/.meta.json", f"{ARCHIVE}/.meta.json"])
def test_a_commit_past_its_commit_point_is_rolled_forward(path, step):
    """Row 3: the archive becomes ready and the counters follow."""
    filled(path, "m1", "m2", "m3")
    cleared = []

    def strike(name, at):
        cleared.extend([at] if name == "replace" and at.endswith("session/messages.jsonl") else [])
        return bool(cleared) and replacing(step)(name, at)

    killed(path, strike, keep=1)
    session = opened(path)
    assert session.last_report.rolled_forward == (1,)
    assert everything(session) == (["m1", "m2"], ["m3"])
    assert json.loads((path / ".meta.json").read_text())["message_count"] == 1
    assert not opened(path).last_report


def test_a_lost_clear_drops_only_what_the_archive_holds(path):
    """Row 4: messages that came later stay, in their order, wherever they stand."""
    session = filled(path, "m1", "m2")
    stale = (path / "messages.jsonl").read_bytes()
    session.commit()
    added = session.add_message(say("m3", "m3"))
    (path / "messages.jsonl").write_bytes(added.line + b"\n" + stale)
    session = opened(path)
    assert session.last_report.dropped_stale == ("m1", "m2")
    assert everything(session) == (["m1", "m2"], ["m3"])


@pytest.mark.parametrize("damage", ["gone", "torn", "half"])
def test_a_damaged_archive_costs_no_live_copy(path, damage):
    """Row 5: what the archive cannot show stays live, and the archive gives up its claim to it."""
    session = filled(path, "m1", "m2")
    stale = (path / "messages.jsonl").read_bytes()
    session.commit()
    (path / "messages.jsonl").write_bytes(stale)
    content = path / ARCHIVE / "messages.jsonl"
    first, second, _ = content.read_bytes().split(b"\n")
    if damage == "gone":
        content.unlink()
    else:
        content.write_bytes(first[:30] + b"\n" + (second if damage == "half" else second[:30]))
    session = opened(path)
    assert session.last_report.unreadable == (1,)
    assert everything(session) == ((["m2"], ["m1"]) if damage == "half" else ([], ["m1", "m2"]))
    assert texts(session.context().messages) == ["m1", "m2"]
    assert not opened(path).last_report
    session.commit()
    assert sorted(texts(opened(path).archived_messages())) == ["m1", "m2"]


def test_messages_that_no_file_holds_are_reported(path):
    """Row 6: the hole is told at each load, the rest is there, and the session goes on."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    (path / ARCHIVE / "messages.jsonl").unlink()
    for _ in range(2):
        session = opened(path)
        assert (session.last_report.unreadable, session.last_report.holes) == ((1,), ("m1",))
        assert everything(session) == ([], ["m2"])
    session.add_message(say("m3", "m3"))
    assert session.commit().archive == 2


def test_a_lost_message_can_be_said_again(path):
    """The id of a message that no file holds is not an acknowledgement of anything."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    (path / ARCHIVE / "messages.jsonl").unlink()
    opened(path).add_message(say("m1", "m1"))
    assert live(path) == ["m2", "m1"]


def test_a_rolled_back_archive_stays_out_of_everything(path):
    """Row 7: also when its messages are archived under a later number."""
    filled(path, "m1", "m2")
    killed(path, replacing("session/messages.jsonl"))
    session = opened(path)
    session.commit()
    session = opened(path)
    assert everything(session) == (["m1", "m2"], [])
    assert session.pending_archives() == (2,)
    assert texts(session.context().messages) == ["m1", "m2"]


def test_a_lost_rollback_marker_does_not_bring_the_archive_back(path):
    """Its messages are in a later archive by now, so nothing of it is its own."""
    filled(path, "m1", "m2")
    killed(path, replacing("session/messages.jsonl"))
    opened(path).commit()
    (path / ARCHIVE / ".failed.json").unlink()
    session = opened(path)
    assert session.last_report.rolled_back == (1,)
    assert everything(session) == (["m1", "m2"], [])


@pytest.mark.parametrize("done", [True, False])
def test_an_archive_whose_record_is_lost_still_holds_its_messages(path, done):
    """What stands nowhere else counts, with a completion marker or without."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    if done:
        session.run_pending()
    (path / ARCHIVE / ".meta.json").unlink()
    assert everything(opened(path)) == (["m1"], ["m2"])


def test_lost_counters_are_rebuilt(path):
    """From the live file and the archives; no number is given twice."""
    session = filled(path, "m1", "m2", "m3")
    session.commit(1)
    wanted = json.loads((path / ".meta.json").read_text())
    for content in (None, b"", b"{", b"[]", b'{"message_count": "3"}'):
        (path / ".meta.json").unlink()
        if content is not None:
            (path / ".meta.json").write_bytes(content)
        assert everything(opened(path)) == (["m1", "m2"], ["m3"])
        rebuilt = json.loads((path / ".meta.json").read_text())
        names = ("message_count", "total_message_count", "commit_count", "next_seq", "session_id")
        assert [rebuilt[name] for name in names] == [wanted[name] for name in names]


def test_numbers_go_on_after_everything_was_archived_and_the_counters_were_lost(path):
    """The record of the archive knows the last one."""
    filled(path, "m1", "m2").commit()
    (path / ".meta.json").unlink()
    assert opened(path).add_message(say("m3")).seq == 3


def test_a_live_file_that_is_gone_is_reported(path):
    """It is damage, not a new session."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    (path / "messages.jsonl").unlink()
    session = opened(path)
    assert session.last_report.absent == ("messages.jsonl",)
    assert everything(session) == (["m1"], [])
    assert session.add_message(say("m3")).seq == 3


def test_one_bad_archive_blocks_no_operation(path):
    """A record of nonsense, a foreign directory, an empty one: all others work on."""
    session = filled(path, "m1", "m2", "m3")
    session.commit(1)
    for number, content in ((2, b"\0\0"), (3, b'{"phase1": {"archived_message_ids": 7}}')):
        (path / f"history/archive_00{number}").mkdir()
        (path / f"history/archive_00{number}/.meta.json").write_bytes(content)
    (path / "history/archive_004").mkdir()
    (path / "history/notes").mkdir()
    session = opened(path)
    session.add_message(say("m4", "m4"))
    assert session.commit(1).archive == 5
    assert session.run_pending() == (1, 5)
    assert everything(opened(path)) == (["m1", "m2", "m3"], ["m4"])


def test_leftovers_of_dead_writers_are_removed(path):
    """Temporary files never pile up, wherever a writer died."""
    filled(path, "m1", "m2").commit(1)
    (path / "damaged").mkdir()
    for folder in ("", "damaged/", f"{ARCHIVE}/"):
        (path / f"{folder}.messages.jsonl.0123.tmp").write_bytes(b"half")
    opened(path)
    assert not [name for name in tree(path) if name.endswith(".tmp")]


def test_healing_twice_is_healing_once(path):
    """A torn tail is set aside under a name made of its bytes, so that a repeated heal makes no second copy."""
    filled(path, "m1")
    with (path / "messages.jsonl").open("ab") as file:
        file.write(b'{"id": "m2", "se')
    with pytest.raises(Killed):
        opened(path, disk=Faulty(lambda name, at: died(name == "replace" and at.endswith("session/messages.jsonl"))))
    report = opened(path).last_report
    assert len(report.set_aside) == 1
    after = tree(path)
    assert not opened(path).last_report
    assert tree(path) == after
    assert [name for name in after if name.startswith("damaged/")] == [f"damaged/{report.set_aside[0]}"]


def died(now):
    """Die if it is time."""
    if now:
        raise Killed


def test_a_heal_that_cannot_be_written_is_an_error(path):
    """The caller learns that the repair is not durable; the next load finds the same and repairs it."""
    filled(path, "m1")
    with (path / "messages.jsonl").open("ab") as file:
        file.write(b"torn")
    with pytest.raises(StorageError):
        opened(path, disk=failing("replace", "session/messages.jsonl"))
    assert live(path) == ["m1"]
