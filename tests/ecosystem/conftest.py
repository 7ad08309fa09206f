"""Saved cases of these tests go to a temporary directory: the findings belong to other projects, not to this tree."""

from __future__ import annotations

import shutil
import tempfile

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Runs before the plugin reads its options; a directory that the command line names is left alone."""
    if config.option.durability_dir is None:
        config.option.durability_dir = directory = tempfile.mkdtemp(prefix="durability-cases-")
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
