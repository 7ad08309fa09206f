"""A provider for each test, closed at its end."""

from __future__ import annotations

import pytest

from pytest_durability.world.provider.provider import Provider


@pytest.fixture
def provider():
    """A provider; what it failed at itself fails the test."""
    made = Provider()
    yield made
    made.close()
    assert made.errors == []
