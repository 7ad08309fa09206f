"""Searches and sweeps on the fake disk: what a store with fixed paths has wrong is found there, and nothing of it reaches the real one."""

from __future__ import annotations

import gc
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from pytest_durability import SessionMachine
from pytest_durability.errors import UnsupportedError, UsageError
from pytest_durability.explore.case import Case, load, save
from pytest_durability.explore.gate import check, run_machine
from pytest_durability.explore.replay import replay
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.report import html, text
from pytest_durability.verdict import Unloadable, Verdict
from tests.planted import fixed, overlaps, stores
from tests.planted.found import findings

pytest.importorskip("pyfakefs")
KILL = ["process-kill"]
SEARCH = {"seed": 1, "max_examples": 3, "models": ["process-kill", "ext4-delalloc"]}


@pytest.fixture
def context(tmp_path):
    """Cases go to a directory of their own."""
    return Context(directory=tmp_path / "cases", rootdir=tmp_path)


@pytest.fixture
def place(tmp_path):
    """A place that can be written to in reality; the test fails if anything appears there, then or when the dead are finalised."""
    yield tmp_path / "var" / "agent"
    gc.collect()
    assert not (tmp_path / "var").exists()
    assert not os.path.exists("/durability")


@pytest.mark.parametrize("store", [fixed.FixedTurns, fixed.FixedScratch])
def test_a_sound_store_with_a_fixed_path_passes(store, place, context):
    """Both by a sweep and by a search, in which something was tried; the report says on which disk."""
    adapter = fixed.made(store, place)
    reports = [sweep(adapter, disk="fake", context=context), check(adapter, disk="fake", context=context, **SEARCH)]
    for report in reports:
        assert report.verdict is Verdict.VALID
        assert report.states > 20
        assert report.disk == "fake"
        assert "on the fake disk" in text.headline(report)
        assert "on the fake disk" in text.summary(report).splitlines()[0]


@pytest.mark.parametrize("store", [fixed.FixedNoSync, fixed.FixedInPlace])
def test_a_bug_of_a_fixed_path_is_found_shrunk_and_run_again(store, place, context):
    """In few steps; its case knows the disk, so that it runs again there without being told, with the same proof."""
    adapter = fixed.made(store, place)
    swept = findings(lambda: sweep(adapter, disk="fake", depth=1, context=context))
    searched = findings(lambda: check(adapter, disk="fake", context=context, **SEARCH))
    for found in (swept, searched):
        assert Unloadable in {type(anomaly) for anomaly in found}
    for anomaly in (*swept, *searched):
        case = load(anomaly.result.case_id, context.directory)
        assert case.disk == anomaly.result.disk == anomaly.report.disk == "fake"
        assert "the fake one" in text.reproduce(anomaly.result)
        assert "on the fake disk" in html.page(anomaly.result)
        with pytest.raises(type(anomaly)) as again:
            replay(case, adapter=adapter, context=context)
        assert str(again.value) == str(anomaly)
        assert again.value.result.case_id == case.id
    assert all(len(anomaly.result.workload) <= 3 for anomaly in searched)


def shown(anomaly):
    """A finding without the path of the world's root in the recorded tree."""
    told = [str(part) for part in (anomaly, anomaly.result.workload, anomaly.result.schedule)]
    return anomaly.identity, [part.replace("fsync-dir durability ", "fsync-dir  ").replace("durability/", "") for part in told]


@pytest.mark.parametrize("store", [stores.Sound, stores.NoSync, stores.WedgedByError])
def test_both_disks_give_the_same_answer(store, context):
    """A store that goes where it is sent: the same findings with the same proof and story, and the same numbers of everything."""
    adapter = stores.adapter(store)
    answers = []
    for disk in ("files", "fake"):
        reports = []
        found = findings(lambda disk=disk, kept=reports: kept.append(sweep(adapter, disk=disk, models=KILL, context=context)))
        found += findings(lambda disk=disk, kept=reports: kept.append(check(adapter, disk=disk, context=context, **SEARCH)))
        reports += [anomaly.report for anomaly in found if anomaly.report is not None]
        figures = [(one.steps, one.operations, one.models) for one in reports]
        answers.append(([shown(anomaly) for anomaly in found], figures))
    assert answers[0] == answers[1]
    assert bool(answers[0][0]) == (store is not stores.Sound)


def test_overlaps_are_searched_on_the_fake_disk(context):
    """Turns that are made at once, in a chosen order, over fake files: a lost update is found, and its case fails again."""
    options = {"disk": "fake", "models": KILL, "faults": ["ReorderTurns"], "seed": 1, "max_examples": 2, "context": context}
    found = findings(lambda: check(overlaps.Unlocked, **options))
    assert [type(anomaly).__name__ for anomaly in found] == ["NotSerialisable"]
    with pytest.raises(type(found[0])):
        replay(found[0].result.case_id, adapter=overlaps.Unlocked, context=context)


def test_a_process_of_its_own_is_hosted(place, context):
    """The harness may fork, because a child has a copy of the fake tree: the same findings as without."""
    adapter = fixed.made(fixed.FixedInPlace, place)
    same, apart = (
        findings(lambda kind=kind: sweep(adapter, disk="fake", isolation=kind, models=KILL, depth=1, context=context))
        for kind in ("same", "process")
    )
    assert [str(anomaly) for anomaly in apart] == [str(anomaly) for anomaly in same] != []


def refused(question):
    """The misuse that a call is refused for."""
    with pytest.raises((UnsupportedError, UsageError)) as caught:
        question()
    return caught.value


def test_what_a_fake_disk_cannot_host_is_refused(place, context):
    """A database, and workers, with what, why and the disk that can do it; nothing was saved."""
    adapter = fixed.made(fixed.FixedDatabase, place)
    options = {"disk": "fake", "context": context}
    errors = [refused(lambda: sweep(adapter, **options)), refused(lambda: check(adapter, **options, **SEARCH))]
    with ProcessPoolExecutor(1) as executor:
        errors.append(refused(lambda: sweep(fixed.made(fixed.Fixed, place), executor=executor, **options)))
    for error, what in zip(errors, ("sqlite3.connect", "sqlite3.connect", "ProcessPoolExecutor"), strict=True):
        assert isinstance(error, UnsupportedError)
        assert what in error.what
        assert error.why
        assert 'disk="files"' in error.fix
    assert not context.directory.exists()


class Machine(SessionMachine):
    """Of the user's own."""

    adapter = fixed.Fixed


@pytest.mark.parametrize(("call", "subject"), [(check, fixed.Fixed), (sweep, fixed.Fixed), (run_machine, Machine)])
def test_an_unknown_disk_is_refused(call, subject, context):
    """Before anything is made, with the two that there are."""
    told = refused(lambda: call(subject, disk="ram", context=context))
    assert told.what == "disk='ram'"
    assert "'files', 'fake'" in told.fix
    assert not fixed.PLACE.exists()


def test_a_machine_of_ones_own_runs_on_the_fake_disk(context):
    """It passes with a sound store, and nothing is left of it."""
    report = run_machine(Machine, disk="fake", models=KILL, seed=1, max_examples=3, context=context)
    assert (report.verdict, report.disk) == (Verdict.VALID, "fake")
    assert not fixed.PLACE.exists()


def test_a_case_of_the_real_disk_is_not_tried_first_on_the_fake_one(place, context):
    """It would write to the real paths; cases of before there was a choice are of the real disk."""
    context = Context(directory=context.directory, rootdir=context.rootdir, test="test")
    adapter = fixed.made(fixed.Fixed, place)
    workload = "Append(role='user', text='zu1z one')"
    path = save(Case("tests.planted.fixed:Fixed", workload, "Crash(after='ack:u1:1')", test="test"), context.directory)
    assert load(path.stem, context.directory).disk == "files"
    assert check(adapter, disk="fake", context=context, **SEARCH).verdict is Verdict.VALID
