"""Habits that sound stores have are no findings, and the bug that looks most like each of them is one."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest

from pytest_durability import Append, Message, Promise
from pytest_durability.explore.examine import Examiner
from pytest_durability.explore.settings import Context
from pytest_durability.explore.sweep import sweep
from pytest_durability.faults import LostWrite, Schedule, place_of
from pytest_durability.runner import Runner
from pytest_durability.verdict import Anomaly, Resurrected
from pytest_durability.world.arena import Arena
from tests.planted import stores

MODELS = ["process-kill", "ext4-delalloc", "posix"]


def told(adapter, tmp_path: Path, steps=None) -> dict[str, str]:
    """The names of all fatal anomalies that a sweep finds, with what they say."""
    found: dict[str, str] = {}
    try:
        sweep(adapter, steps, models=MODELS, context=Context(directory=tmp_path))
    except* Anomaly as group:
        found.update((type(error).__name__, str(error)) for error in group.exceptions)
    return found


class Quotes(stores.Sound):
    """A commit replaces the older messages by a notice that quotes the beginning of the first one."""

    def commit(self, keep):
        cut = max(0, len(self.messages) - keep)
        old, kept = self.messages[:cut], self.messages[cut:]
        if old:
            notice = {"id": old[0]["id"], "role": "system", "text": "Earlier: " + old[0]["text"][:24]}
            self.clear([notice, *kept])
            self.messages = [notice, *kept]


def test_a_summary_may_quote_what_it_replaces(tmp_path):
    """The quoted message is still seen, the ones behind it are not, and neither is a loss or half a message."""
    assert told(stores.adapter(Quotes, archives=False), tmp_path) == {}


class Renames(stores.adapter(stores.TwoWrites)):
    """Shows assistant messages under the name that another provider gives them."""

    def transcript(self, session):
        roles = {"assistant": "model"}
        return [Message(roles.get(m["role"], m["role"]), m["text"]) for m in session.messages]


def test_roles_may_be_renamed(tmp_path):
    """What a healthy run shows under another role may come back under it."""
    assert told(Renames, tmp_path) == {}


class ForgetsRoles(stores.TwoWrites):
    """After a torn tail, everything that is left was said by the user."""

    def load(self):
        torn = not self.read(self.live).endswith(b"\n")
        messages = super().load()
        return [{**m, "role": "user"} for m in messages] if torn else messages


def test_a_role_that_changes_in_a_crash_is_a_loss(tmp_path):
    """An answer that comes back as a question is not what was acknowledged."""
    found = told(stores.adapter(ForgetsRoles), tmp_path)
    assert "comes back as user instead of assistant" in found["LostAcknowledged"]


MOMENTS = itertools.count()


class Dates(stores.adapter(stores.TwoWrites)):
    """Opens each session with a notice that tells the time."""

    def transcript(self, session):
        now = next(MOMENTS)
        notice = Message("system", f"It is {now // 60 % 24:02}:{now % 60:02}:00 on 2024-01-{now % 28 + 1:02}.")
        return [notice, *super().transcript(session)]


def test_a_notice_may_tell_the_time(tmp_path):
    """Two opens at two moments show two times."""
    assert told(Dates, tmp_path) == {}


class Merges(stores.adapter(stores.TwoWrites)):
    """Merges neighbours of one role into one row, without a separator."""

    def transcript(self, session):
        groups = itertools.groupby(session.messages, key=lambda m: m["role"])
        return [Message(role, "".join(m["text"] for m in group)) for role, group in groups]


def test_rows_may_be_merged_without_a_separator(tmp_path):
    """The marks in the middle are found."""
    assert told(Merges, tmp_path, [Append("user", text) for text in ("one", "two", "in 2024", "four")]) == {}


class Torn(Exception):
    """The last record is cut off."""


class Refuses(stores.TwoWrites):
    """Does not load a session with a torn tail."""

    def load(self):
        data = self.read(self.live)
        if self.parse(data)[1] < len(data):
            raise Torn
        return super().load()


class RefusesUnsynced(Refuses):
    """The same without fsync, so that acknowledged records can be torn too."""

    def write(self, data):
        stores.NoSync.write(self, data)


def refusing(store, **promise):
    """An adapter that declares the refusal."""
    members = {"refuses": (Torn,), "promise": Promise(acknowledged="power-loss", **promise)}
    return type("Refusing", (stores.adapter(store),), members)


def test_a_torn_tail_may_be_refused_if_promised(tmp_path):
    """Not otherwise, and not by a store whose tail tears while nothing is being written."""
    assert told(refusing(Refuses, torn_tail="refuse"), tmp_path) == {}
    assert set(told(refusing(Refuses), tmp_path)) == {"Unloadable"}
    assert "Unloadable" in told(refusing(RefusesUnsynced, torn_tail="refuse"), tmp_path)


def ending_with(error):
    """A store that answers a torn tail with this exception."""

    class Ends(stores.TwoWrites):
        def load(self):
            data = self.read(self.live)
            if self.parse(data)[1] < len(data):
                raise error
            return super().load()

    return stores.adapter(Ends)


@pytest.mark.parametrize("error", [SystemExit("corrupt"), asyncio.CancelledError()], ids=["exit", "cancelled"])
def test_a_store_that_gives_up_is_unloadable(error, tmp_path):
    """Exceptions that are no `Exception` are failures of the store too."""
    found = told(ending_with(error), tmp_path)
    assert set(found) == {"Unloadable"}
    assert type(error).__name__ in found["Unloadable"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=["ctrl-c", "closing"])
def test_what_is_not_the_stores_own_passes(error, tmp_path):
    """Ctrl-C ends the run, whatever was being tried."""
    with pytest.raises(type(error)):
        told(ending_with(error), tmp_path)


def test_the_outcome_of_a_test_passes(tmp_path):
    """`pytest.skip` in a store skips the test."""
    with pytest.raises(pytest.skip.Exception):
        told(ending_with(pytest.skip.Exception("not here")), tmp_path)


class GivesNothing(stores.adapter(stores.SilentEmpty)):
    """Returns None instead of an empty list when a session cannot be read."""

    def transcript(self, session):
        return super().transcript(session) or (None if session.read(session.live) else [])


def test_a_wrong_type_after_a_crash_is_a_finding(tmp_path):
    """A healthy run proved that the adapter gives messages, so it is the store that fails."""
    found = told(GivesNothing, tmp_path)
    assert set(found) == {"Unloadable"}
    assert "GivesNothing.transcript gave None of type NoneType; without a crash the type is right" in found["Unloadable"]


class Titled(stores.Sound):
    """Keeps a title beside the session, which quotes its first message, written before that message is."""

    def append_many(self, pairs):
        title = self.folder / "title.txt"
        if not title.exists():
            stores.replace(title, pairs[0][1].encode("utf-8", "surrogatepass"))
        super().append_many(pairs)


class Overviews(stores.Sound):
    """Keeps an overview beside the session, which quotes the beginnings of all messages, archived or not."""

    def append_many(self, pairs):
        super().append_many(pairs)
        self.describe()

    def commit(self, keep):
        super().commit(keep)
        self.describe()

    def describe(self):
        quotes = [m["text"][:24] for m in [*self.archived(), *self.messages]]
        stores.replace(self.folder / "overview.md", "\n".join(quotes).encode("utf-8", "surrogatepass"))


class Compacts(Titled):
    """The same with a commit that drops the older messages, so that the title outlives what it quotes."""

    def put_archive(self, old):
        pass


@pytest.mark.parametrize("store", [Titled, Overviews])
def test_what_quotes_a_message_is_no_copy_of_it(store, tmp_path):
    """After a lost or late write nobody recovers a message from a title or an overview, and nobody has to."""
    adapter = stores.adapter(store)
    assert sweep(adapter, models=["netput"], depth=2, context=Context(directory=tmp_path)).anomalies == ()
    with Arena() as arena:
        runner = Runner(adapter, arena)
        steps = runner.workload()
        history = runner.prepare(steps).history
        places = [place_of(history, op.seq) for op in history if op.kind == "write"]
        for place in places:
            case = runner.prepare(steps, Schedule((LostWrite(str(place)),)))
            assert Examiner(runner, case).examine("process-kill").suspects == []
    assert len(places) > 10


def test_a_title_that_outlives_its_message_is_no_copy_either(tmp_path):
    """A compaction whose clear is lost brings messages back, which nothing here can heal; but nothing that was lost is missed."""
    with pytest.raises(Resurrected):
        sweep(stores.adapter(Compacts, archives=False), models=["netput"], context=Context(directory=tmp_path))
