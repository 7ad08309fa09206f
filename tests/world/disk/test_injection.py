"""Faults of a hand-written test: each waits for its file, strikes once, and says if it never did."""

from __future__ import annotations

import pytest

from pytest_durability.errors import UsageError
from pytest_durability.history import History, Lane
from pytest_durability.world.disk.effects import Create, Write
from pytest_durability.world.disk.gate import Fail, Mark, Short
from pytest_durability.world.disk.injection import Injections


@pytest.fixture
def faults():
    """An empty gate."""
    return Injections()


def test_an_empty_gate_lets_everything_pass(faults):
    """Nothing waits, nothing is idle."""
    assert faults.before("write", "a", 10, None) is None
    assert faults.idle() == []


@pytest.mark.parametrize("match", ["a.json", "*.json", "d/*", lambda path: path.startswith("d/")])
def test_a_fault_waits_for_its_file_and_strikes_once(faults, match):
    """By path, by name, by pattern or by function; the next matching operation passes."""
    injection = faults.fail("write", match, "ENOSPC")
    assert faults.before("write", "b.txt", 1, None) is None
    assert faults.before("rename", "d/a.json", 1, None) is None
    assert len(faults.idle()) == 1
    assert faults.before("write", "d/a.json", 1, None) == Fail("ENOSPC")
    assert injection.fired
    assert faults.idle() == []
    assert faults.before("write", "d/a.json", 1, None) is None


def test_any_kind_of_operation_can_fail(faults):
    """`*` is any of them."""
    faults.fail("*", "*", "EIO")
    assert faults.before("mkdir", "", 0, None) == Fail("EIO")


def test_two_faults_strike_one_after_the_other(faults):
    """Also if they are equal: the first operation meets the first, the second the second."""
    first, second = faults.lose("*", whole_save=True), faults.lose("*", whole_save=True)
    marks = [faults.before("write", "a", 1, None) for _ in range(3)]
    assert (first.fired, second.fired) == (True, True)
    assert isinstance(marks[0], Mark)
    assert isinstance(marks[1], Mark)
    assert marks[0].note != marks[1].note
    assert marks[2] is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda faults: faults.fail("stat", "*", "EIO"),
        lambda faults: faults.fail("", "*", "EIO"),
        lambda faults: faults.fail("write", "*", "ENOTHING"),
        lambda faults: faults.fail("write", "*", "errorcode"),
        lambda faults: faults.tear("*", -1),
        lambda faults: faults.fill(-1),
    ],
)
def test_what_cannot_strike_is_refused(faults, ask):
    """When it is asked for, not when it would strike."""
    with pytest.raises(UsageError):
        ask(faults)
    assert faults.idle() == []


def test_a_disk_fills_up(faults):
    """What fits is written, then a part, then nothing; other operations pass; `None` makes room again."""
    faults.fill(10)
    assert [faults.before("write", "a", size, None) for size in (6, 0, 6, 1)] == [None, None, Short(4), Fail("ENOSPC")]
    assert faults.before("write", "a", 0, None) is None
    assert faults.before("unlink", "a", 0, None) is None
    faults.fill(None)
    assert faults.before("write", "a", 1000, None) is None


def test_a_full_disk_has_no_room_at_all(faults):
    """Not for one byte."""
    faults.fill(0)
    assert faults.before("write", "a", 1, None) == Fail("ENOSPC")


def recorded(faults, *writes):
    """A history in which one file is created and written to through the gate."""
    history = History()
    history.add(Lane.DISK, "create", "a", effect=Create(0, "a", 1))
    offset = 0
    for data in writes:
        decision = faults.before("write", "a", len(data), None)
        note = decision.note if isinstance(decision, Mark) else ""
        history.add(Lane.DISK, "write", "a", size=len(data), note=note, effect=Write(1, offset, data))
        offset += len(data)
    return history


def stored(ops):
    """The bytes that reached the file."""
    return [op.effect.data for op in ops if isinstance(op.effect, Write) and op.effect.data]


def test_a_lost_write_is_in_the_history_and_not_on_the_disk(faults):
    """The store saw it succeed; what reached the disk lacks it, and the numbers of the others stay."""
    faults.lose("a", whole_save=False)
    history = recorded(faults, b"one", b"two")
    ops = faults.overlay(history)
    assert stored(history) == [b"one", b"two"]
    assert stored(ops) == [b"two"]
    assert [op.seq for op in ops if isinstance(op.effect, Write) and op.effect.data == b"two"] == [3]


def test_a_torn_write_keeps_its_first_bytes(faults):
    """And no others; the write after it is whole."""
    faults.tear("a", 2)
    assert stored(faults.overlay(recorded(faults, b"one", b"two"))) == [b"on", b"two"]


def test_without_a_strike_nothing_is_taken_out(faults):
    """A waiting fault changes no operation."""
    faults.lose("b", whole_save=True)
    history = recorded(faults, b"one")
    assert list(faults.overlay(history)) == list(history)
