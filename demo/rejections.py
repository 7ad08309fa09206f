"""Prints each rejection rule with the smallest request that breaks it and what the real clients raise for it.

Rule: every line is made by a request that goes through the `openai` or the `anthropic` client to the strict provider; the exit
status is 1 if a rule does not refuse its request. Answers that need no bad request come last, with what the clients make of them.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from dataclasses import dataclass
from typing import Any

from pytest_durability.dialects.registry import RULES
from pytest_durability.dialects.rejection import GRADES, Rejection
from pytest_durability.dialects.requests import Request
from pytest_durability.dialects.transient import TRANSIENTS
from pytest_durability.world.provider.provider import Provider
from tests.dialects.clients import code_of, fails
from tests.dialects.smallest import PAIRS, Pair, shown


@dataclass(frozen=True)
class Line:
    """One rule, its smallest request, and what came of it."""

    pair: Pair
    rejection: Rejection | None
    error: Any

    @property
    def refused(self) -> bool:
        """Whether the request was refused by its rule, and reached it: a client keeps some requests in."""
        return self.rejection is None or self.rejection.rule == self.pair.rule

    def cells(self) -> tuple[str, ...]:
        """Rule, grade, request, what is raised, status, code, param, message."""
        rule, kept_in = RULES[self.pair.rule], self.rejection is None
        raised = f"{type(self.error).__module__.partition('.')[0]}.{type(self.error).__name__}"
        return (
            rule.name + ("*" if rule.optional else ""),
            rule.grade,
            shown(self.pair.broken),
            raised.removeprefix("builtins."),
            "-" if kept_in else str(self.error.status_code),
            str(code_of(self.error) or "-"),
            str(getattr(self.error, "param", None) or "-"),
            "not sent: the client itself refuses it" if kept_in else str(self.rejection.message if self.rejection else ""),
        )


def line_of(pair: Pair) -> Line:
    """Send the smallest request of a rule through its client."""
    strict, answers = pair.strict(), []

    def answer(request: Request) -> Rejection | None:
        answers.append(strict.examine(request).rejection)
        return answers[-1]

    error = fails(pair.dialect, pair.broken, answer, path=pair.path)
    return Line(pair, answers[-1] if answers else None, error)


def as_text(lines: list[Line]) -> str:
    """Four short lines a rule."""
    parts = []
    for line in lines:
        rule, grade, request, raised, status, code, param, message = line.cells()
        parts.append(
            f"{rule}  [{grade}]\n  request  {request}\n  raises   {raised}  status {status}  code {code}  param {param}\n"
            f"  message  {message}\n"
        )
    return "\n".join(parts)


def as_markdown(lines: list[Line]) -> str:
    """One row a rule."""
    head = "| Rule | Grade | Smallest request | Raises | Status | code | param | Message |\n|---|---|---|---|---|---|---|---|"
    rows = ["| " + " | ".join(_cell(text) for text in line.cells()) + " |" for line in lines]
    return "\n".join([head, *rows])


def _cell(text: str) -> str:
    marked = text.replace("|", "\\|")
    return f"``{marked}``" if "{" in text or "`" in text else marked


def met(name: str, kind: str) -> str:
    """What a client that may send twice makes of a transient answer to each of its requests: the error, or the end of the reply."""
    service = Provider()
    for _ in range(2):
        service.reply("4")
    service.reject(name, times=2, retry_after=0.001)
    client = service.client(kind, max_retries=1)
    try:
        if kind == "openai":
            events = list(client.responses.create(model="m", input="2+2?", stream=True))
        else:
            asked = [{"role": "user", "content": "2+2?"}]
            events = list(client.messages.create(model="m", max_tokens=9, messages=asked, stream=True))
        told = f"no error; the last event is {events[-1].type}"
    except Exception as error:  # noqa: BLE001  whatever a program would meet
        status = getattr(error, "status_code", None)
        told = f"{type(error).__name__}{f', status {status}' if status else ''}"
    sent = len(service.requests)
    return f"{told}, {sent} request{'s' if sent > 1 else ''}"


def main() -> int:
    """Exit status 0 if each rule refused its smallest request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="a table for a document")
    markdown = parser.parse_args().markdown
    # One of the clients advises against a setting that one of the rules is about.
    warnings.filterwarnings("ignore", message="Using Claude with")
    lines = [line_of(pair) for pair in PAIRS]
    print(as_markdown(lines) if markdown else as_text(lines))
    print("\n* looked for only when it is asked for (`enforce=`): not every service does this")
    print("\n".join(f"[{grade}] {meaning}" for grade, meaning in GRADES.items()))
    print("\nanswers to any request, which may be sent once more:")
    for name in TRANSIENTS:
        print(f"{name}\n  openai     {met(name, 'openai')}\n  anthropic  {met(name, 'anthropic')}")
    wrong = [line.pair.rule for line in lines if not line.refused]
    print(f"{len(lines)} rules, {len(lines) - len(wrong)} as documented{': not ' + ', '.join(wrong) if wrong else ''}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
