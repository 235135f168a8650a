"""Whatever is sent, the service answers with a signed refusal, and the workload refuses."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from release_desk import Desk, body, make_desk

from strongroom.attest.local import LocalEvidence
from strongroom.errors import KeyRefused
from strongroom.release import messages, service_key
from strongroom.release.messages import Release

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ("type", "runtime", "evidence", "recipients", "protocol", "session")
KEYED = st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("release") | st.just("ask"))
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return make_desk(tmp_path_factory.mktemp("desk"))


def _released(desk: Desk, answer: bytes) -> bool:
    service_key.verify(answer, desk.service_key.public)
    return isinstance(body(answer), messages.Released)


@FUZZ
@given(payload=st.binary(max_size=300) | (JSON | KEYED).map(msgspec.json.encode))
def test_arbitrary_messages(desk: Desk, payload: bytes) -> None:
    session = desk.service.open_session()
    assert not _released(desk, desk.send(session, payload))


@FUZZ
@given(data=st.data())
def test_edited_requests(desk: Desk, data: st.DataObject) -> None:
    """No edit of the runtime data releases, nor any of evidence that changes what is judged."""
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    release = msgspec.json.decode(request, type=Release)
    part = data.draw(st.sampled_from(["runtime", "evidence"]))
    content = bytearray(getattr(release, part))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    spoiled = msgspec.structs.replace(release, **{part: bytes(content)})
    answer = desk.send(session, msgspec.json.encode(spoiled))
    if part == "runtime":
        assert not _released(desk, answer)
    elif _released(desk, answer):
        # Free to differ is only what this policy does not judge, and it is recorded as stated.
        before = msgspec.json.decode(release.evidence, type=LocalEvidence)
        after = msgspec.json.decode(bytes(content), type=LocalEvidence)
        assert (after.code, after.pid, after.report_data) == (
            before.code,
            before.pid,
            before.report_data,
        )
        assert desk.records[-1].kernel == after.kernel
        assert desk.records[-1].configuration == after.configuration


@FUZZ
@given(payload=st.binary(max_size=300) | JSON.map(msgspec.json.encode))
def test_arbitrary_answers(desk: Desk, payload: bytes) -> None:
    for take in ("request", "accept"):
        requester, _ = desk.prepared(desk.service.open_session())
        for answer in (payload, desk.service_key.sign(payload)):
            with pytest.raises(KeyRefused):
                getattr(requester, take)(answer)


def test_the_unedited_request_releases(desk: Desk) -> None:
    session = desk.service.open_session()
    _, request = desk.prepared(session)
    answer = desk.send(session, request)
    assert _released(desk, answer), body(answer)
