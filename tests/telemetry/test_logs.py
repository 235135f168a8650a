"""Log lines are JSON of known fields; what could quote a caller does not get in, however tried."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.errors import ConfigurationRefused, RequestRefused
from strongroom.telemetry import logs

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
PROMPT = "The quick brown fox: tell me the launch code"
KEY = "sr_0123456789abcdef_" + "A" * 43
PEPPER = "9f" * 8 + "deadbeef"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    found = io.StringIO()
    logs.configure("debug", found)
    yield found
    root.handlers[:], root.level, logging.raiseExceptions = before
    logging.getLogger("strongroom").setLevel(logging.NOTSET)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_with_its_fields(stream: io.StringIO) -> None:
    fields = {"route": "chat", "status": 200, "seconds": 0.25, "key_id": "0123456789abcdef"}
    logging.getLogger("strongroom.gateway").info("request.finished", extra=fields)
    (line,) = lines(stream)
    assert line.pop("time", "").endswith("Z")  # type: ignore[attr-defined]
    assert line == {"level": "info", "event": "request.finished", **fields}


def test_no_secret_gets_in_by_any_way(stream: io.StringIO) -> None:
    ours = logging.getLogger("strongroom.gateway")
    theirs = logging.getLogger("uvicorn.error")
    ours.error("request failed: %s", PROMPT)
    ours.error(f"prompt was {PROMPT}")
    ours.error(PROMPT)
    ours.warning("request.failed", extra={"prompt": PROMPT, "code": PROMPT, "reason": KEY})
    ours.warning("request.failed", extra={"model": KEY, "key_id": KEY, "status": KEY})
    ours.warning("request.failed", extra={PROMPT: 1, "address": f"http://h/{PROMPT}"})
    theirs.warning("invalid request %s", KEY)
    logging.getLogger(f"strongroom.{PROMPT}").error("x")
    for logger in (ours, theirs):
        try:
            raise ValueError(PROMPT + KEY)
        except ValueError:
            logger.exception("request.failed")
        try:
            raise RequestRefused("gateway.bad", PROMPT, action=KEY) from KeyError(PEPPER)
        except RequestRefused:
            logger.exception("it was %s", PROMPT, stack_info=True)
    text = stream.getvalue()
    for secret in (PROMPT, KEY, PEPPER, "quick", "A" * 10, "sr_0123"):
        assert secret not in text
    shown = lines(stream)
    assert len(shown) == 12
    assert shown[3]["withheld"] == ["code", "prompt", "reason"]
    assert "RequestRefused gateway.bad at test_logs.py:" in str(shown[9]["error"])


def test_control_a_plain_formatter_would_have_let_them_in() -> None:
    found = io.StringIO()
    logger = logging.Logger("plain")
    logger.addHandler(logging.StreamHandler(found))
    logger.error("request failed: %s", PROMPT)
    assert PROMPT in found.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.one_of(st.text(), st.integers(), st.floats(), st.binary()))
def test_a_line_is_one_line_of_json_whatever_is_logged(
    message: str, key: str, value: object
) -> None:
    record = logging.makeLogRecord({"name": "strongroom.x", "msg": message, "levelno": 20})
    record.__dict__.setdefault(key, value)
    line = logs.JsonLines().format(record)
    assert "\n" not in line
    json.loads(line)


def test_values_of_the_wrong_shape_are_withheld(stream: io.StringIO) -> None:
    odd = {"status": True, "seconds": float("nan"), "entries": 1.5, "digest": "xyz", "wall": "A"}
    logging.getLogger("strongroom").info("log.opened", extra=odd)
    (line,) = lines(stream)
    assert line["withheld"] == sorted(odd)


def test_a_library_that_set_up_its_own_way_out_loses_it() -> None:
    own = io.StringIO()
    theirs = logging.getLogger("uvicorn.access")
    theirs.addHandler(logging.StreamHandler(own))
    theirs.propagate = False
    theirs.setLevel(logging.INFO)
    theirs.warning(PROMPT)
    assert PROMPT in own.getvalue()  # control: before, it went where it liked
    own.truncate(0)
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.raiseExceptions
    found = io.StringIO()
    try:
        logs.configure("info", found)
        theirs.info(PROMPT)
        theirs.warning(PROMPT)
    finally:
        root.handlers[:], root.level, logging.raiseExceptions = before
    assert own.getvalue() == ""
    (line,) = lines(found)
    assert str(line["at"]).startswith("uvicorn.access:")


def test_libraries_are_heard_only_when_they_warn(stream: io.StringIO) -> None:
    logging.getLogger("asyncio").info("slow")
    logging.getLogger("asyncio").warning("slow")
    (line,) = lines(stream)
    assert line["event"] == "log.unstructured"
    assert str(line["at"]).startswith("asyncio:")


def test_a_level_that_is_none() -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        logs.configure("loud")
    assert caught.value.code == "telemetry.bad_level"


def test_every_field_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    missing = [name for name in logs.FIELDS if f"| `{name}` |" not in text]
    assert not missing
