"""A keeper whose gateway's socket is in the auditor's hands: the drill of a gateway taken over.

1. Make the pair of sockets that else joins keeper and gateway.
2. Start a process of its own (``main``) that holds the keeper's end. It starts key release and the
   keeper as ``strongroom serve`` does, with a budget of the drill's own and a fresh meter, and no
   gateway. It is a process of its own because children are started before there are threads.
3. Speak the keeper's protocol directly; it ends when our end is closed.
"""

from __future__ import annotations

import os
import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from strongroom.boundary import codec
from strongroom.boundary.frames import (
    PROTOCOL,
    Classify,
    Done,
    Generate,
    Hello,
    Labels,
    ModelCard,
    Refused,
    Sampling,
    ToGateway,
    Tokens,
)
from strongroom.exposure.interface import Budget
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.closing import close
from strongroom.exposure.targets.metering import Meter
from strongroom.exposure.targets.system import Ask, Greeting, Heard

_START_SECONDS = 300.0
_ANSWER_SECONDS = 120.0
_LAST_WORDS_SECONDS = 10.0
_ENDINGS = 5
"""Ways in which a generation is said to end."""

_FLOAT, _ROUNDED = 2**32, 101
"""Outcomes of a score: of a float32, and of a probability with two decimals."""

_PROMPT = 6


@contextmanager
def taken_over(home: Path, sealed: Path, bits: tuple[int, int]) -> Iterator[TakenOver]:
    """The gateway's end while the block runs; ``bits`` an hour for all, and for a tenant.

    Raises:
        ExposureRefused: ``exposure.server_failed``.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)  # (1)
    words = [str(home), str(sealed), str(theirs.fileno()), *map(str, bits)]
    process = subprocess.Popen(  # (2)
        [sys.executable, "-m", __name__, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    try:
        yield TakenOver(ours, process)
    finally:
        ours.close()
        process.wait()


class TakenOver:
    """What a compromised gateway holds: a socket to the keeper, and the keeper's greeting."""

    def __init__(self, end: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._end = end
        self._process = process
        self._buffer = codec.gateway_buffer()
        self._frames: list[ToGateway] = []
        self._last = 0
        self._by = random.Random(1)  # noqa: S311
        hello = self._next(_START_SECONDS)
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            raise refuse("exposure.server_failed", why="the keeper did not greet")
        self.hello = hello

    @property
    def card(self) -> ModelCard:
        """Of the model."""
        return self.hello.card

    def greeting(self) -> Greeting:
        """The card, as an attacker needs it."""
        card = self.card
        outcomes = card.vocab_size if card.kind == "causal-lm" else len(card.labels)
        return Greeting(outcomes, dict(card.rungs), card.input_shape)

    def exchange(self, asks: Sequence[Ask]) -> list[Heard]:
        """Send all, and wait until all have ended."""
        open_asks = {self._send(ask): ask for ask in asks}
        heard: dict[int, Counter[int]] = {number: Counter() for number in open_asks}
        codes: dict[int, str] = {}
        while len(codes) < len(open_asks):
            frame = self._next(_ANSWER_SECONDS)
            number = getattr(frame, "id", 0)
            if number not in heard or number in codes:
                raise refuse("exposure.endpoint_failed", why="the keeper answered nobody's frame")
            code = self._count(frame, heard[number])
            if code is not None:
                codes[number] = code
        return [Heard(dict(heard[number]), codes[number]) for number in open_asks]

    def _count(self, frame: ToGateway, heard: Counter[int]) -> str | None:
        """Write down a frame's choices; how the exchange ended, if it has."""
        card = self.card
        match frame:
            case Tokens():
                heard[card.vocab_size] += len(frame.tokens)
                for each in frame.scores:
                    heard[card.vocab_size] += len(each.ids)
                    heard[self._score(len(each.ids))] += len(each.logprobs)
                return None
            case Done():
                heard[_ENDINGS] += 1
                heard[card.vocab_size] += frame.reason == "stop"
                return frame.reason
            case Labels():
                heard[len(card.labels)] += len(frame.labels) + sum(map(len, frame.top))
                for row in frame.scores:
                    heard[self._score(len(row))] += len(row)
                return "answered"
            case Refused():
                return frame.code
        raise refuse("exposure.endpoint_failed", why="the keeper sent what nobody asked for")

    def _score(self, shown: int) -> int:
        """Outcomes of a score, where so many are shown together: alone they are rounded."""
        finer = {"topk", "logits", "embeddings"} & set(self.card.rungs.values())
        return _FLOAT if shown > 1 or finer else _ROUNDED

    def _send(self, ask: Ask) -> int:
        self._last += 1
        card, tenant = self.card, ask.tenant
        frame: Generate | Classify
        if card.kind == "causal-lm":
            prompt = tuple(self._by.randrange(card.vocab_size) for _ in range(_PROMPT))
            frame = Generate(self._last, tenant, prompt, ask.amount, Sampling(), ask.scores)
        else:
            rows = min(ask.amount, card.max_rows)
            frame = _rows(self._last, tenant, rows, card, self._by, scores=ask.scores > 0)
        self._end.settimeout(_ANSWER_SECONDS)
        self._end.sendall(codec.encode_to_keeper(frame))
        return self._last

    def _next(self, patience: float) -> ToGateway:
        """The next frame.

        Raises:
            ExposureRefused: ``exposure.server_failed``: the keeper hung up, or says nothing.
        """
        until = time.monotonic() + patience
        while not self._frames:
            ready = select.select([self._end], [], [], max(0.0, until - time.monotonic()))[0]
            data = self._end.recv(65_536) if ready else b""
            if not data:
                raise refuse("exposure.server_failed", why=self._last_words())
            self._frames += [codec.decode_to_gateway(raw) for raw in self._buffer.feed(data)]
        return self._frames.pop(0)

    def _last_words(self) -> str:
        """Why, if the keeper ended."""
        try:
            said = self._process.communicate(timeout=_LAST_WORDS_SECONDS)[1]
        except subprocess.TimeoutExpired:
            return "the keeper of the drill does not answer"
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else "the keeper of the drill ended"


def open_channel(start: Callable[[], TakenOver], budget: Budget) -> Any:
    """A ``Channel`` over the gateway's end that ``start`` gives."""
    meter = Meter(budget.queries)
    end = start()

    def exchange(asks: Sequence[Ask]) -> list[Heard]:
        meter.charge(len(asks))
        heard = end.exchange(asks)
        for each in heard:
            if each.code.startswith("keeper."):
                meter.refused(each.code)
        meter.answered(sum(sum(each.choices.values()) for each in heard))
        return heard

    return close({"greeting": end.greeting, "exchange": exchange, "spent": meter.spent})


def _rows(
    number: int, tenant: str, rows: int, card: ModelCard, by: random.Random, *, scores: bool
) -> Classify:
    import numpy as np

    low, high = card.input_range
    shape = (rows, *card.input_shape)
    drawn = np.random.default_rng(by.randrange(2**32)).uniform(low, high, shape)
    kind = "<f4" if card.input_dtype == "F32" else "u1"
    dtype = card.input_dtype or "F32"
    return Classify(number, tenant, dtype, shape, drawn.astype(kind).tobytes(), scores)


def main() -> None:
    """Start key release and the keeper, and wait for the keeper's end."""
    home, sealed, descriptor, deployment, tenant = sys.argv[1:]
    os.umask(0o077)
    sys.exit(_keep(Path(home), Path(sealed), int(descriptor), int(deployment), int(tenant)))


def _keep(home: Path, sealed: Path, descriptor: int, deployment: int, tenant: int) -> int:
    from dataclasses import replace
    from tempfile import TemporaryDirectory

    import msgspec

    from strongroom.artifact.manifest import read_manifest
    from strongroom.cli import child, children, decisions, release_policies
    from strongroom.cli.home import open_home
    from strongroom.cli.plan import Plan
    from strongroom.cli.starting import start_release
    from strongroom.keeper.config import EgressBudget
    from strongroom.ledger.log_key import LogKey

    opened = open_home(home)
    manifest, serving = read_manifest(sealed, opened.trust), opened.settings.serving
    policy = release_policies.of(opened, serving, manifest)
    plan = Plan(opened, sealed, manifest, serving, policy)
    made = children.Wires.make()
    made.keeper_to_gateway.close()
    made.gateway.close()
    wires = replace(made, keeper_to_gateway=socket.socket(fileno=descriptor), gateway=made.gateway)
    with TemporaryDirectory(dir=opened.state) as state:
        config = msgspec.structs.replace(
            plan.keeper_config(wires, None),
            egress_state=f"{state}/egress.state",
            deployment_budget=EgressBudget(deployment, 24 * deployment),
            tenant_budget=EgressBudget(tenant, 24 * tenant),
        )
        release = start_release(plan, wires, None)
        keeper = children.start(
            "keeper",
            config,
            pass_fds=[wires.keeper_to_release.fileno(), descriptor],
            environment=child.environment(plan.threads),
        )
        wires.close_childrens()
        keeping = decisions.Keeping(release, opened.state, LogKey.load(opened.log_key))
        said = keeper.process.communicate()[1] + keeping.end()
    sys.stderr.write(said.decode("utf-8", "replace"))
    return keeper.process.returncode or release.process.returncode


if __name__ == "__main__":
    main()
