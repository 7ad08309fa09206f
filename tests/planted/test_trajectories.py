"""The kill matrix of the trajectory: each planted flaw breaks an invariant, and the reference code none."""

from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from reference_impl.trajectory import Chat
from tests.planted.trajectories import VARIANTS, HoldsTheLock
from tests.reference_impl.trajectory.driver import Broken, Driver
from tests.reference_impl.trajectory.helpers import opened
from tests.reference_impl.trajectory.model import answer, user
from tests.reference_impl.trajectory.test_machine import TrajectoryMachine

BY_NAME = {variant.name: variant for variant in VARIANTS}


@pytest.mark.parametrize("name", BY_NAME)
def test_the_flaw_is_caught_and_the_reference_passes(name):
    """The saved steps break exactly the named invariant on the variant, at their last step, and nothing on the reference."""
    variant = BY_NAME[name]
    driver = Driver(variant.make, variant.samples)
    driver.play(variant.steps[:-1])
    with pytest.raises(Broken) as caught:
        driver.do(*variant.steps[-1])
    assert caught.value.rule == variant.rule
    Driver().play(variant.steps)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_machine_finds_it_unaided(name):
    """With its default rules and nothing else told, the same machine that passes the reference finds every flaw."""
    variant = BY_NAME[name]
    driver = functools.partial(Driver, variant.make, variant.samples)
    machine = type("Planted", (TrajectoryMachine,), {"make_driver": staticmethod(driver)})
    found = settings(max_examples=2000, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    with pytest.raises((Broken, ExceptionGroup)):
        run_state_machine_as_test(machine, settings=found)


@pytest.mark.parametrize(("kind", "waits"), [(Chat, False), (HoldsTheLock, True)])
def test_closing_waits_for_no_backend(kind, waits):
    """With a backend that never answers, closing is done at once; on the variant that holds its lock it never is."""

    async def story():
        begun, never = asyncio.Event(), asyncio.Event()

        async def backend(request, prompt):
            begun.set()
            await never.wait()
            return answer(prompt, "late")

        chat = kind(opened(), backend, lambda: "r")
        asking = asyncio.ensure_future(chat.complete({"messages": [user("hello")]}))
        await begun.wait()
        closing = asyncio.ensure_future(chat.close())
        for _ in range(20):  # turns of the loop, not seconds: nothing else is there to run
            await asyncio.sleep(0)
        stuck = not closing.done()
        never.set()
        await asyncio.gather(asking, closing)
        return stuck

    assert asyncio.run(story()) is waits
