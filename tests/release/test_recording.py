"""A decision counts once whoever keeps the record says that it is there, and not before."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from release_desk import code_of, make_desk

from strongroom.errors import EnvironmentLacks
from strongroom.release.protocol import Clock, ReleaseService
from strongroom.release.record import Decision
from strongroom.release.recording import MAX_LINE_BYTES, Recorder, acknowledgement

MADE = Decision(1, "d-2", "00" * 16, "11" * 32, "22" * 16)


@dataclass
class Pipes:
    """A recorder, and the ends that whoever keeps the record holds."""

    recorder: Recorder
    lines: int
    answers: int

    def said(self) -> Decision:
        """The decision on the next line."""
        return msgspec.json.decode(os.read(self.lines, 65_536), type=Decision)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    lines, out = os.pipe()
    incoming, answers = os.pipe()
    yield Pipes(Recorder(out, incoming, patience=0.2), lines, answers)
    for descriptor in (lines, out, incoming, answers):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test closed it


def refusal(recorder: Recorder, decision: Decision = MADE) -> str:
    with pytest.raises(EnvironmentLacks, match="no_record") as refused:
        recorder(decision)
    return refused.value.message


def test_it_is_recorded_once_the_other_side_says_so(pipes: Pipes) -> None:
    os.write(pipes.answers, acknowledgement("d-2"))
    pipes.recorder(MADE)
    assert pipes.said() == MADE


def test_silence_is_no_record(pipes: Pipes) -> None:
    assert "silent" in refusal(pipes.recorder)
    assert pipes.said() == MADE


def test_word_of_another_decision_is_not_word_of_this_one(pipes: Pipes) -> None:
    os.write(pipes.answers, acknowledgement("d-1"))  # it came too late
    assert "silent" in refusal(pipes.recorder)
    os.write(pipes.answers, acknowledgement("d-1") + acknowledgement("d-2"))
    pipes.recorder(MADE)


def test_who_hung_up_records_nothing(pipes: Pipes) -> None:
    os.close(pipes.answers)
    assert "hung up" in refusal(pipes.recorder)


def test_who_does_not_read_records_nothing(pipes: Pipes) -> None:
    os.close(pipes.lines)
    assert "BrokenPipeError" in refusal(pipes.recorder)


@pytest.mark.parametrize(
    "said",
    [b"yes\n", b'{"recorded":"d-2","surplus":1}\n', b"\xff\n", b"x" * (MAX_LINE_BYTES + 1)],
    ids=["words", "another field", "no text", "no end"],
)
def test_anything_else_is_no_record(pipes: Pipes, said: bytes) -> None:
    os.write(pipes.answers, said)
    refusal(pipes.recorder)


def test_an_answer_in_pieces(pipes: Pipes) -> None:
    patient = Recorder(pipes.recorder._out, pipes.recorder._answers, patience=60)
    thread = threading.Thread(target=patient, args=(MADE,))
    thread.start()
    for byte in acknowledgement("d-2"):
        os.write(pipes.answers, bytes([byte]))
    thread.join(60)
    assert not thread.is_alive()


def test_what_is_not_recorded_releases_and_renews_nothing(pipes: Pipes, tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    granted = desk.obtain()
    desk.service = ReleaseService(
        service_key=desk.service_key,
        unlockers=[desk.identity],
        policy=desk.policy,
        record=pipes.recorder,
        clock=Clock(lambda: desk.now, lambda: desk.now),
    )
    os.close(pipes.answers)
    assert code_of(desk.obtain) == "release.record_failed"
    session = desk.service.open_session()
    request = granted.renewer.take(desk.send(session, granted.renewer.ask())).send
    answer = desk.send(session, request)
    assert code_of(lambda: granted.renewer.take(answer)) == "release.record_failed"
