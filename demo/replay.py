"""Prints, for each refusal that replayed reasoning can meet, what became of the turn and what it cost.

Rule: every line is four turns through the real `openai` client against the strict provider, once whole and once streamed; the
exit status is 1 if a turn fails, loses text that was shown, or pays for the same refusal again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pytest_durability.dialects.rule import Group, Hit, Rule, Seen
from pytest_durability.dialects.strict import Strict
from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import OpenAIProvider, OpenAITransport, RefusedError, STARAgent
from tests.dialects.signals import OTHER, SIGNALS, Signal
from tests.planted.replays import VARIANTS
from tests.reference_impl.replay.driver import Driver
from tests.reference_impl.replay.rules import Broken

MODEL, OTHER_KEY = "gpt-5-mini", "another-key"
SHOWN = ("reply 1", "reply 2", "reply 3", "reply 4")


@dataclass(frozen=True)
class Row:
    """One refusal, in words, and how the service comes to it; `key`: the key of the second turn and the later ones.

    `costs`: how many requests more the second turn takes; `later`: how many the fourth one takes.
    """

    name: str
    verdict: str
    arrange: Callable[[Provider], object] = lambda _: None
    rules: Callable[[], tuple[Rule, ...]] = tuple
    key: str = "test-key"
    costs: int = 1
    later: int = 1


@dataclass(frozen=True)
class Told:
    """What happened: the error of the second turn, the requests of turns 2, 3 and 4, and the items that these sent."""

    error: RefusedError | None
    requests: tuple[int, ...]
    items: tuple[int, ...]
    kept: bool

    def right(self, row: Row) -> bool:
        """Whether the turn ended as it should, lost nothing, and the next one paid nothing."""
        extra = 0 if row.verdict == OTHER else row.costs
        return self.kept and self.requests == (1 + extra, 1, row.later) and (self.error is not None) == (row.verdict == OTHER)


def rows() -> Iterator[Row]:
    """The refusals: each rule, each known wording, causes that are no forced refusal, and some that must be raised."""
    seen = set()
    for signal in SIGNALS:
        rule = signal.name.partition(":")[0]
        if signal.dialect != "responses" or rule in seen or (signal.verdict == OTHER and not rule.startswith("responses.")):
            continue
        seen.add(rule)
        if rule.startswith("responses."):
            yield Row(rule, signal.verdict, lambda service, rule=rule: service.reject(rule))
        else:
            yield Row(f"{signal.name}: '{signal.message[:40]}'", signal.verdict, rules=lambda signal=signal: (_worded(signal),))
    yield Row("contents that another key made", "reasoning", key=OTHER_KEY)
    yield Row("a service that takes no items at all", "reasoning", rules=lambda: (_always(),), later=2)
    yield Row("the flag, and then the items", "reasoning", _both, costs=2)


def _both(service: Provider) -> None:
    service.reject("responses.include_unsupported")
    service.reject("responses.invalid_encrypted_content")


def _reasoned(seen: Seen) -> bool:
    return any(item.get("type") == "reasoning" for item in seen.items)


def _worded(signal: Signal) -> Rule:
    """Refuses the first request that holds reasoning in the words of a signal."""
    left = [1]

    def find(seen: Seen) -> Iterator[Hit]:
        if left[0] and _reasoned(seen):
            left[0] -= 1
            yield Hit({})

    error = signal.answer["error"]
    given: dict[str, Any] = {"status": signal.status, "param": error["param"], "code": error["code"]}
    return Rule("demo.worded", "responses", Group.SHAPE, "A", signal.message, find, **given)


def _always() -> Rule:
    def find(seen: Seen) -> Iterator[Hit]:
        if _reasoned(seen):
            yield Hit({})

    return Rule("demo.always", "responses", Group.SHAPE, "A", "Unsupported content type", find)


def tell(row: Row, *, streamed: bool) -> Told:
    """Four turns; the second one meets the refusal."""
    service = Provider(strict=Strict(rules=row.rules()))
    show = (lambda _: None) if streamed else None
    agent = STARAgent(OpenAIProvider(OpenAITransport(service.client("openai", max_retries=0)), MODEL))
    error, counts, replayed, replies = None, [], [], []
    for number, text in enumerate(SHOWN):
        if number == 1:
            row.arrange(service)
            if row.key != "test-key":
                client = service.client("openai", max_retries=0, api_key=row.key)
                agent.provider = OpenAIProvider(OpenAITransport(client), MODEL)
        before = len(service.requests)
        service.reasoning(f"thought {number + 1}").text(text)
        try:
            replies.append(agent.turn(f"question {number + 1}", on_text=show))
        except RefusedError as raised:
            error = raised
        counts.append(len(service.requests) - before)
        replayed.append(sum(item.get("type") == "reasoning" for item in service.requests[-1].body["input"]))
    said = str(service.requests[-1].body["input"])
    kept = all(reply in said for reply in replies[:-1])
    return Told(error, tuple(counts[1:]), tuple(replayed[1:]), kept)


def main() -> int:
    """Exit status 0 if every turn ended as it should."""
    print(f"{'what is refused':<88} {'turn 2':<22} {'turn 3':<10} {'turn 4':<10} items sent in turns 2-4")
    wrong = 0
    known = list(rows())
    for row in known:
        told = [tell(row, streamed=streamed) for streamed in (False, True)]
        first = told[0]
        right = all(one.right(row) and (one.requests, one.items) == (first.requests, first.items) for one in told)
        wrong += not right
        ended = "raised" if first.error is not None else "completes"
        costs = [f"{count} request{'s' if count > 1 else ''}" for count in first.requests]
        print(
            f"{row.name:<88} {f'{ended}, {costs[0]}':<22} {costs[1]:<10} {costs[2]:<10} {first.items}{'' if right else '  <- wrong'}"
        )
    print(f"\n{len(known)} refusals, each met whole and streamed: {wrong} turned out wrong\n")
    return 1 if wrong + matrix() else 0


def matrix() -> int:
    """Print which planted flaw breaks which invariant; the number of those that break none, or that the reference breaks."""
    names = [f"R{number}" for number in range(1, 12)]
    print(f"{'planted flaw':<40} {' '.join(f'{name:<3}' for name in names)} steps")
    wrong = 0
    for variant in VARIANTS:
        broken = broken_by(Driver(variant.parts), variant.steps)
        wrong += broken not in names or broken_by(Driver(), variant.steps) != ""
        cells = " ".join(f"{'x' if name == broken else '.':<3}" for name in names)
        print(f"{variant.name:<40} {cells} {'; '.join(' '.join(map(str, step)) for step in variant.steps)}")
    print(f"{len(VARIANTS)} flaws; the reference passes the same steps: {wrong} turned out wrong")
    return wrong


def broken_by(driver: Driver, steps: tuple[tuple[Any, ...], ...]) -> str:
    """The invariant that some steps break, or nothing."""
    try:
        driver.play(steps)
    except Broken as broken:
        return str(broken.rule)
    return ""


if __name__ == "__main__":
    sys.exit(main())
