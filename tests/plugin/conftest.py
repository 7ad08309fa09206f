"""Runs pytest in a process of its own, in a project of its own, with this plugin and no other."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

import pytest_durability

PACKAGE = str(Path(pytest_durability.__file__).parent.parent)

STORES = '''
import json
import os

from pytest_durability import Message, Promise


class Store:
    """Appends one JSON line a message; `sync` after each line, or not at all."""

    def __init__(self, path, sync):
        self.path, self.sync = path, sync

    def add(self, message):
        with open(self.path, "ab") as file:
            file.write(json.dumps([message.role, message.text]).encode() + b"\\n")
            file.flush()
            if self.sync:
                os.fsync(file.fileno())
                fd = os.open(self.path.parent, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)

    def load(self):
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_bytes().split(b"\\n"):
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows


class Durable:
    promise = Promise(acknowledged="power-loss", filesystems=("strict", "ext4-delalloc"))
    sync = True

    def open(self, world):
        return Store(world.root / "session.jsonl", self.sync)

    def append(self, store, message):
        store.add(message)

    def transcript(self, store):
        return [Message(role, text) for role, text in store.load()]


class Careless(Durable):
    """Promises to survive a power cut and never calls fsync."""

    sync = False


class Modest(Durable):
    """Never calls fsync, and promises no more than to survive the end of its process."""

    promise = Promise(acknowledged="process-kill")
    sync = False
'''


@pytest.fixture
def project(pytester, monkeypatch):
    """A project with `stores.py`; `project.runpytest_subprocess(*args)` runs its tests with the plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([PACKAGE, str(pytester.path)]))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.plugins = ["pytest_durability.plugin"]
    pytester.makepyfile(stores=STORES)
    pytester.makeini("[pytest]\naddopts = --strict-markers\n")
    return pytester


@pytest.fixture
def here(project):
    """Run the tests of the project in this process, which is quicker and enough for a run that ends before its first test."""
    importlib.import_module("pytest_durability.explore.settings")  # else pytester would forget it after the run that loads it

    def here(*args):
        return project.runpytest_inprocess("-p", "pytest_durability.plugin", "-p", "no:cacheprovider", "-W", "error", *args)

    return here


@pytest.fixture
def run(project):
    """Write the tests of a module, run them in a process of their own, and return the result."""

    def run(source, *args):
        project.makepyfile(test_it=source)
        return project.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *args)

    return run
