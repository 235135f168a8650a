"""Reports are made of results alone, hold no script, and escape what comes from data."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from strongroom.exposure.results import Model, Omitted, decode
from strongroom.report import cyclonedx, deciding, html, sarif, statement, svg
from strongroom.report.canonical import canonical
from strongroom.report.compare import changes
from tests.exposure.made import cell, estimate, results

HOSTILE = "<script>alert(1)</script><img src=x onerror=1>&\"'"
FOUND = results(
    cell(),
    cell("cloning", "cloning", "label", 0.95, "critical", metric="agreement"),
    cell("membership-loss", rung="logits", value=0.7, severity="high"),
    cell("hidden", "reverse engineering", "logits", status="unknown"),
)
VOID = {"meta", "line", "circle", "rect", "polyline", "path", "br", "img", "input", "link"}


class Strict(HTMLParser):
    """Every element closed, in order; remembers elements and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: bytes) -> Strict:
    parser = Strict()
    parser.feed(page.decode())
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_stands_alone() -> None:
    page = html.render(FOUND)
    found = parsed(page)
    tags = {tag for tag, _ in found.seen}
    assert not tags & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    for _, attributes in found.seen:
        assert not any(name.startswith("on") or name == "src" for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    style = re.search(rb"<style>(.*?)</style>", page, re.S)
    assert style is not None
    assert b"url(" not in style[1]
    assert b"@import" not in style[1]
    assert b"default-src 'none'" in page


def test_links_lead_to_cells() -> None:
    found = parsed(html.render(FOUND))
    ids = {attributes["id"] for _, attributes in found.seen if attributes.get("id")}
    wanted = {a["href"][1:] for t, a in found.seen if t == "a" and a.get("href")}  # type: ignore[index]
    assert {f"cell-{n}" for n in range(4)} <= ids
    assert wanted <= ids


def test_what_comes_from_data_is_escaped() -> None:
    bad = cell(
        HOSTILE, sentence=HOSTILE, why=HOSTILE, command=HOSTILE, call=HOSTILE, metric=HOSTILE
    )
    page = html.render(results(bad, name=HOSTILE))
    assert b"<script" not in page
    assert b"<img" not in page
    parsed(page)


def test_the_page_says_what_stands_and_what_was_not_measured() -> None:
    page = html.render(FOUND).decode()
    assert "It worked." in page
    assert "1 of 4 cells could not be measured" in page
    assert "A limit of 100 queries" in page
    empty = html.render(results(cell(severity="none"), granted="label")).decode()
    assert "That is not the claim that nothing leaks" in empty


def test_what_a_rung_adds_is_told_against_the_one_within_it() -> None:
    found = results(
        cell(rung="label", value=0.6, severity="low"),
        cell(rung="logits", value=0.7, severity="high"),
        cell("merged", "base from adapters", "adapter", 1.0, "critical"),
        cell("copy", "cloning", "logits", status="not_measurable"),
        cell(rung="weights", value=0.65, severity="high"),
        cell("other", rung="weights", value=3.0, severity="critical", metric="bits"),
    )
    label, logits, adapter, weights = deciding.steps(found)
    assert [step.instead_of for step in (label, logits, adapter, weights)] == [
        "closed", "label", "closed", "logits",
    ]  # fmt: skip
    first, more = label.added[0], logits.added[0]
    assert first is not None
    assert more is not None
    assert (first.first, round(first.difference, 9), first.after) == (True, 0.1, "low")
    assert (more.first, round(more.difference, 9), more.apart) == (False, 0.1, True)
    assert (more.before, more.after) == ("low", "high")
    assert logits.added[2] is None
    other = weights.added[0]
    assert other is not None
    assert (other.metric, other.first, other.difference) == ("bits", True, 2.5)  # not of one kind
    assert (other.before, other.after) == ("high", "critical")
    page = html.render(found).decode()
    assert "low to high" in page
    assert "+0.100" in page


def test_the_cheapest_control_is_one_that_was_measured() -> None:
    lower = cell("cloning", "cloning", "label", 0.6, "low", metric="agreement", curve=())
    worse = cell("cloning", "cloning", "logits", 0.9, "critical", metric="agreement", curve=())
    said = dict(deciding.controls(results(lower, worse, granted="logits")))
    assert said["Cloning"].startswith("Granting only label brings it from agreement 0.9")
    said = dict(deciding.controls(results(worse, granted="logits")))
    assert said["Cloning"].startswith("No rung below and no smaller budget")
    said = dict(deciding.controls(results(cell(value=0.9), granted="label")))
    assert said["Membership"] == (
        "A limit of 100 queries for an organisation holds it at 0.52, against 0.9 after 1,600."
    )


def test_what_was_left_out_is_listed_with_its_reason() -> None:
    left = tuple(
        Omitted("cloning", rung, "nothing", "Left out by --rungs") for rung in ("label", "topk")
    )
    page = html.render(msgspec.structs.replace(FOUND, omitted=left)).decode()
    assert "Left out by --rungs: cloning, knowing nothing, at label, topk." in page


def test_an_endpoint_is_not_said_to_have_a_digest() -> None:
    model = Model("parrot", "causal-lm", 0, "ab" * 32, {}, "https://example.com")
    page = html.render(msgspec.structs.replace(FOUND, model=model)).decode()
    assert "there is no digest of its weights" in page
    assert "manifest SHA-256" not in page
    assert "Release 0" not in page


def test_charts_stay_inside_and_are_drawn_of_one_point() -> None:
    points = cell().curve
    for picture in (
        svg.curve(points, estimate(0.5), "AUC"),
        svg.curve(points[:1], estimate(0.5), "AUC"),
        svg.roc(cell().roc),
        svg.risks(cell().records),
    ):
        for number in re.findall(r'(?:x|y|x1|x2|y1|y2|cx|cy)="(-?[\d.]+)"', picture):
            assert 0 <= float(number) <= 420
        assert "nan" not in picture


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values)
def test_canonical_is_rfc8785(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2**60, {1: 2}, object(), "\ud800"])
def test_what_has_no_canonical_form(bad: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        canonical(bad)


def test_a_statement_is_signed_and_every_bit_counts() -> None:
    signer = statement.Signer.generate()
    raw = statement.envelope(FOUND, signer)
    payload = statement.verify(raw, signer.public)
    said = json.loads(payload)
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["subject"] == [{"name": "digits", "digest": {"sha256": "ab" * 32}}]
    assert decode(raw) == decode(payload) == FOUND
    with pytest.raises(ValueError, match="no signature"):
        statement.verify(raw, statement.Signer.generate().public)
    envelope = json.loads(raw)
    for field in ("payload", "payloadType"):
        altered = dict(envelope)
        altered[field] = envelope[field][:-4] + "AAA="
        with pytest.raises(ValueError):
            statement.verify(json.dumps(altered).encode(), signer.public)
    for broken in (b"", b"{}", b"[]", b'{"payload": 3}'):
        with pytest.raises(ValueError):
            statement.verify(broken, signer.public)
    assert signer.seed().hex() not in repr(signer)


def test_pre_authentication_is_the_protocols_example() -> None:
    assert statement.pre_authentication("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_sarif() -> None:
    log = json.loads(sarif.render(FOUND))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) == 3
    for found in run["results"]:
        assert rules[found["ruleIndex"]]["id"] == found["ruleId"]
        assert found["level"] in {"none", "note", "warning", "error"}
        assert found["kind"] in {"pass", "fail"}
        assert (found["kind"] == "pass") == (found["level"] == "none")
        assert found["message"]["text"]
        assert found["locations"]
    assert len(run["results"]) == 3
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["associatedRule"]["id"] == "hidden"
    assert run["invocations"][0]["startTimeUtc"].endswith("Z")


def test_cyclonedx() -> None:
    bom = json.loads(cyclonedx.render(FOUND))
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    (model,) = bom["components"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert len(metrics) == 3
    for metric in metrics:
        assert set(metric) == {"type", "value", "slice", "confidenceInterval"}
        assert float(metric["value"]) >= float(metric["confidenceInterval"]["lowerBound"])
    assert cyclonedx.render(FOUND) == cyclonedx.render(FOUND)


def test_compare() -> None:
    after = results(
        cell(value=0.61),
        cell("cloning", "cloning", "label", 0.7, "high", metric="agreement"),
        cell("new", "abuse"),
    )
    found = {(c.attack, c.rung): c for c in changes(FOUND, after)}
    assert found["membership-loss", "label"].difference == "+0.010 (intervals overlap)"
    assert found["cloning", "label"].difference == "-0.250"
    assert found["cloning", "label"].severity == "critical -> high"
    assert found["membership-loss", "logits"].after == "absent"
    assert found["hidden", "logits"].before == "unknown"
    assert found["new", "label"].before == "absent"


def test_results_of_another_form_are_refused() -> None:
    for raw in (b"{}", b"[1]", b'{"predicate": {}}', b'{"payload": "e30="}'):
        with pytest.raises((ValueError, msgspec.MsgspecError)):
            decode(raw)
