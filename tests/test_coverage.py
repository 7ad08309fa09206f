"""Fault coverage as a value: adding up, the figure, the lines for people, the plain data for other processes."""

from __future__ import annotations

import json

import pytest

from pytest_durability.coverage import Coverage, Point

WRITE = Point("write", "session.jsonl", "ENOSPC")
SHORT = Point("write", "session.jsonl", "ShortWrite")
SYNC = Point("fsync", "session.jsonl", "EIO")
RENAME = Point("rename", "messages/message_#.json", "EIO")


def test_a_point_reached_anywhere_is_reached():
    """Two tests of one store add up to what either of them reached."""
    left = Coverage(frozenset({WRITE}), frozenset({SYNC, SHORT}))
    right = Coverage(frozenset({SYNC}), frozenset({WRITE, RENAME}))
    assert left | right == right | left == Coverage(frozenset({WRITE, SYNC}), frozenset({SHORT, RENAME}))
    assert left | Coverage() == left
    assert (left | left) == left


def test_a_point_is_on_one_side_only():
    """What was reached once does not count as never reached as well."""
    assert Coverage({WRITE}, {WRITE, SYNC}) == Coverage(frozenset({WRITE}), frozenset({SYNC}))


@pytest.mark.parametrize(
    ("reached", "never", "percent", "figure"),
    [
        ((), (), 100.0, "100.0%"),
        ((), (WRITE,), 0.0, "0.0%"),
        ((WRITE, SYNC), (SHORT,), 200 / 3, "66.6%"),
        ((WRITE,), (), 100.0, "100.0%"),
    ],
)
def test_the_figure(reached, never, percent, figure):
    """The part of all points; where there is none, none was missed."""
    coverage = Coverage(frozenset(reached), frozenset(never))
    assert coverage.percent == pytest.approx(percent)
    assert coverage.figure() == figure


def test_only_everything_is_a_hundred_percent():
    """The figure is rounded down: one point of thousands that was missed stays visible."""
    points = {Point("write", f"file-{number}", "EIO") for number in range(5000)}
    assert Coverage(frozenset(points), frozenset({WRITE})).figure() == "99.9%"


def test_the_lines_group_faults_by_place():
    """One line for each operation and file, in a fixed order, and the number of those that a limit cut off."""
    coverage = Coverage(frozenset({RENAME}), frozenset({WRITE, SHORT, SYNC}))
    assert coverage.lines() == [
        "fault coverage 25.0%, 1 of 4 points",
        "  never: fsync session.jsonl: EIO",
        "  never: write session.jsonl: ENOSPC, ShortWrite",
    ]
    assert coverage.lines(1) == [*coverage.lines()[:2], "  ... 1 more left out"]
    assert coverage.lines(2) == coverage.lines()
    assert Coverage(frozenset({WRITE})).lines(0) == ["fault coverage 100.0%, 1 of 1 points"]


def test_plain_data_comes_back():
    """Through JSON, in a fixed order; other shapes are refused."""
    coverage = Coverage(frozenset({RENAME, SYNC}), frozenset({WRITE, SHORT}))
    data = coverage.to_data()
    assert Coverage.from_data(json.loads(json.dumps(data))) == coverage
    assert data["never"] == sorted(data["never"])
    with pytest.raises(KeyError):
        Coverage.from_data({"reached": []})
    with pytest.raises(ValueError, match="unpack"):
        Coverage.from_data({"reached": [["write"]], "never": []})


def test_truth_is_whether_there_is_any_point():
    """A coverage without points measured nothing."""
    assert not Coverage()
    assert Coverage(frozenset(), frozenset({WRITE}))
