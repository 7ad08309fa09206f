"""The file session store of strands-agents 1.62.0, unaided: what the harness finds in a released project, and what it must not find.

Source: https://github.com/strands-agents/sdk-python, `src/strands/session/file_session_manager.py`. Everything that is
claimed about a kill is claimed again by real kills, which know nothing of computed crash states.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_durability import (
    Anomaly,
    Append,
    LostAcknowledged,
    Message,
    NotSerialisable,
    Promise,
    Reload,
    SilentEmpty,
    Unloadable,
)
from pytest_durability.checkers.overlapped import judge_overlap
from pytest_durability.checkers.wholes import Whole
from pytest_durability.world.process import in_child, kill_now
from pytest_durability.world.turns.processes import Processes

strands = pytest.importorskip("strands")

from strands.hooks import MessageAddedEvent  # noqa: E402  after the import that may skip this module
from strands.models import Model  # noqa: E402
from strands.session import FileSessionManager  # noqa: E402
from strands.types.exceptions import SessionException  # noqa: E402

logging.getLogger("strands").setLevel(logging.ERROR)
ALREADY = "SessionException: Session s already exists"


class Silent(Model):
    """A model that is never asked; an agent cannot be made without one."""

    def update_config(self, **config):
        raise NotImplementedError

    def get_config(self):
        return {}

    def structured_output(self, *args, **kwargs):
        raise NotImplementedError

    def stream(self, *args, **kwargs):
        raise NotImplementedError


class Strands:
    """A real agent with a session manager; a message is acknowledged when the hooks that save it have returned."""

    def open(self, world):
        manager = FileSessionManager("s", storage_dir=str(world.root))
        return strands.Agent(model=Silent(), session_manager=manager, agent_id="a", callback_handler=None)

    def append(self, agent, message):
        added = {"role": message.role, "content": [{"text": message.text}]}
        agent.messages.append(added)
        agent.hooks.invoke_callbacks(MessageAddedEvent(agent=agent, message=added))

    def transcript(self, agent):
        return [Message(m["role"], m["content"][0]["text"]) for m in agent.messages]


class Repaired(Strands):
    """With what an application can do about the first finding: a session that was never finished is made anew."""

    def open(self, world):
        session = world.root / "session_s"
        if session.exists() and not (session / "session.json").exists():
            shutil.rmtree(session)
        return super().open(world)


class Refusing(Strands):
    """For an application that takes the exception for an answer; it is none once a message was acknowledged."""

    refuses = (SessionException,)


class PowerLoss(Repaired):
    """With a promise that the project does not make."""

    promise = Promise(acknowledged="power-loss")


# Real kills. An audit hook sees each call before it happens, whoever makes it, and cannot be bypassed by the store.
SEEN = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir")
SAID = (Message("user", "u1"), Message("assistant", "a1"), Message("user", "u2"))


def uses(root, kill_before, acknowledge):
    """A first use of the session, killed before the call with this number (from 1; 0: never); gives the calls."""
    calls = []

    def audit(event, arguments):
        if event in SEEN and (isinstance(arguments[0], int) or str(arguments[0]).startswith(str(root))):
            calls.append((event, arguments[:2]))
            if len(calls) == kill_before:
                kill_now()

    sys.addaudithook(audit)
    adapter = Strands()
    agent = adapter.open(SimpleNamespace(root=root))
    for message in SAID:
        adapter.append(agent, message)
        os.write(acknowledge, message.text.encode() + b" ")
    return [(event, [str(argument) for argument in arguments]) for event, arguments in calls]


def reads(root):
    """What another process finds, twice: the texts, or the words of the exception."""
    adapter = Strands()
    seen = []
    for _ in range(2):
        try:
            seen.append([message.text for message in adapter.transcript(adapter.open(SimpleNamespace(root=root)))])
        except SessionException as error:
            seen.append(f"SessionException: {error}")
    assert seen[0] == seen[1]
    return seen[0]


def killed(folder, kill_before):
    """Kill a first use and read it again: (its root, how the process ended, what it acknowledged, what is read)."""
    root = folder / f"killed-before-{kill_before}"
    root.mkdir()
    with open(folder / f"acknowledged-{kill_before}", "w+b") as file:
        ended = in_child(uses, root, kill_before, file.fileno())
        file.seek(0)
        acknowledged = file.read().decode().split()
    tree = shape({path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()})
    return tree, ended, acknowledged, in_child(reads, root).value


def shape(files):
    """A tree without what differs between two runs: names of temporary files, and times."""
    shaped = []
    for path, data in files.items():
        folder, _, name = path.rpartition("/")
        try:
            content = json.loads(data)
        except ValueError:
            content = f"{len(data)} bytes"
        if isinstance(content, dict):
            content = json.dumps({key: value for key, value in content.items() if not key.endswith("_at")}, sort_keys=True)
        shaped.append((folder, "*" if name.endswith(".tmp") else name, content))
    return tuple(sorted(shaped))


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    """A real kill before every call of a first use: (what was killed, tree, acknowledged, what is read) in order."""
    folder = tmp_path_factory.mktemp("kills")
    calls = killed(folder, 0)[1].value
    assert calls, "the audit hook sees the store"
    done = []
    for number, (event, arguments) in enumerate(calls, start=1):
        tree, ended, acknowledged, seen = killed(folder, number)
        assert ended.killed, f"the child ended with {ended.status} before call {number}"
        done.append(((event, Path(arguments[-1 if event == "os.rename" else 0]).name), tree, acknowledged, seen))
    return done


def test_real_kills_agree_that_only_the_creation_is_deadly(kills):
    """From the first directory until session.json has its name a kill is final; before and after it nothing is lost."""
    calls = [call for call, *_ in kills]
    first = calls.index(("os.mkdir", "session_s")) + 1
    last = calls.index(("os.rename", "session.json"))
    for number, (_, _, acknowledged, seen) in enumerate(kills):
        if first <= number <= last:
            assert (acknowledged, seen) == ([], ALREADY)
        else:
            assert seen[: len(acknowledged)] == acknowledged
            assert seen == [message.text for message in SAID][: len(seen)]
    assert last - first == 5, "six kill positions"


def test_each_real_kill_leaves_a_computed_state(durability, kills):
    """The trees that real kills leave are exactly the trees that are computed from one recording of the same use."""
    with durability.world() as world:
        adapter = Strands()
        agent = adapter.open(world)
        for message in SAID:
            adapter.append(agent, message)
        computed = [shape(state.files) for state in world.disk.crash_states("process-kill")]
    # The last state, in which everything is done, comes after the last call that a kill could prevent.
    assert {tree for _, tree, *_ in kills} == set(computed[:-1])


def test_a_kill_in_the_creation_is_found_unaided(durability):
    """Under its own promise one thing is fatal: a session killed while it is created can never be opened again."""
    with pytest.raises(Unloadable) as found:
        durability.sweep(Strands)
    anomaly = found.value
    assert ALREADY in str(anomaly)
    assert anomaly.kind == "SessionException"
    assert "file_session_manager.py" in anomaly.site
    assert (anomaly.result.model, anomaly.result.losses, anomaly.result.fatal) == ("process-kill", (), True)
    assert anomaly.report.anomalies == (anomaly,)
    assert anomaly.report.unknown == ()


def test_the_saved_case_fails_again_in_the_same_way(durability):
    """A replay needs no search and tells the same finding, at the same place in the store."""
    with pytest.raises(Unloadable) as found:
        durability.sweep(Strands, models=["process-kill"])
    with pytest.raises(Unloadable) as again:
        durability.replay(found.value.result.case_id)
    assert again.value.identity == found.value.identity
    assert again.value.summary == found.value.summary
    assert ALREADY in str(again.value)


def test_the_crash_of_the_case_is_in_the_creation(durability):
    """The crash comes after the session's directory was made, and before session.json has its name."""
    with pytest.raises(Unloadable) as found:
        durability.sweep(Strands, models=["process-kill"], depth=1)
    result = found.value.result
    done = [(op.kind, op.target) for op in result.history[: result.crash_after]]
    assert ("mkdir", "session_s") in done
    assert ("rename", "session_s/session.json") not in done
    assert ("rename", "session_s/session.json") in [(op.kind, op.target) for op in result.history]


def test_every_computed_kill_in_the_creation_is_final(durability):
    """The states without session.json, and no other ones, cannot be opened: the same verdict as that of the real kills."""
    with durability.world() as world:
        adapter = Strands()
        adapter.append(adapter.open(world), SAID[0])
        for state in list(world.disk.crash_states("process-kill")):
            made = state.first >= 1
            with state.mounted() as root:
                if made and not (root / "session_s" / "session.json").exists():
                    with pytest.raises(SessionException, match="already exists"):
                        adapter.open(world)
                else:
                    adapter.open(world)


@pytest.mark.parametrize("isolation", ["same", "process"])
@pytest.mark.parametrize("adapter", [Repaired, Refusing])
def test_nothing_else_is_wrong_under_a_kill(durability, adapter, isolation):
    """The control: later kills lose nothing, and times in agent.json or left-over temporary files raise no false alarm."""
    report = durability.sweep(adapter, models=["process-kill", "strict"], isolation=isolation)
    assert report.anomalies == ()
    assert report.portability == ()
    assert report.states > 40


def test_a_longer_conversation_survives_kills(durability):
    """The control with restarts, equal texts and more than ten messages (names are then sorted by number, not by text)."""
    steps = [Message(("user", "assistant")[i % 2], f"{i % 5} and so on") for i in range(13)]
    durability.sweep(Repaired, [*steps[:5], Reload(), *steps[5:], Reload(), Append("user", "last")], models=["process-kill"])


def anomalies(durability, adapter, **options):
    """The fatal anomalies of a sweep, at least one."""
    with pytest.raises((Anomaly, ExceptionGroup)) as found:
        durability.sweep(adapter, **options)
    return found.value.exceptions if isinstance(found.value, ExceptionGroup) else (found.value,)


def test_a_power_cut_empties_a_published_file_under_ext4(durability):
    """A rename to a new name does not carry its data along: one empty file, and no message of the session can be read."""
    found = anomalies(durability, Repaired, models=["ext4-delalloc"])
    (unloadable,) = [anomaly for anomaly in found if isinstance(anomaly, Unloadable)]
    assert "Invalid JSON in file <root>/session_s/" in str(unloadable)
    assert "Expecting value: line 1 column 1 (char 0)" in str(unloadable)
    assert unloadable.result.expected, "an acknowledged message stands behind it"
    assert {type(anomaly) for anomaly in found} == {Unloadable, LostAcknowledged}


def test_one_empty_file_costs_the_session_under_ext4(durability):
    """The newest message, or agent.json while its replacement is not committed, may be empty: no message can be read then."""
    empty = set()
    with durability.world() as world:
        adapter = Strands()
        adapter.append(adapter.open(world), SAID[0])
        done = len(world.history)
        for state in [state for state in world.disk.crash_states("ext4-delalloc") if state.first <= done <= state.last]:
            names = {path.rpartition("/")[2] for path, data in state.files.items() if not data and path.endswith(".json")}
            if "agent.json" in names:
                assert any(loss.what.startswith("rename") and "agent.json" in loss.what for loss in state.losses)
            if names:
                with state.mounted(), pytest.raises(SessionException, match="Invalid JSON"):
                    adapter.open(world)
            empty |= names
    assert empty == {"session.json", "agent.json", "message_0.json"}


def test_three_things_go_wrong_where_names_persist_one_by_one(durability):
    """Under posix the sweep finds all ways to fail, the rare ones among many more states of the frequent one.

    A session that opens empty first and full the second time is told by the graver of the two.
    """
    found = anomalies(durability, Repaired, workload=SAID[:1], models=["posix"], depth=1)
    assert {type(anomaly) for anomaly in found} == {Unloadable, LostAcknowledged, SilentEmpty}


def test_every_saved_case_fails_again(durability):
    """Each finding, fatal or not, was saved, and its replay shows the same kind of failure with the same lost operations."""
    report = durability.sweep(Repaired, SAID[:1])
    assert report.portability
    for anomaly in report.portability:
        with pytest.raises(type(anomaly)) as again:
            durability.replay(anomaly.result.case_id)
        assert again.value.identity == anomaly.identity
        assert again.value.result.losses == anomaly.result.losses


def test_a_lost_name_opens_an_empty_session_under_posix(durability):
    """Where names persist one by one, agent.json may be lost and the messages kept: the session then opens as a new one."""
    with durability.world() as world:
        adapter = Strands()
        adapter.append(adapter.open(world), SAID[0])
        hidden = [state for state in world.disk.crash_states("posix") if "session_s/agents/agent_a/agent.json" not in state.files]
        hidden = [
            state for state in hidden if any(b"u1" in data for path, data in state.files.items() if path.endswith("_0.json"))
        ]
        hidden = [state for state in hidden if state.files.get("session_s/session.json")]
        assert hidden
        with hidden[0].mounted():
            assert adapter.transcript(adapter.open(world)) == []
            assert [message.text for message in adapter.transcript(adapter.open(world))] == ["u1"]


def test_power_loss_is_portability_unless_it_is_promised(durability):
    """What a power cut may take is only reported under the default promise, and fatal for an adapter that promises more."""
    report = durability.sweep(Repaired, SAID[:1], depth=1)
    assert report.anomalies == ()
    assert {type(anomaly) for anomaly in report.portability} >= {LostAcknowledged, Unloadable}
    assert {type(anomaly) for anomaly in anomalies(durability, PowerLoss, workload=SAID[:1], depth=1)} >= {
        LostAcknowledged,
        Unloadable,
    }


# Two processes that both resumed the session, as two workers behind one load balancer do.
TURNS = (("uA", "aA"), ("uB", "aB"))


def overlapped(root, stops_at):
    """One turn in each of two processes, the first of which stands before its `stops_at`-th rename while the other one runs; what is left."""

    def worker(texts):
        def run():
            adapter = Strands()
            agent = adapter.open(SimpleNamespace(root=root))
            for role, text in zip(("user", "assistant"), texts, strict=True):
                adapter.append(agent, Message(role, text))

        return run

    Strands().open(SimpleNamespace(root=root))
    with Processes(root, *map(worker, TURNS)) as both:
        stood = both.run(0, until=f"rename:*:{stops_at}")
        ended = [both.run(1), both.run(0)]
    assert all(end.over and end.error is None for end in ended), "both turns were acknowledged"
    return stood, reads(root)


def test_two_processes_overwrite_each_other(tmp_path):
    """The numbers of messages are computed in memory: some order of two workers' operations loses an acknowledged turn, found by trying each."""
    lost = {}
    for stops_at in range(1, 20):
        root = tmp_path / str(stops_at)
        root.mkdir()
        stood, seen = overlapped(root, stops_at)
        if stood.over:
            break
        anomaly = judge_overlap([Whole(f"turn of worker {n}", TURNS[n], 1, 9) for n in (0, 1)], seen)
        if anomaly is not None:
            lost[stood.at] = (type(anomaly), seen)
    assert lost, "some order loses a turn"
    assert {kind for kind, _ in lost.values()} == {NotSerialisable}
    assert ["uA", "aA"] in [seen for _, seen in lost.values()], "the whole turn of the other worker is gone, without an error"


def test_one_process_after_the_other_loses_nothing(tmp_path):
    """The control: a worker that resumes when the other one is done keeps both turns."""
    stood, seen = overlapped(tmp_path, 99)
    assert stood.over
    assert seen == [*TURNS[0], *TURNS[1]]
