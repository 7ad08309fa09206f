"""The notation: what is rendered is read back, and reading never does anything but read."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_durability.errors import UsageError
from pytest_durability.notation import MAX_PARTS, MAX_TEXT, at_least, check_types, parse, parse_all, render


@dataclass(frozen=True)
class Leaf:
    """A value with every kind of literal."""

    text: str = ""
    number: int = 0
    real: float = 0.0
    flag: bool = False
    none: str | None = None


@dataclass(frozen=True)
class Tree:
    """A value that holds others."""

    leaves: tuple[Leaf, ...] = ()
    names: tuple[str, ...] = ()


class Role(enum.StrEnum):
    """A role as projects write it."""

    USER = "user"


NAMES = {"Leaf": Leaf, "Tree": Tree}
hostile = st.text(st.characters(), max_size=30) | st.sampled_from(
    ["\0", "\u2028\u2029\x85", "\ud800", "a\r\nb", "'\"\\", "');Leaf('", "\x1b[2J", "#;", "{x}", "\N{RIGHT-TO-LEFT OVERRIDE}"]
)
leaves = st.builds(
    Leaf, hostile, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none() | hostile
)
trees = st.builds(Tree, st.lists(leaves, max_size=3).map(tuple), st.lists(hostile, max_size=3).map(tuple))


@given(trees)
def test_a_rendered_value_is_read_back(value):
    """`parse(render(value)) == value`, whatever its texts hold, and the text is one line of printable ASCII."""
    text = render(value)
    assert parse(text, NAMES) == value
    assert text.isascii()
    assert text.isprintable()


@given(st.lists(leaves, max_size=4), st.sampled_from([";", "; ", "\n", "\n\n"]))
def test_several_values_are_read_back(values, separator):
    """Values come back in order with either separator."""
    assert parse_all(separator.join(map(render, values)), NAMES) == values


def test_defaults_are_left_out():
    """A field that holds its default does not stand in the text, one that only equals it does."""
    assert render(Leaf()) == "Leaf()"
    assert render(Leaf(number=True)) == "Leaf(number=True)"
    assert parse(render(Leaf(number=True)), NAMES).number is True


def test_an_enum_member_is_written_as_its_text():
    """A role that is a member of a StrEnum can be read back."""
    assert render(Leaf(Role.USER)) == "Leaf(text='user')"


def test_a_very_long_text_is_read_back():
    """A million characters are no problem."""
    value = Leaf("x\n" * 500_000)
    assert parse(render(value), NAMES) == value


@given(st.text())
@example("\0")
@example("Leaf('\ud800')")
def test_any_text_is_read_or_refused(text):
    """Reading a text gives values or a UsageError, nothing else."""
    try:
        values = parse_all(text, NAMES)
    except UsageError:
        return
    assert all(isinstance(value, (Leaf, Tree)) for value in values)


PIECES = [
    "Leaf(",
    "Tree(",
    ")",
    "(",
    "[",
    "]",
    "{",
    "}",
    ",",
    ";",
    "\n",
    "=",
    "text=",
    "'a'",
    "1",
    "1e999",
    "-",
    "+",
    "1j",
    "None",
    "*",
    "**",
]
PIECES += [
    "x",
    ".a",
    "lambda:",
    "f'{x}'",
    "b'a'",
    "...",
    "True",
    "await ",
    "yield ",
    " if ",
    " for x in ",
    ":=",
    "0x",
    "\\",
    "#",
    "names=",
    "\t",
    "9" * 5000,
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_mixture_of_syntax_is_read_or_refused(text):
    """Texts that look like the notation give values or a UsageError, nothing else."""
    try:
        parse_all(text, NAMES)
    except UsageError as error:
        assert len(str(error)) < 2000  # noqa: PT017  a message of any length must not flood the terminal


@pytest.mark.parametrize(
    "start", ["(", "[", "{", "{1:", "Leaf(", "Leaf(text=", "lambda:", "f'{", "not ", "-", "x,", "a if ", "[a for a in "]
)
@pytest.mark.parametrize("times", [90, 199, 700, 20_000])
def test_deep_texts_are_refused_at_once(start, times):
    """No nesting makes the parser hang, overflow or crash."""
    with pytest.raises(UsageError):
        parse(start * times, NAMES)


@pytest.mark.parametrize("end", ["1)", "x)"])
@pytest.mark.parametrize("times", range(90, 3000, 291))
@pytest.mark.parametrize("start", ["-", "1+", "not "])
def test_long_chains_are_refused(start, times, end):
    """An expression of any depth below the parser's own limit is told as misuse, not as a RecursionError."""
    with pytest.raises(UsageError):
        parse("Leaf(" + start * times + end, NAMES)


@pytest.mark.parametrize("times", range(90, 3000, 291))
def test_long_chains_of_names_are_refused(times):
    """Attributes and calls of any depth are told as misuse."""
    for text in ("x" + ".a" * times + "()", "x" + "()" * times, "Leaf(x" + "[0]" * times + ")"):
        with pytest.raises(UsageError):
            parse(text, NAMES)


CODE = [
    "__import__('os').system('false')",
    "Leaf(__import__('os').getcwd())",
    "Leaf(text=open('x'))",
    "Leaf(*[1])",
    "Leaf(**{'text': 'a'})",
    "Leaf(f'{1+1}')",
    "Leaf(1 + 1)",
    "Leaf(1 + 2j)",
    "Leaf([1])",
    "Leaf({'a': 1})",
    "Leaf({1})",
    "Leaf({[]: 1})",
    "Leaf(b'a')",
    "Leaf(...)",
    "Leaf((x for x in ()))",
    "Leaf(text := 'a')",
    "x = Leaf()",
    "Leaf().text",
    "Leaf",
    "'Leaf()'",
    "import os",
    "del Leaf",
    "@Leaf\ndef f(): pass",
    "Leaf() if True else Leaf()",
    "(Leaf)()()",
    "leaf()",
    "object()",
]


@pytest.mark.parametrize("text", CODE)
def test_nothing_but_calls_with_literals_is_accepted(text):
    """Code is refused, whatever it would do."""
    with pytest.raises(UsageError):
        parse(text, NAMES)


@pytest.mark.parametrize("text", ["Leaf(colour='red')", "Leaf(1, 2, 3, 4, 5, 6)", "Leaf('a', text='b')"])
def test_a_wrong_field_is_told_with_the_right_ones(text):
    """A field that does not exist, or is given twice, is told together with the fields that exist."""
    with pytest.raises(UsageError, match="its fields are: text, number, real, flag, none"):
        parse(text, NAMES)


def test_a_field_given_twice_by_name_is_refused():
    """Python's parser lets a repeated keyword pass; which of the two was meant nobody knows."""
    with pytest.raises(UsageError, match="text twice"):
        parse("Leaf(text='a', text='b')", NAMES)


def test_an_unknown_name_is_told_with_the_known_ones():
    """The names that can be used stand in the message."""
    with pytest.raises(UsageError, match="choose from: Leaf, Tree"):
        parse("Leave()", NAMES)


@pytest.mark.parametrize("text", ["", "Leaf(); Leaf()", "# a comment"])
def test_one_value_means_one(text):
    """`parse` refuses no value and two values."""
    with pytest.raises(UsageError, match="expected one value"):
        parse(text, NAMES)


def test_a_text_beyond_the_limit_is_refused_unread():
    """The limit is checked before anything else."""
    with pytest.raises(UsageError, match="longer than the limit"):
        parse_all(" " * (MAX_TEXT + 1), NAMES)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Leaf(5)", r"Leaf\(text=5\): text is str, not int"),
        ("Leaf(number=1.0)", "number is int, not float"),
        ("Leaf(number='1')", "number is int, not str"),
        ("Leaf(real='1')", "real is float, not str"),
        ("Leaf(flag=1)", "flag is bool, not int"),
        ("Leaf(none=1)", r"none is str \| None, not int"),
        ("Tree(5)", r"leaves is tuple\[Leaf, \.\.\.\], not int"),
        ("Tree((1,))", "leaves is tuple"),
        ("Tree(names=(None,))", "names is tuple"),
        ("Tree((Tree(),))", "leaves is tuple"),
        ("Tree((Leaf(5),))", "text is str, not int"),
    ],
)
def test_a_value_of_another_type_is_refused(text, told):
    """Each field is held against the type that it declares."""
    with pytest.raises(UsageError, match=told):
        parse(text, NAMES)


def test_values_made_in_python_can_be_checked():
    """With the values inside them; an int is a float, a member of a StrEnum is a text."""
    check_types(Tree((Leaf(Role.USER, real=1),), ("a",)))
    for value in (Leaf(5), Tree((Leaf(flag="x"),)), Tree([Leaf()])):
        with pytest.raises(UsageError):
            check_types(value)


def test_numbers_have_a_lower_limit():
    """What is below it is told with the limit; what is no number is left to the check of types."""
    at_least(Leaf(number=2, text="a"), number=2, text=5)
    with pytest.raises(UsageError, match=r"Leaf\(number=1\): number is at least 2"):
        at_least(Leaf(number=1), number=2)


@pytest.mark.parametrize("unit", ["Leaf()\n", "Leaf(('a','b'))\n", "[", "1,", "Leaf(text='x') ;"])
def test_a_crowd_of_tiny_calls_is_refused_unread(unit):
    """Reading them would take a minute."""
    with pytest.raises(UsageError, match="beyond the limit"):
        parse_all(unit * (MAX_PARTS + 1), NAMES)


def test_brackets_in_a_text_are_no_calls():
    """A message may hold as many as it likes, behind any quotes and escapes."""
    for text in ("(,[" * MAX_PARTS, "'(\\" * MAX_PARTS, "'\",(" * MAX_PARTS):
        assert parse(render(Leaf(text)), NAMES) == Leaf(text)
