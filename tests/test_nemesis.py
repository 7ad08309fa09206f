"""The nemesis: each fault strikes at its place, and what never struck is told."""

from __future__ import annotations

import pytest

from pytest_durability.faults import Crash, LostWrite, Schedule, ShortWrite, TornWrite, WriteError
from pytest_durability.history import History, Lane
from pytest_durability.nemesis import Nemesis, ReadWatch
from pytest_durability.world.disk.effects import Close, Create, Truncate, Write
from pytest_durability.world.disk.gate import Fail, Short

FAIL, SHORT = WriteError("write:a:2", "ENOSPC"), ShortWrite("write:a:3", 5)


def asked(nemesis, *operations):
    """What the gate says to each (kind, path)."""
    return [nemesis.gate.before(kind, path, 10, None) for kind, path in operations]


def test_without_live_faults_there_is_no_gate():
    """Then a recording costs nothing more."""
    assert Nemesis(Schedule()).gate is None
    assert Nemesis(Schedule((LostWrite("write:a:1"), Crash("write:a:1")))).gate is None


def test_a_fault_strikes_at_its_ordinal_once():
    """Other kinds and other files do not count."""
    nemesis = Nemesis(Schedule((FAIL,)))
    operations = [("write", "a"), ("write", "b"), ("create", "a"), ("write", "a"), ("write", "a")]
    assert asked(nemesis, *operations) == [None, None, None, Fail("ENOSPC"), None]
    assert nemesis.fired == [FAIL]
    assert nemesis.unfired() == ()


@pytest.mark.parametrize("order", [(FAIL, SHORT), (SHORT, FAIL)])
def test_faults_count_the_operations_that_others_strike(order):
    """The third write is the third one, whether the second failed or not, and in any order of the schedule."""
    nemesis = Nemesis(Schedule(order))
    assert asked(nemesis, *[("write", "a")] * 4) == [None, Fail("ENOSPC"), Short(5), None]


def test_a_fault_that_is_named_twice_strikes_once_at_its_place():
    """Equal faults are one."""
    nemesis = Nemesis(Schedule((FAIL, FAIL)))
    assert asked(nemesis, *[("write", "a")] * 4) == [None, Fail("ENOSPC"), None, None]


def test_of_two_faults_at_one_place_the_first_strikes():
    """The other one is told as never fired."""
    other = ShortWrite("write:a:2", 1)
    nemesis = Nemesis(Schedule((FAIL, other)))
    assert asked(nemesis, *[("write", "a")] * 2) == [None, Fail("ENOSPC")]
    assert nemesis.unfired() == (other,)


def test_roles_fold_in_the_gate_too():
    """The second file of a role is its second operation, and the root itself has the role of no file."""
    nemesis = Nemesis(Schedule((WriteError("write:m/#.json:2"), WriteError("fsync-dir:-:1"))))
    assert asked(nemesis, ("write", "m/1.json"), ("write", "m/x.json"), ("write", "m/22.json"), ("fsync-dir", "")) == [
        None,
        None,
        Fail("EIO"),
        Fail("EIO"),
    ]


def test_what_never_struck_is_told_by_name():
    """Crashes excepted, which are applied later."""
    nemesis = Nemesis(Schedule((FAIL, LostWrite("write:a:9"), Crash("write:a:1"))))
    nemesis.overlay(recorded(b"zu1z"))
    assert nemesis.unfired() == (FAIL, LostWrite("write:a:9"))


def recorded(*writes):
    """A history in which one file is created and written to."""
    history = History()
    history.add(Lane.DISK, "create", "a", effect=Create(0, "a", 1))
    offset = 0
    for data in writes:
        history.add(Lane.DISK, "write", "a", size=len(data), effect=Write(1, offset, data))
        offset += len(data)
    return history


def stored(ops):
    """The bytes that reached the file."""
    return [op.effect.data for op in ops if isinstance(op.effect, Write) and op.effect.data]


def test_a_lost_write_excuses_what_only_it_held():
    """A message is excused until another copy of it is acknowledged; this history acknowledges nothing."""
    history = recorded(b"zu1z zu2z", b"zu1z")
    nemesis = Nemesis(Schedule((LostWrite("write:a:1", whole_save=False),)))
    ops, excused = nemesis.overlay(history)
    assert stored(ops) == [b"zu1z"]
    assert excused == {"u1": None, "u2": None}
    assert nemesis.unfired() == ()
    assert stored(history) == [b"zu1z zu2z", b"zu1z"]


def test_a_later_copy_ends_the_excuse():
    """Once a write that holds the message again is acknowledged, it must be there again."""
    history = recorded(b"zu1z", b"zu1z zu2z")
    acknowledged = history.add(Lane.USER, "ack", "u2", call=1)
    ops, excused = Nemesis(Schedule((LostWrite("write:a:1", whole_save=False),))).overlay(history)
    assert stored(ops) == [b"zu1z zu2z"]
    assert excused == {"u1": acknowledged.seq}


def test_an_earlier_version_needs_no_excuse():
    """A whole save that is lost leaves the version before it, and what stood there is not excused."""
    history = History()
    for data in (b"zu1z", b"zu1z zu2z"):
        history.add(
            Lane.DISK, "truncate" if len(history) else "create", "a", effect=Truncate(1, 0) if len(history) else Create(0, "a", 1)
        )
        history.add(Lane.DISK, "write", "a", size=len(data), effect=Write(1, 0, data))
        history.add(Lane.DISK, "close", "a", effect=Close(1))
    _, excused = Nemesis(Schedule((LostWrite("write:a:2"),))).overlay(history)
    assert excused == {"u2": None}


def test_only_files_of_a_healthy_session_count_as_copies():
    """A left-over temporary file saves nobody."""
    history = recorded(b"zu1z")
    history.add(Lane.DISK, "create", "a.tmp", effect=Create(0, "a.tmp", 2))
    history.add(Lane.DISK, "write", "a.tmp", size=4, effect=Write(2, 0, b"zu2z"))
    history.add(Lane.USER, "ack", "u2", call=1)
    history.add(Lane.DISK, "write", "a.tmp", size=4, effect=Write(2, 4, b"zu1z"))
    acknowledged = history.add(Lane.USER, "ack", "u1", call=1)
    lost = Schedule((LostWrite("write:a:1", whole_save=False),))
    assert Nemesis(lost).overlay(history)[1] == {"u1": acknowledged.seq}
    assert Nemesis(lost).overlay(history, frozenset({"a"}))[1] == {"u1": None}


def test_a_quote_is_no_copy():
    """What was never the only holder of an acknowledged message may be a summary, and nobody recovers from that."""
    history = recorded(b"zu1z")
    history.add(Lane.DISK, "create", "title", effect=Create(0, "title", 2))
    history.add(Lane.DISK, "write", "title", size=4, effect=Write(2, 0, b"zu1z"))
    history.add(Lane.USER, "ack", "u1", call=1)
    assert Nemesis(Schedule((LostWrite("write:a:1", whole_save=False),))).overlay(history)[1] == {"u1": None}
    assert Nemesis(Schedule((LostWrite("write:title:1", whole_save=False),))).overlay(history)[1] == {"u1": None}


def test_a_lost_quote_costs_nothing():
    """A file that held a message alone still holds it, so that the summary beside it is no excuse."""
    history = recorded(b"zu1z")
    history.add(Lane.USER, "ack", "u1", call=1)
    history.add(Lane.DISK, "create", "title", effect=Create(0, "title", 2))
    history.add(Lane.DISK, "write", "title", size=4, effect=Write(2, 0, b"zu1z"))
    assert Nemesis(Schedule((LostWrite("write:title:1", whole_save=False),))).overlay(history)[1] == {}


def test_a_text_said_twice_needs_two_copies():
    """If one of them is lost, neither of the two messages can be asked for."""
    history = History()
    for _ in range(2):
        history.add(Lane.USER, "append", "u1")
    for op in recorded(b"zu1z ", b"zu1z "):
        history.add(Lane.DISK, op.kind, op.target, effect=op.effect)
    assert Nemesis(Schedule((LostWrite("write:a:2", whole_save=False),))).overlay(history)[1] == {"u1": None}


def test_a_store_that_packs_its_texts_is_given_the_benefit_of_the_doubt():
    """Which messages a lost write took cannot be read there."""
    history = History()
    history.add(Lane.USER, "append", "u1")
    for op in recorded(b"one", b"two"):
        history.add(Lane.DISK, op.kind, op.target, effect=op.effect)
    assert Nemesis(Schedule((LostWrite("write:a:2", whole_save=False),))).overlay(history)[1] == {"u1": None}


def test_a_torn_write_keeps_a_prefix():
    """And what stood behind it is excused."""
    ops, excused = Nemesis(Schedule((TornWrite("write:a:1", 4),))).overlay(recorded(b"zu1z zu2z"))
    assert stored(ops) == [b"zu1z"]
    assert "u2" in excused


def test_nothing_scheduled_changes_nothing():
    """The operations are the recorded ones."""
    history = recorded(b"zu1z")
    ops, excused = Nemesis(Schedule()).overlay(history)
    assert list(ops) == list(history)
    assert excused == {}


def test_a_watch_names_each_read():
    """By kind, role and how often it happened; what changes something is none of its business."""
    watch = ReadWatch()
    for kind, path in (("open", "m/1.json"), ("write", "m/1.json"), ("open", "m/22.json"), ("list", "")):
        watch.before(kind, path, 0, None)
    assert [str(place) for place in watch.places] == ["open:m/#.json:1", "open:m/#.json:2", "list:-:1"]
