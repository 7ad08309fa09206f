"""Valid conversations as data: a plan says what the model replies and how the client keeps it, `play` makes the requests.

Rule: a client may do whatever is legal here (drop ids, drop old thoughts, answer calls in any order, change the key with a
text-only history), and a strict provider must accept each request of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.requests import Request
from tests.dialects import smallest as make

Body = dict[str, Any]
IMAGE = "data:image/png;base64,iVBORw0KGgo="
FORMS = ("stateless", "stored", "chained", "conversation", "bare", "anonymous")
"""How a Responses client keeps what it got: with encrypted contents, with ids only, by `previous_response_id`, in a
conversation, without ids and reasoning, without ids but with encrypted contents."""


@dataclass(frozen=True)
class Said:
    """One reply of the model: how many thoughts, whether it has text, how many calls; `between`: a thought before each call."""

    thoughts: int = 1
    text: bool = True
    calls: int = 0
    between: bool = False
    redacted: bool = False


@dataclass(frozen=True)
class Plan:
    """A conversation: the replies, how the client keeps them, and the number of the request from which another key is used."""

    replies: tuple[Said, ...]
    form: str = "stateless"
    apart: bool = False
    backwards: bool = False
    images: bool = False
    forgetful: bool = False
    new_key: int = 99


def saids() -> st.SearchStrategy[Said]:
    """Replies with any mix of thoughts, text and calls; one without text and calls gets text."""
    drawn = st.builds(Said, st.integers(0, 2), st.booleans(), st.sampled_from([0, 0, 1, 2, 3]), st.booleans(), st.booleans())
    return drawn.map(lambda s: s if s.text or s.calls else Said(s.thoughts, text=True, redacted=s.redacted))


def plans(*first: Said, forms: tuple[str, ...] = FORMS) -> st.SearchStrategy[Plan]:
    """Conversations of up to five replies, or of the given ones first."""
    replies = st.lists(saids(), min_size=0 if first else 1, max_size=5).map(lambda more: (*first, *more))
    flag = st.booleans()
    return st.builds(Plan, replies, st.sampled_from(forms), flag, flag, flag, flag, st.sampled_from([99, 99, 1, 2]))


Play = Callable[[Plan, Issued], Iterator[Request]]


def play_responses(plan: Plan, issued: Issued) -> Iterator[Request]:
    """The requests of a conversation over OpenAI Responses; each reply is issued when the next request is asked for."""
    history: list[Body] = []
    fresh: list[Body] = [_question(plan, "input_text", "input_image")]
    state: Body = {}
    for step, said in enumerate(plan.replies):
        switched = step >= plan.new_key and plan.form not in ("chained", "conversation")
        kept = _portable(history, contents=False) if switched else history
        given = fresh if plan.form in ("chained", "conversation") else [*kept, *fresh]
        body = {**make.responses(*given), **_storing(plan), **state}
        request = make.request("responses", body, key="sk-b" if switched else make.KEY)
        yield request
        output = _items(said, step, plan, lambda item_id, request=request: issued.seal(request, item_id))
        issued.response(request, f"resp_{step}", output)
        if plan.form == "chained":
            state = {"previous_response_id": f"resp_{step}"}
        history = [*history, *fresh, *_kept(output, plan)]
        if switched:
            history = _portable(history, contents=False)
        fresh = _answers(output, plan, history) or [_question(plan, "input_text", "input_image")]


def _storing(plan: Plan) -> Body:
    if plan.form == "conversation":
        return {"conversation": {"id": "conv_1"}}
    return {"store": False, "include": ["reasoning.encrypted_content"]} if plan.form in ("stateless", "anonymous") else {}


def _items(said: Said, step: int, plan: Plan, seal: Callable[[str], str]) -> list[Body]:
    """The output items of a reply."""

    def thought(name: str) -> Body:
        return make.reasoning(name, seal(name) if plan.form in ("stateless", "anonymous") else None)

    output = [thought(f"rs_{step}_{n}") for n in range(said.thoughts)]
    output += [make.said(f"msg_{step}")] if said.text else []
    for n in range(said.calls):
        output += [thought(f"rs_{step}_{n}b")] if said.between else []
        output += [make.call(f"call_{step}_{n}", f"fc_{step}_{n}")]
    return output


def _kept(output: list[Body], plan: Plan) -> list[Body]:
    if plan.form == "bare":
        return _portable(output, contents=False)
    return _portable(output, contents=True) if plan.form == "anonymous" else output


def _portable(items: list[Body], *, contents: bool) -> list[Body]:
    """The items without ids, and without reasoning unless its encrypted content may be kept."""
    kept = [item for item in items if contents or item.get("type") != "reasoning"]
    return [{name: value for name, value in item.items() if name != "id"} for item in kept]


def _answers(output: list[Body], plan: Plan, history: list[Body]) -> list[Body]:
    """The outputs of the calls; with `apart` each one goes right behind its call, as some clients keep them."""
    answers = [make.output(item["call_id"]) for item in output if item["type"] == "function_call"]
    if plan.apart and answers and plan.form not in ("chained", "conversation"):
        for answer in answers[:-1]:
            at = next(i for i, item in enumerate(history) if item.get("call_id") == answer["call_id"])
            history.insert(at + 1, answer)
        return answers[-1:]
    return answers[::-1] if plan.backwards else answers


def _question(plan: Plan, text: str, image: str) -> Body:
    if not plan.images:
        return make.user("2+2?")
    shown = {"type": image, "image_url": IMAGE} if image == "input_image" else {"type": image, "image_url": {"url": IMAGE}}
    return make.user([{"type": text, "text": "what is this?"}, shown])


def play_chat(plan: Plan, issued: Issued) -> Iterator[Request]:
    """The requests of a conversation over Chat Completions."""
    history: list[Body] = [{"role": "system", "content": "be brief"}, _question(plan, "text", "image_url")]
    for step, said in enumerate(plan.replies):
        yield make.request("chat", make.chat(*history), key="sk-b" if step >= plan.new_key else make.KEY)
        ids = [f"call_{step}_{n}" for n in range(said.calls)]
        content = "4" if said.text else "" if plan.forgetful else None
        history.append(make.calls(*ids, content=content) if ids else make.assistant(content or "4"))
        answers = [make.tool(name) for name in ids]
        history += (answers[::-1] if plan.backwards else answers) or [_question(plan, "text", "image_url")]


def play_messages(plan: Plan, issued: Issued) -> Iterator[Request]:
    """The requests of a conversation over Anthropic Messages; a forgetful client drops the thoughts of finished turns."""
    history: list[Body] = [_claude_question(plan)]
    settings = {"thinking": {"type": "adaptive"}} if plan.form == "bare" else make.FIELDS if plan.form != "stored" else {}
    for step, said in enumerate(plan.replies):
        request = make.request("messages", make.messages(*history, **settings), key="sk-b" if step >= plan.new_key else make.KEY)
        yield request
        blocks = _blocks(said, step, issued, request)
        issued.message(request, blocks)
        history.append(make.assistant(blocks))
        answers = [make.result(block["id"])[0] for block in blocks if block["type"] == "tool_use"]
        answers = answers[::-1] if plan.backwards else answers
        if answers and plan.apart:
            history += [make.user([answer]) for answer in answers]
        elif answers:
            history.append(make.user([*answers, make.text("and?")] if plan.images else answers))
        else:
            if plan.forgetful:
                history = [_without_thoughts(message) for message in history]
            history.append(_claude_question(plan))


def _blocks(said: Said, step: int, issued: Issued, request: Request) -> list[Body]:
    thoughts = [f"thought {step} {n}" for n in range(said.thoughts)]
    blocks = [make.thinking(written, issued.sign(request, written)) for written in thoughts]
    if said.redacted and blocks:
        blocks.append({"type": "redacted_thinking", "data": issued.redact(request, f"{step}")})
    return [*blocks, *([make.text("4")] if said.text else []), *make.use(*(f"toolu_{step}_{n}" for n in range(said.calls)))]


def _without_thoughts(message: Body) -> Body:
    content = message["content"]
    if message["role"] != "assistant" or not isinstance(content, list):
        return message
    return {**message, "content": [block for block in content if "thinking" not in block["type"]]}


def _claude_question(plan: Plan) -> Body:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    return make.user([make.text("what is this?"), {"type": "image", "source": source}] if plan.images else "2+2?")


PLAYS: dict[str, Play] = {"responses": play_responses, "chat": play_chat, "messages": play_messages}
