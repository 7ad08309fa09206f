"""What the official clients make of each rejection: the type, the status, the code and the message that a program sees."""

from __future__ import annotations

import pytest

from pytest_durability.dialects.registry import RULES, reject
from pytest_durability.dialects.transient import TRANSIENTS
from tests.dialects.clients import ask, code_of, fails
from tests.dialects.smallest import PAIRS, TWO, chat, messages, responses

pytest.importorskip("openai")
pytest.importorskip("anthropic")
pytest.importorskip("httpx2")
pytestmark = pytest.mark.filterwarnings("ignore:Using Claude with:UserWarning")

BODIES = {"responses": responses(TWO), "chat": chat(TWO), "messages": messages(TWO)}

# What a client does not let out, so that a program meets it as a TypeError.
KEPT_IN = ("chat.missing_parameter", "messages.missing_parameter")

# What the OpenAI client has in `code` and `param`; all other rules have neither, and the Anthropic client never has.
CODES = {
    "responses.missing_parameter": ("missing_required_parameter", "model"),
    "responses.previous_response_not_found": ("previous_response_not_found", "previous_response_id"),
    "responses.conversation_locked": ("conversation_locked", "conversation"),
    "responses.include_unsupported": (None, "include"),
    "responses.invalid_conversation_item": ("invalid_item", "item"),
    "responses.unknown_parameter": ("unknown_parameter", "input[1].status"),
    "responses.id_prefix": ("invalid_value", "input[0].id"),
    "responses.duplicate_item": (None, "input"),
    "responses.missing_output": (None, "input"),
    "responses.missing_call": (None, "input"),
    "responses.reasoning_without_follower": (None, "input"),
    "responses.call_without_reasoning": (None, "input"),
    "responses.message_without_reasoning": (None, "input"),
    "responses.item_not_found": (None, "input"),
    "responses.invalid_encrypted_content": ("invalid_encrypted_content", None),
    "chat.missing_parameter": ("missing_required_parameter", "messages"),
    "chat.empty_assistant": ("invalid_request_error", None),
    "chat.missing_tool_message": (None, "messages.[3].role"),
    "chat.orphan_tool_message": (None, "messages.[1].role"),
    "chat.orphan_tool_message_compatible": ("invalid_request_error", None),
    "chat.unknown_tool_call_id": (None, "messages.[2].tool_call_id"),
}


def refused(pair):
    """The rejection of the broken request of a pair, and what the client raises for it."""
    strict, seen = pair.strict(), []

    def answer(request):
        seen.append(strict.examine(request).rejection)
        return seen[-1]

    error = fails(pair.dialect, dict(pair.broken), answer, path=pair.path)
    return seen[-1], error


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.rule not in KEPT_IN], ids=lambda pair: pair.rule)
def test_a_client_raises_what_the_service_said(pair):
    """Through a real client the smallest broken request raises the documented type, status, code, param and message."""
    rejection, error = refused(pair)
    assert rejection.rule == pair.rule
    assert type(error).__name__ == ("NotFoundError" if pair.rule == "responses.item_not_found" else "BadRequestError")
    assert error.status_code == RULES[pair.rule].status
    assert rejection.message in str(error)
    assert (code_of(error), getattr(error, "param", None)) == CODES.get(pair.rule, (None, None))
    assert error.response.json() == rejection.body
    assert error.type == "invalid_request_error"


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.rule not in KEPT_IN], ids=lambda pair: pair.rule)
def test_a_client_can_send_the_sound_request(pair):
    """The nearest sound request goes through the same client and the same provider without an error."""
    strict = pair.strict()
    findings = []

    def answer(request):
        findings.append(strict.examine(request))
        return findings[-1].rejection

    ask(pair.dialect, dict(pair.sound), answer, path=pair.path)
    assert [str(found) for found in findings] == ["no findings"]


@pytest.mark.parametrize("name", KEPT_IN)
def test_a_client_does_not_send_a_request_without_its_fields(name):
    """Some faults never reach a service, because the client itself refuses to send such a request."""
    pair = next(pair for pair in PAIRS if pair.rule == name)
    calls = []
    error = fails(pair.dialect, pair.broken, calls.append)
    assert (type(error).__name__, calls) == ("TypeError", [])


STATUSES = {
    "any.rate_limited": "RateLimitError",
    "any.server_error": "InternalServerError",
    "any.unauthorized": "AuthenticationError",
    "any.conflict": "ConflictError",
}


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("name", [*STATUSES, "any.overloaded"])
def test_a_client_sends_again_what_it_is_said_to_send_again(name, dialect):
    """Each transient answer raises its type, and the clients send the request again exactly when `retried` says so."""
    calls = []

    def answer(request):
        calls.append(request)
        return reject(name, request, retry_after=0.001)

    error = fails(dialect, BODIES[dialect], answer, retries=2)
    overloaded = "OverloadedError" if dialect == "messages" else "InternalServerError"
    assert type(error).__name__ == STATUSES.get(name, overloaded)
    assert len(calls) == (3 if TRANSIENTS[name].retried else 1)
    assert error.status_code == reject(name, calls[0]).status


@pytest.mark.parametrize("dialect", BODIES)
@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("form", ["json", "html", "empty"])
def test_any_kind_of_body_is_one_error(form, status, dialect):
    """A proxy's page and an empty body raise the same type as the provider's own envelope."""
    error = fails(dialect, BODIES[dialect], lambda request: reject("any.server_error", request, status=status, form=form))
    own = "ServiceUnavailableError" if (dialect, status) == ("messages", 503) else "InternalServerError"
    assert (type(error).__name__, error.status_code) == (own, status)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.name)
def test_a_rejection_is_not_sent_again(rule):
    """A client sends a refused request once: nothing that a rule refuses is retried behind the program's back."""
    calls = []

    def answer(request):
        calls.append(request)
        return reject(rule.name, request)

    error = fails(rule.dialect, BODIES[rule.dialect], answer, retries=2)
    assert (len(calls), error.status_code) == (1, rule.status)
