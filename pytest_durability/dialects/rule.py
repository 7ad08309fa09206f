"""What a rejection rule is: the words of the service as data, and one small pure function that finds where they apply.

Rule: to add a rule is to write its function, which yields a `Hit` for each fault, and to put `@rule(...)` with the words above
it; the name of a rule never changes, because tests and saved cases are written with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from pytest_durability.dialects.issued import Issued, Item, input_items
from pytest_durability.dialects.rejection import Rejection, anthropic_body, json_headers, openai_body
from pytest_durability.dialects.requests import MESSAGES, RESPONSES, Request
from pytest_durability.dialects.turns import Turn, turns_of


class Group(IntEnum):
    """In which order a service looks (unverified): a request with two faults is refused for the earlier one."""

    ENVELOPE = 0
    SHAPE = 1
    DUPLICATES = 2
    PAIRING = 3
    ADJACENCY = 4
    SECRETS = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault of a request: what the message names (`values`), where it is, and whether the service surely refuses it.

    `sure=False` makes it a warning: the state that would decide it is not known.
    """

    values: Mapping[str, object]
    where: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What a rule looks at. `issued` is None when nothing is known of what the service issued.

    `items` (Responses): everything the model is given; the first `reached` of them are reached through the state of the
    service, the others stand in the input. `messages`: those of the other two dialects, and `turns` those
    of Messages as the service reads them.
    """

    request: Request
    issued: Issued | None = None
    items: Sequence[Item] = ()
    reached: int = 0
    messages: Sequence[Item] = ()
    turns: Sequence[Turn] = ()

    @classmethod
    def of(cls, request: Request, issued: Issued | None) -> Seen:
        """Read the body of a request once for all rules; what is not an object keeps its place as an empty one."""
        if request.adds_items:
            return cls(request, issued)
        if request.dialect == RESPONSES:
            items = input_items(request) if issued is None else issued.effective(request)
            return cls(request, issued, items, len(items) - len(input_items(request)))
        given = request.body.get("messages")
        messages = [item if isinstance(item, Mapping) else {} for item in given] if isinstance(given, list) else []
        return cls(request, issued, messages=messages, turns=turns_of(messages) if request.dialect == MESSAGES else ())

    @property
    def partial(self) -> bool:
        """Whether the model is given items that are not seen here, so that what seems to be missing may be there."""
        state = bool(self.request.body.get("previous_response_id") or self.request.conversation)
        unknown = state and not (self.issued is not None and self.issued.knows_state(self.request))
        return unknown or any(item.get("type") == "item_reference" for item in self.items)

    def place(self, index: int) -> str:
        """The name of item `index` in a report."""
        return f"input[{index - self.reached}]" if index >= self.reached else "the items reached through the service"


Find = Callable[[Seen], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rejection: its words (templates over the `values` of a `Hit`), how well they are known, and how to find it.

    `sample` fills the words when the rejection is forced; then `about` (an item or block type, or a role) says which
    element of the request it names, if it has one. `optional`: only some services do this, so it is looked for only when
    it is asked for (`Strict(enforce=...)`); it then stands for the rule that `instead_of` names. `sources`: public reports.
    """

    name: str
    dialect: str
    group: Group
    grade: str
    message: str
    find: Find
    status: int = 400
    param: str | None = None
    code: str | None = None
    about: str = ""
    sample: Mapping[str, object] = field(default_factory=dict)
    optional: bool = False
    instead_of: str = ""
    sources: tuple[str, ...] = ()

    def reject(self, request: Request | None, values: Mapping[str, object], where: str = "", *, sure: bool = True) -> Rejection:
        """The answer with these values in its words."""
        filled = {**self.sample, **values}
        message = self.message.format_map(filled)
        if self.dialect == MESSAGES:
            body = anthropic_body(message, request)
        else:
            code = filled.get("code", self.code)
            body = openai_body(
                message, param=self.param and self.param.format_map(filled), code=None if code is None else str(code)
            )
        status = int(str(filled.get("status", self.status)))
        return Rejection(
            self.name,
            status,
            body,
            json_headers(self.dialect, request),
            self.grade if sure else "C",
            where,
            retried=status in _RETRIED,
        )


_RETRIED: Final = frozenset({408, 409, 429, 500, 502, 503, 504, 529})


def rule(name: str, group: Group, grade: str, message: str, **data: Any) -> Callable[[Find], Rule]:
    """Make a rule of the function below; the dialect is the first part of the name. `data`: other fields of `Rule`."""
    dialect = name.partition(".")[0]
    return lambda find: Rule(name, dialect, group, grade, message, find, **data)


def rules_in(namespace: Mapping[str, object]) -> tuple[Rule, ...]:
    """The rules that a module defines, in the order in which it defines them."""
    return tuple(value for value in namespace.values() if isinstance(value, Rule))
