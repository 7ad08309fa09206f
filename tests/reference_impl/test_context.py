"""The second phase and what a model is shown: every message, as itself or in a summary that stands for it."""

from __future__ import annotations

import json

import pytest

from reference_impl.durable import StorageError
from reference_impl.store import SessionError, Summary, TransientError, Workers
from reference_impl.store.context import grouped
from tests.reference_impl.helpers import call, failing, filled, opened, result, say, texts


def summarise(messages, earlier):
    """A summary that tells what it was made of."""
    return Summary("+".join([*earlier, *texts(messages)]), texts(messages)[0])


def refusing(*names):
    """A summariser that fails for archives that begin with one of these messages."""

    def summary(messages, earlier):
        if messages[0].id in names:
            raise RuntimeError("refused")
        return summarise(messages, earlier)

    return Workers(summarise=summary)


def three(path, workers):
    """A session with three archives of one message each, and one live message; the second phases were tried."""
    session = opened(path, workers=workers)
    for n in (1, 2, 3):
        session.add_message(say(f"m{n}", f"m{n}"))
        session.commit()
    session.add_message(say("m4", "m4"))
    session.run_pending()
    return opened(path, workers=Workers(summarise=summarise))


def shown(session):
    """Overviews and texts of the context."""
    context = session.context()
    return list(context.overviews), texts(context.messages)


def test_pending_archives_are_shown_as_they_are(path):
    """Between the two phases nothing is missing."""
    session = filled(path, "m1", "m2", "m3")
    session.commit(1)
    assert shown(session) == ([], ["m1", "m2", "m3"])


def test_the_newest_overview_stands_for_all_before_it(path):
    """Each one continues the one before."""
    session = three(path, Workers(summarise=summarise))
    assert shown(session) == (["m1+m2+m3"], ["m4"])
    done = json.loads((path / "history/archive_003/.done").read_text())
    assert (done["coverage_start"], done["coverage_end"], done["message_count"]) == (1, 3, 1)
    assert [ref.number for ref in session._get_completed_archive_refs()] == [1, 2, 3]


@pytest.mark.parametrize(
    ("failed", "before", "after"),
    [
        ("m1", (["m2+m3"], ["m1", "m4"]), (["m1", "m2+m3"], ["m4"])),
        ("m2", (["m1", "m3"], ["m2", "m4"]), (["m1+m2", "m3"], ["m4"])),
        ("m3", (["m1+m2"], ["m3", "m4"]), (["m1+m2+m3"], ["m4"])),
    ],
)
def test_a_failed_archive_is_shown_as_it_is_until_it_is_retried(path, failed, before, after):
    """No overview claims to cover an archive that was not summarised when it was made."""
    session = three(path, refusing(failed))
    assert shown(session) == before
    assert session.pending_archives() == ()
    assert session.retry_commit(int(failed[1]))
    assert shown(session) == after
    assert not (path / f"history/archive_00{failed[1]}/.failed.json").exists()


def test_a_passing_failure_is_tried_a_bounded_number_of_times(path):
    """Then it waits for the next run; the marker says that it may be retried."""
    tries = []

    def busy(messages, earlier):
        tries.append(1)
        raise TransientError

    session = filled(path, "m1", workers=Workers(summarise=busy, attempts=3))
    session.commit()
    assert session.run_pending() == ()
    assert len(tries) == 3
    assert json.loads((path / "history/archive_001/.failed.json").read_text())["retryable"] is True
    assert opened(path).run_pending() == (1,)


def test_a_disk_failure_is_the_callers_and_marks_nothing(path):
    """The archive is as due as it was."""
    session = filled(path, "m1")
    session.commit()
    session.disk = failing("replace", ".overview.md")
    with pytest.raises(StorageError):
        session.run_pending()
    assert opened(path).pending_archives() == (1,)


def test_an_archive_that_cannot_be_read_fails_for_good(path):
    """And is told."""
    session = filled(path, "m1", "m2")
    session.commit(1)
    (path / "history/archive_001/messages.jsonl").write_bytes(b"")
    assert session.run_pending() == ()
    assert "cannot be read" in (path / "history/archive_001/.failed.json").read_text()


def test_only_an_archive_can_be_retried(path):
    """A number that is none, or that was rolled back, is refused."""
    session = filled(path, "m1")
    with pytest.raises(SessionError, match="archive 1"):
        session.retry_commit(1)


def test_an_overview_that_is_gone_stands_for_nothing(path):
    """The messages are shown instead."""
    session = three(path, Workers(summarise=summarise))
    (path / "history/archive_003/.overview.md").unlink()
    assert shown(opened(path)) == (["m1+m2"], ["m3", "m4"])
    assert shown(session) == (["m1+m2"], ["m3", "m4"])


def test_a_budget_takes_the_oldest_groups(path):
    """Whole groups, and what was left out is told."""
    session = opened(path)
    for draft in (say("u1", "u1"), call("c1", "c1"), result("c1", "r1"), say("a1", "a1", "assistant"), say("u2", "u2")):
        session.add_message(draft)

    def ids(budget):
        return [message.id for message in session.context(budget, lambda message: 1).messages]

    assert ids(None) == ids(5) == ["u1", "c1", "r1", "a1", "u2"]
    assert ids(4) == ["c1", "r1", "a1", "u2"]
    assert ids(3) == ids(0) == ["c1", "r1", "u2"]
    assert session.context(4, lambda message: 1).left_out == ("u1",)


def test_the_order_is_that_of_the_numbers(path):
    """Not that of the lines, which may differ after a restore, and not that of a clock."""
    session = filled(path, "m1", "m2", "m3")
    lines = (path / "messages.jsonl").read_bytes().splitlines(keepends=True)
    (path / "messages.jsonl").write_bytes(lines[2] + lines[0] + lines[1])
    assert texts(session.context().messages) == ["m1", "m2", "m3"]


def test_groups_reach_from_a_call_to_its_last_result(path):
    """Also when something else was said in between."""
    session = opened(path)
    for draft in (
        say("u1", "u1"),
        call("c1", "c1"),
        say("u2", "u2"),
        call("c2", "c2"),
        result("c1", "r1"),
        result("c2", "r2"),
        say("u3", "u3"),
    ):
        session.add_message(draft)
    groups = [[message.id for message in group] for group in grouped(session.messages)]
    assert groups == [["u1"], ["c1", "u2", "c2", "r1", "r2"], ["u3"]]
