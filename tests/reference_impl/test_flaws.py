"""Flaws that designs of this kind are known for, one test each: the scenario that shows it, and the right outcome."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from reference_impl.durable import StorageError
from reference_impl.store import CommitError, Summary, Workers
from tests.reference_impl.helpers import Faulty, Killed, failing, filled, live, losing, opened, say, texts, tree


def meta(path):
    """The counters on disk."""
    return json.loads((path / ".meta.json").read_text())


def test_unsound_heal(path):
    """Killed between the line and the counter, `len > count` holds although nothing was archived: nothing is dropped."""
    filled(path, "m1")
    counters = (path / ".meta.json").read_bytes()
    filled(path, "m2")
    (path / ".meta.json").write_bytes(counters)
    assert live(path) == ["m1", "m2"]
    assert meta(path)["message_count"] == 2


def test_unsound_heal_of_the_very_first_message(path):
    """A count of zero is no licence to delete the one message there is."""
    filled(path, "m1")
    (path / ".meta.json").write_text(json.dumps({**meta(path), "message_count": 0}))
    assert live(path) == ["m1"]


def test_signature_disappears(path):
    """After a lost clear one more append makes the counts agree again; the ids still tell what is stale."""
    session = filled(path, "m1", "m2")
    before = (path / "messages.jsonl").read_bytes()
    session.commit()
    added = session.add_message(say("m3", "m3"))
    (path / "messages.jsonl").write_bytes(before + added.line + b"\n")
    (path / ".meta.json").write_text(json.dumps({**meta(path), "message_count": 3}))
    assert live(path) == ["m3"]


def test_lost_clear_after_an_acknowledged_rewrite(path):
    """A clear that was acknowledged and lost archives nothing twice: the next commit heals before it archives."""
    session = filled(path, "m1", "m2")
    before = (path / "messages.jsonl").read_bytes()
    session.commit()
    (path / "messages.jsonl").write_bytes(before)
    session.add_message(say("m3", "m3"))
    session.commit()
    assert texts(opened(path).archived_messages()) == ["m1", "m2", "m3"]
    assert live(path) == []


def test_torn_live_rewrite(path):
    """A live file with a destroyed line costs that line, and the session goes on."""
    filled(path, "m1", "m2", "m3")
    lines = (path / "messages.jsonl").read_bytes().split(b"\n")
    lines[1] = lines[1][:20] + b"\0" * (len(lines[1]) - 20)
    (path / "messages.jsonl").write_bytes(b"\n".join(lines))
    session = opened(path)
    assert texts(session.messages) == ["m1", "m3"]
    assert [(path / "damaged" / name).read_bytes() for name in session.last_report.set_aside] == [lines[1]]
    session.add_message(say("m4", "m4"))
    session.commit(1)
    assert live(path) == ["m4"]


def test_live_trimmed_and_then_an_exception(path):
    """After the commit point a commit stands, although every later step of it fails."""
    filled(path, "m1", "m2")
    disk = Faulty(lambda name, at: None)
    session = opened(path, disk=disk)

    def after_the_clear(name, at):
        if name == "replace" and (path / "messages.jsonl").read_bytes() == b"":
            raise StorageError(name, at, "injected")

    disk.strike = after_the_clear
    assert session.commit().status == "accepted"
    assert disk.struck > 0
    assert texts(session.messages) == []
    again = opened(path)
    assert again.last_report.rolled_forward == (1,)
    assert texts(again.archived_messages()) == ["m1", "m2"]
    assert texts(again.context().messages) == ["m1", "m2"]


@pytest.mark.parametrize("marker", [b"", b"{", b"{}", b"null", b'{"message_count": 2}'])
def test_a_torn_done_marker_counts_as_absent(path, marker):
    """A completion marker that does not say what the archive holds completes nothing."""
    session = filled(path, "m1", "m2")
    session.commit()
    session.run_pending()
    (path / "history/archive_001/.done").write_bytes(marker)
    session = opened(path)
    assert texts(session.context().messages) == ["m1", "m2"]
    assert session.run_pending() == (1,)
    assert session.context().messages == ()


def test_phase_two_fails(path):
    """An archive that cannot be summarised stays in the context as it is, and can be retried later."""

    def broken(messages, earlier):
        raise RuntimeError("no model")

    session = filled(path, "m1", workers=Workers(summarise=broken))
    session.commit()
    assert session.run_pending() == ()
    assert texts(session.context().messages) == ["m1"]
    assert json.loads((path / "history/archive_001/.failed.json").read_text())["stage"] == "phase2"
    assert opened(path).pending_archives() == ()
    assert opened(path).retry_commit(1)
    assert opened(path).context().overviews == ("user: m1",)


def test_phase_two_repeats(path):
    """Killed before the completion marker, the second run counts nothing twice and asks no worker again."""
    asked = []

    def extract(archive, messages):
        asked.append(archive)
        return {"messages": len(messages)}

    def before_done(name, at):
        if name == "replace" and at.endswith(".done"):
            raise Killed

    session = filled(path, "m1", "m2", disk=Faulty(before_done), workers=Workers(extract=extract))
    session.commit()
    with pytest.raises(Killed):
        session.run_pending()
    assert opened(path, workers=Workers(extract=extract)).run_pending() == (1,)
    assert asked == [1]
    assert meta(path)["usage"] == {"001": {"messages": 2}}


def test_no_separate_queue(path):
    """A process that dies after the commit loses no task: the next one finds the archive, and a stuck one blocks no other."""
    session = filled(path, "m1")
    session.commit()
    session.add_message(say("m2", "m2"))
    session.commit()

    def stuck_on_the_first(messages, earlier):
        if messages[0].id == "m1":
            raise TimeoutError
        return Summary("second", "")

    later = opened(path, workers=Workers(summarise=stuck_on_the_first))
    assert later.pending_archives() == (1, 2)
    assert later.run_pending() == (2,)
    context = later.context()
    assert (context.overviews, texts(context.messages)) == (("second",), ["m1"])
    assert opened(path).pending_archives() == (1,)


def test_a_read_error_is_not_an_empty_session(path):
    """If the live file cannot be read, nothing loads and nothing is written."""
    filled(path, "m1")
    before = tree(path)
    session = opened(path, disk=Faulty(lambda name, at: None))
    for operation in (session.load, session.commit, lambda: session.add_message(say("m2"))):
        session.disk = failing("read", "messages.jsonl", times=9)
        with pytest.raises(StorageError, match="injected"):
            operation()
        assert tree(path) == before


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\r\n", "\n", "\0", "\ud800"])
def test_line_separators_are_text(path, separator):
    """What other programs take for the end of a line comes back as it was said, also after a commit."""
    session = filled(path, f"one{separator}two", "m2")
    assert live(path) == [f"one{separator}two", "m2"]
    session.commit(1)
    assert texts(opened(path).archived_messages()) == [f"one{separator}two"]


def test_separators_in_lines_of_other_writers(path):
    """A writer that does not escape them and ends its lines with CRLF is read all the same."""
    path.mkdir()
    lines = ['{"id": "a", "seq": 1, "role": "user", "parts": [{"type": "text", "text": "x\u2028y"}]}', '{"id": "b", "seq": 2}']
    (path / "messages.jsonl").write_bytes("".join(line + "\r\n" for line in lines).encode())
    session = opened(path)
    assert [message.id for message in session.messages] == ["a", "b"]
    assert session.messages[0].text == "x\u2028y"
    assert not session.last_report


def test_no_snapshot_from_before_the_lock(path):
    """A message that another object appended after this one was loaded survives this one's commit and append."""
    first, second = filled(path, "m1"), opened(path)
    second.add_message(say("m2", "m2"))
    first.commit(1)
    assert texts(first.messages) == ["m2"]
    second.add_message(say("m3", "m3"))
    assert [(m.text, m.seq) for m in opened(path).messages] == [("m2", 2), ("m3", 3)]


def test_a_cleared_value_does_not_come_back(path):
    """The counters are replaced whole: no value of an older file survives in a newer one."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    assert meta(path)["keep_recent_count"] == 1
    session.commit(0)
    assert (meta(path)["keep_recent_count"], meta(path)["message_count"], meta(path)["pending_tokens"]) == (0, 0, 0)


@pytest.mark.parametrize("lost", ["messages.jsonl", ".meta.json"])
def test_a_lost_write_never_doubles(path, lost):
    """Whatever kind of file never reaches the disk during a commit, no message is shown twice afterwards."""
    filled(path, "m1", "m2", "m3")
    disk = losing("replace", lost)
    session = opened(path, disk=disk)
    with suppress(CommitError):  # what is read back is missed at once
        session.commit(1)
    assert disk.struck
    session = opened(path)
    shown = [*texts(session.archived_messages()), *texts(session.messages)]
    assert sorted(shown) == ["m1", "m2", "m3"]
    assert texts(session.context().messages) == ["m1", "m2", "m3"]
