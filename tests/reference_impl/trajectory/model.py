"""A real tokenizer with its real chat template, and a model whose answers are written down beforehand.

The vocabulary and the template are those of a released model; they come with the `mistral-common` package, so nothing is
downloaded. What the model "samples" is on purpose not what its tokenizer would make of the same text.
"""

from __future__ import annotations

import functools
from collections import deque
from itertools import count
from pathlib import Path

import mistral_common
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from reference_impl.trajectory import Answer
from reference_impl.trajectory.errors import UnreachableError

_TYPES = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage, "tool": ToolMessage}
VOCABULARY = Path(mistral_common.__file__).parent / "data" / "mistral_instruct_tokenizer_241114.model.v7"


@functools.cache
def _tokenizer():
    return MistralTokenizer.from_file(str(VOCABULARY), mode=ValidationMode.test)


class MistralChat:
    """The tokenizer as the trajectory wants it."""

    def prompt(self, messages, tools=()):
        """The whole conversation."""
        del tools
        typed = [_typed(message) for message in messages]
        return _tokenizer().encode_chat_completion(ChatCompletionRequest(messages=typed)).tokens

    def suffix(self, messages, start, tools=()):
        """What comes after the assistant message before `start`: it ends the n-th turn, and each turn ends by its own token."""
        tokens = self.prompt(messages, tools)
        turns = sum(message["role"] == "assistant" for message in messages[:start])
        ends = [at for at, token in enumerate(tokens) if token == self.end_of_turn()[0]]
        return tokens[ends[turns - 1] + 1 :]

    def end_of_turn(self):
        """The token that the model writes when it is done."""
        return (_tokenizer().instruct_tokenizer.tokenizer.eos_id,)


def _typed(message):
    """A message in the types of the template, which know neither refusals nor the index of a call."""
    fields = ("role", "content", "tool_call_id", "name")
    known = {key: message[key] for key in fields if message.get(key) is not None}
    if message.get("tool_calls"):
        known["tool_calls"] = [{key: call[key] for key in ("id", "type", "function")} for call in message["tool_calls"]]
    return _TYPES[message["role"]].model_validate(known)


def sampled(text):
    """The tokens of a text as a model may well choose them: the last word letter by letter, which no tokenizer would do."""
    spoken = _tokenizer().instruct_tokenizer.tokenizer
    tokens = spoken.encode(text, bos=False, eos=False)
    pieces = spoken._model
    letters = [pieces.piece_to_id(letter) for letter in pieces.id_to_piece(tokens[-1])]
    chosen = tokens[:-1] + letters if pieces.unk_id() not in letters else tokens
    assert spoken.decode(chosen) == text
    return chosen


class Scripted:
    """A backend that answers by a list: `say`, `abort`, `status` and `down` add to it. It keeps what it was asked."""

    def __init__(self):
        self.asked = []
        self._numbers = count(1)
        self._next = deque()

    def say(self, text, reason="stop", **message):
        """A whole answer (reason "length": one that was cut off by the limit)."""
        self._next.append((200, text, reason, message))
        return self

    def abort(self, text):
        """An answer that was stopped from outside after `text`, which is an HTTP 200 all the same."""
        return self.say(text, "abort")

    def status(self, status):
        """A refusal or failure of the backend."""
        self._next.append((status, "", "", {}))
        return self

    def down(self):
        """No answer at all."""
        self._next.append((0, "", "", {}))
        return self

    async def __call__(self, request, prompt):
        """Answer the next request."""
        self.asked.append((request, tuple(prompt)))
        status, text, reason, message = self._next.popleft()
        if status == 0:
            raise UnreachableError("connection refused")
        if status != 200:
            return Answer(status, {"error": {"message": "no", "code": status}})
        return answer(prompt, text, reason, next(self._numbers), **message)


def answer(prompt, text, reason="stop", number=1, **message):
    """What a backend says when it has generated `text`."""
    output = sampled(text) if text else []
    if reason not in ("abort", "length"):
        output += MistralChat().end_of_turn()
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text or None, **message}}],
        "usage": {"prompt_tokens": len(prompt), "completion_tokens": len(output), "total_tokens": len(prompt) + len(output)},
    }
    return Answer(200, body, list(prompt), output, [-0.5] * len(output))


def user(text):
    """A message of the user."""
    return {"role": "user", "content": text}


def said(text):
    """A message of the assistant, as a client sends it back."""
    return {"role": "assistant", "content": text}
