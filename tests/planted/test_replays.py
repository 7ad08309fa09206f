"""The kill matrix of replay: each planted flaw breaks an invariant, and the reference code none."""

from __future__ import annotations

from random import Random

import pytest

from tests.planted.replays import VARIANTS
from tests.reference_impl.replay.driver import Driver
from tests.reference_impl.replay.rules import Broken
from tests.reference_impl.replay.steps import walk

WALKS, LENGTH = 40, 24
BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_flaw_is_caught_and_the_reference_passes(name):
    """The saved steps break exactly the named invariant on the variant, at their last step, and nothing on the reference."""
    variant = BY_NAME[name]
    driver = Driver(variant.parts)
    driver.play(variant.steps[:-1])
    with pytest.raises(Broken) as caught:
        driver.do(*variant.steps[-1])
    assert caught.value.rule == variant.rule
    Driver().play(variant.steps)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_walk_finds_it_unaided(name):
    """With nothing told, steps taken by chance find every flaw within as many walks as the reference passes."""
    for seed in range(WALKS):
        driver = Driver(BY_NAME[name].parts)
        try:
            driver.play(walk(Random(seed), LENGTH))
        except Broken:
            return
    pytest.fail(f"{WALKS} walks did not find it")


def test_the_reference_passes_the_same_walks():
    """What breaks the variants does not break the reference, in either form of its file."""
    for seed in range(WALKS):
        Driver(form=("native", "legacy")[seed % 2]).play(walk(Random(seed), LENGTH))


def test_every_invariant_has_a_flaw_that_breaks_it():
    """An invariant that nothing breaks would prove nothing."""
    assert {variant.rule for variant in VARIANTS} == {f"R{number}" for number in range(1, 12)}
