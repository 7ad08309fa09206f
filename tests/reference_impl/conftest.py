"""Fixtures of the reference system's tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def path(tmp_path):
    """Where a session may be made; nothing is there yet."""
    return tmp_path / "session"
