"""The page of a finding: its exact bytes, what a hostile store cannot do to it, and its limits."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from pytest_durability.history import History, Lane, Outcome
from pytest_durability.report.html import ROWS, page
from pytest_durability.report.timeline import MOST
from pytest_durability.verdict import Loss, LostAcknowledged, Result, Verdict
from pytest_durability.workload import Append, Workload
from tests.report.findings import finding

HOSTILE = "</script><script>alert(1)</script>\" onload='x' <!-- & \x00\x1b[31m \u202e \ud800 \u2028"
VOID = {"meta"}


class Outline(HTMLParser):
    """Every element with its attributes, in order; complains about one that is not closed where it should be."""

    def __init__(self):
        super().__init__()
        self.elements, self.open, self.data = [], [], {}

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.data.setdefault(self.open[-1], []).append(data)


def outline(text: str) -> Outline:
    """The elements of a page that is well formed."""
    found = Outline()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


def hostile() -> Result:
    """A finding in which every text is an attack."""
    ops = History()
    ops.add(Lane.USER, HOSTILE, HOSTILE)
    ops.add(Lane.DISK, "write", HOSTILE, size=3, site=HOSTILE, outcome=Outcome.UNKNOWN)
    anomaly = LostAcknowledged(HOSTILE, because=[HOSTILE, "op 2  and op 99"], witnesses=[1], site=HOSTILE)
    return Result(
        adapter=HOSTILE,
        workload=Workload((Append("user", HOSTILE[:40]),)),
        schedule=(),
        history=ops,
        verdict=Verdict.INVALID,
        anomaly=anomaly,
        model=HOSTILE,
        crash_after=2,
        losses=(Loss(2, HOSTILE, HOSTILE, HOSTILE),),
        expected=(HOSTILE,),
        observed=(HOSTILE, "x"),
        case_id="0123456789",
        note=HOSTILE,
    )


def test_the_page_of_a_finding(golden_page):
    """Verdict, because, timeline, both states and the command, byte for byte."""
    golden_page("finding", page(finding(), test="tests/test_notes.py::test_notes"))


def test_no_text_can_become_markup():
    """Whatever a model wrote, the page has the elements and attributes that it has anyhow, and printable ASCII only."""
    text = page(hostile(), test=HOSTILE)
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    found = outline(text)
    assert [attributes for tag, attributes in found.elements if tag == "script"] == [
        {"type": "application/json", "id": "durability"}
    ]
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
    assert {tag for tag, _ in found.elements} == {tag for tag, _ in outline(page(finding())).elements}


def test_the_page_asks_for_nothing():
    """No element loads anything, no script can run, and links stay on the page."""
    text = page(hostile())
    assert not re.search(r"\b(?:src|srcset|action)=|url\(|@import|http:|https:", text)
    found = outline(text)
    assert all(attributes["href"].startswith("#op-") for _, attributes in found.elements if "href" in attributes)
    [policy] = [attributes["content"] for tag, attributes in found.elements if tag == "meta" and "http-equiv" in attributes]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_links_lead_to_ops_of_the_page():
    """A number that is no op of this run is no link."""
    text = page(hostile())
    assert '<a href="#op-2">op 2</a>' in text
    assert "op-99" not in text
    assert 'id="op-2"' in text


def test_programs_find_the_same_as_data():
    """The texts come back from the embedded JSON as they were."""
    [data] = outline(page(hostile(), test="t")).data["script"]
    content = json.loads(data)
    assert content["summary"] == content["adapter"] == content["model"] == HOSTILE
    assert content["ops"][1] == [2, "disk", "write", HOSTILE, 3, "unknown", HOSTILE]
    assert (content["case"], content["test"], content["verdict"], content["lost"]) == ("0123456789", "t", "invalid", [2])


def test_limits_are_told():
    """Of a long history the end is shown, and of long transcripts the beginning, each with the number that is left out."""
    ops = History()
    for number in range(MOST + 7):
        ops.add(Lane.USER, "append", f"u{number}")
    rows = tuple(f"row {number}" for number in range(ROWS + 3))
    long = page(Result("A", Workload(()), (), ops, Verdict.INVALID, crash_after=MOST + 7, expected=rows, observed=rows))
    assert "... 7 ops left out" in long
    assert long.count('<tr id="op-') == MOST
    assert long.count("... 3 rows left out") == 2
    assert "missing" not in long
    assert "left out" not in page(finding())


@pytest.mark.parametrize("crash_after", [0, 3])
def test_a_crash_before_the_first_op_and_a_run_without_one(crash_after):
    """The band of the crash stands where the crash was, if there was one."""
    ops = History()
    for number in range(3):
        ops.add(Lane.DISK, "write", f"f{number}", size=1)
    model = "posix" if crash_after else ""
    text = page(Result("A", Workload(()), (), ops, Verdict.VALID, model=model, crash_after=crash_after))
    assert text.count('class="crash"') == bool(crash_after)
    assert text.count('<tr id="op-') == 3
    outline(text)
