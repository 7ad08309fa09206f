"""Files opened with `open`, and with everything of the standard library that is built on it."""

from __future__ import annotations

import functools
import gc
import gzip
import io
import itertools
import json
import logging
import os
import pathlib
import shutil
import tempfile
import threading
import warnings

import pytest

from pytest_durability.world.disk import effects as fx

MODES = [kind + plus + binary for kind, plus, binary in itertools.product("rwax", ("", "+"), ("", "b", "t"))]


def test_text_in_a_buffer_is_not_recorded(bench):
    """The log holds what reached the kernel: a write shows up at the flush, not before."""
    with open(bench.root / "a", "w") as file:
        file.write("one\n")
        assert bench.kinds() == ["create"]
        file.flush()
        os.fsync(file.fileno())
    assert bench.effects() == [fx.Create(0, "a", 1), fx.Write(1, 0, b"one\n"), fx.Sync(1), fx.Close(1)]


def test_ops_carry_path_size_and_site(bench):
    """An op names the file, the number of bytes and the line of this test."""
    (bench.root / "d").mkdir()
    pathlib.Path(bench.root, "d", "a").write_text("four")
    write = next(op for op in bench.history if op.kind == "write")
    assert (write.target, write.size) == ("d/a", 4)
    assert write.site.rpartition(":")[0].endswith("tests/world/disk/test_recorder_files.py")


def test_reading_is_not_recorded(bench):
    """Opening and reading a file leaves no op."""
    pathlib.Path(bench.root, "a").write_text("x")
    before = len(bench.history)
    assert pathlib.Path(bench.root, "a").read_text() == "x"
    with open(bench.root / "a", "rb") as file:
        assert file.read() == b"x"
    assert len(bench.history) == before


@pytest.mark.parametrize("exists", [True, False], ids=["old", "new"])
@pytest.mark.parametrize("mode", MODES)
def test_open_behaves_as_the_real_one(bench, mode, exists):
    """For each mode, file and exception attributes, position and content are those of an unrecorded file."""
    seen = []
    for directory in (bench.root, bench.outside):
        path = directory / "f"
        if exists:
            path.write_bytes(b"12345\n")
        seen.append(described(path, mode, directory))
        shutil.rmtree(directory / "f", ignore_errors=True)
        path.unlink(missing_ok=True)
    assert seen[0] == seen[1]


def described(path, mode, directory):
    """What a program can observe of one open, write, seek, truncate and close."""
    try:
        file = open(str(path), mode)
    except OSError as error:
        return type(error), error.errno, error.filename.replace(str(directory), "")
    facts = [type(file), file.mode, file.name.replace(str(directory), ""), file.readable(), file.writable(), file.seekable()]
    raw = file.buffer.raw if hasattr(file, "buffer") else file.raw
    facts += [raw.mode, raw.closefd, os.get_inheritable(file.fileno()), file.tell(), isinstance(raw, io.FileIO)]
    if "b" not in mode:
        facts += [file.encoding, file.errors, file.newlines, file.line_buffering, file.buffer.mode, type(file.buffer)]
    if file.writable():
        file.write(b"ab" if "b" in mode else "ab")
        file.flush()
        facts.append(file.tell())
        file.truncate(4)
    file.seek(0)
    facts.append(attempt(file.read))
    file.close()
    return [*facts, file.closed, path.read_bytes(), attempt(file.read)]


def attempt(call):
    """The result of a call, or its exception as a value."""
    try:
        return call()
    except (OSError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "w", "buffering": 0},
        {"mode": "wb", "buffering": 0},
        {"mode": "w", "buffering": 1},
        {"mode": "wb", "buffering": 1},
        {"mode": "wb", "buffering": 7},
        {"mode": "w", "encoding": "utf-16", "errors": "replace", "newline": "\r\n"},
        {"mode": "w", "encoding": "no-such-encoding"},
        {"mode": "w", "newline": "bad"},
        {"mode": "wb", "encoding": "utf-8"},
        {"mode": "rw"},
        {"mode": "wq"},
        {"mode": "ww"},
        {"mode": ""},
        {"mode": 3},
        {"mode": "w", "buffering": "1"},
        {"mode": "w", "encoding": 3},
        {"mode": "w", "closefd": False},
        {"mode": "w", "opener": os.open},
        {"mode": "a", "opener": functools.partial(lambda path, flags: os.open(path, flags | os.O_DSYNC))},
        {"mode": "w", "opener": lambda path, flags: -1},
    ],
    ids=lambda arguments: ",".join(
        f"{name}={type(value).__name__ if callable(value) else value!r}" for name, value in arguments.items()
    ),
)
def test_arguments_of_open_mean_the_same(bench, arguments):
    """Results, warnings and exceptions of unusual arguments are those of the real `open`."""
    seen = []
    for directory in (bench.root, bench.outside):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with open(directory / "f", **arguments) as file:
                    file.write("x\n\xe4" if "b" not in file.mode else b"x\n")
                    early = (directory / "f").read_bytes()
                    facts = [type(file).__name__.replace("RecordedFile", "FileIO"), early]
            except (TypeError, ValueError, LookupError, OSError) as error:
                facts = [type(error), str(error).replace(str(directory), "")]
        there = (directory / "f").read_bytes() if (directory / "f").exists() else None
        seen.append((facts, there, [(item.category, str(item.message), item.filename) for item in caught]))
    assert seen[0] == seen[1]


def test_a_bytes_path_and_a_path_object_are_recorded(bench):
    """Paths may be text, bytes or path objects."""
    for path in (bench.root / "a", str(bench.root / "b"), os.fsencode(bench.root / "c")):
        with open(path, "w") as file:
            file.write("x")
    assert [op.target for op in bench.history if op.kind == "create"] == ["a", "b", "c"]


def test_a_relative_path_is_recorded(bench, monkeypatch):
    """After chdir into the root, relative paths with dots lead to the same files."""
    (bench.root / "d").mkdir()
    monkeypatch.chdir(bench.root / "d")
    with open("../a", "w") as file:
        file.write("x")
    os.mkdir("./e/")
    with open("e//f", "w") as file:
        file.write("y")
    assert [op.target for op in bench.history if op.kind in ("create", "mkdir")] == ["d", "a", "d/e", "d/e/f"]


def test_a_second_link_to_the_root_does_not_escape(bench):
    """A path through a symbolic link outside of the root is the path below the root."""
    os.symlink(bench.root, bench.outside / "alias")
    (bench.outside / "alias" / "a").write_text("x")
    os.symlink(bench.root / "b", bench.outside / "file")
    (bench.outside / "file").write_text("y")
    assert [op.target for op in bench.history if op.kind == "create"] == ["a", "b"]


def test_links_inside_the_root_are_followed(bench):
    """Writing through a link to a file or a directory is a write to what it leads to."""
    (bench.root / "d").mkdir()
    os.symlink("d", bench.root / "link")
    (bench.root / "link" / "a").write_text("x")
    os.symlink("d/a", bench.root / "l2")
    with open(bench.root / "l2", "a") as file:
        file.write("y")
    os.truncate(bench.root / "l2", 1)
    os.rename(bench.root / "link", bench.root / "moved")
    os.unlink(bench.root / "l2")
    assert [op.target for op in bench.history if op.kind in ("create", "write", "truncate")] == ["d/a"] * 4
    assert bench.kinds().count("symlink") == 2


def test_a_directory_behind_a_moved_link_is_found(bench):
    """What is known of a parent directory is dropped when a link on the way is replaced."""
    for name in ("one", "two"):
        (bench.root / name).mkdir()
    os.symlink("one", bench.root / "current")
    (bench.root / "current" / "a").write_text("1")
    os.symlink("two", bench.root / "next")
    os.replace(bench.root / "next", bench.root / "current")
    (bench.root / "current" / "a").write_text("2")
    assert [op.target for op in bench.history if op.kind == "create"] == ["one/a", "two/a"]


def test_two_appending_handles(bench):
    """Each append goes to the end of the file, wherever its handle was opened."""
    with open(bench.root / "a", "a") as one, open(bench.root / "a", "ab", 0) as two:
        one.write("1\n")
        one.flush()
        two.write(b"2\n")
        one.write("3\n")
    writes = [effect for effect in bench.effects() if isinstance(effect, fx.Write)]
    assert [(write.offset, write.data, write.append) for write in writes] == [
        (0, b"1\n", True),
        (2, b"2\n", True),
        (4, b"3\n", True),
    ]


def test_seeking_writing_and_truncating(bench):
    """Writes in the middle, holes and cuts are recorded at their places."""
    with open(bench.root / "a", "w+b") as file:
        file.write(b"0123456789")
        file.seek(3)
        file.write(b"ABC")
        file.seek(20)
        file.write(b"end")
        file.truncate(15)
        file.truncate(30)
        file.seek(5)
        file.truncate()
    assert bench.recorder.tree.image().data() == {"a": b"012AB"}


def test_a_file_that_was_unlinked_can_still_be_written(bench):
    """Writes after the unlink carry the last name, and the tree stays without the file."""
    with open(bench.root / "a", "w") as file:
        os.unlink(bench.root / "a")
        file.write("late")
    assert [op.target for op in bench.history] == ["a"] * 4
    assert bench.recorder.tree.image().files == ()


def test_a_new_file_never_takes_an_old_inode(bench):
    """Real inode numbers may be reused; ours are not."""
    for _ in range(5):
        (bench.root / "a").write_text("x")
        (bench.root / "a").unlink()
    created = [effect.ino for effect in bench.effects() if isinstance(effect, fx.Create)]
    assert created == [1, 2, 3, 4, 5]


def test_files_of_the_initial_image_are_known(bench):
    """A file that existed before the start has the number of the initial image."""
    (bench.root / "d").mkdir()
    (bench.root / "d" / "b").write_text("x")
    (bench.root / "c").write_text("x")
    bench.recorder.stop()
    bench.begin()
    with open(bench.root / "d" / "b", "a") as file:
        file.write("y")
    assert bench.effects() == [fx.Write(3, 1, b"y", append=True), fx.Close(3)]


def test_fdopen_and_mkstemp(bench):
    """A file object over a descriptor that `os.open` made is recorded."""
    fd, name = tempfile.mkstemp(dir=bench.root)
    with os.fdopen(fd, "w") as file:
        file.write("mk")
    os.replace(name, bench.root / "mk")
    with os.fdopen(os.open(bench.root / "mk", os.O_RDONLY), "rb") as file:
        assert file.read() == b"mk"
    assert bench.kinds() == ["create", "write", "close", "rename"]


@pytest.mark.parametrize("delete", [True, False])
def test_named_temporary_files(bench, delete):
    """`NamedTemporaryFile` writes, renames and deletes as it does unrecorded."""
    with tempfile.NamedTemporaryFile("w", dir=bench.root, delete=delete) as file:
        file.write("t")
        file.flush()
        os.fsync(file.fileno())
        assert file.name.startswith(str(bench.root))
    assert bench.kinds() == ["create", "write", "fsync", "close"] + ["unlink"] * delete


def test_an_anonymous_temporary_file_leaves_no_op(bench):
    """A file that never has a name cannot be left by a crash."""
    with tempfile.TemporaryFile(dir=bench.root) as file:
        file.write(b"x")
    assert bench.recorder.tree.image().files == ()


def test_shutil_json_gzip_and_logging(bench):
    """The usual ways to write a file all pass through the recorder."""
    with open(bench.root / "j", "w") as file:
        json.dump({"a": 1}, file)
    shutil.copyfile(bench.root / "j", bench.root / "copy")
    shutil.copy2(bench.root / "j", bench.root / "copy2")
    (bench.outside / "big").write_bytes(bytes(300_000))
    shutil.copyfile(bench.outside / "big", bench.root / "big")
    with gzip.open(bench.root / "g.gz", "wb") as file:
        file.write(b"z" * 1000)
    handler = logging.FileHandler(bench.root / "log")
    handler.emit(logging.makeLogRecord({"msg": "hi"}))
    handler.close()
    (bench.root / "d" / "e").mkdir(parents=True)
    (bench.root / "d" / "e" / "f").write_text("f")
    shutil.copytree(bench.root / "d", bench.root / "d2")
    shutil.move(bench.root / "d2", bench.root / "d3")
    shutil.move(bench.root / "copy", bench.outside / "copy")
    shutil.rmtree(bench.root / "d")
    (bench.root / "copy2").rename(bench.root / "c3")
    assert sorted(bench.recorder.tree.image().data()) == ["big", "c3", "d3/e/f", "g.gz", "j", "log"]


def test_threads(bench):
    """Four threads that append at once leave a log that explains the file."""

    def append(number):
        for count in range(200):
            with open(bench.root / "t", "a") as file:
                file.write(f"{number}-{count}\n")

    threads = [threading.Thread(target=append, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bench.kinds().count("create") == 1
    assert bench.kinds().count("write") == 800


def test_a_file_that_is_dropped_is_flushed_and_closed(bench):
    """CPython closes a file that nobody holds any more, and so the log says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        open(bench.root / "a", "w").write("dropped")
        gc.collect()
    assert bench.kinds() == ["create", "write", "close"]


def test_failures_are_recorded_and_raised(bench):
    """An operation that the system refuses is an op without effect, with the errno name."""
    with pytest.raises(FileNotFoundError):
        open(bench.root / "no" / "a", "w")
    with pytest.raises(FileNotFoundError):
        os.unlink(bench.root / "a")
    with pytest.raises(FileNotFoundError):
        open(bench.root / "a", "r+")
    (bench.root / "d").mkdir()
    with pytest.raises(FileExistsError):
        os.mkdir(bench.root / "d")
    failed = [(op.kind, op.target, op.outcome.value, op.note) for op in bench.history if op.note]
    assert failed == [
        ("create", "no/a", "failed", "ENOENT"),
        ("unlink", "a", "failed", "ENOENT"),
        ("mkdir", "d", "failed", "EEXIST"),
    ]
