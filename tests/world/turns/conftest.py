"""What the tests of turns share."""

from __future__ import annotations

import pytest

from pytest_durability.world.turns.turns import Turns


@pytest.fixture
def turns():
    """Turns outside of any world."""
    made = Turns()
    yield made
    made.close()
