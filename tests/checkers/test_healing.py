"""`HealNotIdempotent`: the second open differs from the first."""

from __future__ import annotations

from pytest_durability.checkers.healing import check
from pytest_durability.verdict import HealNotIdempotent


def test_other_rows_on_the_second_open_are_caught(make):
    """More, fewer, others, or in another order."""
    for again in ((), ("u1",), ("u1", "u2", "u2"), ("u2", "u1")):
        found = check(make.seen("u1", "u2", again=make.rows(*again)), make.due("u1 u2"))
        assert isinstance(found, HealNotIdempotent)
        assert found.kind == "rows"


def test_a_file_that_changes_again_is_caught(make):
    """The file and the line that wrote it are named, with the way out."""
    found = check(make.seen("u1", again=make.rows("u1"), regrown=(make.Change("log", 3, 6, "s.py:9"),)), make.due("u1"))
    assert isinstance(found, HealNotIdempotent)
    assert (found.kind, found.site) == ("files", "s.py:9")
    assert "log: 3 B -> 6 B" in str(found)
    assert "volatile" in str(found)


def test_one_change_is_healing(make):
    """The first open may change files; a session without a second open was not changed by the first."""
    assert check(make.seen("u1", again=make.rows("u1"), changed=(make.Change("a", 1, 2),)), make.due("u1")) is None
    assert check(make.seen("u1"), make.due("u1")) is None
