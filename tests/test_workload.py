"""Workloads: steps that are read back, each with a token of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_durability.adapter import Message
from pytest_durability.errors import UsageError
from pytest_durability.tokens import find
from pytest_durability.workload import Append, AppendMany, Ask, Close, Commit, Reload, Say, Workload, standard, with_tokens

texts = st.text(st.characters(), max_size=20) | st.sampled_from(["\u2028", "\ud800", "a\nb", "'\"", "', id='x"])
says = st.builds(Say, texts, texts, st.none() | texts)
steps = st.one_of(
    st.builds(Append, texts, texts, st.none() | texts),
    st.builds(AppendMany, st.lists(says, max_size=3).map(tuple)),
    st.builds(Ask, texts, texts),
    st.builds(Commit, st.integers(0, 100)),
    st.just(Reload()),
    st.just(Close()),
)
workloads = st.lists(steps, max_size=5).map(lambda found: Workload(tuple(found)))
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(workloads)
def test_a_workload_is_read_back(workload):
    """`Workload.parse(str(workload)) == workload`, whatever its texts hold; one step is one line."""
    assert Workload.parse(str(workload)) == workload
    assert len(str(workload).splitlines()) == len(workload)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    """Reading gives a workload or a UsageError, nothing else."""
    try:
        workload = Workload.parse(text)
    except UsageError:
        return
    assert Workload.parse(str(workload)) == workload


@pytest.mark.parametrize(
    "given", [5, None, [5], ["Append('user', 'a')"], [Say("user", "a")], [Append], "Say('user', 'a')", object()]
)
def test_what_is_no_step_is_refused(given):
    """Only steps and messages make a workload."""
    with pytest.raises(UsageError):
        Workload.of(given)


def test_messages_become_appends():
    """A list of messages is a workload; their ids are kept."""
    workload = Workload.of([Message("user", "a", id="1"), Reload()])
    assert workload.steps == (Append("user", "a", "1"), Reload())
    assert Workload.of(workload) is workload
    assert Workload.of(str(workload)) == workload
    assert workload.says()[0].message() == Message("user", "a", "1")


@given(st.lists(st.tuples(plain, plain), max_size=6))
def test_every_text_gets_one_token_of_its_own(pairs):
    """Whatever the role and the text, each message then carries one token, and no two the same."""
    pairs = [(role, text) for role, text in pairs if not find(text)]
    workload = with_tokens(Workload.of([Append(role, text) for role, text in pairs]))
    found = [find(say.text) for say in workload.says()]
    assert all(len(names) == 1 for names in found)
    assert len(set(found)) == len(found)
    assert all(say.text.endswith(text) for say, (_, text) in zip(workload.says(), pairs, strict=True))


@pytest.mark.parametrize("role", ["", "user", "Z", "zebra", "\u0130", "\u212a", "\u00e9", "1", "\ud800"])
def test_any_role_gives_a_token_that_is_found(role):
    """The letter of a token is a lower-case letter that the mark allows, also for roles in other scripts."""
    (say,) = with_tokens(Workload.of([Append(role, "hello")])).says()
    assert len(find(say.text)) == 1


def test_white_space_at_the_end_is_part_of_the_text():
    """Adding a token changes nothing else, so that exact texts can be tested."""
    (say,) = with_tokens(Workload.of([Append("user", "a line\n")])).says()
    assert say.text == "zu1z a line\n"


def test_tokens_that_are_there_stay():
    """A text with a token is left alone, repeated or not, and its token is given to no other text."""
    given = [
        Append("user", "zu1z a"),
        Append("user", "b"),
        Append("user", "zu1z a"),
        AppendMany((Say("user", "c"), Say("user", "zu3z"))),
        Commit(1),
    ]
    found = with_tokens(Workload.of(given))
    assert [find(say.text)[0] for say in found.says()] == ["u1", "u2", "u1", "u4", "u3"]
    assert [type(step) for step in found] == [type(step) for step in given]
    assert with_tokens(found) == found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([Append("user", "zu1z zu2z")], "carries 2 marks: zu1z, zu2z"),
        ([AppendMany((Say("user", "zu1z, zu1z"),))], "carries 2 marks: zu1z, zu1z"),
        ([Append("user", "zu1z a"), Append("user", "zu1z b")], "zu1z stands in two messages: .*'zu1z a' and .*'zu1z b'"),
        ([Append("user", "zu1z"), AppendMany((Say("assistant", "zu1z"),))], "zu1z stands in two messages: 'user'.*'assistant'"),
    ],
)
def test_a_mark_names_one_message(given, told):
    """Two marks in a text, or one in two messages, are told with the texts and the way out."""
    with pytest.raises(UsageError, match=rf"{told}(?s:.*)why: a mark names one message(?s:.*)fix: "):
        with_tokens(Workload.of(given))


def test_the_same_message_may_be_said_again():
    """Under another id too: that is what a retry is."""
    workload = Workload.of(
        [Append("user", "zu1z a", "1"), Append("user", "zu1z a", "2"), Append("user", "b"), Append("user", "b")]
    )
    assert [find(say.text) for say in with_tokens(workload).says()] == [("u1",), ("u1",), ("u2",), ("u3",)]


BAD = [
    "Append(1, 2)",
    "Append('user', None)",
    "Append('user', 'a', 5)",
    "AppendMany(5)",
    "AppendMany(('a',))",
    "AppendMany((Say('user', 1),))",
    "AppendMany(Say('user', 'a'))",
    "AppendMany((Append('user', 'a'),))",
    "Commit('x')",
    "Commit(1.0)",
    "Commit(-1)",
    "Commit(None)",
]


@pytest.mark.parametrize("text", BAD)
def test_a_step_that_cannot_be_is_refused(text):
    """Read from a text or made in Python, a wrong value is told before anything runs."""
    with pytest.raises(UsageError):
        Workload.parse(text)
    with pytest.raises(UsageError):
        Workload.of([eval(text)])  # noqa: S307  a literal of this file


def test_a_message_without_a_text_is_refused():
    """Messages of a list are looked at as well."""
    with pytest.raises(UsageError, match="text is str, not NoneType"):
        Workload.of([Message("user", None)])


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("ids", [False, True])
def test_the_standard_workload_asks_for_nothing_that_is_not_there(batches, commits, closes, ids):
    """Steps follow the capabilities; every text has a token of its own; a restart is in the middle."""
    workload = standard(batches=batches, commits=commits, closes=closes, ids=ids)
    kinds = {type(step) for step in workload}
    assert {AppendMany in kinds, Commit in kinds, Close in kinds} <= {True, False}
    assert (AppendMany in kinds, Commit in kinds, Close in kinds) == (batches, commits, closes)
    assert with_tokens(workload) == workload
    tokens = [find(say.text) for say in workload.says()]
    assert len(set(tokens)) == len(tokens)
    assert all((say.id is not None) is ids for say in workload.says())
    assert Reload() in workload.steps[1:-1]
    assert Workload.parse(str(workload)) == workload


@pytest.mark.parametrize("appends", [False, True])
def test_the_standard_workload_has_turns_for_adapters_that_run_them(appends):
    """Instead of appends, or besides; a restart lies between two of them, and it is text that can be read back."""
    workload = standard(batches=False, commits=True, closes=True, ids=False, appends=appends, turns=True)
    turns = [at for at, step in enumerate(workload) if isinstance(step, Ask)]
    assert (Append in {type(step) for step in workload}) is appends
    assert Reload() in workload.steps[turns[0] : turns[-1]]
    assert Workload.parse(str(workload)) == with_tokens(workload) == workload


def test_a_turn_says_two_messages():
    """What the user says and what the model would answer, each with a mark of its own."""
    (step,) = with_tokens(Workload((Ask("well?", "yes"),)))
    assert step == Ask("zu1z well?", "za2z yes")
    assert [say.role for say in step.says()] == ["user", "assistant"]
