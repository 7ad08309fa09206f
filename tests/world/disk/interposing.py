"""The patched state of the process: complete while it lasts, gone without a trace afterwards."""

from __future__ import annotations

import _io
import builtins
import functools
import gc
import importlib
import inspect
import io
import os
import posix
import shutil
import sys
import tempfile
import textwrap
import types
import weakref

import pytest

from pytest_durability.errors import RecorderError
from pytest_durability.history import History
from pytest_durability.world.disk import real, rebind
from pytest_durability.world.disk.image import EMPTY
from pytest_durability.world.disk.interpose import interposed
from pytest_durability.world.disk.recorder import Recorder

SETS = ("supports_fd", "supports_dir_fd", "supports_follow_symlinks", "supports_effective_ids")


def state():
    """The identity of everything that is patched, and of all aliases of it in modules, classes and defaults."""
    ids = {id(function): name for name, function in {"io_open": real.io_open, **real.TABLE}.items()}
    found = {}
    for module in (os, posix, builtins, io, _io):
        found.update({(module.__name__, name): id(value) for name, value in vars(module).items() if callable(value)})
    classes = {}
    for name, module in list(sys.modules.items()):
        for key, value in list(vars(module).items()):
            if id(value) in ids:
                found[name, key] = id(value)
            elif isinstance(value, type):  # once, however many modules show it: there are tens of thousands of such names
                classes[id(value)] = value
    found.update((place, at) for owner in classes.values() for place, at in aliases(owner, ids))
    for name in SETS:
        found[name] = frozenset(map(id, getattr(os, name)))
    return found


def aliases(owner, ids):
    """The same of one class, and of the defaults of its methods."""
    for member, inner in list(vars(owner).items()):
        if id(inner) in ids:
            yield (repr(owner), id(owner), member), id(inner)
        elif type(inner) is types.FunctionType:
            for default in inner.__defaults__ or ():
                if id(default) in ids:
                    yield (repr(owner), id(owner), member, "default"), id(default)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Imports a module from source text; it is forgotten at the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def load(source):
        name = f"interposed_case_{len(names)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        names.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    gc.disable()  # what the test makes stays young, so that its garbage is found without a look at the whole process
    try:
        yield load
    finally:
        for name in names:
            sys.modules.pop(name).__dict__.clear()
        gc.collect(0)
        gc.enable()


@pytest.fixture
def synced(space):
    """Whether a callable that syncs a descriptor is recorded as doing so."""

    def check(call):
        history = History()
        (space / "f").write_text("x")
        root = space / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        with Recorder(root, history, EMPTY), open(root / "a", "w") as file:
            call(file.fileno())
        return [op.kind for op in history] == ["create", "fsync", "close"]

    return check


def test_everything_is_patched_and_restored():
    """Each function is replaced in each module that shows it, and afterwards the very same objects are back."""
    before = state()
    with interposed():
        for name in real.TABLE:
            assert getattr(os, name) is getattr(posix, name) is not real.TABLE[name]
        assert builtins.open is io.open is _io.open is not real.io_open
    assert state() == before


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_everything_is_restored_after_an_exception(error):
    """However the block ends, nothing stays patched."""
    before = state()
    with pytest.raises(error), interposed():
        raise error
    assert state() == before


def test_entering_again_changes_nothing():
    """An inner block neither patches twice nor takes the patches of the outer one away."""
    before = state()
    with interposed() as outer:
        inside = os.write
        with interposed() as inner:
            assert inner is outer
            assert os.write is inside
        assert os.write is inside
    assert state() == before


def test_stand_ins_look_like_what_they_stand_for():
    """Name, text, signature and membership in the sets of `os` are kept."""
    wanted = {name: (function.__name__, function.__doc__, parameters(function)) for name, function in real.TABLE.items()}
    with interposed():
        found = {name: (getattr(os, name).__name__, getattr(os, name).__doc__, parameters(getattr(os, name))) for name in wanted}
        for name in SETS:
            holds = getattr(os, name)
            assert {item for item in ("open", "mkdir", "unlink", "truncate", "link") if getattr(os, item) in holds} == {
                item for item in ("open", "mkdir", "unlink", "truncate", "link") if real.TABLE[item] in holds
            }
    assert found == wanted


def parameters(function):
    """Names and kinds of the parameters, where the function tells them."""
    return [(item.name, item.kind) for item in inspect.signature(function).parameters.values()]


def test_without_a_recorder_calls_go_straight_through(space):
    """An idle interposition changes neither results nor types."""
    with interposed():
        with open(space / "a", "w") as file:
            assert type(file.buffer.raw) is io.FileIO
            file.write("x")
        os.replace(space / "a", space / "b")
        fd = os.open(space / "b", os.O_RDWR)
        assert os.write(fd, b"yz") == 2
        os.fsync(fd)
        os.close(fd)
        assert (space / "b").read_text() == "yz"


EARLY = {
    "a global name": "from os import fsync\nsync = lambda fd: fsync(fd)",
    "a global name of posix": "from posix import fsync as sync",
    "a class attribute": "import os\nclass Disk:\n    sync = os.fsync\nsync = Disk().sync",
    "a static method": "import os\nclass Disk:\n    sync = staticmethod(os.fsync)\nsync = lambda fd: Disk().sync(fd)",
    "an instance attribute": "import os\nclass Disk: pass\ndisk = Disk()\ndisk.call = os.fsync\nsync = lambda fd: disk.call(fd)",
    "a slot": "import os\nclass Disk:\n    __slots__ = ('call',)\ndisk = Disk()\ndisk.call = os.fsync\nsync = lambda fd: disk.call(fd)",
    "a default": "import os\ndef sync(fd, call=os.fsync):\n    call(fd)",
    "a default of a keyword": "import os\ndef sync(fd, *, call=os.fsync):\n    call(fd)",
    "a closure": "import os\ndef make(call):\n    return lambda fd: call(fd)\nsync = make(os.fsync)",
    "a dict": "import os\ncalls = {'sync': os.fsync}\nsync = lambda fd: calls['sync'](fd)",
    "a list": "import os\ncalls = [os.fsync]\nsync = lambda fd: calls[0](fd)",
}


@pytest.mark.parametrize("source", EARLY.values(), ids=EARLY)
def test_an_early_bound_fsync_is_caught(module, synced, source):
    """A sync through a name that was bound before patching is recorded, and the name is restored afterwards."""
    early = module(source)
    names = vars(early.Disk) if hasattr(early, "Disk") else {}
    disk = {name: value for name, value in names.items() if isinstance(value, staticmethod)}
    with interposed():  # forgets the places of earlier tests, and remembers those of this one
        pass
    before, places = state(), sys.getrefcount(real.fsync)
    with interposed():
        assert synced(early.sync)
    assert (state(), sys.getrefcount(real.fsync)) == (before, places)
    assert all(vars(early.Disk)[name] is value for name, value in disk.items())
    with tempfile.TemporaryFile() as file:
        assert early.sync(file.fileno()) is None


@pytest.fixture
def searched(monkeypatch):
    """How often the whole process was searched since."""
    count = []
    whole = rebind.Rebinding._apply
    monkeypatch.setattr(rebind.Rebinding, "_apply", lambda self: (count.append(1), whole(self))[1])
    return count


def test_where_functions_are_held_is_remembered(module, synced, searched):
    """While nothing changed the process is not searched again, and every place that was found is rebound all the same."""
    early = module("from os import fsync as sync\ndef save(fd, call=sync):\n    call(fd)")
    for _ in range(3):
        with interposed():
            assert synced(early.sync)
            assert synced(early.save)
        assert (early.sync, early.save.__defaults__) == (real.fsync, (real.fsync,))
    assert len(searched) < 3
    searched.clear()
    later = module("from os import fsync as sync")
    with interposed():
        assert synced(later.sync)
    assert searched == [1]


def test_a_place_that_moved_is_found(module, synced, searched):
    """As many hold the function as before, but not the same ones."""
    early = module("import os\nclass Disk: pass\ndisk = Disk()\ndisk.sync, calls = os.fsync, {}")
    gone = weakref.ref(early.disk)
    for _ in range(2):
        with interposed():
            assert synced(early.disk.sync)
    early.calls["sync"] = early.disk.sync
    del early.disk
    searched.clear()
    for _ in range(2):
        with interposed():
            assert synced(early.calls["sync"])
        assert early.calls["sync"] is real.fsync
    assert searched == [1]
    assert gone() is None, "what is remembered keeps no object alive"


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "sync"])
@pytest.mark.parametrize("source", ["save = functools.partial(os.{})", "save = (os.{}, 1)", "save = frozenset([os.{}])"])
def test_what_cannot_be_rebound_is_refused(module, call, source):
    """A partial, tuple or frozen set that holds a sync is named with its module and file, and nothing stays patched."""
    before = state()
    early = module("import functools, os\n" + source.format(call))
    with pytest.raises(RecorderError) as caught, interposed():
        pass
    assert f"os.{call} is held by a {type(early.save).__name__}" in caught.value.what
    assert f"{early.__name__}.save in {early.__file__}" in caught.value.what
    assert {key: value for key, value in state().items() if key[0] != early.__name__} == before
    del early.save
    with interposed():  # nothing that the refusal itself keeps alive is in the way
        assert getattr(os, call) is not real.TABLE[call]


def test_other_functions_may_be_held_anywhere(module):
    """A partial of `open` or `os.write` is no reason to refuse: what it writes is seen by verify."""
    module("import functools, os\nsave = functools.partial(os.write)\nread = functools.partial(open, mode='rb')")
    with interposed():
        assert os.write is not real.write


def test_modules_imported_meanwhile_are_restored(module):
    """Names, classes, defaults and sets made while patched hold the real functions afterwards."""
    with interposed():
        late = module(
            """
            import os
            from os import fsync, write as put
            class Disk:
                sync, call = os.fsync, staticmethod(os.replace)
                def save(self, path, remove=os.remove):
                    remove(path)
            calls = {"open": open, "many": [os.mkdir]}
            known = {os.link}
            """
        )
        assert late.put is os.write is not real.write
        assert Disk_sync_takes_one_argument(late.Disk())
    assert (late.fsync, late.put, late.calls["open"], late.calls["many"][0]) == (real.fsync, real.write, real.io_open, real.mkdir)
    assert (late.Disk.sync, late.Disk.call, late.Disk.save.__defaults__) == (real.fsync, real.replace, (real.remove,))
    assert real.link in late.known


def Disk_sync_takes_one_argument(disk):  # noqa: N802
    """A stand-in in a class is no method: it is not given the instance."""
    with tempfile.TemporaryFile() as file:
        return disk.sync(file.fileno()) is None


def test_a_saved_original_of_a_patching_tool_is_no_reason_to_refuse(monkeypatch):
    """Monkeypatch keeps (module, name, original): that is never called."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    with interposed():
        assert callable(os.fsync)


def test_a_partial_in_use_is_told_apart(module, synced):
    """A partial that was built after patching is recorded."""
    with interposed():
        late = functools.partial(os.fsync)
        assert synced(late)
        del late
