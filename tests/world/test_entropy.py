"""Chance is repeatable inside, and the system's own again outside."""

from __future__ import annotations

import os
import random
import secrets
import tempfile
import uuid

import pytest

from pytest_durability.faults import role_of
from pytest_durability.world.entropy import Entropy


def drawn():
    """One value of each source."""
    name = next(tempfile._get_candidate_names())
    shuffled = list(range(20))
    random.shuffle(shuffled)
    system = random.SystemRandom().random()
    return (os.urandom(8), uuid.uuid4(), secrets.token_hex(8), random.random(), tuple(shuffled), system, name)


def run(seed, *lives):
    """What these lives of a world draw."""
    entropy = Entropy(seed)
    with entropy.installed():
        found = []
        for life in lives:
            entropy.reseed(life)
            found.append(drawn())
    return found


def test_the_same_seed_gives_the_same_run():
    """All sources repeat, life by life."""
    assert run(7, 0, 1, 9000) == run(7, 0, 1, 9000)


def test_lives_and_seeds_share_nothing():
    """No source gives the same value in two lives, nor (temporary names excepted) under two seeds."""
    one, two = run(7, 0, 1)
    assert not set(one) & set(two)
    other = run(8, 0)[0]
    assert all(a != b for a, b in zip(one[:-1], other[:-1], strict=True))


def test_a_life_repeats_whatever_other_lives_drew():
    """Each life starts its own stream, so a reopen draws the same ids after any number of others."""
    assert run(7, 0, 1, 2, 9000)[-1] == run(7, 9000)[0]


def test_temporary_names_fold_to_one_role():
    """They are digits, so that places name no random part."""
    names = {role_of(f"tmp{draws[-1]}") for draws in run(0, 0, 1, 9999)}
    assert len(names) == 1


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails):
    """Also after an error: functions, the state of `random`, temporary names."""
    random.seed(42)
    before = (os.urandom, random._urandom, tempfile._name_sequence, random.getstate())
    with pytest.raises(KeyError) if fails else pytest.MonkeyPatch.context(), Entropy().installed():
        assert os.urandom is not before[0]
        drawn()
        if fails:
            raise KeyError
    assert (os.urandom, random._urandom, tempfile._name_sequence, random.getstate()) == before


@pytest.mark.parametrize("size", [0, 1, 16, 5000])
def test_urandom_gives_as_many_bytes(size):
    """As the real one does, and refuses a negative size like it."""
    with Entropy().installed():
        assert len(os.urandom(size)) == size
        with pytest.raises(ValueError, match=r"negative|non-negative"):
            os.urandom(-1)
