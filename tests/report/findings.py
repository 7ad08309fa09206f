"""A finding as a sweep makes it, for every form of report."""

from __future__ import annotations

from pytest_durability.faults import Crash, Schedule
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.verdict import Loss, LostAcknowledged, Result, Verdict
from pytest_durability.workload import Append, Commit, Workload

WORKLOAD = Workload((Append("user", "zu1z what is in the report?"), Append("assistant", "za1z three findings."), Commit(keep=1)))
SCHEDULE = Schedule((Crash(after="write:session.jsonl:2", model="posix", lag=("size(session.jsonl)<-1",)),))


def history(extra: int = 0) -> History:
    """Two appends to one file without a sync; `extra` further writes of the second one."""
    found = History()
    found.add(Lane.USER, "open")
    found.add(Lane.DISK, "create", "session.jsonl", site="notes/store.py:9")
    found.add(Lane.USER, "ack", "open", call=1)
    found.add(Lane.USER, "append", "u1")
    found.add(Lane.DISK, "write", "session.jsonl", size=48, site="notes/store.py:12")
    found.add(Lane.USER, "ack", "u1", call=4)
    found.add(Lane.USER, "append", "a1")
    for _ in range(extra + 1):
        found.add(Lane.DISK, "write", "session.jsonl", size=31, site="notes/store.py:12")
    found.add(Lane.USER, "ack", "a1", call=7)
    found.add(Lane.USER, "commit", size=1)
    found.add(Lane.DISK, "rename", "session.jsonl.tmp -> session.jsonl", outcome=Outcome.FAILED)
    found.add(Lane.USER, "raised", "commit", call=found[-2].seq, outcome=Outcome.UNKNOWN, note="commit raised OSError: no space")
    return found


def finding(extra: int = 0, **changes) -> Result:
    """A lost acknowledged message, as a sweep makes it."""
    ops = history(extra)
    end = 9 + extra
    anomaly = LostAcknowledged(
        "a1 was acknowledged, then is gone after the reopen",
        because=(f"op {end}  a1 was acknowledged", "but   the reopened session shows: u1"),
        witnesses=(7, end, 8),
        kind="ack",
        site="notes/store.py:12",
    )
    values = {
        "adapter": "NotesStore",
        "workload": WORKLOAD,
        "schedule": SCHEDULE,
        "history": ops,
        "verdict": Verdict.INVALID,
        "anomaly": anomaly,
        "model": "posix",
        "crash_after": end,
        "losses": (Loss(8, "write session.jsonl 31 B", "notes/store.py:12", "no sync of it before the crash"),),
        "expected": ("u1  user: zu1z what is in the report?", "a1  assistant: za1z three findings."),
        "observed": ("u1  user: zu1z what is in the report?",),
        "case_id": "7f3a91c2d0",
    }
    return Result(**(values | changes))
