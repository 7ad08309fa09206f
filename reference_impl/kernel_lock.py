"""Locking and syncing differ between systems; the differences stand here, so that nothing else asks where it runs.

Rule: a lock belongs to an open file and dies with it. No lease, no clock, no pid file: those let a lock be stolen from a
slow holder, or be kept by a dead one.
"""

from __future__ import annotations

import errno
import os
import sys

if sys.platform == "win32":
    import msvcrt

    def try_lock(fd: int) -> bool:
        """Take the lock of an open file without waiting; False if somebody else has it."""
        os.lseek(fd, 0, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

    def full_sync(fd: int) -> None:
        """Bring the content of an open file to the disk."""
        os.fsync(fd)

else:
    import fcntl

    _FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

    def try_lock(fd: int) -> bool:
        """Take the lock of an open file without waiting; False if somebody else has it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True

    def full_sync(fd: int) -> None:
        """Bring the content of an open file to the disk; on macOS past the cache of the drive, which fsync stops at."""
        if _FULL_SYNC is not None:
            try:
                fcntl.fcntl(fd, _FULL_SYNC)
            except OSError:  # a file system without it
                os.fsync(fd)
        else:
            os.fsync(fd)


def holder(fd: int) -> str:
    """Who holds the lock of an open file, for an error text: Linux tells, elsewhere it stays unknown."""
    inode = os.fstat(fd).st_ino
    try:
        with open("/proc/locks", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        return "an unknown process"
    # A row reads "1: FLOCK ADVISORY WRITE 4711 00:2f:1234 0 EOF", and one that waits has "->" as its second word.
    pids = [row[4] for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)]
    return f"process {pids[0]}" if pids else "an unknown process"
