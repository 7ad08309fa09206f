"""The resume: whatever a process left, the next one finds the session, and a second look changes nothing."""

from __future__ import annotations

import json
import sqlite3

import pytest

from reference_impl.durable import Durable, LockedError, StorageError
from reference_impl.transcript import CorruptError, SchemaError, UnknownSessionError, UnsavedError
from reference_impl.transcript.delivered import DeliveredLog
from reference_impl.transcript.repair import UNKNOWN_OUTCOME
from reference_impl.transcript.resume import reconcile
from tests.reference_impl.helpers import failing
from tests.reference_impl.transcript.helpers import (
    QUICK,
    calls,
    contents,
    die,
    dump,
    flush,
    loaded,
    locked,
    opened,
    rows,
    said,
    says,
    shown,
    talk,
    writing,
)


def source_of(*messages):
    """A journal with these messages, numbered."""
    return [{"_message_id": f"m{n}", "_seq": n, **message} for n, message in enumerate(messages, 1)]


def u(text):
    """The user says something."""
    return {"role": "user", "content": text}


def a(text, **more):
    """The assistant says something."""
    return {"role": "assistant", "content": text, **more}


def test_a_new_session_is_made_only_where_that_is_wanted(path, agents):
    """To resume what is not there is an error, and not an empty conversation."""
    with pytest.raises(UnknownSessionError):
        agents().resume(create=False)
    talk(agents(), "hello", "hi")
    assert not agents().resume(create=False)


def test_shown_text_of_a_dead_process_is_recovered_once(path, agents):
    """As an interrupted reply of its turn; the second resume writes nothing."""
    agent = agents()
    turn = agent.begin("hello")
    stream = turn.run(says("par", "tial", "!"))
    assert next(stream) + next(stream) == "partial"
    die(agent)
    again = agents()
    assert len(again.report.recovered) == 1
    assert said(again.messages) == [("user", "hello"), ("assistant", "partial")]
    assert again.messages[1]["_interrupted"] is True
    assert again.messages[1]["_turn_id"] == turn.id
    die(again)
    before = dump(path)
    assert not agents().report
    assert dump(path) == before
    assert list((path / "sessions").rglob("delivered-*")) == []


def test_a_row_that_holds_less_than_was_shown_is_completed(path, agents):
    """By id; its calls stay with it."""
    agent = agents()
    flush(agent.writer, [u("q"), a("te", _message_id="m", tool_calls=[{"id": "c"}])])
    DeliveredLog(QUICK, agent._home, "t").append("m", "text")
    die(agent)
    again = agents()
    assert again.messages[1]["content"] == "text"
    assert again.messages[1]["tool_calls"] == [{"id": "c"}]


def test_a_row_that_a_split_left_behind_is_completed_where_it_is(path, agents):
    """It does not come back to life in the child."""
    agent = agents()
    agent.append({**u("q"), "_message_id": "m0"}, a("te", _message_id="m"))
    agent.split(0, lambda old: "s")
    DeliveredLog(QUICK, agent._home, "t").append("m", "text")
    die(agent)
    again = agents()
    assert said(again.archived()) == [("user", "q"), ("assistant", "text")]
    assert len(again.messages) == 1


def test_a_log_that_the_rows_cover_is_only_removed(path, agents):
    """The process died between the last commit and the removal of the log."""
    agent = agents()
    talk(agent, "hello", "hi")
    DeliveredLog(QUICK, agent._home, "t").append(agent.messages[1]["_message_id"], "hi")
    die(agent)
    assert agents().report.recovered == ()
    assert contents(path) == ["hello", "hi"]
    assert list((path / "sessions").rglob("delivered-*")) == []


def test_what_cannot_be_recovered_now_is_recovered_later(path, agents):
    """A full or locked disk at resume is an error, and the log stays."""
    agent = agents()
    stream = agent.begin("hello").run(says("par"))
    next(stream)
    die(agent)
    with locked(path), pytest.raises((UnsavedError, sqlite3.OperationalError)):
        opened(path)
    assert said(agents().messages) == [("user", "hello"), ("assistant", "par")]


def test_an_open_turn_is_not_taken_for_a_dead_one(path, agents):
    """Its process holds the lock; a second one is refused, and a turn that has ended frees it."""
    agent = agents()
    stream = agent.begin("hello").run(says("par", "tial"))
    next(stream)
    with pytest.raises(LockedError):
        opened(path)
    list(stream)
    assert said(agents().messages) == [("user", "hello"), ("assistant", "partial")]


def test_two_agents_take_turns(path, agents):
    """Each sees at its next turn what the other one did in between."""
    one, two = agents(), agents()
    talk(one, "1", "a")
    talk(two, "2", "b")
    two.split(2, lambda old: "s")
    talk(one, "3", "c")
    assert one.session_id == two.session_id
    assert [text for _, text in loaded(path)][1:] == ["2", "b", "3", "c"]


def test_a_call_in_flight_is_told_to_the_model_and_not_written(path, agents):
    """Its outcome is unknown; no row is invented for it."""
    agent = agents()
    turn = agent.begin("write")
    for event in calls("c")(turn.open()):
        turn.feed(event)
    turn.end_of_stream()
    die(agent)
    before = dump(path)
    again = agents()
    assert dump(path) == before
    view = again.begin("go on").open()
    assert [(m["role"], m["content"]) for m in view[1:3]] == [("assistant", ""), ("tool", UNKNOWN_OUTCOME)]
    assert "tool" not in [role for role, _ in rows(path)]


@pytest.mark.parametrize("damage", [b"no database", b"\0" * 5000])
def test_a_damaged_database_is_no_empty_session(path, agents, damage):
    """Without a source nothing is answered and nothing is touched."""
    agent = agents()
    talk(agent, "hello", "hi")
    die(agent)
    (path / "state.db").write_bytes(damage)
    for _ in range(2):
        with pytest.raises((CorruptError, sqlite3.DatabaseError)):
            opened(path)
        assert (path / "state.db").read_bytes() == damage


def corrupt(path, word):
    """Overwrite a page in which a word stands, as a torn write does."""
    data = bytearray((path / "state.db").read_bytes())
    at = data.index(word) // 4096 * 4096
    data[at : at + 16] = b"\xff" * 16
    (path / "state.db").write_bytes(data)


def test_a_damaged_database_is_built_anew_from_a_source(path, agents):
    """The old bytes are kept, the session is whole, and other sessions keep what can be read."""
    source = source_of(u("hello"), a("hi"), u("x" * 9000), a("end"))
    agent = agents()
    agent.append(*[dict(message) for message in source])
    die(agent)
    with writing(path, "other") as other:
        flush(other, [u("of another session")])
    corrupt(path, b"sqlite_autoindex_messages_1")
    with pytest.raises((CorruptError, sqlite3.DatabaseError)):
        opened(path)
    broken = (path / "state.db").read_bytes()
    agent = agents(source=lambda: source)
    assert agent.report.rebuilt
    assert said(agent.messages) == [(m["role"], m["content"]) for m in source]
    assert [kept.read_bytes() for kept in (path / "damaged").iterdir()] == [broken]
    talk(agent, "more", "of it")
    die(agent)
    assert not agents(source=lambda: [*source, *said_later(path)]).report
    assert sorted(item.name for item in path.iterdir() if not item.name.startswith("state.db")) == ["damaged", "sessions"]


def said_later(path):
    """The rows that the source does not know yet, as a journal would have them."""
    query = (
        "SELECT message_id, seq, role, content, turn_id, finish_reason FROM messages WHERE message_id NOT LIKE 'm%' ORDER BY seq"
    )
    keys = ("_message_id", "_seq", "role", "content", "_turn_id", "_finish_reason")
    return [{key: value for key, value in zip(keys, row, strict=True) if value is not None} for row in rows(path, query)]


def test_a_damaged_index_costs_no_row(path, agents):
    """What can be read of the old file is in the new one, also of sessions that the source knows nothing of."""
    with writing(path, "other") as other:
        flush(other, [u("of another session")])
    data = bytearray((path / "state.db").read_bytes())
    with sqlite3.connect(path / "state.db") as connection:
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages_in_order'").fetchone()[0]
    connection.close()
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    (path / "state.db").write_bytes(data)
    agent = agents(source=lambda: source_of(u("hello")))
    assert agent.report.rebuilt
    assert said(agent.messages) == [("user", "hello")]
    assert loaded(path, "other") == [("user", "of another session")]


def test_a_rebuild_that_fails_leaves_the_damage_where_it_is(path, agents):
    """The next resume does it again, and keeps one copy of the old bytes."""
    agent = agents()
    talk(agent, "hello", "hi")
    die(agent)
    (path / "state.db").write_bytes(b"no database at all" * 300)
    disk = failing("replace", "state.db", times=3)
    disk.level, disk.patience = "process-kill", 0
    for _ in range(2):
        with pytest.raises(StorageError):
            opened(path, disk=disk, source=lambda: source_of(u("hello")))
    assert said(agents(source=lambda: source_of(u("hello"))).messages) == [("user", "hello")]
    assert len(list((path / "damaged").iterdir())) == 1


def test_a_source_without_messages_replaces_nothing(path):
    """A journal that lost everything is not believed against a database that cannot be read."""
    path.mkdir()
    (path / "state.db").write_bytes(b"no database at all" * 300)
    with pytest.raises(CorruptError, match="no message"):
        opened(path, source=list)
    assert not (path / "damaged").exists()


def test_rows_are_reconciled_by_id(path, agents):
    """Holes, rows without text, equal texts and differing ones are put right; what the source lacks is told, and stays."""
    source = source_of(u("yes"), a(None, tool_calls=[{"id": "c"}]), u("yes"), a("new"))
    agent = agents()
    flush(agent.writer, [dict(source[0]), {**source[3], "content": "old"}, a("only here", _message_id="x", _seq=9)])
    report = reconcile(agent.writer, source)
    assert (report.restored, report.corrected, report.unknown) == (("m2", "m3"), ("m4",), ("x",))
    assert said(agent.transcript()) == [
        ("user", "yes"),
        ("assistant", None),
        ("user", "yes"),
        ("assistant", "new"),
        ("assistant", "only here"),
    ]
    before = dump(path)
    second = reconcile(agent.writer, source)
    assert (second.restored, second.corrected) == ((), ())
    assert dump(path) == before
    assert rows(path, "SELECT value FROM state_meta") == [("4",)]


def test_the_modes_are_read_back(path):
    """Write-ahead log and full sync for a power cut, no sync for a kill."""
    for level, wanted in (("power-loss", 2), ("process-kill", 0)):
        agent = opened(path, disk=Durable(level))
        assert agent.database.modes == ("wal", wanted)
        agent.close()


def test_a_newer_schema_is_refused(path, agents):
    """And not touched."""
    agent = agents()
    talk(agent, "hello", "hi")
    with agent.database.transaction() as sql:
        sql.execute("UPDATE schema_version SET version = 99")
    die(agent)
    before = dump(path)
    with pytest.raises(SchemaError, match="99"):
        opened(path)
    assert dump(path) == before


def test_sessions_of_one_database_do_not_see_each_other(path):
    """Nor does the shown text of one become the other's."""
    one, other = opened(path, "one"), opened(path, "ONE")
    stream = one.begin("hello").run(says("par"))
    next(stream)
    talk(other, "q", "r")
    die(one)
    other.close()
    assert loaded(path, "ONE") == [("user", "q"), ("assistant", "r")]
    assert loaded(path, "one") == [("user", "hello"), ("assistant", "par")]


def test_equal_databases_give_equal_requests(path, agents):
    """Order comes from the rows: two loads agree, and so do memory and disk."""
    agent = agents()
    first, second = agent.begin("1"), agent.begin("2")
    shown(second, calls("c"))
    shown(first, says("a"))
    views = []
    for _ in range(2):
        die(agent)
        agent = agents()
        views.append(json.dumps(said(agent.messages)))
    assert views[0] == views[1]
    assert [text for _, text in said(agent.messages)][:3] == ["1", "a", "2"]
