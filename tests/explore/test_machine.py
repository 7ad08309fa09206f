"""What the machine draws, beyond appends and a crash: deaths in the middle, failing calls, retries, second objects, hostile text."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from pytest_durability import Append, Commit, Message, On, PowerLoss, Promise, SessionMachine, WriteError
from pytest_durability.errors import AdapterError, UsageError
from pytest_durability.explore.gate import check, run_machine
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.faults import Crash
from pytest_durability.verdict import Anomaly, LostAcknowledged, RetryDoubled, Unloadable, VacuousRun, Verdict, Wedged
from tests.planted import stores

KILL = ["process-kill"]


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


def findings(adapter, context, **options):
    """All fatal anomalies of a search."""
    found = []
    try:
        check(adapter, context=context, **{"seed": 1, "max_examples": 24, **options})
    except* Anomaly as group:
        found.extend(group.exceptions)
    return found


def types(found):
    """Their types."""
    return {type(anomaly) for anomaly in found}


def story(anomaly):
    """Steps in which something is said or committed, and everything that goes wrong before the end."""
    steps = [step for step in anomaly.result.workload if step.says() or isinstance(step, Commit)]
    wrong = [fault for fault in anomaly.result.schedule if not isinstance(fault, Crash)]
    wrong += [step for step in anomaly.result.workload if type(step).__name__ in ("PowerLoss", "FullDisk")]
    return steps, wrong


def test_a_line_that_is_glued_to_a_torn_one_is_found(context):
    """It takes a death in the middle of the story: what was said after it is lost."""
    found = findings(stores.adapter(stores.GluesTail), context, faults=["Crash"], models=KILL, max_examples=40)
    assert found
    for anomaly in found:
        steps, wrong = story(anomaly)
        assert (len(steps) <= 3, len(wrong)) == (True, 1)
        assert any(isinstance(step, PowerLoss) for step in anomaly.result.workload)


@pytest.mark.parametrize("store", [stores.WedgedByError, stores.WedgedByTail])
def test_a_store_that_takes_nothing_more_is_wedged(store, context):
    """After a failed write in the same process, or after a torn tail; the shortest story is told, and it replays."""
    (anomaly,) = [found for found in findings(stores.adapter(store), context, models=KILL) if isinstance(found, Wedged)]
    steps, wrong = story(anomaly)
    assert (len(steps) <= 3, len(wrong)) == (True, 1)
    with pytest.raises(Wedged) as again:
        replay(anomaly.result.case_id, adapter=stores.adapter(store), context=context)
    assert str(again.value) == str(anomaly)


def test_a_store_that_is_used_no_more_after_an_error_is_not_wedged(context):
    """The adapter says so, and the finding names the attribute."""
    adapter = stores.adapter(stores.WedgedByError)
    (anomaly,) = findings(adapter, context, models=KILL)
    assert "after_error = 'reopen'" in str(anomaly)
    adapter.after_error = "reopen"
    assert findings(adapter, context, models=KILL) == []


class Forgets:
    """Knows a repeated id as long as the process lives; `lasting` looks into the file."""

    promise = Promise(acknowledged="process-kill", retry="idempotent")
    handles = 1
    lasting = False

    def open(self, world):
        path = world.root / world.session
        path.touch()
        self.known = {line.split("\t")[0] for line in self.lines(path)} if self.lasting else set()
        return path

    def lines(self, path):
        return path.read_text().split("\n")[:-1]

    def append(self, path, message):
        if message.id not in self.known:
            with open(path, "a", newline="") as file:
                file.write("\t".join([message.id, message.role, ascii(message.text)]) + "\n")
            self.known.add(message.id)

    def transcript(self, path):
        rows = [line.split("\t") for line in self.lines(path)]
        return [Message(role, __import__("ast").literal_eval(text)) for _, role, text in rows]


class Remembers(Forgets):
    """The sound one."""

    lasting = True


@pytest.mark.parametrize("faults", [["LostAck"], None])
def test_a_retry_that_adds_a_copy_is_found(faults, context):
    """The caller repeats a call with its id in the next process; the store had promised to know it."""
    found = findings(Forgets, context, faults=faults, models=KILL, max_examples=40)
    assert RetryDoubled in types(found)
    (anomaly,) = [anomaly for anomaly in found if isinstance(anomaly, RetryDoubled)]
    assert "Retry()" in str(anomaly.result.workload)
    assert len(anomaly.result.workload) <= 3


def test_a_store_that_knows_a_retry_passes(context):
    """Whatever answer got lost."""
    assert findings(Remembers, context, faults=["LostAck"], models=["process-kill"]) == []


def test_without_the_promise_a_retry_may_add_a_copy(context):
    """Two copies of a message whose answer was lost are legal, and so is one."""
    assert findings(stores.adapter(stores.Sound), context, faults=["LostAck"], models=KILL) == []


def test_a_second_store_object_must_not_undo_what_the_first_one_did(context):
    """A store that keeps what it read writes over the other's messages; the finding says what it takes and how to rule it out."""
    found = findings(stores.adapter(stores.Sound, opened=2), context, faults=["Crash"], models=KILL)
    assert LostAcknowledged in types(found)
    for anomaly in found:
        assert any(isinstance(step, On) for step in anomaly.result.workload)
        assert "needs a second store object" in str(anomaly)
        assert "handles = 1" in str(anomaly)
    assert findings(stores.adapter(stores.Rereads, opened=2), context, models=KILL) == []


class Busy(Exception):
    """The session is open elsewhere."""


class OpensOnce(stores.Sound):
    """Refuses to be opened a second time by the same process."""

    held: object = None

    def __init__(self, folder):
        marker = folder.parent / "held"
        if marker.exists() and marker.read_text() == str(self.held):
            raise Busy
        super().__init__(folder)


def refusing(*, declared):
    """An adapter that holds one store object a life; `declared`: callers know the refusal."""
    sound = stores.adapter(stores.Sound, opened=2)

    class Adapter(sound):
        refuses = (Busy,) if declared else ()

        def open(self, world):
            if any(op.kind == "open" and "handle" in op.note for op in world.history[-1:]):
                raise Busy
            return super().open(world)

    return Adapter


def test_a_second_store_object_may_be_refused(context):
    """By an exception that callers know; by another one it is a question to the adapter, told as such."""
    assert findings(refusing(declared=True), context, models=KILL) == []
    with pytest.raises(AdapterError, match="declare handles = 1"):
        check(refusing(declared=False), context=context, seed=1)


def test_one_session_must_not_hurt_another(context):
    """Archives that two sessions share, with numbers that both use, take messages of the other one."""
    found = findings(stores.with_sessions(stores.SharesArchive), context, faults=["Crash"], models=KILL)
    assert found
    assert all("session='other'" in str(anomaly.result.workload) for anomaly in found)
    again = replay(found[0].result.case_id, adapter=stores.with_sessions(stores.Sound), context=context)
    assert again.verdict is Verdict.VALID


def test_all_sessions_are_one_role(context):
    """A store whose sessions leave each other alone passes; a fault in one of them counts for all, and cases name the real files."""
    report = check(stores.with_sessions(stores.Sound), models=KILL, max_examples=24, seed=1, context=context)
    roles = {point.role for point in report.coverage.reached | report.coverage.never}
    assert "<session>/live.jsonl" in roles
    assert not [role for role in roles if role.startswith(("session", "other"))]
    found = findings(stores.with_sessions(stores.InPlace), context, faults=["Crash"], models=KILL, max_examples=4)
    assert "session/live.jsonl" in str(found[0].result.schedule)


def test_a_text_that_cannot_be_written_may_be_refused(context):
    """A lone surrogate has no encoding; a store that says so and keeps the rest is sound, one that loses the rest is not."""
    adapter = stores.adapter(stores.RefusesText)
    assert findings(adapter, context, models=KILL, max_examples=20) == []
    found = findings(stores.adapter(stores.Clips), context, faults=["Crash"], models=KILL, max_examples=12)
    assert LostAcknowledged in types(found)


class WritesAnything(stores.Sound):
    """Writes surrogates that it cannot read."""

    def line(self, record):
        return json_line(record)

    def parse(self, data):
        data.decode()
        return super().parse(data)


def json_line(record):
    """A line of JSON with every character as itself, surrogates too."""
    import json

    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def test_a_text_that_is_taken_must_be_loadable(context):
    """A store that acknowledges a lone surrogate and cannot read it back has lost the session."""
    found = findings(stores.adapter(WritesAnything), context, faults=["Crash"], models=KILL, max_examples=60)
    assert Unloadable in types(found)


@pytest.mark.parametrize("store", [stores.GluesTail, stores.TwoWrites, stores.TrustsLive, stores.InPlace])
def test_what_a_search_finds_replays_without_it(store, context):
    """To the last letter: proof, story and faults; and the case says which models suffice."""
    found = findings(stores.adapter(store), context, max_examples=8)
    assert found
    for anomaly in found:
        result = anomaly.result
        with pytest.raises(type(anomaly)) as again:
            replay(result.case_id, adapter=stores.adapter(store), context=context)
        assert str(again.value) == str(anomaly)
        assert (again.value.result.workload, again.value.result.schedule) == (result.workload, result.schedule)
        assert again.value.result.case_id == result.case_id
        assert not result.model or result.model in result.fails_under


def test_the_models_that_suffice_are_told(context):
    """A missing sync is no matter of a killed process; after a pass, the promise that would have held too."""
    anomaly = findings(stores.adapter(stores.NoSync), context, faults=["Crash"], max_examples=6)[0]
    assert set(anomaly.result.fails_under) == {"ext4-delalloc", "posix"}
    assert {"process-kill", "strict"} <= set(anomaly.result.holds_under)
    modest = stores.adapter(stores.Sound, acknowledged="process-kill")
    report = check(modest, max_examples=3, seed=1, context=context)
    assert report.stronger == 'Promise(acknowledged="power-loss")'
    assert {"strict", "ext4-delalloc", "posix"} <= set(report.holds_under)


def test_what_was_reached_is_measured(context):
    """Crashes after every kind of operation, and faults at some of them; what never struck is named."""
    coverage = check(stores.adapter(stores.Sound), max_examples=20, seed=1, context=context).coverage
    assert {"Crash", "ENOSPC", "EIO"} <= {point.fault for point in coverage.reached}
    assert ("write", "session/live.jsonl", "Crash") in {(p.kind, p.role, p.fault) for p in coverage.reached}
    assert coverage.never
    assert not {point.fault for point in coverage.never} - {"ENOSPC", "EIO", "ShortWrite", "Crash"}


def test_a_fault_that_never_struck_is_no_pass(context):
    """It was asked for by its place, and no story ever got there."""
    with pytest.raises(VacuousRun, match="never struck"):
        check(stores.adapter(stores.Sound), faults=[WriteError("write:nowhere:1")], max_examples=10, seed=1, context=context)


def test_an_event_loop_that_runs_is_told(context):
    """A check inside a coroutine cannot await the store."""

    async def inside():
        check(stores.adapter(stores.Sound), context=context)

    with pytest.raises(UsageError, match="inside a running event loop"):
        asyncio.run(inside())


def test_a_store_may_live_in_a_process_of_its_own(context):
    """Then the steps are collected and played there; the finding is the same kind of case."""
    found = findings(stores.adapter(stores.Brick), context, isolation="process", models=KILL, max_examples=2)
    assert types(found) == {Unloadable}


class Notebook(SessionMachine):
    """A user's machine: one more rule, and an invariant on the living store."""

    adapter = stores.adapter(stores.Sound)

    @rule(word=st.sampled_from(["yes", "no"]))
    def agree(self, word):
        self.append("user", word)
        self.do(Append("assistant", f"za{900 + len(self.transcript())}z noted"))

    @invariant()
    def nothing_is_shouted(self):
        assert not any("HELLO" in message.text for message in self.transcript())


def test_a_machine_of_the_users_own_runs(context):
    """Its rules and invariants are used, and the session is judged besides."""
    report = run_machine(Notebook, max_examples=5, seed=1, context=context)
    assert report.verdict is Verdict.VALID
    assert report.examples == 5

    class Broken(Notebook):
        adapter = stores.adapter(stores.Brick)

    with pytest.raises(Unloadable):
        run_machine(Broken, max_examples=5, seed=1, context=context, faults=["Crash"])


def test_what_an_invariant_says_leaves_as_it_is(context):
    """With the steps that led to it."""

    class Impatient(Notebook):
        @invariant()
        def nobody_agrees(self):
            assert not any(message.text.endswith(("yes", "no")) for message in self.transcript())

    with pytest.raises(AssertionError) as found:
        run_machine(Impatient, max_examples=100, seed=1, context=context)
    assert not isinstance(found.value, Anomaly)
    assert any("agree(word=" in note for note in found.value.__notes__)


def test_a_machine_needs_an_adapter_and_the_harness(context):
    """Each mistake is told as such."""
    with pytest.raises(AdapterError, match="names no adapter"):
        run_machine(type("Nameless", (SessionMachine,), {}), context=context)
    with pytest.raises(UsageError, match="give a subclass of SessionMachine"):
        run_machine(stores.Sound, context=context)
    with pytest.raises(UsageError, match=r"durability\.run_machine"):
        Notebook()
