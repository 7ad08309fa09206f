"""Whatever ends a call, the process is what it was: every function, class, hook, variable and source of chance."""

from __future__ import annotations

import _io
import _posixsubprocess
import asyncio
import builtins
import fcntl
import gc
import glob
import importlib.util
import io
import mmap
import os
import pathlib
import posix
import posixpath
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import types
import uuid
import warnings

import pytest

from pytest_durability.explore.case import saved
from pytest_durability.explore.gate import check
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import Anomaly
from pytest_durability.world.disk import calls, paths, rawfile, real
from pytest_durability.world.world import open_world
from tests.planted import stores

MODULES = (
    *(builtins, io, _io, os, posix, posixpath, pathlib, glob, shutil, tempfile, fcntl, mmap, sqlite3),
    *(random, uuid, secrets, time, socket, asyncio, subprocess, _posixsubprocess, threading, signal, warnings),
    *(real, rawfile, paths),
)
HOOKS = (
    *("displayhook", "excepthook", "unraisablehook", "breakpointhook", "dont_write_bytecode", "getprofile", "gettrace"),
    *("meta_path", "path_hooks", "stdin", "stdout", "stderr"),
)
DISKS = ["files", *(["fake"] if importlib.util.find_spec("pyfakefs") else [])]


class Ended(BaseException):
    """What ends a store, and is no `Exception`."""


def places():
    """(where, name) -> object, for all attributes of the watched modules, of their classes, and defaults of their functions."""
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if name == "__warningregistry__":
                continue
            found[module.__name__, name] = value
            if isinstance(value, type):
                found.update(((f"{module.__name__}.{name}", key), held) for key, held in vars(value).items())
            elif isinstance(value, types.FunctionType):
                found[f"{module.__name__}.{name}", "__defaults__"] = value.__defaults__
    found.update((("sys", name), getattr(sys, name)) for name in HOOKS)
    return found


def contents(found):
    """What the containers among the watched attributes hold; a set like `os.supports_fd` may be changed in place."""
    return {
        key: sorted(map(id, value)) if type(value) is set else [id(item) for item in value]
        for key, value in found.items()
        if type(value) in (list, tuple) or (type(value) is set and key[0] == "os")
    }


def state():
    """What else of a process may be left changed."""
    return {
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "umask": (os.umask(0o22), os.umask(0o22))[0],
        "chance": random.getstate(),
        "temporary names": tempfile.gettempdir(),
        "frozen": gc.get_freeze_count() > 1000,
        "collecting": gc.isenabled(),
        "signals": [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)],
        "warnings": list(warnings.filters),
        "threads": threading.active_count(),
        "descriptors": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
        "tracing": (sys.gettrace(), sys.getprofile()),
        "handlers": (calls.CALLS.handler, calls.CALLS.reader, calls.CALLS.installed, set(calls.CALLS.dead)),
        "roots": sorted(name for name in os.listdir(os.path.dirname(root)) if name.startswith(f"durability-{os.getpid():08d}")),
    }


with open_world() as first:
    root = str(first.root.parent)
tempfile.NamedTemporaryFile().close()  # what a first use sets up lazily is set up now


class Watch:
    """Everything that must be as it was, seen when it is made."""

    def __init__(self):
        self.held = {"stat": os.stat, "open": open, "urandom": os.urandom, "fsync": os.fsync}
        self.places, self.state = places(), state()
        self.contents, self.bound = contents(self.places), dict(self.held)

    def changed(self):
        """What is not as it was."""
        gc.collect()
        now, then = places(), self.places
        wrong = [key for key in {**then, **now} if then.get(key, self) is not now.get(key, self)]
        wrong += [key for key, value in contents(now).items() if self.contents.get(key) != value]
        after = state()
        wrong += [key for key, value in self.state.items() if after[key] != value]
        wrong += [key for key, value in self.held.items() if self.bound[key] is not value]
        return wrong


def raising(error):
    """A store that ends so in the middle of its second message."""

    class Raising(stores.Sound):
        def append(self, role, text):
            if self.messages:
                with open(self.folder / "half", "w") as file:
                    file.write("half")
                    raise error
            super().append(role, text)

    return Raising


ENDS = {
    "success": (stores.Sound, None),
    "a finding": (stores.NoSync, Anomaly),
    "an exception": (raising(RuntimeError("full")), Exception),
    "Ctrl-C": (raising(KeyboardInterrupt()), KeyboardInterrupt),
    "no Exception": (raising(Ended()), Ended),
}


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory):
    """What Hypothesis sets up when it is first used is its own, and stays."""
    check(stores.adapter(stores.Sound), max_examples=1, context=Context(directory=tmp_path_factory.mktemp("cases")))


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path, test="a test")


def ended(action):
    """Run an action to whatever end; how it ended, without the traceback, which would keep frames alive."""
    try:
        action()
    except BaseException as error:
        names = {type(one).__name__ for one in (error.exceptions if isinstance(error, BaseExceptionGroup) else [error])}
        return {kind.__name__ for kind in type(error).__mro__} | names
    return set()


def expected(how, end):
    """Whether an action ended as it was to end; a finding may be one, or a group."""
    return how == set() if end is None else bool(how & {kind.__name__ for kind in (end, ExceptionGroup)})


@pytest.mark.parametrize("name", ENDS)
def test_a_sweep_leaves_nothing_behind(name, context):
    """A sweep that passes, finds, fails or is interrupted."""
    store, end = ENDS[name]
    watch = Watch()
    how = ended(lambda: sweep(stores.adapter(store), models=["posix"], context=context))
    assert watch.changed() == []
    assert expected(how, end) or name == "an exception"


@pytest.mark.parametrize("name", ENDS)
def test_a_check_leaves_nothing_behind(name, context):
    """A check that passes, finds, fails or is interrupted; Hypothesis is at work in it."""
    store, end = ENDS[name]
    watch = Watch()
    how = ended(lambda: check(stores.adapter(store), max_examples=3 if end else 1, context=context))
    assert watch.changed() == []
    assert name not in ("success", "Ctrl-C", "no Exception") or expected(how, end)


def test_a_replay_leaves_nothing_behind(context):
    """A case that still fails, and one that no longer does."""
    ended(lambda: sweep(stores.adapter(stores.NoSync), models=["posix"], context=context))
    case = saved(context.directory, context.test)[0]
    for store in (stores.NoSync, stores.Sound):
        watch = Watch()
        how = ended(lambda store=store: replay(case, adapter=stores.adapter(store), context=context))
        assert watch.changed() == []
        assert (how == set()) == (store is stores.Sound)


@pytest.mark.parametrize("disk", DISKS)
@pytest.mark.parametrize("error", [None, RuntimeError("x"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_a_world_leaves_nothing_behind(disk, error):
    """A hand-written world, real or fake, left in the middle of a store's work, with files open and a crash behind it."""
    watch = Watch()
    kept = []

    def body():
        with open_world(disk=disk) as world:
            world.setenv("HOME", str(world.root))
            world.setenv("DURABILITY_TEST_OF_LEAKS", "1")
            store = stores.Sound(world.root / "s")
            store.append("user", "one")
            kept.append(open(world.root / "open", "w"))
            kept[-1].write("lost")
            world.disk.crash("process-kill")
            kept.append(os.open(world.root, os.O_RDONLY))
            os.chdir(world.root)
            os.chdir(watch.state["directory"])
            random.random()
            watch.held["late"] = os.replace
            watch.bound["late"] = real.TABLE["replace"]
            if error is not None:
                raise error

    how = ended(body)
    assert watch.changed() == []
    assert expected(how, None if error is None else type(error))
    kept.clear()


@pytest.mark.skipif("fake" not in DISKS, reason="needs pyfakefs")
def test_a_fake_world_that_cannot_open_leaves_nothing_behind(monkeypatch):
    """If anything fails while the functions are exchanged, those that were are put back."""
    from pytest_durability.world.disk.fake import install

    class Broken(install.Rebinding):
        def apply(self):
            super().apply()
            raise MemoryError

    monkeypatch.setattr(install, "Rebinding", Broken)
    watch = Watch()
    how = ended(lambda: open_world(disk="fake").__enter__())
    assert watch.changed() == []
    assert "MemoryError" in how


def test_the_watch_itself_sees_changes():
    """A watch that sees nothing would prove nothing."""
    watch = Watch()
    original, supported = os.stat, os.supports_fd

    def stand_in(*args, **options):
        return original(*args, **options)

    try:
        os.stat = stand_in
        supported.add(stand_in)
        os.environ["DURABILITY_TEST_OF_LEAKS"] = "1"
        random.random()
        assert {("os", "stat"), ("os", "supports_fd"), "environment", "chance"} <= set(watch.changed())
    finally:
        supported.discard(stand_in)
        os.stat = original
        del os.environ["DURABILITY_TEST_OF_LEAKS"]
    random.setstate(watch.state["chance"])
    assert watch.changed() == []
