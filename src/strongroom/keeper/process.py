"""From start to serving: the life of a keeper, in numbered steps.

1. Catch the signals that ask to stop. The configuration has been read (``strongroom.process``).
2. Read the sealed model's manifest; its signatures must be by a signer that the configuration
   names, and its release no older than the newest seen.
3. Obtain the data key from key release, for evidence over the configuration and our own code. Of
   all that is kept for evidence, nothing needs a file any more.
4. Open the sealed model into the arena; the newest release seen is advanced. Derive the key of
   served adapters; wipe the data key and drop all that held it.
5. Take digests of the arena. Lay tensors over it, build the engine, warm it up: every path that
   will be served has run once, every module is imported, every thread exists. Begin to patrol the
   weights. Read the registered schemas and the watermark's secret.
6. Keep the arena out of dumps, children and swap.
7. Map the egress meter's memory.
8. Lock down. What stays open: the boundary, the sockets to key release and, if there is one, to the
   attester, standard error.
9. Send ``Hello``, then serve, renewing the key's lease (``lease``), until the gateway hangs up, a
   signal asks to stop, the lease has ended, or a weight has changed. The gateway is told of the
   last two; what is under way then is not finished.
10. Wipe the arena, whatever ended the service.

Whatever fails before step 9 leaves nothing served: one line of JSON with the error's code goes to
standard error, and the exit code tells its class.
"""

from __future__ import annotations

import signal
from math import prod
from pathlib import Path
from types import FrameType

import torch

from strongroom.artifact.opening import OpenedModel
from strongroom.artifact.policy import EgressCeiling
from strongroom.attester.forwarded import ForwardedAttester
from strongroom.boundary.frames import Fault, ModelCard
from strongroom.errors import ArtifactRefused, KeyRefused
from strongroom.keeper import egress, lockdown
from strongroom.keeper.adapters import AdapterKey, Adapters
from strongroom.keeper.arena import tensors_over
from strongroom.keeper.card import card_of, hello
from strongroom.keeper.channel import Channel, serve
from strongroom.keeper.config import EgressBudget, KeeperConfig
from strongroom.keeper.coordinates import Coordinates, open_memory
from strongroom.keeper.disclosure import Disclosure
from strongroom.keeper.egress import Budget
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.keeper.generations import Terms
from strongroom.keeper.lease import HeldLease
from strongroom.keeper.loading import load
from strongroom.keeper.marking import read_marks
from strongroom.keeper.meter_state import MeterState
from strongroom.keeper.patrol import Patrol, seen_at
from strongroom.keeper.registered import read_constraints
from strongroom.keeper.session import Session
from strongroom.process import inherited_socket
from strongroom.release.evidence import Attester, LocalAttester

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
    keys: list[AdapterKey] = []
    attester = _attester(config, digest)
    loaded = load(config, attester, lambda key: keys.append(AdapterKey(key)))  # (2) to (4)
    try:
        _serve(config, loaded.model, keys[0], loaded.lease, signals)  # (5) to (9)
    finally:
        loaded.model.wipe()  # (10)


def _serve(
    config: KeeperConfig,
    model: OpenedModel,
    key: AdapterKey,
    lease: HeldLease,
    signals: StopSignals,
) -> None:
    opened = seen_at(model.arena)  # (5)
    engine = _engine(config, model)
    patrol = Patrol(model.arena, opened, engine, config.patrol_seconds)
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
    marks = read_marks(config.watermark, engine)
    adapters = _adapters(config, model, engine, key)
    terms = Terms(constraints, config.generation_seconds, marks=marks, adapters=adapters)
    meter, now, commit = memory.meter, memory.now, memory.commit
    session = Session(engine, disclosure, coordinates, meter, now, commit, terms)
    channel = Channel(config.boundary_fd)
    walls |= lockdown.lock(  # (8)
        config.profile,
        keep_fds=[*_kept(config), lease.descriptor, STANDARD_ERROR],
        required=config.required_walls,
    )
    signals.serving = True
    size = egress.effective_bits(_parameters(model))
    channel.send(hello(card, walls, words, size))  # (9)
    try:
        serve(channel, session, patrol, lease, lambda: signals.requested)
    except (ArtifactRefused, KeyRefused) as fault:
        channel.send(Fault(fault.code, fault.message))
        channel.flush()
        raise


def _attester(config: KeeperConfig, digest: str) -> Attester:
    """Who speaks for this machine: our own word, or the process that asks its devices."""
    if config.attester is None:
        return LocalAttester(digest)
    sock = inherited_socket(config.attester.descriptor, "attester")
    return ForwardedAttester(sock, config.attester.kind)


def _kept(config: KeeperConfig) -> list[int]:
    """The descriptors of the configuration that are used while serving."""
    attester = [] if config.attester is None else [config.attester.descriptor]
    return [config.boundary_fd, *attester]


def _engine(config: KeeperConfig, model: OpenedModel) -> CausalEngine | ClassifierEngine:
    engine = build_engine(
        model.files,
        tensors_over(model.arena, model.tensors),
        max_streams=config.max_streams,
        context_length=config.context_length,
        adapters=config.adapter_megabytes > 0,
    )
    engine.warm_up()
    return engine


def _adapters(
    config: KeeperConfig,
    model: OpenedModel,
    engine: CausalEngine | ClassifierEngine,
    key: AdapterKey,
) -> Adapters | None:
    if not config.adapter_megabytes or not isinstance(engine, LlamaEngine):
        return None
    llama = parse_llama_config(model.files["config.json"])
    base = tensors_over(model.arena, model.tensors)
    digest, most = model.manifest.digest, config.adapter_megabytes * 2**20
    return Adapters(engine, key, digest, llama, base, most)


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
