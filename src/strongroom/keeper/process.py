"""From start to serving: the life of a keeper, in numbered steps.

1. Catch the signals that ask to stop. The configuration has been read (``strongroom.process``).
2. Read the sealed model's manifest; its signatures must be by a signer that the configuration
   names, and its release no older than the newest seen.
3. Obtain the data key from key release, for evidence over the configuration and our own code;
   close the socket to it.
4. Open the sealed model into the arena; the newest release seen is advanced. Wipe the key and
   drop all that held it.
5. Lay tensors over the arena, build the engine, warm it up: every path that will be served has run
   once, every module is imported, every thread exists. Read the registered schemas.
6. Keep the arena out of dumps, children and swap.
7. Map the egress meter's memory.
8. Lock down.
9. Send ``Hello``, then serve until the gateway hangs up, a signal asks to stop, or the key's lease
   is over.
10. Wipe the arena, whatever ended the service.

Whatever fails before step 9 leaves nothing served: one line of JSON with the error's code goes to
standard error, and the exit code tells its class.
"""

from __future__ import annotations

import signal
import time
from math import prod
from pathlib import Path
from types import FrameType

import torch

from strongroom.artifact.opening import OpenedModel
from strongroom.artifact.policy import EgressCeiling
from strongroom.boundary.frames import ModelCard
from strongroom.errors import KeyRefused
from strongroom.keeper import egress, lockdown
from strongroom.keeper.arena import tensors_over
from strongroom.keeper.card import card_of, hello
from strongroom.keeper.channel import Channel, serve
from strongroom.keeper.config import EgressBudget, KeeperConfig
from strongroom.keeper.coordinates import Coordinates, open_memory
from strongroom.keeper.disclosure import Disclosure
from strongroom.keeper.egress import Budget
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine
from strongroom.keeper.generations import Terms
from strongroom.keeper.loading import load
from strongroom.keeper.meter_state import MeterState
from strongroom.keeper.registered import read_constraints
from strongroom.keeper.session import Session

STANDARD_ERROR = 2


class Stopped(BaseException):
    """A signal asked to stop before anything was served."""


class StopSignals:
    """SIGTERM and SIGINT stop a start at once, and a service at the next turn of its loop."""

    def __init__(self) -> None:
        self.requested = False
        self.serving = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if not self.serving:
            raise Stopped


def run(config: KeeperConfig, digest: str) -> None:
    """Live steps 1 to 10; returns after an orderly stop.

    Args:
        config: what the keeper was told.
        digest: SHA-256 of it as it came, hex; evidence states it.

    Raises:
        StrongroomError: why nothing is, or is no longer, served.
        Stopped: a signal came before anything was served.
    """
    signals = StopSignals()  # (1)
    torch.set_num_threads(config.threads)
    torch.set_num_interop_threads(1)
    loaded = load(config, digest)  # (2) to (4)
    try:
        _serve(config, loaded.model, loaded.lease_end, signals)  # (5) to (9)
    finally:
        loaded.model.wipe()  # (10)


def _serve(
    config: KeeperConfig, model: OpenedModel, lease_end: float, signals: StopSignals
) -> None:
    engine = _engine(config, model)  # (5)
    constraints = read_constraints(config.schemas, engine, model.files)
    deployment = _budget(config.deployment_budget, model.policy.deployment)
    tenant = _budget(config.tenant_budget, model.policy.tenant)
    words = egress.explain_budget(_parameters(model), deployment, tenant)
    card = _card(engine, model)
    hello(card, {}, words)  # refuses now what could not be said after lock-down
    walls = lockdown.protect_arena(model.arena) if model.arena else {}  # (6)
    memory = MeterState(Path(config.egress_state), deployment, tenant)  # (7)
    seen = open_memory(Path(f"{config.egress_state}.scores"))
    coordinates = Coordinates(seen, config.score_caps)
    disclosure = Disclosure(model.policy.rungs)
    terms = Terms(constraints, config.generation_seconds)
    meter, now, commit = memory.meter, memory.now, memory.commit
    session = Session(engine, disclosure, coordinates, meter, now, commit, terms)
    channel = Channel(config.boundary_fd)
    walls |= lockdown.lock(  # (8)
        config.profile,
        keep_fds=[config.boundary_fd, STANDARD_ERROR],
        required=config.required_walls,
    )
    signals.serving = True
    size = egress.effective_bits(_parameters(model))
    channel.send(hello(card, walls, words, size))  # (9)
    serve(channel, session, lambda: signals.requested or time.monotonic() > lease_end)
    if time.monotonic() > lease_end:
        raise KeyRefused(
            "keeper.lease_over",
            "The lease of the data key is over; the weights have been wiped.",
            action="Start the keeper again: it will ask key release for a new lease.",
        )


def _engine(config: KeeperConfig, model: OpenedModel) -> CausalEngine | ClassifierEngine:
    engine = build_engine(
        model.files,
        tensors_over(model.arena, model.tensors),
        max_streams=config.max_streams,
        context_length=config.context_length,
    )
    engine.warm_up()
    return engine


def _card(engine: CausalEngine | ClassifierEngine, model: OpenedModel) -> ModelCard:
    return card_of(
        engine,
        model.files,
        model_id=model.manifest.model_id,
        release=model.manifest.release,
        manifest_digest=model.manifest.digest,
        rungs=model.policy.rungs,
    )


def _budget(configured: EgressBudget, sealed: EgressCeiling | None) -> Budget:
    """The stricter of what the operator configured and what the owner sealed."""
    budget = Budget.of_bits(configured.bits_per_hour, configured.bits_per_day)
    if sealed is None:
        return budget
    return budget.least(Budget.of_bits(sealed.bits_per_hour, sealed.bits_per_day))


def _parameters(model: OpenedModel) -> int:
    return sum(prod(tensor.shape) for tensor in model.tensors.values())
