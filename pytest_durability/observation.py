"""What a reopened store showed, reduced to what the checkers need.

Rule: an observation holds no live object of the store, so that a state can be judged again and again without reopening it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pytest_durability.tokens import find


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a transcript: role, text, and the tokens found in the text, in order.

    `calls`: the ids of the tool calls that it makes; `answers`: the id of the call whose result it is. Both are looked at for
    adapters that declare `tools = True`.
    """

    role: str
    text: str
    tokens: tuple[str, ...]
    calls: tuple[str, ...] = ()
    answers: str | None = None

    @classmethod
    def of(cls, role: str, text: str, calls: tuple[str, ...] = (), answers: str | None = None) -> Row:
        """A row with the tokens that its text holds."""
        return cls(role, text, find(text), calls, answers)


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception that left the store: where it came from, and whether the adapter declared it as a refusal."""

    during: str
    kind: str
    message: str
    site: str
    refused: bool = False

    def __str__(self) -> str:
        return f"{self.during} raised {self.kind}: {self.message}" if self.message else f"{self.during} raised {self.kind}"


@dataclass(frozen=True, slots=True)
class Change:
    """A file that an open changed: its path, sizes before and after (None: absent), first differing content for people."""

    path: str
    before: int | None
    after: int | None
    site: str = ""

    def __str__(self) -> str:
        def size(value: int | None) -> str:
            return "absent" if value is None else f"{value} B"

        return f"{self.path}: {size(self.before)} -> {size(self.after)}"


@dataclass(frozen=True, slots=True)
class Refused:
    """One fault of a request: the rule, the words in which a service refuses it, and the element that is to blame."""

    rule: str
    message: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The next request: the tokens in it, in order, what a service refuses of it, and what the store raised instead of one."""

    tokens: tuple[str, ...]
    refused: tuple[Refused, ...] = ()
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Onward:
    """What came of one more turn after a reopen, in which the model only talks.

    `effects`: ids of the tool calls that the store ran in it. `rows`, `asked`: what was there afterwards, as in `Observation`.
    """

    effects: tuple[str, ...] = ()
    rows: tuple[Row, ...] | None = None
    asked: Asked | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What two opens of one crash state showed.

    `rows`/`archived`: the first open (None: it failed, see `failure`). `again`/`again_failure`: the second open, from
    the files as the first one left them. `changed`: files whose content the first open changed; `regrown`: files whose
    content the second open changed again. `present`: tokens whose bytes stand in a published file of the state.
    `healthy`: the session had been ended cleanly, so there was nothing to heal. `asked`: the next request of the first open,
    if the adapter can show it. `twin`: the first open once more, with other random numbers (None: not tried). `records`: what
    each other record of the conversation holds (`records` of the adapter). `onward`: one more turn (None: not asked).
    """

    rows: tuple[Row, ...] | None
    failure: Failure | None = None
    archived: tuple[Row, ...] | None = None
    again: tuple[Row, ...] | None = None
    again_failure: Failure | None = None
    changed: tuple[Change, ...] = ()
    regrown: tuple[Change, ...] = ()
    present: frozenset[str] = frozenset()
    healthy: bool = False
    asked: Asked | None = None
    twin: Observation | None = None
    records: tuple[tuple[str, tuple[Row, ...]], ...] = ()
    onward: Onward | None = None

    def tokens(self) -> tuple[str, ...]:
        """The tokens of all rows, in order."""
        return tuple([name for row in self.rows or () for name in row.tokens])

    def by_token(self) -> dict[str, list[Row]]:
        """Token -> the rows that hold it, in order."""
        found: dict[str, list[Row]] = {}
        for row in self.rows or ():
            for token in row.tokens:
                found.setdefault(token, []).append(row)
        return found


def plain(text: str, limit: int = 60) -> str:
    """The beginning of a text as printable ASCII, so that whatever a store returns is safe to print."""
    return ascii(text[:limit])[1:-1]


def entry_line(token: str, role: str, text: str) -> str:
    """One message as a report shows it: `u1  user: what is in the report?`, in ASCII and cut at 60 characters."""
    return f"{token}  {plain(role, 20)}: {plain(text)}"


def observed_lines(seen: Observation) -> tuple[str, ...]:
    """What a reopened session showed, a line a row; a failure to load is one line."""
    if seen.failure is not None:
        return (f"nothing: {seen.failure}",)
    return tuple(entry_line(",".join(row.tokens) or "-", row.role, row.text) for row in seen.rows or ())
