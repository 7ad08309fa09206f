"""The recorder itself needs the functions that it replaces, so they are kept here, untouched.

Rule: nothing but this module holds the real functions while they are patched; an entry that this platform lacks is absent
from `TABLE` and raises `AttributeError` here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

io_open = io.open
file_write, file_tell, file_truncate, file_close = io.FileIO.write, io.FileIO.tell, io.FileIO.truncate, io.FileIO.close
open = os.open
close = os.close
write = os.write
read = os.read
listdir = os.listdir
scandir = os.scandir
fstat = os.fstat
lseek = os.lseek
fsync = os.fsync
ftruncate = os.ftruncate
truncate = os.truncate
replace = os.replace
rename = os.rename
link = os.link
symlink = os.symlink
unlink = os.unlink
remove = os.remove
mkdir = os.mkdir
rmdir = os.rmdir
dup = os.dup
dup2 = os.dup2

SYNC_FAMILY = ("fsync", "fdatasync", "sync")
"""The calls whose loss `verify` could never notice, because they change no byte."""

_NAMES = (
    *("open", "close", "write", "pwrite", "writev", "pwritev", "sendfile", "copy_file_range", "splice", "ftruncate", "truncate"),
    *("posix_fallocate", "replace", "rename", "link", "symlink", "unlink", "remove", "mkdir", "rmdir", "mknod", "dup", "dup2"),
    *("read", "readv", "pread", "preadv", "listdir", "scandir"),
    *SYNC_FAMILY,
)

TABLE: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _NAMES if hasattr(os, name)}
"""Name in `os` -> real function, for everything that is patched there; `builtins.open` is `io_open`."""

if os.name == "posix":
    pwrite = os.pwrite
    pread = os.pread
    readv = os.readv
    writev = os.writev
    sync = os.sync
    mknod = os.mknod
if hasattr(os, "fdatasync"):
    fdatasync = os.fdatasync
if hasattr(os, "preadv"):
    preadv = os.preadv
if hasattr(os, "pwritev"):
    pwritev = os.pwritev
if hasattr(os, "sendfile"):
    sendfile = os.sendfile
if hasattr(os, "copy_file_range"):
    copy_file_range = os.copy_file_range
if hasattr(os, "splice"):
    splice = os.splice
if hasattr(os, "posix_fallocate"):
    posix_fallocate = os.posix_fallocate
