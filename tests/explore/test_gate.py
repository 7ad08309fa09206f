"""The property gate: it finds every planted bug, shrinks it, repeats itself, and passes what is sound."""

from __future__ import annotations

import pytest

from pytest_durability import Message, Promise
from pytest_durability.errors import AdapterError, UsageError
from pytest_durability.explore.gate import check
from pytest_durability.explore.settings import Context
from pytest_durability.faults import Crash
from pytest_durability.verdict import Anomaly, DamageSpread, LostAcknowledged, VacuousRun, Verdict
from tests.planted import stores

FOUND = {
    "NoSync": {"LostAcknowledged"},
    "NoDirectorySync": {"LostAcknowledged"},
    "Brick": {"Unloadable"},
    "InPlace": {"LostAcknowledged"},
    "TornAsText": {"Phantom"},
    "HealGrows": {"HealNotIdempotent"},
    "RewritesHealthy": {"HealedHealthy"},
    "JournalTwice": {"Duplicate"},
    "LosesOrder": {"Reordered"},
    "ClearsFirst": {"LostAcknowledged"},
}


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


def findings(store, context, **options):
    """All fatal anomalies of a search."""
    found = []
    try:
        check(stores.adapter(store), context=context, **{"seed": 1, **options})
    except* Anomaly as group:
        found.extend(group.exceptions)
    return found


def test_a_sound_store_passes(context):
    """Under crashes, full disks, I/O errors and short writes; and the report shows that something was tried."""
    report = check(stores.adapter(stores.Sound), seed=1, context=context)
    assert report.verdict is Verdict.VALID
    assert report.portability == ()
    assert report.steps == 56
    assert report.states > 1000


@pytest.mark.parametrize("name", FOUND)
def test_each_planted_bug_is_found_and_shrunk(name, context):
    """By its anomaly, with at most three steps of the user and one fault besides the crash at the end; each is saved."""
    found = findings(getattr(stores, name), context, max_examples=16)
    assert {type(anomaly).__name__ for anomaly in found} >= FOUND[name]
    for anomaly in found:
        if type(anomaly).__name__ in FOUND[name]:
            assert len(anomaly.result.workload) <= 2
            assert len(anomaly.result.schedule) <= 1
        faults = [fault for fault in anomaly.result.schedule if not isinstance(fault, Crash)]
        said = [step for step in anomaly.result.workload if step.says()]
        assert (len(said) <= 3, len(faults) <= 1) == (True, True)
        assert (context.directory / f"{anomaly.result.case_id}.json").exists()


def test_a_bug_that_needs_an_error_and_then_a_crash_is_found(context):
    """A line written in two pieces is glued to the next one after a full disk: no crash alone shows that."""
    found = findings(stores.TwoWrites, context, faults=["WriteError"], models=["process-kill"])
    assert {type(anomaly) for anomaly in found} & {DamageSpread, LostAcknowledged}
    assert all("WriteError" in f"{anomaly.result.schedule} {anomaly.result.workload}" for anomaly in found)


def test_the_same_seed_is_the_same_search(context):
    """Two searches find the same story, to the last letter."""

    def told():
        return [
            (str(anomaly), str(anomaly.result.workload), str(anomaly.result.schedule))
            for anomaly in findings(stores.ClearsFirst, context, max_examples=10)
        ]

    assert told() == told() != []


def test_the_ci_profile_needs_no_seed(context, tmp_path):
    """Without a seed the profile `ci` does the same every time, whatever seed the run has."""

    def told(seed):
        own = Context(directory=tmp_path / "c", profile="ci", seed=seed)
        return [str(anomaly.result.workload) for anomaly in findings(stores.InPlace, own, seed=None, max_examples=10)]

    assert told(1) == told(2) != []


def test_a_saved_case_runs_first(context, monkeypatch):
    """What failed before is replayed before anything is searched; once repaired, the search goes on."""
    named = Context(directory=context.directory, test="tests/test_x.py::test_y")
    first = findings(stores.Brick, named)
    monkeypatch.setattr("pytest_durability.explore.gate._searched", lambda *_: pytest.fail("searched"))
    again = findings(stores.Brick, named)
    assert [str(anomaly) for anomaly in again] == [str(anomaly) for anomaly in first]


def test_models_that_are_named_are_fatal(context):
    """A store that promises a kill only fails under a model that the test names, and is told about it otherwise."""
    adapter = stores.adapter(stores.NoSync, acknowledged="process-kill")
    assert LostAcknowledged in {type(found) for found in check(adapter, max_examples=6, seed=1, context=context).portability}
    with pytest.raises((Anomaly, ExceptionGroup)):
        check(adapter, models=["ext4-delalloc"], max_examples=6, seed=1, context=context)


def test_async_adapters_can_be_checked(context):
    """Coroutines all the way."""
    sync = stores.adapter(stores.Sound, archives=False)

    class Adapter:
        promise = sync.promise

        async def open(self, world):
            return sync().open(world)

        async def append(self, store, message):
            store.append(message.role, message.text)

        async def transcript(self, store):
            return sync().transcript(store)

    assert check(Adapter, max_examples=5, seed=1, context=context).verdict is Verdict.VALID


class Elsewhere:
    """Keeps everything in a place that the world does not have."""

    def open(self, world):
        return []

    def append(self, store, message):
        pass

    def transcript(self, store):
        return []


def test_a_store_that_writes_elsewhere_is_not_passed(context):
    """Nothing acknowledged comes back, without any fault at all."""
    with pytest.raises(LostAcknowledged, match="no fault at all"):
        check(Elsewhere, seed=1, context=context)


def test_a_store_that_writes_nothing_is_vacuous(context, tmp_path):
    """A store whose files lie outside of the root could not be crashed: that is a failure, not a pass."""
    count = iter(range(10**6))

    class Outside:
        def open(self, world):
            world.root.mkdir(exist_ok=True)
            return tmp_path / "where" / str(next(count))

        def append(self, store, message):
            pass

        def transcript(self, store):
            return []

    with pytest.raises((VacuousRun, LostAcknowledged)):
        check(Outside, max_examples=3, seed=1, context=context)


def test_a_write_is_lost_once(context):
    """A drawn lost write and a lost PUT are two lies, which no store has to survive; what a mount may do is one of them."""

    class Consistent(stores.adapter(stores.Sound)):
        promise = Promise("power-loss", lost_writes="consistent")

    report = check(Consistent, faults=["LostWrite"], models=["netput"], seed=2, max_examples=60, context=context)
    assert report.verdict is Verdict.VALID


def test_a_store_that_is_not_deterministic_is_told(context):
    """A store that fails now and then cannot be shrunk; the message says what to look for."""
    opened = iter(range(10**6))

    class Moody(stores.adapter(stores.Sound, archives=False)):
        def transcript(self, store):
            rows = super().transcript(store)
            return rows[:-1] if next(opened) % 7 == 6 else rows

    with pytest.raises((UsageError, Anomaly, ExceptionGroup)):
        check(Moody, max_examples=12, seed=1, context=context)


@pytest.mark.parametrize("faults", [["Earthquake"], [42], "Earthquake", ["RejectRequest"]])
def test_faults_that_cannot_be_staged_are_refused(faults, context):
    """With the names of those that can."""
    with pytest.raises(UsageError, match="choose from: Crash, WriteError"):
        check(stores.adapter(stores.Sound), faults=faults, context=context)


def test_a_wrong_adapter_is_told_before_the_search(context):
    """Once, not once per example."""

    class Wrong:
        def open(self, world):
            return None

    with pytest.raises(AdapterError, match="lacks transcript"):
        check(Wrong, context=context)


def test_messages_come_back_whole(context):
    """A store that cuts texts at a line separator is found by the texts that are drawn."""

    class Lines:
        def open(self, world):
            return world.root / "log.txt"

        def append(self, store, message):
            with open(store, "ab") as file:
                file.write(f"{message.role}\t{message.text}".replace("\n", "\\n").encode() + b"\n")

        def transcript(self, store):
            rows = store.read_bytes().decode().splitlines() if store.exists() else []
            return [Message(*row.split("\t", 1)) for row in rows if "\t" in row]

    with pytest.raises(LostAcknowledged, match="another text") as found:
        check(Lines, faults=["Crash"], models=["process-kill"], seed=1, context=context)
    assert len(found.value.result.workload) == 1
