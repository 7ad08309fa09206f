"""Shrinking: parts go as long as the same harm is done, and what is left is plain."""

from __future__ import annotations

from pytest_durability.arming import Arm
from pytest_durability.explore import shrink
from pytest_durability.explore.shrink import Told, renumbered, shrunk
from pytest_durability.faults import Schedule
from pytest_durability.verdict import LostAcknowledged, Result, Verdict
from pytest_durability.workload import Append, AppendMany, Commit, On, PowerLoss, Reload, Say, Workload


def told(*parts):
    """A finding that these parts are said to show."""
    steps = Workload(tuple(part for part in parts if not isinstance(part, Arm)))
    anomaly = LostAcknowledged("gone")
    anomaly.result = Result("A", steps, Schedule(), (), Verdict.INVALID)
    return Told(anomaly, tuple(parts))


def shortest(story, needs):
    """What is left of a story whose harm is done while `needs` holds of its parts."""
    return shrunk(told(*story), lambda parts: told(*parts) if needs(parts) else None).parts


def test_what_is_not_needed_goes():
    """Whatever stands between; the fault that is needed stays armed before its step."""
    arm = Arm("EIO", 2)
    story = [Reload(), Append("user", "zu1z hello"), Commit(1), arm, Append("user", "zu2z hello"), Reload(), Commit(2)]
    left = shortest(story, lambda parts: arm in parts and any(isinstance(part, Append) for part in parts[parts.index(arm) :]))
    assert left == (arm, Append("user", "zu1z hello"))


def test_what_is_left_is_plain():
    """A batch of one is an append, a death that loses nothing a restart, another object the usual one, a text plain words."""
    story = [
        AppendMany((Say("user", "zu4z a\u2028b"), Say("assistant", "za9z " + "x" * 900))),
        PowerLoss("posix", back=3, pick=7),
        On(Commit(3), handle=2),
    ]
    assert shortest(story, lambda parts: len(parts) == 3 and parts[0].says()) == (
        Append("assistant", "za1z hello"),
        Reload(),
        Commit(),
    )


def test_a_long_text_that_is_needed_is_cut_in_half():
    """As long as it is long enough; its mark stays."""
    (left,) = shortest([Append("user", "zu1z " + "x" * 3000)], lambda parts: parts and len(parts[0].text) > 700)
    assert left.text.startswith("zu1z x")
    assert 700 < len(left.text) < 1500


def test_a_text_that_is_said_twice_stays_one_text():
    """A mark stands for one text, so both change or none."""
    story = (Append("user", "zu7z a\ttab and more", "id-u7"), Append("user", "zu7z a\ttab and more", "id-u7-again-1"))
    left = shortest(story, lambda parts: len(parts) == 2 and parts[0].text == parts[1].text)
    assert left == (Append("user", "zu1z hello", "id-u1"), Append("user", "zu1z hello", "id-u1-again-1"))


def test_messages_count_from_one():
    """For each role, in the order in which they are said first."""
    parts = (Append("user", "zu8z a"), Arm("EIO"), Append("assistant", "za3z b"), Append("user", "zu2z c"))
    assert [part.text for part in renumbered(parts) if isinstance(part, Append)] == ["zu1z a", "za1z b", "zu2z c"]


def test_no_story_is_told_twice():
    """An attempt costs a run of the store: none is made again, and none of a story that is not shorter."""
    tried = []
    story = [Append("user", f"zu{n}z " + "x" * 300 * n) for n in range(1, 6)]

    def retell(parts):
        tried.append(parts)
        return told(*parts) if len(parts) >= 2 and sum(len(part.text) for part in parts) > 500 else None

    left = shrunk(told(*story), retell)
    assert len(left.parts) == 2
    attempts = tried[: tried.index(left.parts) + 1]
    assert len(set(attempts)) == len(attempts)
    assert all(len(parts) < 5 for parts in tried)


def test_shrinking_ends(monkeypatch):
    """After so many attempts, whatever is left."""
    monkeypatch.setattr(shrink, "ATTEMPTS", 100)
    count = []

    def retell(parts):
        count.append(parts)
        return told(*parts[:-1]) if len(parts) > 1 else None

    shrunk(told(*[Append("user", f"zu{n}z x") for n in range(1, 300)]), retell)
    assert len(count) <= 101
