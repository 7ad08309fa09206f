"""The log of what was shown: it exists before the text is seen, and is read as far as it goes."""

from __future__ import annotations

import json

import pytest

from reference_impl.durable import Durable, StorageError
from reference_impl.transcript.delivered import DeliveredLog, completed, file_name, logs_in, read_log
from tests.reference_impl.helpers import failing
from tests.reference_impl.transcript.helpers import QUICK, contents, says

TEXT = "caf\u00e9 \U0001f600 \u2028 end\n"


@pytest.fixture
def log(tmp_path):
    """An empty log."""
    return DeliveredLog(QUICK, str(tmp_path), "Turn/1")


def texts(log):
    """Message ids and texts of a log."""
    return [(one.message_id, one.text) for one in read_log(QUICK, log.path)]


def test_pieces_come_back_as_one_text(log):
    """Message by message, with every character."""
    for message, piece in [("m1", TEXT), ("m1", "more"), ("m2", "other")]:
        log.append(message, piece)
    assert texts(log) == [("m1", TEXT + "more"), ("m2", "other")]
    assert [one.turn_id for one in read_log(QUICK, log.path)] == ["Turn/1", "Turn/1"]


def test_what_is_saved_is_not_kept(log):
    """The next message starts the file afresh; one that is not saved stays."""
    log.append("m1", "one")
    log.append("m2", "two")
    log.saved()
    log.append("m3", "three")
    assert texts(log) == [("m3", "three")]


def test_every_cut_of_the_file_gives_a_prefix_of_the_text(log):
    """A torn line counts up to its last whole character, and never gives half of one."""
    log.append("m1", TEXT)
    with open(log.path, "rb") as file:
        data = file.read()
    found = set()
    for size in range(len(data) + 1):
        with open(log.path, "wb") as file:
            file.write(data[:size])
        text = "".join(text for _, text in texts(log))
        assert TEXT.startswith(text)
        text.encode("utf-8")
        found.add(text)
    assert found == {TEXT[:n] for n in range(len(TEXT) + 1)}


def test_zeros_and_damage_cost_only_themselves(log):
    """A file system that lost the end of a file fills it with zeros; a damaged line hides no other."""
    log.append("m1", "one")
    log.append("m1", "two")
    with open(log.path, "ab") as file:
        file.write(b'"torn\0\0\0\0')
    assert texts(log) == [("m1", "onetwotorn")]
    with open(log.path, "rb") as file:
        data = file.read()
    with open(log.path, "wb") as file:
        file.write(data.replace(b'"one"', b'"o\xff'))
    assert texts(log) == [("m1", "twotorn")]


def test_names_stay_apart_on_every_system(tmp_path):
    """Upper and lower case, separators and reserved characters."""
    names = [file_name(name) for name in ("a", "A", "a/b", "a%2f%b", "..", "a:b", "\u00e9")]
    assert len({name.lower() for name in names}) == len(names)
    assert not any(set(name) & set('/\\:*?"<>|.') for name in names)
    DeliveredLog(QUICK, str(tmp_path), "A/B").append("m", "x")
    assert len(logs_in(QUICK, str(tmp_path))) == 1


def test_an_unreadable_log_is_not_an_empty_one(log):
    """Nothing would be recovered, and the log removed."""
    log.append("m1", "one")
    with pytest.raises(StorageError):
        read_log(failing("read", "delivered"), log.path)


@pytest.mark.parametrize(
    ("held", "wanted"), [("text", None), ("text and more", None), ("te", "text"), ("", "text"), ("[waiting]", "text")]
)
def test_a_row_holds_at_least_what_was_shown(held, wanted):
    """More is left alone, less is completed, and a remark in its place gives way."""
    assert completed(held, "text") == wanted


def test_each_piece_is_journalled_before_it_is_shown(agent):
    """And the log is gone when the rows have it all."""
    seen = []
    turn = agent.begin("hello")
    for piece in turn.run(says("a", "b", "c")):
        seen.append(piece)
        assert texts(turn.log)[0][1] == "".join(seen)
    assert logs_in(QUICK, agent._home) == []


def test_a_piece_that_cannot_be_journalled_is_not_shown(agents, path):
    """The turn fails, and what was shown before is a row."""
    agent = agents(shown=failing("append", "delivered"))
    turn = agent.begin("hello")
    seen = []
    with pytest.raises(StorageError):
        seen.extend(turn.run(says("first", "second")))
    assert (turn.result.outcome, turn.result.delivered) == ("failed", "first")
    assert contents(path) == ["hello", "first"]


def test_each_piece_waits_for_the_disk_where_that_is_promised(tmp_path, monkeypatch):
    """One sync a piece with "power-loss" (and those of the new file), none with "process-kill"."""
    synced = []
    monkeypatch.setattr("os.fsync", synced.append)
    costs = {}
    for level in ("process-kill", "power-loss"):
        log = DeliveredLog(Durable(level), str(tmp_path), level)
        log.append("m", "one")
        synced.clear()
        for _ in range(5):
            log.append("m", "piece")
        costs[level] = len(synced)
    assert costs == {"process-kill": 0, "power-loss": 5}


def test_the_log_is_plain_lines(log):
    """A person can read it: one line that names the message, and one string a piece."""
    log.append("m1", "one")
    with open(log.path, encoding="ascii") as file:
        assert [json.loads(line) for line in file] == [{"turn_id": "Turn/1", "message_id": "m1"}, "one"]
