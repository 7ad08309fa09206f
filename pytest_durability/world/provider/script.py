"""A test says beforehand what the model will answer, and where the answer breaks; this is the queue of that.

Rule: what can never happen is refused when it is scripted, and what was scripted as a fault and never struck is told by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from pytest_durability.dialects import cuts, replies
from pytest_durability.dialects.cuts import Cut
from pytest_durability.dialects.replies import Reply
from pytest_durability.errors import UsageError


class Scripted:
    """One reply that waits to be asked for. Its methods add parts to it, in the order in which they will be said."""

    __slots__ = ("broken", "reply", "struck")

    def __init__(self, reply: Reply, cut: Cut | None = None) -> None:
        self.reply = reply
        self.broken = cut
        self.struck = False

    def text(self, said: str | Sequence[str]) -> Self:
        """Then visible text: a string is streamed word by word, a sequence piece by piece."""
        return self._plus(replies.text(said))

    def reasoning(self, said: str | Sequence[str], *, sealed: bool = True) -> Self:
        """Then reasoning, with its signature or encrypted content unless `sealed` is false."""
        return self._plus(replies.reasoning(said, sealed=sealed))

    def tool_call(self, name: str, arguments: Mapping[str, Any] | str | None = None, *, id: str | None = None) -> Self:  # noqa: A002
        """Then a call of a tool; a string of arguments is sent as it is, also when it is no JSON."""
        return self._plus(replies.tool_call(name, arguments, id=id))

    def ends(self, end: str) -> Self:
        """The reply ends in another way than "complete": "incomplete", "failed", "error" or "abort".

        Raises:
            UsageError: there is no such end.
        """
        self.reply = replace(self.reply, end=end)
        return self

    def cut(self, after: int | str = 0, how: str = "eof") -> Self:
        """The stream breaks after so many characters of text, or at a named place (see `dialects.cuts`).

        Raises:
            UsageError: the reply has no such place, there is no such way, or it is cut already.
        """
        if self.broken is not None:
            raise UsageError(f"this reply is cut already ({self.broken})", fix="script another reply for the second cut")
        cut = Cut(after, how)
        cuts.check(self.reply, cut)
        self.broken = cut
        return self

    def _plus(self, part: replies.Part) -> Self:
        self.reply = self.reply.plus(part)
        return self

    def __repr__(self) -> str:
        return f"<reply {self.reply.text[:40]!r}{f', {self.broken}' if self.broken else ''}>"


class Script:
    """What is waiting: replies in order, cuts for replies that are not there yet, and forced rejections."""

    def __init__(self) -> None:
        self.replies: list[Scripted] = []
        self.otherwise: Reply | None = None
        self._cuts: list[Cut] = []
        self._rejections: list[tuple[str, Mapping[str, Any]]] = []
        self._served: list[Scripted] = []

    def add(self, reply: Reply) -> Scripted:
        """Let a reply wait."""
        scripted = Scripted(reply)
        self.replies.append(scripted)
        return scripted

    def cut(self, cut: Cut) -> None:
        """Break the reply that was scripted last; if none waits, the next one that is served.

        Raises:
            UsageError: that reply is cut already, or has no such place.
        """
        if self.replies:
            self.replies[-1].cut(cut.after, cut.how)
        else:
            self._cuts.append(cut)

    def reject(self, rule: str, times: int, details: Mapping[str, Any]) -> None:
        """Answer the next `times` requests with a rejection, whatever else is scripted."""
        self._rejections += [(rule, details)] * times

    def next_rejection(self, dialect: str) -> tuple[str, Mapping[str, Any]] | None:
        """The rejection that the request in hand gets, if one is forced; those of another dialect wait for theirs."""
        for number, (rule, _) in enumerate(self._rejections):
            if rule.partition(".")[0] in (dialect, "any"):
                return self._rejections.pop(number)
        return None

    def next_reply(self) -> Scripted | None:
        """The reply that the request in hand gets; None if nothing is scripted for it."""
        if self.replies:
            scripted = self.replies.pop(0)
        elif self.otherwise is not None:
            scripted = Scripted(self.otherwise)
        else:
            return None
        if self._cuts and scripted.broken is None:
            scripted.broken = self._cuts.pop(0)
        self._served.append(scripted)
        return scripted

    def idle(self) -> list[str]:
        """The faults that were scripted and did not strike, in words."""
        waiting = [scripted for scripted in (*self._served, *self.replies) if scripted.broken is not None and not scripted.struck]
        return [
            *(f"cut({scripted.broken})" for scripted in waiting),
            *(f"cut({cut})" for cut in self._cuts),
            *(f"reject({rule!r})" for rule, _ in self._rejections),
        ]
