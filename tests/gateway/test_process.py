"""The gateway's life: how it starts, refuses to start, loses its keeper, and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import openai
import pytest
from tokenizers import Tokenizer

from strongroom.boundary import codec, frames
from strongroom.boundary.frames import Done, ModelCard, Tokens
from strongroom.gateway.config import GatewayConfig
from strongroom.ledger.entries import KeeperFault, RequestFinal

from .conftest import MODEL, Door, OpenDoor
from .fake_keeper import language_card

ASK = [{"role": "user", "content": "hello"}]


def error_of(door: Door) -> tuple[int, str]:
    _, stderr = door.process.communicate(timeout=15)
    return door.process.returncode, json.loads(stderr.strip().splitlines()[-1])["error"]


@pytest.mark.parametrize("stream", [False, True])
def test_without_its_keeper_it_answers_503_and_exits(open_door: OpenDoor, stream: bool) -> None:
    door = open_door()
    door.keeper.hang_up = True
    with pytest.raises(openai.InternalServerError) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (503, "gateway.keeper_gone")
    assert error_of(door) == (7, "gateway.keeper_gone")


def test_a_stream_under_way_ends_with_an_error(open_door: OpenDoor) -> None:
    door = open_door()
    door.keeper.answer, door.keeper.pause = "one two three " * 50, 0.02
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    chunks = iter(stream)
    next(chunks)
    threading.Thread(target=door.keeper.close).start()
    with pytest.raises(openai.APIError) as caught:
        list(chunks)
    assert caught.value.code == "gateway.keeper_gone"
    assert error_of(door)[0] == 7


LIES = {
    "junk": b"\x00\x00\x00\x03abc",
    "oversized": b"\xff\xff\xff\xff",
    "an id never given out": codec.encode_to_gateway(Done(999, "stop", 1, 1)),
    "more tokens than asked for": codec.encode_to_gateway(Tokens(1, (1, 2, 3, 4, 5, 6))),
    "a token beyond the vocabulary": codec.encode_to_gateway(Tokens(1, (2**30,))),
    "scores nobody asked for": codec.encode_to_gateway(
        Tokens(1, (5,), (frames.TokenScores((5,), (-0.5,)),))
    ),
    "labels": codec.encode_to_gateway(frames.Labels(1, (0,))),
    "a second greeting": codec.encode_to_gateway(
        frames.Hello(1, ModelCard("causal-lm", "m", 1, "00", {}), {}, "")
    ),
}


@pytest.mark.parametrize("name", sorted(LIES))
def test_a_keeper_that_breaks_the_protocol_is_left(open_door: OpenDoor, name: str) -> None:
    door = open_door()
    door.keeper.raw = LIES[name]
    with pytest.raises(openai.InternalServerError) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK, max_tokens=5)
    assert caught.value.status_code == 503
    code, reason = error_of(door)
    assert code == 7
    assert reason.split(".")[0] in {"gateway", "boundary", "framing"}
    assert reason != "gateway.keeper_gone"


def test_a_keepers_fault_is_recorded_and_ends_the_gateway(open_door: OpenDoor) -> None:
    door = open_door()
    assert door.client().chat.completions.create(model=MODEL, messages=ASK)
    door.keeper.raw = codec.encode_to_gateway(frames.Fault("keeper.weights_altered", "Changed."))
    with pytest.raises(openai.InternalServerError) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "gateway.keeper_gone")
    assert error_of(door) == (7, "keeper.weights_altered")
    faults = [entry for entry in door.records() if isinstance(entry, KeeperFault)]
    assert [(fault.model, fault.code) for fault in faults] == [(MODEL, "keeper.weights_altered")]


@pytest.mark.parametrize("pause", [0.0, 3.0])
def test_a_keeper_that_hangs_is_left(open_door: OpenDoor, pause: float) -> None:
    """With and without having begun the answer; one that only takes its time is waited for."""
    door = open_door(keeper_seconds=1.5)
    assert door.client().chat.completions.create(model=MODEL, messages=ASK)
    door.keeper.mute, door.keeper.pause = not pause, pause
    with pytest.raises(openai.InternalServerError) as caught:
        door.client().chat.completions.create(model=MODEL, messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (503, "gateway.keeper_gone")
    assert error_of(door) == (7, "gateway.keeper_silent")
    final = next(e for e in reversed(door.records()) if isinstance(e, RequestFinal))
    assert final.outcome == "failed"
    assert final.settled["input_tokens"] > 0


@pytest.mark.parametrize(
    ("code", "paid"), [("keeper.time_over", True), ("keeper.queue_full", False)]
)
def test_work_that_ends_in_a_refusal_is_paid_for(
    open_door: OpenDoor, code: str, paid: bool
) -> None:
    door = open_door()
    door.keeper.refuse = code
    with pytest.raises(openai.InternalServerError):
        door.client().chat.completions.create(model=MODEL, messages=ASK)
    final = next(e for e in reversed(door.records()) if isinstance(e, RequestFinal))
    assert bool(final.settled.get("input_tokens")) == paid
    assert final.settled["requests"] == 1


def test_sigterm_finishes_what_is_under_way(open_door: OpenDoor) -> None:
    door = open_door()
    door.keeper.pause = 0.1
    stream = door.client().chat.completions.create(model=MODEL, messages=ASK, stream=True)
    chunks = iter(stream)
    next(chunks)
    door.process.send_signal(signal.SIGTERM)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == "hello world"
    assert door.process.wait(10) == 0


def test_idle_it_stops_at_once(open_door: OpenDoor) -> None:
    door = open_door()
    started = time.monotonic()
    door.process.terminate()
    assert door.process.wait(10) == 0
    assert time.monotonic() - started < 3


def test_a_model_whose_template_is_unsafe_is_not_served(
    open_door: OpenDoor, tokenizer: Tokenizer
) -> None:
    bad = language_card(tokenizer, {}, "{{ messages[0].content }}{{ messages[0].content }}")
    with pytest.raises(RuntimeError, match=r"gateway\.template_unsupported"):
        open_door(bad)


def start(config: bytes, *descriptors: int) -> tuple[int, dict[str, str]]:
    read, write = os.pipe()
    os.write(write, config)
    os.close(write)
    done = subprocess.run(
        [sys.executable, "-m", "strongroom.gateway", "--config-fd", str(read)],
        pass_fds=(read, *descriptors),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    os.close(read)
    return done.returncode, json.loads(done.stderr)


@pytest.mark.parametrize("config", [b"", b"{}", b"\xff", b"[" * 99, b"x" * 60_000])
def test_a_bad_configuration(config: bytes) -> None:
    code, line = start(config)
    assert (code, line["error"]) == (5, "process.bad_config")
    assert line["action"]


def test_bad_peppers(tmp_path: Path) -> None:
    for name, content, mode in (("short", b"x" * 31, 0o600), ("open", b"x" * 32, 0o644)):
        pepper = tmp_path / name
        pepper.write_bytes(content)
        pepper.chmod(mode)
        config = GatewayConfig(
            "127.0.0.1", 0, 3, 4, str(tmp_path / "db"), str(pepper), "key", "state", MODEL
        )
        code, line = start(msgspec.json.encode(config))
        assert (code, line["error"]) == (5, "gateway.bad_pepper")


def test_a_taken_port(tmp_path: Path, open_door: OpenDoor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        door = open_door()
        with pytest.raises(RuntimeError, match=r"gateway\.cannot_listen"):
            type(door)(
                tmp_path, door.keeper.card, door.keeper.tokenizer, port=taken.getsockname()[1]
            )


def test_it_never_loads_what_holds_weights_or_keys(door: Door) -> None:
    loaded = "import sys, strongroom.gateway.server; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.split())
    assert "strongroom.gateway.app" in modules
    forbidden = ("torch", "transformers", "safetensors")
    rooms = tuple(f"strongroom.{room}" for room in ("artifact", "keys", "keeper", "release", "cli"))
    assert not [m for m in modules if m in forbidden or m.startswith(rooms)]
    maps = Path(f"/proc/{door.process.pid}/maps").read_text()
    assert "uvloop" in maps
    assert "torch" not in maps
