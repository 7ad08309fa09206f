"""The judge as a whole: its order, its options, its errors; and how little a further rule takes."""

from __future__ import annotations

import pytest

from pytest_durability.dialects.issued import Issued
from pytest_durability.dialects.registry import NAMES, RULES, fits, reject
from pytest_durability.dialects.rule import Group, Hit, rule
from pytest_durability.dialects.strict import Strict, lint
from pytest_durability.dialects.transient import TRANSIENTS
from pytest_durability.errors import UsageError
from tests.dialects import smallest as make
from tests.dialects.signals import CLAUDE, REPLAY
from tests.dialects.smallest import TWO, W

ASKED = make.request("responses", make.responses(TWO))


@rule("chat.no_shouting", Group.SHAPE, "B", "messages[{n}] is too loud", sample={"n": 0}, about="user")
def no_shouting(seen):
    """A rule as a user writes it."""
    for n, message in enumerate(seen.messages):
        if str(message.get("content")).isupper():
            yield Hit({"n": n}, f"messages[{n}]")


def test_a_rule_of_ones_own_takes_a_few_lines():
    """A further rule is found like a built-in one, and its grade is told in its report."""
    request = make.request("chat", make.chat("2+2?", make.assistant("4"), "THANKS"))
    assert str(Strict(rules=[no_shouting]).examine(request)) == (
        "chat.no_shouting at messages[2]: 400 messages[2] is too loud "
        "[grade B: the message is quoted in a public report; the shape of the body is assumed (unverified)]"
    )


def test_a_request_with_two_faults_is_refused_for_the_earlier_group():
    """The shape of items comes before duplicates, pairs, neighbours and contents; all faults are in the findings."""
    body = make.responses(
        make.reasoning("rs_1", "gAAAno", status="completed"),
        TWO,
        make.call("call_9", "fc_9"),
        make.said("msg_7"),
        make.said("msg_7"),
    )
    assert [found.rule for found in Strict(W.issued).examine(make.request("responses", body)).refused] == [
        "responses.unknown_parameter",
        "responses.duplicate_item",
        "responses.missing_output",
        "responses.reasoning_without_follower",
        "responses.invalid_encrypted_content",
    ]


def test_the_same_request_gets_the_same_answer():
    """An answer has no clock and no chance in it: body and headers are equal, in another judge too."""
    pairs = [pair for pair in make.PAIRS if not pair.path]
    once, again = ([Strict(make.World().issued).examine(p.request(p.broken)).rejection for p in pairs] for _ in range(2))
    assert once == again


def test_a_wrong_key_comes_first():
    """A request without a valid key is not looked at further by the service."""
    findings = Strict(keys={"sk-b"}).examine(make.request("chat", make.chat(make.tool("call_1"))))
    assert [found.rule for found in findings.refused] == ["any.unauthorized", "chat.orphan_tool_message"]
    assert Strict(keys={"sk-a"}).examine(ASKED).rejection is None


def test_compatible_servers_speak_in_their_own_words():
    """A rule that stands for another one replaces it."""
    request = make.request("chat", make.chat(TWO, make.tool("call_1")))
    refused = Strict(enforce=["chat.orphan_tool_message_compatible"]).examine(request).refused
    assert [found.rule for found in refused] == ["chat.orphan_tool_message_compatible"]


@pytest.mark.parametrize(
    ("model", "verdict"),
    [
        ("claude-3-5-sonnet-20241022", "no findings"),
        ("claude-sonnet-4-20250514", "no findings"),
        ("claude-opus-4-1-20250805", "no findings"),
        ("claude-sonnet-4-5", "no findings"),
        ("anthropic.claude-sonnet-4.5", "no findings"),
        ("claude-opus-4-6", "refused"),
        ("claude-sonnet-5", "refused"),
        ("anthropic/claude-opus-4.6", "refused"),
        ("my-model", "warning"),
    ],
)
def test_prefill_depends_on_the_model(model, verdict):
    """Older models go on with an assistant message, newer ones refuse it, and of others nothing is known."""
    findings = Strict().examine(make.request("messages", make.messages(TWO, make.assistant("It"), model=model)))
    assert ("refused" if findings.refused else "warning" if findings.warnings else str(findings)) == verdict


def test_what_depends_on_unknown_state_is_a_warning():
    """Without a ledger nothing is said of contents, and what only a ledger can decide is a warning."""
    dropped = make.responses(make.reasoning("rs_1"), make.said("msg_1"), store=False)
    assert [found.rule for found in lint(dropped).warnings] == ["responses.item_not_found"]
    assert not lint(dropped).refused
    assert str(lint(REPLAY)) == str(lint(CLAUDE)) == "no findings"
    assert str(lint(make.request("responses", REPLAY, key="sk-b"))) == "no findings"


def test_findings_are_true_when_the_service_refuses():
    """A warning alone does not make a request refused."""
    assert lint(make.chat(make.tool("call_1")))
    assert not lint(make.responses(make.reasoning("rs_1"), make.said("msg_1"), store=False))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("responses.missing_ouput", "did you mean: responses.missing_output"),
        ("missing_result", "did you mean: messages.missing_result"),
        ("any.rate_limit", "did you mean: any.rate_limited"),
        ("prefill", "did you mean: messages.prefill"),
        ("??", "choose from: responses.missing_parameter"),
    ],
)
@pytest.mark.parametrize(
    "use", [lambda name: reject(name, ASKED), lambda name: Strict(enforce=[name]), lambda name: fits(name, ASKED)]
)
def test_a_misspelt_name_is_told_with_what_was_meant(use, name, hint):
    """Whoever uses an unknown name is told which names look like it."""
    with pytest.raises(UsageError) as error:
        use(name)
    assert f"{name!r} is not a rejection" in str(error.value)
    assert f"fix: {hint}" in str(error.value)


def test_a_rule_of_another_dialect_cannot_be_forced():
    """A service cannot refuse in the words of another one."""
    with pytest.raises(UsageError, match=r"messages.prefill cannot answer a request to /v1/responses(.|\n)*'responses.'"):
        reject("messages.prefill", ASKED)


@pytest.mark.parametrize("name", ["responses.unknown_parameter", "any.rate_limited"])
def test_unknown_values_are_a_misuse(name):
    """Only what varies in the words can be given, and the error names it."""
    with pytest.raises(UsageError, match=rf"{name} has no 'colour'(.|\n)*status"):
        reject(name, ASKED, colour="red")


@pytest.mark.parametrize("values", [{"status": 418}, {"form": "poem"}])
def test_a_transient_answer_has_its_statuses_and_forms(values):
    """An answer that no service gives is a misuse."""
    with pytest.raises(UsageError, match=r"any.server_error has no (status|form)"):
        reject("any.server_error", ASKED, **values)


def test_a_forced_rejection_names_what_is_in_the_request():
    """A client that looks up what is named finds an element of the right kind."""
    asked = make.request("responses", REPLAY)
    assert reject("responses.unknown_parameter", asked).param == "input[1].status"
    assert reject("responses.item_not_found", asked).message.startswith("Item with id 'rs_1'")
    assert "gAAA..." in reject("responses.invalid_encrypted_content", asked).message
    assert "'fc_1'" in reject("responses.call_without_reasoning", asked).message
    assert reject("responses.id_prefix", asked).param == "input[4].id"
    assert reject("messages.invalid_signature", make.request("messages", CLAUDE)).message.startswith("messages.1.content.0:")
    assert "toolu_1" in reject("messages.missing_result", make.request("messages", CLAUDE)).message


def test_a_forced_rejection_can_be_told_what_to_say():
    """Values replace parts of the words, and reports that differ in the status can both be played."""
    asked = make.request("responses", make.responses(TWO, previous_response_id="resp_1"))
    refused = reject("responses.previous_response_not_found", asked, status=404)
    assert (refused.status, refused.message) == (404, "Previous response with id 'resp_1' not found.")
    assert reject("responses.unknown_parameter", asked, n=7).param == "input[7].status"
    assert reject("responses.id_prefix", asked, code="invalid_id_prefix").code == "invalid_id_prefix"


def test_fits_says_whether_a_request_has_what_is_named():
    """A rejection of reasoning fits a request with reasoning, and a transient answer fits any."""
    replay, plain = make.request("responses", REPLAY), ASKED
    assert fits("responses.invalid_encrypted_content", replay)
    assert not fits("responses.invalid_encrypted_content", plain)
    assert not fits("messages.invalid_signature", replay)
    assert fits("any.conflict", plain)


@pytest.mark.parametrize("name", TRANSIENTS)
@pytest.mark.parametrize("dialect", make.PATHS)
def test_transient_answers_speak_each_dialect(dialect, name):
    """Each transient answer has the envelope of the provider that is asked, and says what to do with it."""
    answer = reject(name, make.request(dialect, {}))
    assert answer.effect == TRANSIENTS[name].effect
    if answer.effect == "answer":
        assert ("request_id" in answer.body) == (dialect == "messages")
        assert answer.message
    else:
        assert answer.payload() == b""


def test_retry_after_is_sent_only_when_it_is_asked_for():
    """The header is in seconds, and absent by default."""
    assert "retry-after" not in reject("any.rate_limited", ASKED).headers
    assert reject("any.rate_limited", ASKED, retry_after=1.5).headers["retry-after"] == "1.5"


def test_the_names_are_the_documented_ones():
    """A rule that disappears or changes its name breaks the saved cases of others."""
    assert len(NAMES) == len(RULES) + len(TRANSIENTS) == len(set(NAMES))
    assert {name.partition(".")[0] for name in NAMES} == {"responses", "chat", "messages", "any"}


def test_an_empty_ledger_is_not_the_same_as_none():
    """What a provider that issued nothing cannot read is refused; without a ledger nothing is said of it."""
    assert lint(REPLAY).rejection is None
    assert (
        Strict(Issued("another")).examine(make.request("responses", REPLAY)).rejection.rule
        == "responses.invalid_encrypted_content"
    )
