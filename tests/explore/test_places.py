"""Plain stories: what struck where, what a glance sees, and what a struck story need not be crashed for again."""

from __future__ import annotations

import random

import pytest

from pytest_durability.arming import STREAMS
from pytest_durability.explore import places
from pytest_durability.explore.examine import Examiner
from pytest_durability.explore.gate import check
from pytest_durability.explore.places import GLANCES, strike_places
from pytest_durability.explore.search import Search
from pytest_durability.explore.settings import Context
from pytest_durability.faults import Schedule
from pytest_durability.persistence import resolve
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly, LostAcknowledged, LostDelivered
from pytest_durability.workload import Append, AppendMany, Commit, Reload, Workload
from pytest_durability.world.arena import Arena
from tests.planted import stores, streams

STORY = Workload(
    (
        Append("user", "zu1z hello"),
        AppendMany(Append("assistant", "za2z hello").says()),
        Reload(),
        Commit(1),
        Append("user", "zu3z hello"),
    )
)
NAMES = ("ENOSPC", "EIO", "ReadEIO", "ShortWrite")


@pytest.fixture
def searching():
    """Makes a search for a planted store; all that are made share one arena."""
    with Arena(0) as arena:

        def made(store):
            runner = Runner(stores.adapter(store), arena)
            models = tuple(resolve(("process-kill", "ext4-delalloc", "posix")))
            return Search(runner, models, frozenset(model.name for model in models), limit=300, names=NAMES)

        yield made


def struck(search):
    """The story as it is, and once for each spot with a fault there."""
    recording = search.runner.played(STORY, Schedule(), arming=True)
    found, known, arms = places._places(search, recording), set(), []
    while more := list(places._spots(recording, found, random.Random(1), known)):
        assert len(more) <= GLANCES
        arms += more
    return recording, arms


def test_every_spot_is_struck_once(searching):
    """Each fault strikes each operation of a call that is unlike the others; every one of them does strike."""
    search = searching(stores.Sound)
    _, arms = struck(search)
    faults = []
    for arm in arms:
        told = search.runner.played((arm, *STORY), Schedule(), arming=True)
        faults += [str(fault) for _, fault in told.struck]
    assert len(faults) == len(arms)
    assert len(set(faults)) > len(arms) * 3 // 4, "spots of several reads may come out at one"
    assert {fault.split("(")[0] for fault in faults} == {"WriteError", "ShortWrite"}


def kinds(search, told, since):
    """What the crash states of a story show, by model."""
    case = search._case(Workload(told.steps), told, Schedule())
    examiner = Examiner(search.runner, case, limit=10_000, since=since)
    return {model.name: examiner.examine(model.name) for model in search.models}


@pytest.mark.parametrize("store", [stores.Sound, stores.GluesTail])
def test_a_struck_story_is_judged_from_the_strike_on(searching, store):
    """Leaving out what was judged without the fault changes no finding, and saves states."""
    search = searching(store)
    plain, arms = struck(search)
    before = set().union(*(tally.kinds for tally in kinds(search, plain, 0).values()))
    saved = 0
    for arm in random.Random(3).sample(arms, 6):
        told = search.runner.played((arm, *STORY), Schedule(), arming=True)
        whole, rest = kinds(search, told, 0), kinds(search, told, min(told.strikes))
        for name, tally in whole.items():
            assert tally.kinds - before == rest[name].kinds - before
            saved += tally.cuts - rest[name].cuts
    assert saved > 0


def test_a_glance_sees_what_a_fault_did(searching):
    """A tail that is left after a failed write and glued to the next message shows at the end; a sound store shows nothing."""
    seen = {}
    for store in (stores.Sound, stores.GluesTail):
        search = searching(store)
        _, arms = struck(search)
        stories = [search.runner.played((arm, *STORY), Schedule(), arming=True) for arm in arms]
        seen[store] = [told for told in stories if search.glance(told)]
        for told in seen[store][:2]:
            with pytest.raises(Anomaly):
                search.examine(told, Schedule())
    assert not seen[stores.Sound]
    assert seen[stores.GluesTail]


def test_the_plain_stories_alone_find_it(searching):
    """Without a single draw, whatever the seed."""
    for seed in range(3):
        search = searching(stores.GluesTail)
        strike_places(search, "dev", seed)
        assert search.found


@pytest.mark.parametrize(
    ("adapter", "anomaly", "breaks"),
    [
        (stores.adapter(stores.Sound, opened=2), LostAcknowledged, ()),
        (stores.with_sessions(stores.SharesArchive), Anomaly, ()),
        (streams.SavesAtTheEnd, LostDelivered, tuple(STREAMS)),
    ],
    ids=["second handle", "second session", "turn"],
)
def test_other_handles_and_sessions_and_turns_are_in_plain_stories(adapter, anomaly, breaks):
    """What takes a second store object, a second session, or a reply that breaks is found without a draw."""
    with Arena(0) as arena:
        kill = tuple(resolve("process-kill"))
        search = Search(Runner(adapter, arena), kill, frozenset(["process-kill"]), limit=300, streams=breaks)
        strike_places(search, "dev", 1)
    assert [type(told.anomaly) for told in search.found.values() if isinstance(told.anomaly, anomaly)]


def test_a_second_bug_gets_fewer_stories(tmp_path):
    """Once the test is going to fail, a quarter of the stories is enough; both bugs of a store are still told apart."""
    with pytest.raises((Anomaly, ExceptionGroup)) as found:
        check(stores.adapter(stores.NoSync), seed=1, max_examples=80, context=Context(directory=tmp_path))
    told = found.value.exceptions if isinstance(found.value, ExceptionGroup) else [found.value]
    report = told[0].report
    assert len({type(anomaly) for anomaly in told}) > 1
    assert report is None or report.examples < 80
