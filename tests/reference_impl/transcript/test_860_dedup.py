"""Every exit path saves, so the same messages are flushed again and again: a row is written once."""

from __future__ import annotations

from contextlib import closing

from reference_impl.transcript.rows import STAMP
from tests.reference_impl.transcript.helpers import contents, flush, opened, talk, writing


def test_each_exit_path_may_flush(path):
    """Five flushes of a growing list make one row per message."""
    with writing(path) as writer:
        messages = []
        for n in range(5):
            messages.append({"role": "user", "content": f"m{n}"})
            flush(writer, messages)
            flush(writer, messages)
        assert contents(path) == [f"m{n}" for n in range(5)]


def test_a_cursor_beyond_the_list_hides_nothing(path):
    """The list of the next turn is shorter than that of the last one: what is new in it is written."""
    with writing(path) as writer:
        flush(writer, [{"role": "user", "content": f"old {n}"} for n in range(5)])
        assert writer._last_flushed_db_idx == 5
        flush(writer, [{"role": "user", "content": "new"}])
        assert contents(path)[-1] == "new"
        assert writer._last_flushed_db_idx == 1


def test_the_stamp_comes_after_the_commit(path):
    """While the transaction is open nothing is stamped; a process that dies in it has told nobody that it was saved."""
    seen = []
    with writing(path) as writer:
        messages = [{"role": "user", "content": "a"}]
        write = writer.write

        def watched(*args):
            placed = write(*args)
            seen.append(STAMP in messages[0])
            return placed

        writer.write = watched
        flush(writer, messages)
    assert seen == [False]
    assert messages[0][STAMP] == "s"


def test_an_agent_that_is_closed_and_opened_writes_nothing_twice(path):
    """Rows are born stamped: the first flush after a resume has nothing to do."""
    agent = opened(path)
    with closing(agent):
        talk(agent, "hello", "hi")
    for _ in range(3):
        agent = opened(path)
        with closing(agent):
            before = agent.database.version()
            assert flush(agent.writer, agent.messages) is True
            assert agent.database.version() == before
    assert contents(path) == ["hello", "hi"]
