"""A fresh process goes on with a saved session: items included, from either form of the file, whatever became of the clock."""

from __future__ import annotations

import json
import os

import pytest

from reference_impl.durable import Durable, LockedError, StorageError
from reference_impl.replay import CompressedTimeline, DamagedError, ReplayError, Snapshots, StaleError, Timeline
from reference_impl.replay.splice import SWITCH
from tests.reference_impl.replay.helpers import MemoryDisk, agent_over, bodies, clock, items_in, think

FORMS = [Timeline, CompressedTimeline]


def saved(disk, kind, turns=3, service=None, **options):
    """A session of some turns on a disk, and the service that knows it."""
    agent, service = agent_over(service, timeline=kind(clock=clock()), snapshots=Snapshots("f", disk), session_id="s", **options)
    for number in range(1, turns + 1):
        think(service, f"thought {number}", f"reply {number}")
        agent.turn(f"question {number}")
    return agent, service


def resumed(disk, kind, service, **options):
    """Another process, which has only the disk."""
    agent, _ = agent_over(service, timeline=kind(clock=clock()), snapshots=Snapshots("f", disk), **options)
    assert agent.resume_from_session_id("s")
    think(service, "t", "reply")
    assert agent.turn("and now?") == "reply"
    return agent


def on_disk(disk):
    """What the file of the session holds."""
    return json.loads(disk.files["f/s/timeline.json"])


@pytest.mark.parametrize("kind", FORMS)
def test_a_resumed_session_replays_its_items(kind):
    """Three items are in the file, and three in the next request, in both forms."""
    disk = MemoryDisk()
    _, service = saved(disk, kind)
    assert {"role" in entry for entry in on_disk(disk)["entries"]} == {kind is CompressedTimeline}
    resumed(disk, kind, service)
    assert len(items_in(bodies(service)[-1])) == 3


@pytest.mark.parametrize("wrote", FORMS)
@pytest.mark.parametrize("reads", FORMS)
def test_each_form_reads_the_other(wrote, reads):
    """A file is read entry by entry, and an entry stays in the form that it has."""
    disk = MemoryDisk()
    _, service = saved(disk, wrote)
    before = on_disk(disk)["entries"]
    resumed(disk, reads, service)
    assert on_disk(disk)["entries"][: len(before)] == before
    assert len(items_in(bodies(service)[-1])) == 3


def test_entries_can_be_put_in_by_hand():
    """`load_from_entries` is all that a resume needs."""
    disk = MemoryDisk()
    _, service = saved(disk, Timeline)
    agent, _ = agent_over(service)
    agent._timeline.load_from_entries(on_disk(disk)["entries"])
    think(service, "t", "reply")
    agent.turn("and now?")
    assert len(items_in(bodies(service)[-1])) == 3


def test_another_provider_replays_nothing():
    """The session was made by another model: text only, and no carrier is left."""
    disk = MemoryDisk()
    _, service = saved(disk, CompressedTimeline)
    resumed(disk, CompressedTimeline, service, model="gpt-4o")
    assert items_in(bodies(service)[-1]) == []
    assert all(set(item) == {"role", "content"} for item in bodies(service)[-1]["input"])


def test_the_switch_works_on_a_resumed_session(monkeypatch):
    """Equal fingerprints do not override it."""
    disk = MemoryDisk()
    _, service = saved(disk, CompressedTimeline)
    monkeypatch.setenv(SWITCH, "0")
    resumed(disk, CompressedTimeline, service)
    assert items_in(bodies(service)[-1]) == []


def test_a_refusal_is_remembered_by_the_next_process():
    """The refused items are marked in the file, so a resumed session does not pay again."""
    disk = MemoryDisk()
    _, service = saved(disk, CompressedTimeline)
    resumed(disk, CompressedTimeline, service, key="key-2")
    assert len(service.requests) == 5
    agent = resumed(disk, CompressedTimeline, service, key="key-2")
    assert (len(service.requests), agent.replies[0].requests) == (6, 1)
    assert sum(entry["metadata"].get("replay") == "rejected" for entry in on_disk(disk)["entries"]) == 3


def test_an_unknown_session_is_a_new_one():
    """There is nothing to load, and that is told."""
    agent, _ = agent_over(snapshots=Snapshots("f", MemoryDisk()))
    assert agent.resume_from_session_id("new") is False


def test_an_agent_without_snapshots_cannot_resume():
    """Rather than to begin a new session under the old name."""
    agent, _ = agent_over()
    with pytest.raises(ReplayError, match="was given no snapshots"):
        agent.resume_from_session_id("s")


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"{", b"7", b'{"entries": 3}', b'{"entries": [], "version": 2}'])
def test_a_damaged_file_is_no_empty_session(data):
    """It is reported, and stays as it is."""
    disk = MemoryDisk()
    disk.replace("f/s/timeline.json", data)
    with pytest.raises(DamagedError):
        Snapshots("f", disk).load("s", Timeline())
    with pytest.raises(DamagedError):
        Snapshots("f", disk).save("s", Timeline())
    assert disk.files == {"f/s/timeline.json": data}


def test_nobody_saves_over_what_they_have_not_seen():
    """A timeline that was loaded before somebody else saved is refused, and loses nothing of theirs."""
    disk = MemoryDisk()
    first, service = saved(disk, CompressedTimeline, 1)
    resumed(disk, CompressedTimeline, service)
    with pytest.raises(StaleError):
        first._save()
    assert [one["content"] for one in on_disk(disk)["entries"]][-1] == "reply"


def test_a_turn_takes_over_what_others_did_before():
    """Two agents on one session, one turn after the other: both see all of it."""
    disk = MemoryDisk()
    first, service = saved(disk, CompressedTimeline, 1)
    second = resumed(disk, CompressedTimeline, service)
    for agent, said in ((first, "a"), (second, "b"), (first, "c")):
        think(service, "t", said)
        agent.turn("x")
    assert [one["content"] for one in on_disk(disk)["entries"] if one["metadata"]["type"] == "agent_response"] == [
        "reply 1",
        "reply",
        "a",
        "b",
        "c",
    ]


def test_two_turns_of_one_session_do_not_overlap(tmp_path):
    """The second one is refused loudly while the first one is open, and nothing of either is lost."""
    first, service = agent_over(snapshots=Snapshots(tmp_path), session_id="s")
    second, _ = agent_over(service, snapshots=Snapshots(tmp_path, Durable(patience=0)), session_id="s")
    think(service, "t", "reply")

    def show(_):
        with pytest.raises(LockedError):
            second.turn("too early")

    assert first.turn("x", on_text=show) == "reply"
    think(service, "t", "again")
    assert second.turn("now") == "again"
    assert [one.content for one in second.timeline.entries] == ["x", "t", "reply", "now", "t", "again"]


def test_a_save_that_failed_late_does_not_wedge_the_session():
    """The new content was in place when the sync failed: the next save knows its own bytes, and goes on."""
    disk = MemoryDisk()
    agent, service = saved(disk, CompressedTimeline, 1)
    real, failures = disk.replace, [1]

    def late(path, data):
        real(path, data)
        if failures:
            failures.pop()
            raise StorageError("sync", path, "device error")

    disk.replace = late
    with pytest.raises(StorageError, match="device error"):
        agent.turn("x")
    think(service, "t", "reply")
    assert agent.turn("y") == "reply"
    assert [one["content"] for one in on_disk(disk)["entries"]][-4:] == ["x", "y", "t", "reply"]


def test_older_compactions_are_kept_by_number():
    """A clock that goes backwards changes nothing: the highest compaction wins, and each keeps what it replaced."""
    disk = MemoryDisk()
    agent, service = saved(disk, CompressedTimeline, 1)
    for time in ("2030", "2020"):
        agent.timeline._clock = lambda time=time: time
        agent.compress(lambda prompt, time=time: f"summary of {time}", keep=0)
        think(service, "t", f"reply of {time}")
        agent.turn("x")
    assert sorted(disk.files) == [f"f/s{end}/timeline.json" for end in ("", "__compact__0", "__compact__1")]
    again = CompressedTimeline()
    Snapshots("f", disk).load("s", again)
    assert (again.compaction, again.entries[0].content, again.entries[-1].content) == (2, "summary of 2020", "reply of 2020")


def test_a_lost_current_file_leaves_the_newest_compaction():
    """What is numbered highest is what there is; tenth after ninth, not by the alphabet."""
    disk = MemoryDisk()
    for number in (2, 9, 10):
        entries = [{"type": "user_message", "content": f"before {number}"}]
        disk.replace(f"f/s__compact__{number}/timeline.json", json.dumps({"compaction": number, "entries": entries}).encode())
    timeline = Timeline()
    assert Snapshots("f", disk).load("s", timeline)
    assert timeline.entries[0].content == "before 10"


def test_the_oldest_form_of_a_file_is_read():
    """A list of entries without ids, places or anything around it: a legacy session."""
    disk = MemoryDisk()
    disk.replace("f/s/timeline.json", json.dumps([{"type": "user_message", "content": "x", "timestamp": "t"}]).encode())
    timeline = Timeline()
    assert Snapshots("f", disk).load("s", timeline)
    assert [(one.content, one.seq, one.message_id) for one in timeline.entries] == [("x", 1, "m1")]


@pytest.mark.parametrize("name", ["", "..", "a/b", "s__compact__1", "a b"])
def test_a_strange_session_id_is_refused(name):
    """An id is the name of a folder, and no path to another one."""
    with pytest.raises(ValueError, match="is no session id"):
        Snapshots("f", MemoryDisk()).path(name)


def test_sessions_live_on_a_real_disk(tmp_path):
    """With the real disk, which makes folders and locks, and replaces whole files."""
    agent, service = agent_over(snapshots=Snapshots(tmp_path), session_id="s")
    think(service, "t", "reply")
    agent.turn("x")
    agent.compress(lambda prompt: "short", keep=0)
    assert sorted(os.listdir(tmp_path)) == ["s", "s__compact__0"]
    again, _ = agent_over(service, snapshots=Snapshots(tmp_path))
    assert again.resume_from_session_id("s")
    assert again.timeline.to_entries() == agent.timeline.to_entries()
