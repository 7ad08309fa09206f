"""What counts as a change of content, and what is only a later moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from pytest_durability.world.disk.difference import changes
from pytest_durability.world.disk.image import File, Image


def image(**files):
    """An image of files; `_` in a name stands for a dot."""
    return Image(
        tuple(File(name.replace("_", "."), data, number) for number, (name, data) in enumerate(sorted(files.items()), 1))
    )


def test_equal_images_have_no_changes():
    """Inode numbers are no content."""
    assert changes(image(a=b"1"), Image((File("a", b"1", 99),))) == ()


def test_each_change_is_told_with_sizes():
    """Added, removed, changed, and cut to nothing, by path, with the line that wrote it."""
    found = changes(image(b=b"1", c=b"22", d=b"x"), image(a=b"", c=b"33", d=b""), sites={"c": "s.py:1"})
    assert [(change.path, change.before, change.after, change.site) for change in found] == [
        ("a", None, 0, ""),
        ("b", 1, None, ""),
        ("c", 2, 2, "s.py:1"),
        ("d", 1, 0, ""),
    ]


@pytest.mark.parametrize("path", ["a.lock", "deep/down/a.lock", "s.db-wal", "s.db-shm"])
def test_volatile_files_are_left_out(path):
    """By path or by name; the side files of SQLite always."""
    assert changes(Image(), Image((File(path, b"1", 1),)), ["*.lock"]) == ()


def test_a_pattern_does_not_hide_other_files():
    """Neighbours are compared."""
    assert [change.path for change in changes(Image(), image(a_lock=b"1", a_json=b"1"), ["*.lock"])] == ["a.json"]


NOW = int(time.time())
TIMES = ["2024-01-02T03:04:05Z", "2024-01-02 03:04:05.678901+02:00", "2031-12-31T23:59", "2024-01-02 03:04:05,123"]
EPOCHS = [str(NOW), f"{NOW - 50}.25", f"{NOW}123", f"{NOW}123456", f"{NOW}123456789"]


@pytest.mark.parametrize("one", TIMES + EPOCHS, ids=range(len(TIMES + EPOCHS)))
def test_a_later_moment_is_no_change(one):
    """Dates and present-day epoch numbers, in seconds down to nanoseconds, may differ."""
    other = datetime.now(UTC).isoformat() if one in TIMES else str(NOW + 5)
    assert changes(image(a=b'{"at": "%s"}' % one.encode()), image(a=b'{"at": "%s"}' % other.encode())) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"1700000000", b"1600000000"),
        (b"1", b"2"),
        (b"2024-01-02", b"2024-01-03"),
        (b"%d" % NOW, b"%d1" % NOW),
        (b"%d" % NOW, b""),
    ],
    ids=["old", "counter", "bare date", "longer", "absent"],
)
def test_other_numbers_are_content(one, other):
    """Old epoch numbers, counters, bare dates, and numbers of another length."""
    assert len(changes(image(a=b"v=" + one), image(a=b"v=" + other))) == 1


def test_a_change_besides_the_time_is_a_change():
    """Blanking times hides nothing else."""
    assert changes(image(a=b"2024-01-02T03:04:05Z u1"), image(a=b"2024-01-02T03:04:06Z u1 u1"))
    assert changes(image(a=b"2024-01-02T03:04:05Z"), image(a=b"2024-01-02T03:04:05Z" * 2))
