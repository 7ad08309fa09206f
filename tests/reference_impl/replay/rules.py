"""What must hold of every request and every saved timeline, asked of what the service received, not of what the code believes.

Rule: each check names the rule that it is about, and reads requests, replies and files only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

FIELDS = {"type", "id", "summary", "encrypted_content"}
MARK = re.compile(r"\bw\d+\b")
SUMMARY_KEYS = {"compressed_context", "compression_timestamp", "compressed_entries_count", "type", "message_id", "seq"}


class Broken(AssertionError):
    """An invariant does not hold; `rule` names it."""

    def __init__(self, rule, what):
        super().__init__(f"{rule}: {what}")
        self.rule = rule


@dataclass
class Said:
    """One thing that must be in requests: who said what, and the reasoning items that came with it (id -> what followed)."""

    kind: str
    text: str = ""
    call_id: str = ""
    items: dict = field(default_factory=dict)
    maker: object = None


def no_private_key(body):
    """R1: no key that begins with an underscore, anywhere."""
    stack = [body]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            private = [key for key in value if key.startswith("_")]
            if private:
                raise Broken("R1", f"the request holds {private}")
            stack += value.values()
        elif isinstance(value, list):
            stack += value


def only_four_fields(items, where):
    """R8: an item has no other fields."""
    for item in items:
        if not set(item) <= FIELDS:
            raise Broken("R8", f"an item {where} has {sorted(set(item) - FIELDS)}")


def allowed(body, said, *, on, asker):
    """R2: items are there only with the switch on, and only those that this provider made."""
    sent = [item for item in body["input"] if item.get("type") == "reasoning"]
    makers = {name: one.maker for one in said for name in one.items}
    for item in sent:
        if not on:
            raise Broken("R2", "an item is sent with the switch off")
        if asker is None or makers.get(item["id"], asker) != asker:
            raise Broken("R2", f"{item['id']} was made by {makers[item['id']]} and is sent to {asker}")
    return {item["id"] for item in sent}


def in_place(body, said):
    """R3: each item stands before what it stood before in the reply, in order, once."""
    followers = {name: follower for one in said for name, follower in one.items.items()}
    items = body["input"]
    seen = []
    for item, after in zip(items, [*items[1:], {}], strict=True):
        if item.get("type") == "reasoning":
            kind, value = followers.get(item["id"], (None, None))
            there = {
                "reasoning": after.get("id"),
                "message": after.get("content") if after.get("role") == "assistant" else None,
                "function_call": after.get("call_id") if after.get("type") == "function_call" else None,
            }.get(kind)
            if there is None or there != value:
                raise Broken("R3", f"{item['id']} stood before {kind} {value!r} and is sent before {after}")
            seen.append(item["id"])
    if seen != [name for name in followers if name in seen]:
        raise Broken("R3", f"the items are sent as {seen}")


def flat(said, without):
    """The conversation as text: everything that was said, and the thoughts, but those whose items are sent."""
    lines = [_line(one) for one in said if not (one.kind == "thought" and (not one.text or without & set(one.items)))]
    return _joined(lines)


def shown(body):
    """The same of a request."""
    return _joined([_sent(item) for item in body["input"] if item.get("type") != "reasoning"])


def _line(one):
    if one.kind in ("call", "output"):
        return one.kind, one.call_id, one.text
    return {"thought": "assistant", "summary": "system"}.get(one.kind, one.kind), "", one.text


def _sent(item):
    if item.get("type") == "function_call":
        return "call", item["call_id"], ""
    if item.get("type") == "function_call_output":
        return "output", item["call_id"], item["output"]
    return item["role"], "", item["content"]


def _joined(lines):
    """Adjacent texts of one speaker as one."""
    found = []
    for role, name, text in lines:
        if found and role in ("assistant", "user") and found[-1][0] == role:
            found[-1] = (role, name, f"{found[-1][2]}\n\n{text}")
        else:
            found.append((role, name, text))
    return found


def nothing_lost(body, marks):
    """R10: every word that was said or shown is in the request, or in the summary of it."""
    lost = marks - set(MARK.findall(" ".join(str(text) for _, _, text in shown(body))))
    if lost:
        raise Broken("R10", f"{sorted(lost)} are in the request no more")


def bare_summaries(timeline):
    """R6: a summary carries no items, nor anything else that it was not given."""
    for entry in timeline.entries:
        if entry.is_summary and not set(entry.metadata) <= SUMMARY_KEYS:
            raise Broken("R6", f"a summary has {sorted(set(entry.metadata) - SUMMARY_KEYS)}")


def same_in_all_modes(timeline):
    """R2: every mode carries the same items."""
    counts = {
        sum(len(one.reasoning_items or ()) for one in timeline.to_llm_messages(merge=merge, separate_latest_user=separate))
        for merge in (True, False)
        for separate in (True, False)
    }
    if len(counts) > 1:
        raise Broken("R2", f"the modes carry {sorted(counts)} items")


def follower(items, at):
    """What stood behind an item: kind, and what it is known by; (None, None) for nothing."""
    after = items[at + 1] if at + 1 < len(items) else None
    if after is None:
        return None, None
    name = {"reasoning": "id", "function_call": "call_id"}.get(after["type"])
    return after["type"], after[name] if name else after["content"][0]["text"]
