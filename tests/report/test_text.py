"""The sections of a finding and the summary of a sweep, against golden files and against hostile content."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from dataclasses import replace

import pytest

from pytest_durability.faults import LostWrite, Schedule, WriteError
from pytest_durability.history import History, Lane, Outcome
from pytest_durability.report import text
from pytest_durability.verdict import Anomaly, Duplicate, Loss, LostAcknowledged, ModelReport, Result, SweepReport, Wedged
from pytest_durability.workload import Append, FullDisk, PowerLoss, Reload, Workload
from tests.report.findings import SCHEDULE, WORKLOAD, finding, history

NODE = "tests/test_notes.py::test_notes_store_is_durable"


def joined(result: Result, **options) -> str:
    """All sections as one text."""
    return "\n".join(f"--- {title}\n{content}" for title, content in text.sections(result, test=NODE, **options))


def test_the_sections_of_a_finding(golden):
    """Timeline, state and reproduce in reading order, as the terminal shows them."""
    golden("finding", joined(finding()))


def test_equal_operations_on_one_file_are_one_row(golden):
    """Thirty writes of one message are folded, so that the witnesses stay in sight."""
    golden(
        "folded", joined(finding(extra=20, losses=(), observed=("a1  assistant: za1z", "u1  user: zu1z what is in the report?")))
    )


def test_a_long_history_shows_witnesses_and_neighbours(golden):
    """Above 40 ops only the witnesses, the losses and two neighbours of each are shown, with the number left out."""
    result = finding()
    long = History()
    for number in range(1, 30):
        long.add(Lane.USER, "append", f"u{number}")
        long.add(Lane.DISK, "write", f"messages/{number}.json", size=100 + number)
    anomaly = LostAcknowledged("u5 is gone", witnesses=(9,))
    changes = {
        "history": long,
        "anomaly": anomaly,
        "crash_after": 50,
        "losses": (Loss(10, "write messages/5.json 105 B", "", "no sync"),),
    }
    golden("long", joined(finding(**changes)))
    assert "left out" in text.sections(finding(**changes))[0][1]
    everything = text.sections(finding(**changes), verbosity=1)[0][1]
    assert "left out" not in everything
    assert everything.count("append") == 25
    assert result.crash_after == 9


def test_all_four_lanes_have_a_column_when_they_are_used(golden):
    """Stream and provider get columns only in a run that used them."""
    ops = History()
    ops.add(Lane.USER, "turn", "u1")
    ops.add(Lane.PROVIDER, "request", note="200 stream")
    ops.add(Lane.STREAM, "text", "a1")
    ops.add(Lane.DISK, "write", "session.jsonl", size=12, outcome=Outcome.UNKNOWN)
    ops.add(Lane.PROVIDER, "request", note="400 orphan result", outcome=Outcome.FAILED)
    golden("lanes", joined(finding(history=ops, anomaly=None, crash_after=4, losses=(), schedule=Schedule())))
    assert "stream" not in text.sections(finding())[0][1]


def test_quiet_keeps_only_the_command():
    """With -q a finding is its verdict and the command that shows the rest."""
    [(title, content)] = text.sections(finding(), test=NODE, verbosity=-1)
    assert title == "durability: reproduce"
    assert content == f"  exact     pytest {NODE} --durability-replay=7f3a91c2d0"


def test_the_command_survives_a_shell():
    """Parameters with blanks, brackets and quotes are quoted, so the printed line can be pasted."""
    node = "tests/test_x.py::test[a b'c]"
    command = text.command(finding(), node)
    assert shlex.split(command) == ["pytest", node, "--durability-replay=7f3a91c2d0"]


def test_without_a_saved_case_the_test_itself_is_the_command():
    """A finding that was not saved is reproduced by its test."""
    assert text.command(finding(case_id=""), NODE) == f"pytest {NODE}"


def test_the_schedule_and_the_workload_can_be_read_back():
    """What the report prints as fault and workload is the text that recreates them."""
    lines = [line[12:] for line in text.reproduce(finding(), NODE).splitlines()[2:]]
    assert Schedule.parse(lines[0]) == SCHEDULE
    assert Workload.parse("\n".join(lines[1:])) == WORKLOAD


def test_what_happened_after_the_crash_is_not_shown():
    """A recording goes on behind the crash point, but in the crashed world those ops never happened."""
    timeline = text.sections(finding())[0][1]
    assert "commit" not in timeline
    assert timeline.splitlines()[-1].startswith("==== CRASH after op 9 =")
    assert timeline.splitlines()[-1].endswith(" posix")


def test_a_history_that_goes_on_after_the_crash_is_shown():
    """An op of kind crash says that what follows happened in the crashed world."""
    ops = history()
    ops.add(Lane.DISK, "crash")
    ops.add(Lane.USER, "open")
    timeline = text.sections(finding(history=ops, crash_after=12))[0][1]
    assert timeline.splitlines()[-1].split() == ["14", "open"]


def test_a_crash_before_the_first_operation():
    """Crash point 0 has an empty timeline, and says so."""
    assert text.sections(finding(crash_after=0, losses=()))[0][1] == "  the crash came before the first op"


def test_a_result_without_a_crash_shows_its_whole_history():
    """A finding that needs no crash has no crash line."""
    timeline = text.sections(finding(crash_after=0, model="", losses=()))[0][1]
    assert "CRASH" not in timeline
    assert "X rename" in timeline
    assert "? commit commit raised OSError" in timeline


@pytest.mark.parametrize("payload", ["\x1b[31mred\x07", "caf\u00e9 \u65e5\u672c", "a\nb\rc\td", "\ud800", "x" * 5_000, "~ LOST"])
def test_payloads_cannot_break_the_page(payload):
    """Control characters, non-ASCII text, line breaks and endless lines stay one printable line of 80 columns."""
    ops = history()
    ops.add(Lane.USER, "append", payload)
    ops.add(Lane.DISK, "write", payload, size=1)
    losses = (Loss(14, payload, payload[:100], payload[:100]),)
    result = finding(history=ops, crash_after=14, expected=(payload,), observed=(payload,), note=payload[:100], losses=losses)
    shown = dict(text.sections(result, test=NODE))
    for content in shown.values():
        assert all(" " <= char <= "~" or char == "\n" for char in content)
    assert max(len(line) for line in shown["durability: timeline"].splitlines()) <= 80


def test_the_signs_for_missing_and_unexpected_rows():
    """`-` marks an expected row that is missing and `+` one that nobody expected, compared by token."""
    result = finding(expected=("u1  user: zu1z a", "a1  assistant: za1z b"), observed=("zu1z same token", "zx9z new"), losses=())
    state = dict(text.sections(result))["durability: state"].splitlines()
    assert state == [
        "  must be there   u1  user: zu1z a",
        "                - a1  assistant: za1z b",
        "  came back       zu1z same token",
        "                + zx9z new",
    ]


def test_rows_that_changed_places_are_marked():
    """Equal rows in another order differ, although both sides hold the same messages."""
    result = finding(expected=("zu1z", "za1z"), observed=("za1z", "zu1z"), losses=())
    state = dict(text.sections(result))["durability: state"]
    assert state.count("- z") == state.count("+ z") == 1


def test_an_empty_side_says_so():
    """Nothing came back is a fact, not an empty place."""
    state = dict(text.sections(finding(observed=())))["durability: state"]
    assert "  came back       nothing" in state.splitlines()


def test_long_lists_are_cut_with_their_number():
    """Rows, losses, steps and findings have a limit, and the report says how many it left out."""
    losses = tuple(Loss(8, "write", "", "no sync") for _ in range(50))
    rows = tuple(f"u{n}  user: zu{n}z" for n in range(1, 101))
    workload = Workload(tuple(Append("user", f"zu{n}z") for n in range(1, 61)))
    shown = dict(text.sections(finding(losses=losses, expected=rows, workload=workload)))
    assert "... 60 rows left out" in shown["durability: state"]
    assert "... 10 operations left out" in shown["durability: state"]
    assert "... 20 left out, the saved case has all of them" in shown["durability: reproduce"]


def sweep(**changes) -> SweepReport:
    """A sweep with one portability finding and one limit that was reached."""
    portable = finding(fatal=False).anomaly
    portable.result = finding()
    models = (
        ModelReport("process-kill", 35, 36, 31, 62, 5, 2, 4, 40_000, cut_short=False),
        ModelReport("posix", 35, 40_000, 2_750, 5_500, 37_250, 2, 4, 40_000, cut_short=True, findings=1, deeper=812),
    )
    values = {"adapter": "NotesStore", "steps": 9, "operations": 35, "models": models, "portability": (portable,), "depth": 2}
    return SweepReport(**(values | {"seconds": 1.234, "store_share": 0.81} | changes))


def test_the_summary_of_a_sweep(golden):
    """A table with one row a model, the bounds, the limits that were reached, and what was found."""
    golden("sweep", text.summary(sweep(), timing=False))


def test_the_summary_of_a_sweep_that_failed(golden):
    """Fatal findings come first, and what could not be judged is named."""
    doubled = Duplicate("u1 is there twice", site="notes/store.py:30")
    report = sweep(anomalies=(doubled,), unknown=("checker order raised KeyError",))
    golden("sweep-failed", text.summary(report, timing=False))
    assert text.headline(report).startswith("NotesStore: invalid, 35 operations, 2781 crash states under process-kill, posix")


def test_the_time_stands_on_its_own_line():
    """Everything but the last line is the same in each run."""
    first, second = text.summary(sweep()).splitlines(), text.summary(sweep(seconds=9.9)).splitlines()
    assert first[:-1] == second[:-1] == text.summary(sweep(), timing=False).splitlines()
    assert first[-1] == "  time 1.23 s, 81% of it inside the store"


def test_other_faults_are_counted_apart():
    """A schedule with a lost write and a crash says both."""
    schedule = Schedule((LostWrite("write:session.jsonl:1"), *SCHEDULE))
    assert "1 crash, 1 other fault, 1 operation lost" in text.reproduce(finding(schedule=schedule))


def test_the_same_result_gives_the_same_bytes():
    """No hash seed and no clock has a say in the text of a report."""
    code = "import runpy, sys; m = runpy.run_path(sys.argv[1]); print(m['joined'](m['finding'](extra=60)) + m['text'].summary(m['sweep']()))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, __file__],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


def test_the_models_that_suffice_are_named():
    """Both sides, or the one that is there; nothing if nobody asked."""
    both = replace(finding(), fails_under=("ext4-delalloc", "posix"), holds_under=("process-kill",))
    assert "models    fails under: ext4-delalloc, posix; holds under: process-kill" in text.reproduce(both)
    assert "holds under" not in text.reproduce(replace(finding(), fails_under=("posix",)))
    assert "models" not in text.reproduce(finding())


def wedged(*steps, schedule=None):
    """A store that takes no more messages, found in a story that nothing crashed at its end."""
    anomaly = Wedged(
        "a1 cannot be stored any more: ValueError",
        because=("op 8  a fault struck: write session.jsonl EIO", "op 7  append a1: append raised ValueError: half a line"),
        witnesses=(8, 7),
        site="notes/store.py:12",
    )
    none = Schedule() if schedule is None else schedule
    return finding(anomaly=anomaly, model="", crash_after=0, losses=(), schedule=none, workload=Workload(steps))


SAID = Append("user", "zu1z hello")


def test_a_finding_that_needs_no_crash_says_so(golden):
    """In the place of the models, with what it needs instead."""
    golden("wedged", joined(wedged(SAID, schedule=Schedule((WriteError("write:session.jsonl:2", "EIO"),)))))
    assert "models    needs no crash and no fault: fails under every model" in text.reproduce(wedged(SAID))
    assert text.by_model(wedged(SAID, Reload())) == "needs no crash and no fault, only a restart: fails under every model"
    assert text.by_model(wedged(FullDisk(), SAID)) == "needs no crash: fails under every model"
    died = text.by_model(wedged(SAID, PowerLoss("posix"), SAID))
    assert died == "fails under: posix, by the PowerLoss of the workload; not tried with others"


def test_the_promise_that_would_have_held_is_told():
    """After a pass only."""
    report = SweepReport("A", 1, 2, (), stronger='Promise(acknowledged="power-loss")', holds_under=("posix",))
    assert text.headline(report).endswith('; Promise(acknowledged="power-loss") would hold too')
    assert "nothing found under posix, which the promise does not name" in text.summary(report)
    failed = replace(report, anomalies=(Anomaly("x"),))
    assert "would hold" not in text.headline(failed)
    assert "nothing found" not in text.summary(failed)


def test_a_death_in_the_middle_is_a_line_of_its_own():
    """With its model; what follows happened in the world that it left."""
    ops = History()
    ops.add(Lane.USER, "open")
    ops.add(Lane.DISK, "create", "a")
    ops.add(Lane.DISK, "crash", "posix")
    ops.add(Lane.USER, "open")
    lines = text.sections(finding(history=ops, crash_after=4, anomaly=None, losses=()))[0][1].splitlines()
    assert lines[3] == "==== CRASH, op 3 ".ljust(74, "=") + " posix"
    assert lines[4] == "    4  open"
