"""Fixtures of the transcript's tests."""

from __future__ import annotations

import pytest

from tests.reference_impl.transcript.helpers import die, opened


@pytest.fixture
def path(tmp_path):
    """Where a database may be made; nothing is there yet."""
    return tmp_path / "home"


@pytest.fixture
def agents(path):
    """Makes agents on `path`, and lets go of their files in the end, as the death of their process would."""
    made = []

    def make(**options):
        agent = opened(path, **options)
        made.append(agent)
        return agent

    yield make
    for agent in made:
        die(agent)


@pytest.fixture
def agent(agents):
    """One agent."""
    return agents()
