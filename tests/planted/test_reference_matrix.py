"""The kill matrix of the reference store: every planted bug is caught in its saved cases, and the store without it is not."""

from __future__ import annotations

from itertools import count

import pytest

from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import ANOMALIES
from reference_impl.store import Session
from tests.planted.matrix import FOLDER, NOT_STAGED, TABLE, saved, shown, table
from tests.planted.reference import UNSTAGED, VARIANTS, Sound, sound
from tests.reference_impl.helpers import MOMENT, say, tree

CASES = saved()
EACH = [pytest.param(name, case, id=f"{name}-{n}") for name, found in CASES.items() for n, case in enumerate(found, 1)]


@pytest.mark.parametrize(("name", "case"), EACH)
def test_each_case_shows_its_anomaly(name, case, tmp_path):
    """A planted bug raises exactly the anomaly that its case names."""
    assert case.anomaly in ANOMALIES
    assert shown(case, VARIANTS[name], tmp_path) == case.anomaly


@pytest.mark.parametrize("name", VARIANTS)
def test_the_sound_store_shows_none(name, tmp_path):
    """The store without the bug passes the same cases; none of them can be staged on it only where that is the repair."""
    outcomes = [shown(case, sound(name), tmp_path) for case in CASES[name]]
    assert set(outcomes) <= {"", NOT_STAGED}
    assert ("" not in outcomes) == (name in UNSTAGED)


@pytest.mark.parametrize("name", UNSTAGED)
def test_what_cannot_be_staged_is_swept(name, tmp_path):
    """Where no saved state exists on the sound store, all states that do exist for these steps are tried, and none fails."""
    for case in CASES[name]:
        report = sweep(sound(name), case.workload, models=case.models, depth=1, context=Context(directory=tmp_path))
        assert report.anomalies == ()
        assert report.states > 1


def test_the_matrix_is_the_saved_one():
    """No row is empty, no variant is missing, and the cells are those of the printed table."""
    cells = [(name, case.anomaly) for name, found in CASES.items() for case in found]
    assert table(cells) == TABLE.read_text("utf-8")
    assert set(CASES) == set(VARIANTS)
    assert len(VARIANTS) >= 16


def test_every_case_has_a_test_of_its_own():
    """No file lies among the cases that nothing replays."""
    assert len(EACH) == len(list(FOLDER.iterdir()))


def test_the_hooks_change_nothing(tmp_path):
    """The store that the variants derive from writes byte for byte what the reference store writes."""
    trees = []
    for kind in (Session, Sound):
        numbers = count(1)
        root = tmp_path / kind.__name__ / "session"
        session = kind(root, clock=lambda: MOMENT, ids=lambda numbers=numbers: f"given-{next(numbers)}")
        session.load()
        for text in ("one", "two", "three"):
            session.add_message(say(text, text))
        session.commit(1)
        session.add_messages([say("four"), say("five")])
        session.commit(0)
        session.run_pending()
        session.load()
        trees.append(tree(root))
    assert trees[0] == trees[1]
    assert len(trees[0]) > 8
