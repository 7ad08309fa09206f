"""Samples are exact to the token: what the model wrote counts, the rest is masked, and nothing good is lost to a bad tail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reference_impl.trajectory import Status, TokenPolicy, assemble, merge_samples
from reference_impl.trajectory.errors import SamplesError
from tests.reference_impl.trajectory.helpers import ask, opened, talking
from tests.reference_impl.trajectory.model import MistralChat, Scripted, said, sampled, user

END = MistralChat().end_of_turn()


def two_turns(model=None):
    """A chat with two committed turns, and the messages of both."""
    chat = talking((model or Scripted()).say("one").say("two"))
    ask(chat, user("first"))
    more = [user("first"), said("one"), user("second")]
    ask(chat, *more)
    return chat, [*more, said("two")]


def test_one_sample_of_all_turns():
    """Its tokens are the accumulated ones; the mask is 1 exactly on what was sampled."""
    chat, _ = two_turns()
    [sample] = assemble(chat.trajectory)
    first, second = chat.trajectory.records
    assert sample.tokens == chat.trajectory.token_ids
    assert sample.status is Status.COMPLETED
    written = [token for token, mask in zip(sample.tokens[sample.prompt_length :], sample.loss_mask, strict=True) if mask]
    assert written == [*first.output_token_ids, *second.output_token_ids] == [*sampled("one"), *END, *sampled("two"), *END]
    assert len(sample.logprobs) == sample.response_length


def test_no_generation_no_sample():
    """An empty trajectory has none, and one with an abort of zero tokens neither."""
    assert assemble(opened()) == ()
    chat = talking(Scripted().abort(""))
    ask(chat, user("first"))
    assert assemble(chat.trajectory) == ()


def test_a_turn_that_ran_out_of_tokens_is_truncated():
    """The status is that of the last generation."""
    chat = talking(Scripted().say("one two", "length"))
    ask(chat, user("first"))
    assert [sample.status for sample in assemble(chat.trajectory)] == [Status.TRUNCATED]


def test_an_aborted_tail_keeps_the_committed_turns():
    """The abort's tokens lie beyond the accumulated ones; the good turns are in the sample all the same."""
    chat, messages = two_turns()
    chat._backend.abort("thr")
    ask(chat, *messages, user("third"))
    [sample] = assemble(chat.trajectory)
    assert sample.tokens[: len(chat.trajectory.token_ids)] == chat.trajectory.token_ids
    assert (sample.status, sample.tokens[-2:]) == (Status.ABORTED, tuple(sampled("thr"))[-2:])


def test_an_aborted_retry_of_the_last_turn_stands_beside_it():
    """It goes back behind the committed turn, which stays: two samples, the second one aborted."""
    chat, messages = two_turns()
    chat._backend.abort("tw")
    ask(chat, *messages[:-1])
    committed, aborted = assemble(chat.trajectory)
    assert (committed.status, aborted.status) == (Status.COMPLETED, Status.ABORTED)
    assert committed.tokens == chat.trajectory.token_ids


def test_an_abort_in_the_middle_is_refused():
    """`merge_samples` never sees one from `assemble`; whoever gives it one is told."""
    chat, _ = two_turns()
    [whole] = assemble(chat.trajectory)
    with pytest.raises(SamplesError, match="sample 1 of 2 was aborted"):
        merge_samples([replace(whole, status=Status.ABORTED), whole])


def test_nothing_to_merge_is_told():
    """An empty list has no sample."""
    with pytest.raises(SamplesError, match="nothing to merge"):
        merge_samples([])


def test_what_does_not_continue_is_refused():
    """Other tokens, or no message in between."""
    chat, _ = two_turns()
    [whole] = assemble(chat.trajectory)
    with pytest.raises(SamplesError, match="does not begin with the tokens"):
        merge_samples([replace(whole, tokens=(0, *whole.tokens[1:])), whole])
    again = replace(whole, prompt_length=len(whole.tokens))
    with pytest.raises(SamplesError, match="no message in between"):
        merge_samples([whole, again])


def test_records_that_do_not_line_up_give_what_does():
    """The second record is damaged: the error carries the sample of the first."""
    chat, _ = two_turns()
    trajectory = chat.trajectory
    trajectory.records[1] = replace(trajectory.records[1], output_token_ids=(5, *trajectory.records[1].output_token_ids[1:]))
    with pytest.raises(SamplesError, match="turn 2 of 2") as caught:
        assemble(trajectory)
    assert [sample.tokens for sample in caught.value.samples] == [trajectory.trajectory_token_ids[0]]


def test_a_limit_cuts_whole_turns():
    """A sample that is too long loses turns from its end, never half a turn; what then remains is truncated."""
    chat, _ = two_turns()
    [whole] = assemble(chat.trajectory, max_tokens=len(chat.trajectory.token_ids))
    assert whole.status is Status.COMPLETED
    [cut] = assemble(chat.trajectory, max_tokens=len(chat.trajectory.token_ids) - 1)
    assert (cut.tokens, cut.status) == (chat.trajectory.trajectory_token_ids[0], Status.TRUNCATED)
    assert assemble(chat.trajectory, max_tokens=1) == ()


def test_tokens_that_a_template_trims():
    """With `max_trim_tokens=1` the next prompt may lack the stop token of the turn before; the sample lacks it too."""

    class Trimming(TokenPolicy):
        def merge_tokens(self, snapshot, suffix, end_of_turn):
            return (*snapshot[:-1], *suffix)

    chat = talking(Scripted().say("one").say("two"), opened(policy=Trimming(max_trim_tokens=1)))
    ask(chat, user("first"))
    ask(chat, user("first"), said("one"), user("second"))
    [sample] = assemble(chat.trajectory)
    assert sample.tokens == chat.trajectory.token_ids
    assert len(sample.loss_mask) == len(sample.logprobs) == sample.response_length
    assert sum(sample.loss_mask) == len(sampled("one")) + len(sampled("two")) + 1
