"""The library behind `sqlite3` writes files through a table of C functions, so this is where that table is found.

Rule: nothing is touched before everything has been recognised (CPython, a pointer into readable memory, the VFS named `unix`,
its version and sizes); what is not recognised is refused with its reason, never guessed.

The layouts are SQLite's public ones: https://sqlite.org/c3ref/vfs.html and https://sqlite.org/c3ref/io_methods.html. Not
public are two places, checked as above: a `Connection` of CPython holds its `sqlite3 *` first, and that holds its VFS first.
"""

from __future__ import annotations

import ctypes as c
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

from pytest_durability.errors import UnsupportedError

OK, BUSY, IOERR, FULL, CANTOPEN = 0, 5, 10, 13, 14
IOERR_READ, IOERR_WRITE, IOERR_FSYNC, IOERR_DIR_FSYNC = 266, 778, 1034, 1290
IOERR_TRUNCATE, IOERR_DELETE, IOERR_LOCK, IOERR_CLOSE = 1546, 2570, 3850, 4106
IOERR_DELETE_NOENT = 5898

OPEN_READWRITE, OPEN_CREATE = 0x2, 0x4
OPEN_MAIN_DB, OPEN_JOURNAL, OPEN_SUPER_JOURNAL, OPEN_WAL = 0x100, 0x800, 0x4000, 0x80000
SIZE_HINT, CHUNK_SIZE = 5, 6
SHM_LOCK, SHM_EXCLUSIVE = 2, 8

VP, INT, I64 = c.c_void_p, c.c_int, c.c_int64
WORD = c.sizeof(c.c_void_p)

X_OPEN = c.CFUNCTYPE(INT, VP, VP, VP, INT, VP)
X_DELETE = c.CFUNCTYPE(INT, VP, VP, INT)
X_RANDOM = c.CFUNCTYPE(INT, VP, INT, VP)
X_SLEEP = c.CFUNCTYPE(INT, VP, INT)
X_TIME = c.CFUNCTYPE(INT, VP, c.POINTER(I64))

X_CLOSE = c.CFUNCTYPE(INT, VP)
X_TRANSFER = c.CFUNCTYPE(INT, VP, VP, INT, I64)
X_TRUNCATE = c.CFUNCTYPE(INT, VP, I64)
X_FLAG = c.CFUNCTYPE(INT, VP, INT)
X_SIZE = c.CFUNCTYPE(INT, VP, c.POINTER(I64))
X_CONTROL = c.CFUNCTYPE(INT, VP, INT, VP)
X_SHM_LOCK = c.CFUNCTYPE(INT, VP, INT, INT, INT)
# Keeping the GIL is cheaper than giving it up for a copy into the page cache, which cannot wait for Python.
KEEPING_TRANSFER, KEEPING_TRUNCATE = c.PYFUNCTYPE(INT, VP, VP, INT, I64), c.PYFUNCTYPE(INT, VP, I64)


class Vfs(c.Structure):
    """`sqlite3_vfs`."""

    _fields_ = (
        ("iVersion", INT),
        ("szOsFile", INT),
        ("mxPathname", INT),
        ("pNext", VP),
        ("zName", c.c_char_p),
        ("pAppData", VP),
        *(
            (name, VP)
            for name in (
                *("xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose", "xRandomness"),
                *("xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall"),
                "xNextSystemCall",
            )
        ),
    )


METHODS = (
    *("xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock", "xCheckReservedLock", "xFileControl"),
    *("xSectorSize", "xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch"),
)


class Methods(c.Structure):
    """`sqlite3_io_methods`."""

    _fields_ = (("iVersion", INT), *((name, VP) for name in METHODS))


def copied(address: int) -> Methods:
    """A copy of a method table; what its version does not have is null."""
    table = Methods()
    held = {1: 12, 2: 16}.get(INT.from_address(address).value, len(METHODS))
    c.memmove(c.byref(table), address, WORD * (1 + held))
    return table


class Library:
    """One SQLite library in this process.

    `vfs`: its `unix` VFSes, the default one first. `mode`: `"patch"` (they are changed in place) or `"register"` (`vfs` has
    one, which takes our copy as default). `options`: what the library was compiled with. `functions`: it, if it can be called.
    """

    def __init__(self, mode: str, vfs: tuple[Vfs, ...], options: frozenset[str], version: str, functions: Any) -> None:
        self.mode, self.vfs, self.options, self.version, self.functions = mode, vfs, options, version, functions

    def restart_chance(self) -> bool:
        """Make SQLite ask its VFS for chance again; False if this library hides the function for it."""
        if self.functions is None:
            return False
        self.functions.sqlite3_randomness(0, None)
        return True


def locate(mode: str | None = None) -> Library:
    """Find the library that the `sqlite3` module of this interpreter uses.

    Args:
        mode: the only way to try; None tries `patch`, then `register`.

    Raises:
        UnsupportedError: it was not found, or is not of the kind that is known here.
    """
    try:
        import _sqlite3
    except ImportError as error:
        raise _refusal(f"this Python has no sqlite3 ({error})") from None
    if sys.implementation.name != "cpython" or WORD != 8 or sys.byteorder != "little":  # noqa: PLR2004
        raise _refusal(f"{sys.implementation.name} on this machine keeps its connections in a way that is not known here")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise _refusal("a free-threaded Python has not been tried")
    connection = _sqlite3.connect(":memory:")
    try:
        options = frozenset(row[0] for row in connection.execute("pragma compile_options"))
        if "MMAP_READWRITE" in options:
            raise _refusal("this SQLite writes databases through memory maps (SQLITE_MMAP_READWRITE)")
        functions = _functions(_sqlite3.__file__)
        reasons = []
        for way in (mode,) if mode else ("patch", "register"):
            try:
                vfs = _patched(connection) if way == "patch" else _registered(functions)
            except UnsupportedError as error:
                reasons.append(f"{way}: {error.what}")
                continue
            same = functions is not None and functions.sqlite3_vfs_find(None) == c.addressof(vfs[0])
            return Library(way, vfs, options, _sqlite3.sqlite_version, functions if same else None)
        raise _refusal("; ".join(reasons))
    finally:
        connection.close()


def _refusal(why: str) -> UnsupportedError:
    return UnsupportedError(
        why,
        why="what SQLite writes would go unseen, so that nothing could be said about its databases",
        fix="check this store with isolation='process', or on CPython 3.11 to 3.13 for Linux",
    )


def _patched(connection: Any) -> tuple[Vfs, ...]:
    """The VFSes of a connection's library, found from the memory of the connection itself."""
    if sys.platform != "linux":
        raise _refusal(f"memory cannot be checked before it is read on {sys.platform}")
    readable = list(_readable())
    database = _pointer(id(connection) + object.__basicsize__, readable)
    default = _pointer(database, readable)
    found: list[Vfs] = []
    address = default
    while address and len(found) < 100:  # noqa: PLR2004  a list that leads in a circle is none
        vfs = _recognised(address, readable)
        if vfs.zName.startswith(b"unix"):
            found.append(vfs)
        elif address == default:
            raise _refusal(f"the default VFS is named {vfs.zName!r}")
        address = vfs.pNext
    return tuple(found)


def _pointer(place: int, readable: list[tuple[int, int]]) -> int:
    if not any(low <= place <= high - c.sizeof(Vfs) for low, high in readable) or place % WORD:
        raise _refusal("a connection of sqlite3 does not hold its database where CPython keeps it")
    return VP.from_address(place).value or 0


def _recognised(address: int, readable: list[tuple[int, int]]) -> Vfs:
    _pointer(address, readable)
    vfs = Vfs.from_address(address)
    name = VP.from_address(address + Vfs.zName.offset).value or 0
    sane = 1 <= vfs.iVersion <= 3 and 0 <= vfs.szOsFile < 1 << 16 and 64 <= vfs.mxPathname < 1 << 20  # noqa: PLR2004
    if not sane or not any(low <= name < high for low, high in readable) or not vfs.xOpen:
        raise _refusal("the default VFS of SQLite has a form that is not known here")
    return vfs


def _readable() -> Iterator[tuple[int, int]]:
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            span, rights, *_ = line.split(maxsplit=2)
            if rights.startswith("r"):
                low, _, high = span.partition("-")
                yield int(low, 16), int(high, 16)


def _functions(path: str) -> Any:
    """The library's own functions, if the dynamic linker shows them."""
    try:
        library = c.CDLL(path)
        library.sqlite3_randomness.argtypes = [INT, VP]
        library.sqlite3_randomness.restype = None
        library.sqlite3_vfs_find.argtypes = [c.c_char_p]
        library.sqlite3_vfs_find.restype = VP
        library.sqlite3_vfs_register.argtypes = [VP, INT]
        library.sqlite3_vfs_unregister.argtypes = [VP]
    except (OSError, AttributeError):
        return None
    return library


def _registered(functions: Any) -> tuple[Vfs, ...]:
    if functions is None:
        raise _refusal("this build of sqlite3 hides the functions of SQLite")
    address = functions.sqlite3_vfs_find(None)
    if not address:
        raise _refusal("SQLite has no default VFS")
    vfs = Vfs.from_address(address)
    if vfs.zName != b"unix":
        raise _refusal(f"the default VFS is named {vfs.zName!r}")
    return (vfs,)
