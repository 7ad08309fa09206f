"""Plays steps with an agent against the strict provider, and compares each request with an independent account of what was said.

Rule: the steps are the whole reproduction: plain tuples, chosen by Hypothesis or written down in a saved case.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import count

from pytest_durability.dialects.strict import Strict
from pytest_durability.world.provider.provider import Provider
from reference_impl.replay import CompressedTimeline, OpenAIProvider, Snapshots, STARAgent, Timeline, Tool
from reference_impl.replay.agent import DENIED, PASSED_OVER
from reference_impl.replay.splice import SWITCH, UNKNOWN_RESULT
from tests.reference_impl.replay import rules
from tests.reference_impl.replay.helpers import Direct, MemoryDisk
from tests.reference_impl.replay.rules import MARK, Broken, Said
from tests.reference_impl.replay.steps import BUSY, INCLUDE, REASONING, refusing, script


@dataclass
class Parts:
    """The code under test."""

    agent: type = STARAgent
    provider: type = OpenAIProvider
    snapshots: type = Snapshots
    native: type = CompressedTimeline
    legacy: type = Timeline


class Died(BaseException):
    """The process died inside a tool."""


@dataclass
class Driver:
    """One run of one session. `form`: how its timeline is written.

    `waiting`: calls that the user has to approve. `unknown`: calls in which a process died, and nobody has said so yet.
    """

    parts: Parts = field(default_factory=Parts)
    form: str = "native"
    said: list = field(default_factory=list)
    marks: set = field(default_factory=set)
    waiting: list = field(default_factory=list)
    unknown: list = field(default_factory=list)
    on: bool = True
    stubborn: bool = False
    flagless: bool = False
    dying: bool = False
    approving: bool = False
    ran: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    def __post_init__(self):
        self.numbers, self.times = count(1), [100]
        extra = [
            refusing("test.unsupported", "Unsupported content type", None, self._is_stubborn),
            refusing("test.no_include", "The value is not supported.", "include", self._is_flagless),
        ]
        self.service = Provider(strict=Strict(rules=extra))
        self.disk = MemoryDisk()
        self.at = {"model": "gpt-5-one", "endpoint": "one.test", "key": "k1", "nameless": ""}
        self.forced, self.struck_before = [], ()
        self._start()

    def play(self, steps):
        """Play all steps."""
        for step in steps:
            self.do(*step)

    def do(self, kind, *args):
        """Play one step, then ask everything that holds between turns."""
        before = os.environ.get(SWITCH)
        os.environ[SWITCH] = "on" if self.on else " Off "
        try:
            getattr(self, "_" + kind)(*args)
            self._between()
        finally:
            del os.environ[SWITCH]
            if before is not None:
                os.environ[SWITCH] = before

    # Steps

    def _say(self, reply, way="whole"):
        """A turn."""
        self._turn(reply, way)

    def _cut(self):
        """A turn whose reply breaks off in the middle of its text."""
        self._turn("thought", "stream", cut=True)

    def _turn(self, reply, way, *, cut=False):
        text = self._word()
        self._answer(self.waiting, PASSED_OVER)
        self._answer(self.unknown, UNKNOWN_RESULT)
        self.said.append(Said("user", text))
        exchanges, answer = self._listen(reply, way, lambda show: self.agent.turn(text, on_text=show), cut=cut)
        self._ran_nothing()
        self._judge(exchanges, answer)
        if isinstance(answer, Died):
            self._resume()

    def _listen(self, reply, way, ask, *, cut=False):
        """The requests of a call of the agent, and what it returned or raised."""
        script(self.service, self._word, reply, cut=cut)
        before = len(self.service.requests)
        try:
            answer = ask((lambda _: None) if way == "stream" else None)
        except (Exception, Died) as error:
            answer = error
        self.service._script.replies.clear()
        return self.service.requests[before:], answer

    def _decide(self, word, way="whole"):
        """The user approves or denies the call that has waited longest, if one waits."""
        if not self.waiting:
            return
        name, approved = self.waiting.pop(0), word == "yes"
        self._answer(self.unknown, UNKNOWN_RESULT)
        self.approving = approved
        exchanges, answer = self._listen("thought", way, lambda show: self.agent.decide(name, approved=approved, on_text=show))
        self.approving, ran, self.ran = False, self.ran, []
        if len(ran) != approved:
            raise Broken("R11", f"a call that was {'approved' if approved else 'denied'} ran {len(ran)} times: {answer!r}")
        if isinstance(answer, Died):
            self.unknown.append(name)
            self._resume()
            return
        self.said.append(Said("output", ran[0] if approved else DENIED, call_id=name))
        if exchanges:
            self._judge(exchanges, answer)
        elif answer or not self.waiting:
            raise Broken("R11", f"after a decision the turn did not go on: {answer!r}")

    def _answer(self, names, text):
        """What became of some calls is known now."""
        self.said += [Said("output", text, call_id=name) for name in names]
        names.clear()

    def _reject(self, rule):
        """The next request is refused, whatever it holds."""
        self.service.reject(rule)
        self.forced.append(rule)

    def _switch(self, what):
        """Another provider, in the same process; the second time back to the first one."""
        first = {"model": "gpt-5-one", "endpoint": "one.test", "key": "k1", "nameless": ""}[what]
        second = {"model": "gpt-5-two", "endpoint": "two.test", "key": "k2", "nameless": "yes"}[what]
        self.at[what] = second if self.at[what] == first else first
        self._connect()

    def _flip(self):
        """The kill switch is flipped while the process runs."""
        self.on = not self.on
        os.environ[SWITCH] = "" if self.on else "no"

    def _stubborn(self):
        """From now on the service takes no reasoning items at all, or does again."""
        self.stubborn = not self.stubborn

    def _flagless(self):
        """From now on the service does not know the include flag."""
        self.flagless = True

    def _dies(self):
        """The process dies in the next tool that runs."""
        self.dying = True

    def _compact(self, keep):
        """The oldest entries are summarised; the summary holds every word that the model was given."""
        timeline = self.agent.timeline
        before = len(timeline.entries)
        if self.agent.compress(lambda prompt: " ".join(sorted(set(MARK.findall(prompt)))), keep=keep):
            gone = before - len(timeline.entries) + 1
            self.marks |= set(MARK.findall(" ".join(one.text for one in self.said[:gone])))
            self.said[:gone] = [Said("summary", str(timeline.entries[0].content))]

    def _clock(self):
        """The clock is set back."""
        self.times[0] -= 50

    def _resume(self):
        """A fresh process opens the session from the disk."""
        self._start()
        self.agent.resume_from_session_id("session")

    # The world

    def _start(self):
        kind = self.parts.native if self.form == "native" else self.parts.legacy
        timeline = kind(clock=self._now)
        tools = [Tool("look", self._look), Tool("ask", self._ask, gated=True)]
        self.agent = self.parts.agent(self._provider(), timeline, tools=tools, snapshots=self._snapshots())

    def _snapshots(self):
        return self.parts.snapshots("folder", self.disk)

    def _connect(self):
        self.agent.provider = self._provider()

    def _provider(self):
        made = self.parts.provider(Direct(self.service, host=self.at["endpoint"], key=self.at["key"]), self.at["model"])
        made.name = None if self.at["nameless"] else "openai"
        self.flag_refused = False
        return made

    @property
    def _maker(self):
        return None if self.at["nameless"] else (self.at["model"], self.at["endpoint"])

    def _now(self):
        self.times[0] += 1
        return f"{self.times[0]:06}"

    def _word(self):
        return f"w{next(self.numbers)}"

    def _look(self, **_):
        if self.dying:
            self.dying = False
            raise Died
        self.seen.append(f"seen {self._word()}")
        return self.seen[-1]

    def _ask(self, **_):
        self.ran.append(f"done {self._word()}")
        if self.dying and self.approving:
            self.dying = False
            raise Died
        return self.ran[-1]

    def _is_stubborn(self, body):
        return self.stubborn and any(item.get("type") == "reasoning" for item in body.get("input", ()))

    def _is_flagless(self, body):
        return self.flagless and "include" in body

    # Judgement

    def _judge(self, exchanges, answer):
        given_up, natural, refused_items = set(), False, False
        failed = isinstance(answer, BaseException)
        for at, exchange in enumerate(exchanges):
            last = at == len(exchanges) - 1
            self._ask_body(exchange)
            if exchange.rejected:
                what = self._refused(exchange)
                if exchange.rejected in self.forced:
                    self.forced.remove(exchange.rejected)
                else:
                    natural = True
                refused_items |= what == "items"
                if what and what not in given_up and last:
                    raise Broken("R4", f"the turn failed for {exchange.rejected}: {answer!r}")
                if not (what and what not in given_up) and not (last and failed):
                    raise Broken("R9", f"{exchange.rejected} was not raised")
                given_up.add(what)
            else:
                given_up = set()
                self._hear(exchange, died=isinstance(answer, Died) and last)
        if natural and refused_items and self.struck_before == self._maker:
            raise Broken("R9", "the turn after a refusal paid for another one")
        blamed = exchanges[-1].rejected in ("", *BUSY)
        self.struck_before = self._maker if refused_items and blamed else ()
        if isinstance(answer, Exception) and exchanges[-1].ended == "end":
            raise Broken("R4", f"the turn failed, and nothing was refused: {answer!r}")
        if not failed and answer != (exchanges[-1].text or ""):
            raise Broken("R4", f"the turn returned {answer!r}")

    def _refused(self, exchange):
        """What this refusal was about, if the request had it."""
        body = exchange.body
        if exchange.rejected in REASONING and any(item.get("type") == "reasoning" for item in body["input"]):
            return "items"
        if exchange.rejected in INCLUDE and "include" in body:
            self.flag_refused = True
            return "flag"
        return ""

    def _ask_body(self, exchange):
        body = exchange.body
        rules.no_private_key(body)
        rules.only_four_fields([item for item in body["input"] if item.get("type") == "reasoning"], "in a request")
        sent = rules.allowed(body, self.said, on=self.on, asker=self._maker)
        rules.nothing_lost(body, self._words())
        rules.in_place(body, self.said)
        if self.flag_refused != ("include" not in body):
            raise Broken("R9" if self.flag_refused else "R4", f"the include flag: {body.get('include')}")
        if rules.shown(body) != rules.flat(self.said, sent):
            rule = "R4" if self._given_up(exchange) else "R7"
            raise Broken(rule, f"the request says\n{rules.shown(body)}\nand not\n{rules.flat(self.said, sent)}")
        if exchange.findings.refused and self._strange(exchange):
            raise Broken("R3", f"the request is refused: {exchange.findings}")
        self._ask_complete(sent)

    def _ran_nothing(self):
        if self.ran:
            raise Broken("R11", "a call that waits for approval was run")

    def _given_up(self, exchange):
        before = self.service.requests[exchange.number - 2] if exchange.number > 1 else None
        return before is not None and bool(before.rejected)

    def _strange(self, exchange):
        known = ("test.unsupported", "test.no_include", "responses.invalid_encrypted_content")
        return any(refused.rule not in known for refused in exchange.findings.refused)

    def _ask_complete(self, sent):
        """R2, the other way round: as long as nothing was refused, every item that may be sent is sent."""
        if not self.on or self._maker is None or any(exchange.rejected for exchange in self.service.requests):
            return
        called = {one.call_id for one in self.said if one.kind == "call"}
        mine = [pair for one in self.said if one.maker == self._maker for pair in one.items.items()]
        due = {name for name, (kind, what) in mine if kind and (kind != "function_call" or what in called)}
        if due != sent:
            raise Broken("R2", f"{sorted(sent)} are sent, and {sorted(due)} could be")

    def _words(self):
        return self.marks | set(
            MARK.findall(" ".join(one.text for one in self.said if one.kind in ("user", "assistant", "summary")))
        )

    def _hear(self, exchange, *, died):
        """Take down what the client was given."""
        items = exchange.items
        whole = any(item["type"] == "message" for item in items) or exchange.ended == "end"
        thoughts = [item for item in items if item["type"] == "reasoning"] if whole else []
        if thoughts:
            followers = {item["id"]: rules.follower(items, at) for at, item in enumerate(items) if item["type"] == "reasoning"}
            sealed = {item["id"]: followers[item["id"]] for item in thoughts if item.get("encrypted_content")}
            text = "\n\n".join(part["text"] for item in thoughts for part in item["summary"])
            self.said.append(Said("thought", text, items=sealed, maker=self._maker or "nobody"))
        if exchange.text:
            self.said.append(Said("assistant", exchange.text))
        if exchange.complete:  # calls of a reply that was cut are not run
            self._hear_calls([item for item in items if item["type"] == "function_call"], died=died)

    def _hear_calls(self, calls, *, died):
        messages = self.agent.timeline.to_llm_messages(merge=False)
        results = {message.tool_call_id: message.content for message in messages if message.role == "tool"}
        for call in calls:
            name = call["call_id"]
            self.said.append(Said("call", call_id=name))
            if call["name"] == "ask":
                self.waiting.append(name)
            elif died and name not in results:
                self.unknown.append(name)
                return
            elif results.get(name) not in self.seen:
                raise Broken("R11", f"{name} needs no approval, and its result is {results.get(name)!r}")
            else:
                self.said.append(Said("output", results[name], call_id=name))

    def _between(self):
        timeline = self.agent.timeline
        for entry in timeline.entries:
            rules.only_four_fields(entry.metadata.get("reasoning_items") or (), "in the timeline")
        rules.bare_summaries(timeline)
        rules.same_in_all_modes(timeline)
        self._ran_nothing()
        if [call["id"] for call in self.agent.pending] != self.waiting:
            raise Broken("R11", f"{self.waiting} wait for approval, and the agent says {self.agent.pending}")
        if self.service.requests:
            again = type(timeline)(clock=self._now)
            self._snapshots().load("session", again)
            if again.to_llm_messages() != timeline.to_llm_messages():
                raise Broken("R5", "the session on disk says something else")
