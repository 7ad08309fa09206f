"""The sweep: what it finds, what it passes, what it refuses, and that it does the same thing twice."""

from __future__ import annotations

import base64
import json
import mmap
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_durability import Append, Commit, Message, Promise, Reload
from pytest_durability.errors import AdapterError, InconclusiveError, RecorderError, UsageError
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.verdict import (
    Anomaly,
    DamageSpread,
    Duplicate,
    LostAcknowledged,
    Reordered,
    Resurrected,
    SilentEmpty,
    Unloadable,
    Verdict,
)
from tests.planted import stores


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


class Notes:
    """A minimal adapter over one JSON Lines file; subclasses override where they differ."""

    def open(self, world):
        return world.root / "notes.jsonl"

    def append(self, store, message):
        with open(store, "a") as file:
            file.write(json.dumps([message.role, message.text]) + "\n")

    def transcript(self, store):
        if not store.exists():
            return []
        rows = []
        for line in store.read_text().split("\n")[:-1]:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return [Message(role, text) for role, text in rows]


def test_a_sound_store_passes_every_model(context):
    """No finding of any kind, and numbers that show that something was tried."""
    report = sweep(stores.adapter(stores.Sound), context=context)
    assert report.verdict is Verdict.VALID
    assert report.portability == ()
    assert [model.model for model in report.models] == ["process-kill", "strict", "ext4-delalloc", "posix", "netput"]
    assert all(model.states > 20 for model in report.models)
    assert report.models[0].deeper > 0


def test_what_is_fatal_follows_from_the_promise(context):
    """A store that promises to survive a kill passes, and is told what a power cut would take."""
    adapter = stores.adapter(stores.NoSync, acknowledged="process-kill")
    report = sweep(adapter, context=context)
    assert {type(found) for found in report.portability} == {LostAcknowledged}
    assert {found.result.model for found in report.portability} <= {"ext4-delalloc", "posix"}
    with pytest.raises(LostAcknowledged):
        sweep(adapter, models=["ext4-delalloc"], context=context)


def consistent(store, **promise):
    """An adapter that promises to stay consistent when a write is lost that the system acknowledged."""
    return type(store.__name__, (stores.adapter(store),), {"promise": Promise("power-loss", lost_writes="consistent", **promise)})


LOST_CLEAR = [Append("user", "zu1z one"), Append("assistant", "za1z two"), Commit(1), Append("user", "zu2z three")]


def test_a_lost_clear_is_found_without_being_told(context):
    """The clear was acknowledged and never stored, later writes were: archived messages are live again."""
    with pytest.raises(ExceptionGroup) as found:
        sweep(consistent(stores.TrustsLive), LOST_CLEAR, models=["netput"], context=context)
    [anomaly] = found.value.subgroup(Resurrected).exceptions
    assert str(anomaly.result.schedule).count("lost-put(session/live.jsonl)") == 1
    [loss] = anomaly.result.losses
    assert loss.what.startswith("PUT session/live.jsonl")
    assert "os.replace(temporary, self.live)" in line_of(loss.site)
    assert "may lose one PUT that it acknowledged" in str(anomaly)


def line_of(site):
    """The source line of the stores that a site names."""
    path, _, number = site.rpartition(":")
    assert path.endswith("planted/stores.py")
    return Path(stores.__file__).read_text().splitlines()[int(number) - 1]


def test_a_sound_store_keeps_everything_but_what_no_copy_survives_of(context):
    """A message whose only PUT was lost may be missing; nothing else goes wrong, in the healing neither."""
    report = sweep(consistent(stores.Sound), models=["netput"], context=context)
    assert report.verdict is Verdict.VALID
    [model] = report.models
    assert (model.lagging, model.versions, model.cut_short) == (1, 4, False)
    assert model.deeper > 100


class ForgetsIndex(Notes):
    """Keeps the number of its lines in a second file and shows no more lines than that."""

    def append(self, store, message):
        Notes.append(self, store, message)
        count = len(store.read_text().split("\n")) - 1
        with open(store.with_name("count"), "w") as file:
            file.write(str(count))

    def transcript(self, store):
        path = store.with_name("count")
        return Notes.transcript(self, store)[: int(path.read_text() or 0) if path.exists() else 0]


def test_a_message_that_is_still_stored_is_not_excused(context):
    """What was lost is a counter; the messages are there, and leaving them out is a finding."""
    with pytest.raises((DamageSpread, SilentEmpty, ExceptionGroup)) as found:
        sweep(ForgetsIndex, [Append("user", "one"), Append("user", "two")], models=["netput"], context=context)
    group = found.value.exceptions if isinstance(found.value, ExceptionGroup) else [found.value]
    assert any("lost-put(count)" in str(error.result.schedule) for error in group)


class NeverCloses(Notes):
    """Flushes and syncs nothing: its file stays open."""

    def append(self, store, message):
        self.file = getattr(self, "file", None) or open(store, "a")
        self.file.write(json.dumps([message.role, message.text]) + "\n")
        self.file.flush()


def test_what_was_never_closed_is_lost_and_not_excused(context):
    """That is what such a mount does every day, and no fault of one PUT."""
    with pytest.raises(LostAcknowledged, match="stores nothing of a change before the file is closed"):
        sweep(NeverCloses, [Append("user", "one")], models=["netput"], context=context)


class Packed(Notes):
    """Stores its texts in a form in which no mark can be read."""

    def append(self, store, message):
        Notes.append(self, store, Message(message.role, base64.b64encode(message.text.encode()).decode()))

    def transcript(self, store):
        return [Message(m.role, base64.b64decode(m.text).decode()) for m in Notes.transcript(self, store)]


def test_a_store_that_packs_its_texts_is_given_the_benefit_of_the_doubt(context):
    """Which messages a lost PUT took cannot be read there, so none of them is asked for."""
    assert sweep(Packed, [Append("user", "one"), Append("user", "two")], models=["netput"], context=context).states == 3


def test_lost_writes_are_fatal_if_they_are_promised(context):
    """Otherwise the same finding is told as portability."""
    report = sweep(stores.adapter(stores.LosesOrder, acknowledged="clean-exit"), context=context)
    assert "netput" in {found.result.model for found in report.portability}
    modest = type("Modest", (stores.adapter(stores.LosesOrder),), {"promise": Promise("clean-exit", lost_writes="consistent")})
    with pytest.raises((Reordered, ExceptionGroup)):
        sweep(modest, context=context)


def test_a_promise_can_name_its_file_systems(context):
    """A missing directory sync is nothing to a store that claims power loss on ext4 after a later fsync only."""

    class OnStrict(stores.adapter(stores.NoSync)):
        promise = Promise(acknowledged="power-loss", filesystems=("strict",))

    report = sweep(OnStrict, context=context)
    assert report.portability


def test_two_sweeps_are_the_same(context):
    """Same store, same report, same cases, whatever else happened before."""

    def once():
        try:
            sweep(stores.adapter(stores.JournalTwice), context=context)
        except Anomaly as anomaly:
            return [(str(anomaly), anomaly.result.case_id, str(anomaly.result.schedule), anomaly.result.history.to_jsonl())]
        except ExceptionGroup as group:
            return [(str(error), error.result.case_id) for error in group.exceptions]

    assert once() == once() != None  # noqa: E711  both must have found something


def test_processes_of_their_own_give_the_same_verdicts(context):
    """Isolation by process finds what the default finds, and passes what it passes."""
    sweep(
        stores.adapter(stores.Sound),
        [Append("user", "one"), Commit(1)],
        models=["process-kill"],
        isolation="process",
        context=context,
    )
    with pytest.raises(Unloadable):
        sweep(
            stores.adapter(stores.Brick), [Append("user", "one")], models=["process-kill"], isolation="process", context=context
        )


def test_workers_share_the_states_among_them(context):
    """An executor with two processes tries the same states and finds the same thing as one process."""
    adapter = stores.JOURNAL_TWICE
    alone = tried = None
    with pytest.raises(Duplicate) as found:
        sweep(adapter, models=["process-kill"], context=context)
    alone = found.value
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool, pytest.raises(Duplicate) as found:
        sweep(adapter, models=["process-kill"], context=context, executor=pool)
    tried = found.value
    assert tried.identity == alone.identity
    assert [model.states for model in tried.report.models] == [model.states for model in alone.report.models]


def test_threads_are_refused(context):
    """Two recordings cannot share the file functions of one process, so a thread pool is an error."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="ThreadPoolExecutor"):
        sweep(Notes, context=context, executor=pool)


class InPlaceHeal(stores.TwoWrites):
    """Heals a torn tail by rewriting the file in place: only a crash during the healing shows it."""

    def load(self):
        data = self.read(self.live)
        messages, good = self.parse(data)
        if good < len(data):
            with open(self.live, "wb") as file:
                file.write(data[:good])
                file.flush()
                os.fsync(file.fileno())
        archived = {m["id"] for m in self.archived()}
        return [m for m in messages if m["id"] not in archived]


def test_depth_two_crashes_the_healing(context):
    """A heal that is not atomic passes at depth 1 and fails at depth 2, and the second crash is in the schedule."""
    steps = [Append("user", "one"), Append("user", "two")]
    adapter = stores.adapter(InPlaceHeal)
    assert sweep(adapter, steps, models=["process-kill"], depth=1, context=context).verdict is Verdict.VALID
    with pytest.raises(LostAcknowledged) as found:
        sweep(adapter, steps, models=["process-kill"], depth=2, context=context)
    assert str(found.value.result.schedule).count("Crash(") == 2


class Coroutines(Notes):
    """The same store behind async methods."""

    async def open(self, world):
        return Notes.open(self, world)

    async def append(self, store, message):
        Notes.append(self, store, message)

    async def transcript(self, store):
        return Notes.transcript(self, store)


def test_async_adapters_are_awaited(context):
    """Methods may be coroutines, in any mixture."""
    assert sweep(Coroutines, models=["process-kill"], context=context).verdict is Verdict.VALID


class Generators(Notes):
    """Keeps messages in a suspended generator whose `finally` would save them: a kill must not run it."""

    def open(self, world):
        path = Notes.open(self, world)

        def saver():
            rows = []
            try:
                while True:
                    rows.append((yield))
            finally:
                with open(path, "a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)

        self.running = saver()
        next(self.running)
        return path

    def append(self, store, message):
        self.running.send([message.role, message.text])

    def close(self, store):
        self.running.close()


def test_the_dead_stay_dead(context):
    """What only a `finally` of a dropped generator would save is lost in a kill, and found without any crash state."""
    with pytest.raises(LostAcknowledged):
        sweep(Generators, [Append("user", "one"), Reload()], models=["process-kill"], context=context)


class Buffered(Notes):
    """Leaves an acknowledged line in a user-space buffer."""

    def append(self, store, message):
        if not hasattr(self, "file"):
            self.file = open(store, "a")
        self.file.write(json.dumps([message.role, message.text]) + "\n")


def test_buffers_die_with_the_process(context):
    """A line that sits in a buffer when the process is killed is lost, not written later by a destructor."""
    with pytest.raises(LostAcknowledged):
        sweep(Buffered, models=["process-kill"], context=context)


LEAKED = []


class Leaking(Notes):
    """Keeps its messages in a list of the module."""

    def append(self, store, message):
        LEAKED.append(Message(message.role, message.text))

    def transcript(self, store):
        return list(LEAKED)


def test_state_that_leaks_between_lives_asks_for_processes(context):
    """A store with module state would pass everything by memory; the canary says so and names the way out."""
    LEAKED.clear()
    with pytest.raises(UsageError, match='isolation="process"'):
        sweep(Leaking, [Append("user", "one")], context=context)


class Mapped(Notes):
    """Writes through a mapping of the file, which the recorder cannot see."""

    def append(self, store, message):
        size = store.stat().st_size if store.exists() else 0
        line = (message.text + "\n").encode()
        with open(store, "ab") as file:
            file.truncate(size + len(line))
        with open(store, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[size:] = line


def test_what_cannot_be_recorded_is_refused(context):
    """A store that writes past the recorder is refused by name, never passed."""
    with pytest.raises(RecorderError, match="do not explain what is on disk: notes"):
        sweep(Mapped, context=context)


def wrong(name, **members):
    """A broken adapter."""
    return type(name, (Notes,), members)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        (wrong("NoOpen", open=None), r"NoOpen lacks open"),
        (wrong("NoAppend", append=None), r"lacks append\(store, message\) or turn"),
        (
            wrong("Dicts", transcript=lambda self, store: [{"role": "user"}]),
            r"Dicts.transcript gave \{'role': 'user'\} of type dict",
        ),
        (wrong("Text", transcript=lambda self, store: "hello"), r"Text.transcript gave 'hello' of type str"),
        (
            wrong(
                "Upper", transcript=lambda self, store: [Message(m.role, m.text.upper()) for m in Notes.transcript(self, store)]
            ),
            r"given 'zu1z .*shows 'ZU1Z",
        ),
        (wrong("Raises", append=lambda self, store, message: 1 / 0), r"append raised ZeroDivisionError.*without any fault"),
        (wrong("Promises", promise="power-loss"), r"promise is 'power-loss', not a Promise"),
        (wrong("Refuses", refuses=ValueError), r"refuses is .*not a tuple"),
        (wrong("Needs", __init__=lambda self, path: None), r"Needs cannot be made without arguments"),
        (42, r"42 is not an adapter"),
    ],
)
def test_a_wrong_adapter_is_told_before_anything_runs(adapter, message, context):
    """One clear message, of the right type, with the offending value."""
    with pytest.raises(AdapterError, match=message):
        sweep(adapter, context=context)


def test_a_step_that_the_adapter_cannot_do_is_told(context):
    """A commit in the workload of a store without commits is an error, not a step that is left out."""
    with pytest.raises(AdapterError, match="no commit method"):
        sweep(Notes, [Append("user", "one"), Commit(1)], context=context)


def test_an_instance_is_copied_for_each_run(context):
    """An adapter given as an instance is not changed by the sweep."""
    adapter = Notes()
    adapter.marker = []
    sweep(adapter, models=["process-kill"], context=context)
    assert vars(adapter) == {"marker": []}


def test_a_crashing_checker_fails_the_sweep(context, monkeypatch):
    """UNKNOWN is not a pass."""
    from pytest_durability.checkers import order

    def broken(seen, due):
        raise ZeroDivisionError

    monkeypatch.setattr("pytest_durability.checkers.CHECKERS", (("order", broken),))
    monkeypatch.setattr("pytest_durability.checkers.judge.__defaults__", ((("order", broken),),))
    assert order.check
    with pytest.raises(InconclusiveError, match="checker order crashed: ZeroDivisionError"):
        sweep(Notes, models=["process-kill"], context=context)


class Doubles(Notes):
    """Stores every message twice, without any fault."""

    def append(self, store, message):
        Notes.append(self, store, message)
        Notes.append(self, store, message)


def test_a_bug_that_needs_no_fault_is_a_finding(context):
    """The calibration run is judged too; its case has an empty schedule and replays."""
    with pytest.raises(Duplicate, match="no fault at all") as found:
        sweep(Doubles, context=context)
    assert str(found.value.result.schedule) == ""
    assert (context.directory / f"{found.value.result.case_id}.json").exists()


class Refusing(Notes):
    """Refuses a directory that it does not know, on purpose and loudly."""

    refuses = (PermissionError,)

    def open(self, world):
        folder = world.root / "s"
        if folder.exists() and not (folder / "ok").exists():
            raise PermissionError("not a session")
        if not folder.exists():
            folder.mkdir()
            (folder / "ok").touch()
        return folder / "notes"


def test_a_declared_refusal_is_legal_while_nothing_is_at_stake(context):
    """Refusing a half-made session is allowed if declared; not declared, it is Unloadable."""
    assert sweep(Refusing, models=["process-kill"], context=context).verdict is Verdict.VALID
    with pytest.raises(Unloadable):
        sweep(type("Undeclared", (Refusing,), {"refuses": ()}), models=["process-kill"], context=context)


def test_a_case_that_cannot_be_saved_does_not_hide_the_finding(context, tmp_path):
    """A directory that is a file: the finding is raised all the same, and says that there is no case."""
    (tmp_path / "cases").write_text("a file")
    with pytest.raises(Unloadable) as found:
        sweep(stores.adapter(stores.Brick), context=context)
    assert "was not saved" in found.value.result.note
