"""What happens to an aborted generation: recorded as it was, built on by nobody, superseded by the retry."""

from __future__ import annotations

import pytest

from reference_impl.trajectory import FileJournal, Memory, Status, assemble
from reference_impl.trajectory.errors import (
    EndedByLengthError,
    GoneError,
    HistoryError,
    MatcherError,
    PrefixError,
    StaleError,
    UnreachableError,
)
from reference_impl.trajectory.record import SessionRecord
from tests.reference_impl.trajectory.helpers import ask, opened, reasons, state, talking
from tests.reference_impl.trajectory.invariants import ALWAYS
from tests.reference_impl.trajectory.model import MistralChat, Scripted, answer, said, sampled, user

BEGIN = (user("what is in the report?"),)


def sound(trajectory):
    """Whether all invariants hold."""
    return {name: rule(trajectory) for name, rule in ALWAYS.items() if rule(trajectory)} == {}


def test_abort_then_retry_then_success():
    """The abort is a tail without token state; the retry gets the same prompt; its success takes the tail away."""
    model = Scripted().abort("three fin").say("three findings")
    chat = talking(model)
    ask(chat, *BEGIN)
    assert (chat.trajectory.num_assistant, chat.trajectory.token_ids, chat.trajectory.messages) == (0, (), [])
    assert reasons(chat.trajectory) == ["[abort]"]
    ask(chat, *BEGIN)
    assert model.asked[0][1] == model.asked[1][1]
    assert reasons(chat.trajectory) == ["stop"]
    assert sound(chat.trajectory)


def test_abort_abort_success():
    """Two aborts in a row keep the later one, and the success supersedes it."""
    chat = talking(Scripted().abort("thr").abort("three fin").say("three findings"))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN)
    assert [record.output_token_ids for record in chat.trajectory.records] == [tuple(sampled("three fin"))]
    ask(chat, *BEGIN)
    assert reasons(chat.trajectory) == ["stop"]
    [sample] = assemble(chat.trajectory)
    assert sample.status is Status.COMPLETED


def test_abort_only_remains_as_the_honest_final_turn():
    """Retries are exhausted: the aborted generation is the last piece of the sample, and the sample says so."""
    chat = talking(Scripted().say("one").abort("tw"))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN, said("one"), user("and?"))
    [sample] = assemble(chat.trajectory)
    assert sample.status is Status.ABORTED
    assert sample.tokens == chat.trajectory.records[-1].token_ids
    assert chat.trajectory.num_assistant == 1


def test_abort_with_no_token():
    """An abort before the first token adds no token to the sample, only its status."""
    chat = talking(Scripted().say("one").abort(""))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN, said("one"), user("and?"))
    [sample] = assemble(chat.trajectory)
    assert (sample.tokens, sample.status) == (chat.trajectory.token_ids, Status.ABORTED)


def test_late_abort_after_another_commit():
    """An abort that comes back after another turn was committed records nothing: it belongs to an older base."""
    trajectory = opened()
    late = trajectory.prepare_pretokenized(BEGIN)
    commit(trajectory, "one", *BEGIN)
    before = state(trajectory)
    with pytest.raises(StaleError, match="epoch 0"):
        trajectory.append_provisional_record(record("abort", late, "x"), late)
    assert state(trajectory) == before


def test_abort_then_rollback():
    """A retry of the last committed turn rolls it back and drops the abort, both with its success and not before."""
    chat = talking(Scripted().say("one").abort("o").abort("t").say("two"))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN)  # the client lost the answer, and asks again
    ask(chat, *BEGIN)
    assert reasons(chat.trajectory) == ["stop", "[abort]"]
    assert [message["content"] for message in chat.trajectory.messages] == [BEGIN[0]["content"], "one"]
    ask(chat, *BEGIN)
    assert reasons(chat.trajectory) == ["stop"]
    assert [message["content"] for message in chat.trajectory.messages] == [BEGIN[0]["content"], "two"]
    assert sound(chat.trajectory)


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_a_retry_whose_backend_call_fails_destroys_nothing(status):
    """The rollback that a retry implies happens with the success that replaces the turn, never before it."""
    chat = talking(Scripted().say("one").status(status))
    ask(chat, *BEGIN)
    before = state(chat.trajectory)
    assert ask(chat, *BEGIN).status == status
    assert state(chat.trajectory) == before


def test_a_backend_that_cannot_be_reached_changes_nothing():
    """No answer, no record."""
    chat = talking(Scripted().down())
    with pytest.raises(UnreachableError):
        ask(chat, *BEGIN)
    assert state(chat.trajectory) == state(opened())


def test_sampled_tokens_are_never_tokenized_again():
    """The next prompt begins with the sampled tokens, although the tokenizer would make others of the same text."""
    model = Scripted().say("a remarkable thing").say("yes")
    chat = talking(model)
    ask(chat, *BEGIN)
    ask(chat, *BEGIN, said("a remarkable thing"), user("really?"))
    prompt = model.asked[1][1]
    assert prompt[: len(chat.trajectory.trajectory_token_ids[0])] == chat.trajectory.trajectory_token_ids[0]
    assert list(prompt) != MistralChat().prompt([*BEGIN, said("a remarkable thing"), user("really?")])


def test_one_turn_may_be_taken_back_and_not_two():
    """The request that forgets two turns is refused, and nothing changes."""
    chat = talking(Scripted().say("one").say("two"))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN, said("one"), user("and?"))
    before = state(chat.trajectory)
    with pytest.raises(HistoryError, match="takes back 2"):
        ask(chat, user("something else"))
    assert state(chat.trajectory) == before


def test_a_turn_that_ended_by_length_cannot_be_extended():
    """What follows a cut-off answer was never generated: 409, and nothing changes."""
    chat = talking(Scripted().say("one two thr", "length"))
    ask(chat, *BEGIN)
    with pytest.raises(EndedByLengthError):
        ask(chat, *BEGIN, said("one two thr"), user("go on"))


def test_a_turn_that_ended_by_length_can_be_generated_again():
    """Asking for it again is a retry, not an extension."""
    chat = talking(Scripted().say("one two thr", "length").say("one two three"))
    ask(chat, *BEGIN)
    ask(chat, *BEGIN)
    assert reasons(chat.trajectory) == ["stop"]


def test_assistant_messages_of_the_client_are_no_checkpoints():
    """A conversation that begins with supplied answers has no generated turn yet; later ones may not be supplied."""
    chat = talking(Scripted().say("four"))
    ask(chat, user("one"), said("two"), user("three"))
    assert (chat.trajectory.num_assistant, chat.trajectory.generated_checkpoint_message_ends) == (1, [4])
    with pytest.raises(HistoryError, match="message 4 has the role 'assistant'"):
        ask(chat, user("one"), said("two"), user("three"), said("four"), said("five"), user("six"))


def test_a_request_that_adds_nothing_is_refused():
    """There is nothing to answer after an answer."""
    chat = talking(Scripted().say("one"))
    ask(chat, *BEGIN)
    with pytest.raises(HistoryError, match="nothing to answer"):
        ask(chat, *BEGIN, said("one"))


def test_two_requests_on_one_base_commit_one():
    """Both get their answer; the one that comes second is not recorded, whatever the count of turns says by then."""
    trajectory = opened()
    commit(trajectory, "one", *BEGIN)
    more = (*BEGIN, said("one"), user("and?"))
    slow = trajectory.prepare_pretokenized(more)
    commit(trajectory, "uno", *BEGIN)  # rolls back and commits: the count is the same again
    assert trajectory.num_assistant == 1
    with pytest.raises(StaleError):
        trajectory.update_pretokenized_state(slow, said("two"), record("stop", slow, "two"))
    assert [message["content"] for message in trajectory.messages] == [BEGIN[0]["content"], "uno"]


def test_nothing_is_recorded_after_closing():
    """Closing is idempotent; a turn that was under way is not recorded, and a new one is refused."""
    trajectory = opened()
    plan = trajectory.prepare_pretokenized(BEGIN)
    trajectory.close()
    trajectory.close()
    with pytest.raises(GoneError):
        trajectory.update_pretokenized_state(plan, said("one"), record("stop", plan, "one"))
    with pytest.raises(GoneError):
        trajectory.append_provisional_record(record("abort", plan, "o"))
    with pytest.raises(GoneError):
        trajectory.prepare_pretokenized(BEGIN)
    assert trajectory.records == []


def test_a_failed_commit_keeps_the_abort():
    """The tokens are checked before anything is dropped: a refused commit leaves the evidence of the abort."""
    trajectory = opened()
    commit(trajectory, "one", *BEGIN)
    plan = trajectory.prepare_pretokenized((*BEGIN, said("one"), user("and?")))
    trajectory.append_provisional_record(record("abort", plan, "t"), plan)
    before = state(trajectory)
    wrong = record("stop", plan, "two", prompt=(7, 7, 7))
    with pytest.raises(PrefixError, match="begins with other tokens"):
        trajectory.update_pretokenized_state(plan, said("two"), wrong)
    assert state(trajectory) == before


def test_a_journal_that_fails_changes_nothing():
    """What raises has not happened: neither the commit nor the end of the provisional record."""

    class Full(Memory):
        full = False

        def append(self, event):
            if self.full:
                raise OSError(28, "No space left on device")
            super().append(event)

    journal = Full()
    trajectory = opened(journal)
    plan = trajectory.prepare_pretokenized(BEGIN)
    trajectory.append_provisional_record(record("abort", plan, "o"), plan)
    before, journal.full = state(trajectory), True
    with pytest.raises(OSError, match="No space"):
        trajectory.update_pretokenized_state(plan, said("one"), record("stop", plan, "one"))
    assert state(trajectory) == before == state(opened(journal))


def test_a_matcher_that_raises_is_a_fault_of_the_server():
    """It is never taken for "no match", which would roll a turn back."""

    def broken(recorded, given):
        raise ZeroDivisionError

    trajectory = opened(same=broken)
    commit(trajectory, "one", *BEGIN)
    with pytest.raises(MatcherError, match="ZeroDivisionError"):
        trajectory.prepare_pretokenized((*BEGIN, said("one"), user("and?")))


def test_only_an_abort_is_provisional():
    """A record says itself what it is, and a contradiction is refused."""
    plan = opened().prepare_pretokenized(BEGIN)
    with pytest.raises(ValueError, match="only an abort"):
        opened().append_provisional_record(record("stop", plan, "one"))
    with pytest.raises(ValueError, match="cannot be provisional"):
        SessionRecord("r", {}, {}, 200, "stop", (), (), provisional=True)


def test_the_fold_of_the_journal_is_the_trajectory(tmp_path):
    """After any number of operations a second process sees the same, and opening writes nothing."""
    path = tmp_path / "trajectory.jsonl"
    chat = talking(Scripted().say("one").abort("t").say("two").abort("th"), opened(FileJournal(str(path))))
    ask(chat, *BEGIN)
    more = (*BEGIN, said("one"), user("and?"))
    for _ in range(2):
        ask(chat, *more)
    ask(chat, *more, said("two"), user("and then?"))
    before = path.read_bytes()
    assert state(opened(FileJournal(str(path)))) == state(chat.trajectory)
    assert path.read_bytes() == before


def test_tools_and_calls_take_part():
    """A turn with a tool call is continued by its result."""
    call = {"id": "call12345", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    chat = talking(Scripted().say("", "tool_calls", tool_calls=[call]).say("found it"))
    ask(chat, *BEGIN)
    told = {"role": "assistant", "content": "", "tool_calls": [{**call, "index": 0}]}
    result = {"role": "tool", "tool_call_id": "call12345", "name": "look", "content": "3"}
    ask(chat, *BEGIN, told, result)
    assert reasons(chat.trajectory) == ["tool_calls", "stop"]
    assert sound(chat.trajectory)


def commit(trajectory, text, *messages):
    """One turn, committed."""
    plan = trajectory.prepare_pretokenized(messages)
    trajectory.update_pretokenized_state(plan, said(text), record("stop", plan, text))


def record(reason, plan, text, prompt=None):
    """A record of a generation by this plan."""
    given = answer(plan.prompt_token_ids, text, reason)
    return SessionRecord(
        "r",
        {},
        given.body,
        200,
        reason,
        tuple(plan.prompt_token_ids if prompt is None else prompt),
        tuple(given.output_token_ids),
        tuple(given.output_logprobs),
        provisional=reason == "abort",
    )
