"""Observations: what a reopened store showed, as values and as lines for people."""

from __future__ import annotations

import pytest

from pytest_durability.observation import Change, Failure, Observation, Row, entry_line, observed_lines


def test_a_row_knows_its_tokens():
    """Tokens come from the text, in order; a merged row has several."""
    assert Row.of("user", "zu1z a. zu2z b") == Row("user", "zu1z a. zu2z b", ("u1", "u2"))
    assert Row.of("system", "hello").tokens == ()


def test_the_tokens_of_an_observation_are_those_of_all_rows():
    """In order, repeats included; none if the session did not load."""
    assert Observation((Row.of("user", "zu1z"), Row.of("tool", ""), Row.of("user", "zu2z zu1z"))).tokens() == ("u1", "u2", "u1")
    assert Observation(None).tokens() == ()


def test_a_line_for_people_is_short_and_ascii():
    """Control characters and other scripts are escaped, long texts are cut."""
    line = entry_line("u1", "user", "a\x1b[2J\n\u2028\ud800\u00e9" + "x" * 500)
    assert line.startswith("u1  user: a\\x1b[2J\\n\\u2028\\ud800\\xe9xxx")
    assert line.isascii()
    assert line.isprintable()
    assert line.count("x" * 10) == 5


def test_what_was_shown_is_a_line_a_row():
    """Rows without a token are shown too; a failure is one line."""
    assert observed_lines(Observation((Row.of("user", "zu1z"), Row.of("system", "hi")))) == ("u1  user: zu1z", "-  system: hi")
    assert observed_lines(Observation(None, Failure("open", "ValueError", "bad", "s.py:1"))) == (
        "nothing: open raised ValueError: bad",
    )


@pytest.mark.parametrize(("message", "text"), [("", "open raised KeyError"), ("x", "open raised KeyError: x")])
def test_a_failure_says_what_was_raised_and_when(message, text):
    """An empty message leaves no colon behind."""
    assert str(Failure("open", "KeyError", message, "")) == text


@pytest.mark.parametrize(
    ("before", "after", "text"), [(None, 3, "absent -> 3 B"), (0, None, "0 B -> absent"), (1, 1, "1 B -> 1 B")]
)
def test_a_change_tells_absent_from_empty(before, after, text):
    """A file that is not there and one without bytes are two things."""
    assert str(Change("a", before, after)) == f"a: {text}"


def test_a_role_is_shown_safely_too():
    """Whatever a store returns as a role stays one short line."""
    line = entry_line("u1", "user\x1b[2J\n" + "x" * 500, "hi")
    assert line.startswith("u1  user\\x1b[2J\\nxxx")
    assert line.isprintable()
    assert len(line) < 60


def test_rows_are_found_by_their_tokens():
    """A merged row is found by each of them; a message that is there twice has two rows."""
    merged, again = Row.of("user", "zu1z zu2z"), Row.of("user", "zu1z")
    assert Observation((merged, Row.of("system", "hi"), again)).by_token() == {"u1": [merged, again], "u2": [merged]}
    assert Observation(None).by_token() == {}
