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


def test_moments_in_notices_may_differ(make):
    """A row of the store's own may tell the time; a message may not change, and neither may anything else."""
    one, other = ("system", "It is 12:00:01 on 2024-01-02."), ("system", "It is 12:00:02 on 2024-01-03.")
    assert check(make.seen(one, "u1", again=make.rows(other, "u1")), make.due("u1")) is None
    for before, after in [
        (one, ("notice", other[1])),
        (one, ("system", other[1] + " Again.")),
        (("user", "zu1z at 12:00:01"), ("user", "zu1z at 12:00:02")),
        (("user", "zu1z at 12:00:01"), ("user", "at 12:00:02")),
    ]:
        assert check(make.seen(before, again=make.rows(after)), make.due("u1")) is not None
    assert check(make.seen(one, again=make.rows(other, other)), make.due()) is not None
