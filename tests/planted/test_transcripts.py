"""Each planted bug of the transcript shows itself in a scenario that the reference transcript passes."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from itertools import count

import pytest

from reference_impl.transcript import EndedError, UnsavedError
from reference_impl.transcript.delivered import logs_in, read_log
from reference_impl.transcript.repair import UNKNOWN_OUTCOME
from tests.planted.transcripts import VARIANTS, Sound
from tests.reference_impl.transcript.helpers import (
    MOMENT,
    calls,
    contents,
    cut_after,
    die,
    flush,
    locked,
    opened,
    rows,
    said,
    says,
    shown,
    talk,
    writing,
)


def outline(old):
    """A summary without a model."""
    return f"{len(old)} messages"


def overlap(make, path):
    """Two turns overlap; both inputs and both replies are rows."""
    agent = make()
    first, second = agent.begin("one"), agent.begin("two")
    shown(second, says("2"))
    shown(first, says("1"))
    assert sorted(contents(path)) == ["1", "2", "one", "two"]


def shrunk(make, path):
    """A list that a repair has compacted below its history is flushed."""
    agent = make()
    history = [{"role": "user", "content": text} for text in "abc"]
    flush(agent.writer, history)
    messages = [*history, {"role": "user", "content": "d"}]
    flush(agent.writer, messages, history)
    agent.repair(messages)
    messages.append({"role": "assistant", "content": "partial"})
    flush(agent.writer, messages, history)
    assert contents(path) == ["a", "b", "c", "d", "partial"]


def addresses(make, path):
    """Messages come and go, and addresses are used again."""
    agent = make()
    for n in range(20):
        message = {"role": "user", "content": f"m{n}"}
        flush(agent.writer, [message])
        del message
    assert contents(path) == [f"m{n}" for n in range(20)]


def unsaved_history(make, path):
    """A reply that could not be saved is in the history of the next turn."""
    agent = make()
    with suppress(UnsavedError):
        stream = agent.begin("one").run(says("1"))
        next(stream)
        with locked(path):
            list(stream)
    talk(agent, "two", "2")
    assert sorted(contents(path)) == ["1", "2", "one", "two"]


def resumed(make, path):
    """A session is opened again, only looked at, and then goes on."""
    with closing(make()) as agent:
        talk(agent, "one", "1")
    make().close()
    talk(make(), "two", "2")
    assert contents(path) == ["one", "1", "two", "2"]


def outside_writer(make, path):
    """An outside writer saves a message first."""
    agent = make()
    message = {"role": "user", "content": "hello", "_message_id": "m1"}
    with writing(path) as outside:
        flush(outside, [dict(message)])
    flush(agent.writer, [message])
    assert contents(path) == ["hello"]


def merged(make, path):
    """A new message is merged with one that has its row."""
    agent = make()
    messages = [{"role": "user", "content": "saved"}]
    flush(agent.writer, messages)
    messages.append({"role": "user", "content": "new"})
    agent.repair(messages)
    flush(agent.writer, messages)
    assert any("new" in text for text in contents(path))


def edited(make, path):
    """A row is completed after it was written."""
    agent = make()
    message = {"role": "assistant", "content": ""}
    flush(agent.writer, [message])
    agent.amend(message, "filled in")
    flush(agent.writer, [message])
    assert contents(path) == ["filled in"]


def repeated(make, path):
    """The user says the same thing twice, on purpose."""
    agent = make()
    talk(agent, "yes", "ok")
    talk(agent, "yes", "ok")
    assert contents(path) == ["yes", "ok", "yes", "ok"]


def views(make, path):
    """A list that was repaired in place is flushed."""
    agent = make()
    messages = [{"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]}]
    agent.repair(messages)
    flush(agent.writer, messages)
    assert len(contents(path)) == 1


def refused(make, path):
    """A flush fails; others can write, and the next flush writes it all."""
    agent = make()
    talk(agent, "one", "1")
    with agent.database.transaction() as sql:
        sql.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.messages WHEN new.content = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    assert flush(agent.writer, [{"role": "user", "content": "good"}, {"role": "user", "content": "bad"}]) is False
    with locked(path):
        pass


def told(make, path):
    """The last flush of a turn fails: the caller is told, and nothing that was shown is lost."""
    agent = make()
    stream = agent.begin("one").run(says("1"))
    next(stream)
    with locked(path), pytest.raises(UnsavedError):
        list(stream)
    die(agent)
    make()
    assert contents(path) == ["one", "1"]


def still_clock(make, path):
    """The clock goes back between two messages."""
    hours = count(9, -1)
    agent = make(clock=lambda: f"2026-01-01T{next(hours):02}:00:00+00:00")
    agent.append({"role": "user", "content": "one"})
    agent.append({"role": "assistant", "content": "1"})
    assert said(agent.transcript()) == [("user", "one"), ("assistant", "1")]


def survivors(make, path):
    """After a split the child holds what survived, also for another process."""
    agent = make()
    talk(agent, "one", "1")
    talk(agent, "two", "2")
    agent.split(2, outline)
    talk(agent, "three", "3")
    assert [text for _, text in said(agent.transcript())][1:] == ["two", "2", "three", "3"]


def dies_in_split(make, path):
    """The process dies in the middle of a split; the next one can write."""
    agent = make()
    talk(agent, "one", "1")

    def die():
        raise KeyboardInterrupt

    agent.between = die
    with suppress(KeyboardInterrupt):
        agent.split(0, outline)
    agent.close()
    assert talk(make(), "two", "2") == "2"


def rotated(make, path):
    """What could not be saved before a split is in the session in which it was said."""
    agent = make()
    stream = agent.begin("one").run(says("1"))
    next(stream)
    with locked(path), suppress(UnsavedError):
        list(stream)
    agent.split(0, outline)
    assert said(agent.archived()) == [("user", "one"), ("assistant", "1")]


def inherits(make, path):
    """A child is routed and resumed by what its parent knew."""
    agent = make(profile={"source": "cli", "user_id": "u", "metadata": {"chat": 7}})
    talk(agent, "one", "1")
    agent.split(0, outline)
    assert rows(path, "SELECT DISTINCT source, user_id, metadata FROM sessions") == [("cli", "u", '{"chat": 7}')]


def same_answer(make, path):
    """An interrupted turn had shown what an earlier turn had said too."""
    agent = make()
    talk(agent, "one", "same")
    shown(agent.begin("two"), says("same", "!"), stop_after=1)
    assert contents(path) == ["one", "same", "two", "same"]


def second_message(make, path):
    """The turn is interrupted in its second message."""
    agent = make()
    shown(agent.begin("one"), calls("c", before="let me look", then=("found", " it")), stop_after=2)
    assert contents(path)[-1] == "found"


def stopped(make, path):
    """The user stops a reply; what was shown is its text."""
    agent = make()
    shown(agent.begin("one"), says("par", "tial"), stop_after=1)
    assert contents(path) == ["one", "par"]


def noticed(make, path):
    """The stream breaks after some text: the user is told, and the transcript knows."""
    agent = make()
    turn = agent.begin("one")
    shown(turn, cut_after("par"))
    assert "broke" in turn.result.undelivered


def quiet(make, path):
    """The stream ends without its terminal event."""
    agent = make()
    turn = agent.begin("one")
    shown(turn, cut_after("par", error=None))
    assert turn.result.outcome == "partial_stream_recovery"
    assert rows(path, "SELECT interrupted FROM messages WHERE role = 'assistant'") == [(1,)]


def journalled(make, path):
    """At the moment at which the user sees a piece, it is in the log."""
    agent = make()
    seen = ""
    for piece in agent.begin("one").run(says("a", "b", "c")):
        seen += piece
        logged = [one.text for log in logs_in(agent.disk, agent._home) for one in read_log(agent.disk, log)]
        assert logged == [seen]


def keeps_inputs(make, path):
    """Two inputs without a reply between them, then a request: each has its row, and memory agrees with the rows."""
    agent = make()
    agent.append({"role": "user", "content": "one"})
    talk(agent, "two", "2")
    assert contents(path) == ["one", "two", "2"]
    assert said(agent.messages) == said(agent.transcript())


def killed_in_tool(make, path):
    """The process dies between a call and its result; the model learns that the outcome is unknown."""
    agent = make()
    turn = agent.begin("write it")
    for event in calls("c")(turn.open()):
        turn.feed(event)
    turn.end_of_stream()
    die(agent)
    request = make().begin("and?").open()
    assert [m["content"] for m in request if m["role"] == "tool"] == [UNKNOWN_OUTCOME]


def unreadable(make, path):
    """The database is damaged; that is no empty session."""
    with closing(make()) as agent:
        talk(agent, "one", "1")
    (path / "state.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(Exception, match="not a database"):
        make()


SOURCE = [
    {"role": "user", "content": "yes", "_message_id": "m1", "_seq": 1},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}], "_message_id": "m2", "_seq": 2},
    {"role": "tool", "content": "ok", "tool_call_id": "c", "_message_id": "m3", "_seq": 3},
    {"role": "user", "content": "yes", "_message_id": "m4", "_seq": 4},
]


def hole(make, path):
    """The database lacks a row in the middle, and one without text, and one whose text is there already."""
    agent = make()
    flush(agent.writer, [dict(SOURCE[0]), dict(SOURCE[2])])
    agent.reconcile(SOURCE)
    assert rows(path, "SELECT message_id, content FROM messages ORDER BY seq") == [
        ("m1", "yes"),
        ("m2", None),
        ("m3", "ok"),
        ("m4", "yes"),
    ]


def killed_in_stream(make, path):
    """The process dies after the user has seen a piece."""
    agent = make()
    stream = agent.begin("one").run(says("par", "tial"))
    next(stream)
    die(agent)
    assert said(make().messages) == [("user", "one"), ("assistant", "par")]


def valid(make, path):
    """The next request is one that a strict provider accepts."""
    agent = make()
    flush(agent.writer, [])
    agent.append({"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "c"}]})
    request = agent.begin("b").open()
    assert [m["role"] for m in request] == ["user", "assistant", "tool", "user"]


SCENARIOS = {
    "Positional": overlap,
    "Clamped": shrunk,
    "KeepsAddresses": addresses,
    "StampsUnseen": unsaved_history,
    "FreshDicts": resumed,
    "OwnObjects": outside_writer,
    "MergesInPlace": merged,
    "AmendsUnseen": edited,
    "DropsEqual": repeated,
    "StampsFirst": unsaved_history,
    "WritesViews": views,
    "LeavesOpen": refused,
    "SwallowsErrors": told,
    "OrdersByClock": still_clock,
    "KeepsStamps": survivors,
    "EndsFirst": dies_in_split,
    "RotatesFirst": rotated,
    "BareChild": inherits,
    "BackfillsByText": same_answer,
    "BackfillsByRole": second_message,
    "StoresSentinel": stopped,
    "MarksShown": noticed,
    "QuietEnd": quiet,
    "ShowsFirst": journalled,
    "ForgetsFirst": told,
    "RepairsMemory": keeps_inputs,
    "PrunesCalls": killed_in_tool,
    "EmptyOnError": unreadable,
    "ReconcilesTheEnd": hole,
    "ReconcilesByContent": hole,
    "IgnoresLogs": killed_in_stream,
    "TrustsTheList": valid,
}


@pytest.fixture
def path(tmp_path):
    """Where the database of a scenario is."""
    return tmp_path / "home"


@pytest.fixture
def maker(path):
    """Makes agents of a kind, and lets go of their files in the end."""
    made = []

    def of(kind):
        def make(**options):
            agent = opened(path, kind=kind, **{"clock": lambda: MOMENT, **options})
            made.append(agent)
            return agent

        return make

    yield of
    for agent in made:
        die(agent)


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS.values()), key=lambda one: one.__name__), ids=lambda one: one.__name__)
def test_the_reference_passes(scenario, maker, path):
    """The transcript without a bug does what each scenario expects."""
    scenario(maker(Sound), path)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bug_shows(name, maker, path):
    """A planted bug fails its scenario by what it did: an assertion, a write that is refused, an error that is missing."""
    with pytest.raises((AssertionError, sqlite3.OperationalError, EndedError, pytest.fail.Exception)):
        SCENARIOS[name](maker(VARIANTS[name]), path)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_bug_hides_in_an_ordinary_turn(name, maker, path):
    """One turn that ends well looks right with every bug: that is why each of them needs its scenario."""
    agent = maker(VARIANTS[name])()
    assert talk(agent, "hello", "h", "i") == "hi"
    assert contents(path) == ["hello", "hi"]


def test_every_bug_has_a_scenario():
    """And there are enough of them."""
    assert set(SCENARIOS) == set(VARIANTS)
    assert len(VARIANTS) >= 15
