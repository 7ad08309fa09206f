"""The databases of the dead: found by any name in their memory and by their inode, as long as they are held."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_durability.world.disk.sqlite.dead import Dead
from pytest_durability.world.disk.sqlite.files import Life, OpenFile

LIFE = Life(None)


def held(address, start, size):
    """An open database whose names lie at `start`."""
    file = OpenFile(address, 0, LIFE, 0, 0)
    file.start, file.end, file.key = start, start + size, address % 3
    return file


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40), st.integers(1, 30), st.booleans()), max_size=8))
def test_what_is_held_is_found_and_nothing_else(changes):
    """After each death and each close: as a look at every file would say, also where their memory overlaps."""
    dead, files = Dead(), {}
    for address, start, size, dies in changes:
        file = held(address, start, size)
        if dies:
            files[address] = file
            dead.add(file)
        else:
            files.pop(address, None)
            dead.discard(file)
        assert bool(dead) == bool(files)
        for name in range(75):
            assert dead.names(name) == any(one.start <= name < one.end for one in files.values())
        assert {key for key in range(3) if dead.database(key)} == {one.key for one in files.values()}
    dead.clear()
    assert not dead
    assert not any(map(dead.names, range(75)))
    assert not any(map(dead.database, range(3)))
