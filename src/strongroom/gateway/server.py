"""A gateway from its configuration to its end.

1. Read the pepper and the log key, open the store.
2. Verify and lock the log; bring the counters to what it says.
3. Take over the socket; wait for the keeper's greeting; prove tokenizer and template.
4. Listen; say so on ``ready_fd``.
5. Serve until SIGTERM (finish what is under way, exit 0), until the keeper is gone (answer 503 to
   what is under way, record the fault that it told of, exit with the error's code) or until the
   log cannot be written (503 and exit, too).
   Whatever the reason, each request that had an intent gets its final record.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvicorn

from strongroom.boundary.frames import Hello, ModelCard
from strongroom.errors import ConfigurationRefused
from strongroom.gateway.adapters import TUNING_FOLDER, Adapters
from strongroom.gateway.admission import Admission
from strongroom.gateway.api_keys import Authenticator
from strongroom.gateway.app import Gateway
from strongroom.gateway.client_certificates import CertificateAuthenticator
from strongroom.gateway.config import GatewayConfig, read_pepper
from strongroom.gateway.content.opening import open_policy
from strongroom.gateway.detection.detector import Detector
from strongroom.gateway.directory import Directory
from strongroom.gateway.fine_tuning import FineTuningApi
from strongroom.gateway.http_protocol import bounded_protocol
from strongroom.gateway.jwt_identity import JwtAuthenticator
from strongroom.gateway.keeper_client import KeeperClient, KeeperFault
from strongroom.gateway.operator_listener import TimedRecord, observing, watched
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.pipeline.guarding import Guard
from strongroom.gateway.pipeline.recovery import recover
from strongroom.gateway.pipeline.switching import Switching
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.tls import tls_context
from strongroom.ledger import entries
from strongroom.ledger.log_key import LogKey
from strongroom.ledger.opening import open_log
from strongroom.process import inherited_socket
from strongroom.store.opening import open_counters, open_identity_store
from strongroom.store.tuning import open_tuning_store

_DRAIN_SECONDS = 6


async def serve(config: GatewayConfig) -> None:
    """Run a gateway to its end.

    Raises:
        StrongroomError: it cannot start, the keeper is gone (``gateway.keeper_gone``,
            ``gateway.keeper_silent``, ``gateway.keeper_violation`` or what was wrong with the
            stream), or the log cannot be written (``ledger.write_failed``).
    """
    async with AsyncExitStack() as stack:
        pepper = read_pepper(Path(config.pepper))  # (1)
        log_key = LogKey.load(Path(config.log_key))
        store = stack.enter_context(open_identity_store(config.database))
        counters = await open_counters(
            config.counters, store, replica=config.replica, lease_requests=config.lease_requests
        )
        stack.push_async_callback(counters.close)
        log = stack.enter_context(open_log(Path(config.state), config.log_name, log_key))  # (2)
        holder = hashlib.sha256(log_key.verifier(config.log_name).encode().encode()).hexdigest()[
            :16
        ]
        await recover(log, counters, holder)
        keeper, hello = await KeeperClient.connect(  # (3)
            inherited_socket(config.boundary_fd, "boundary_fd"), config.keeper_seconds
        )
        stack.callback(keeper.close)
        model = ServedModel(config.model_name, hello.card, config.text, config.schemas)
        observer = stack.enter_context(observing(config.watching, model.name))
        directory = Directory(store)
        stack.callback(directory.close)
        switching = Switching(directory.changes, store.switches, config.model_name)
        desk = Desk(
            bounds=config,
            callers=_callers(config, directory, pepper),
            counters=counters,
            holder=holder,
            switching=switching,
            record=TimedRecord(log, observer),
            digest=log_key.digest,
            observer=observer,
            model=(model.name, hello.card.manifest_digest, rungs_digest(hello.card)),
            rates=config.compute,
            content=open_policy(config.content),
        )
        if config.detection.enabled:
            detector = Detector(config.detection, model.scaffold())
            desk.guard = Guard(detector, desk.book.write, observer)
        listener = stack.enter_context(_listen(config.host, config.port))  # (4)
        operators = stack.enter_context(_listen(config.watching.host, config.watching.port))
        await stack.enter_async_context(
            watched(config.watching, observer, model.name, (keeper, hello), operators)
        )
        offered = config.tuning.offered
        served = config.tuning.served_megabytes > 0 and bool(config.tuning_database)
        jobs = (
            stack.enter_context(open_tuning_store(config.tuning_database))
            if offered or served or config.tuning.primitives
            else None
        )
        tuning = FineTuningApi(desk, model, jobs if offered else None, config.tuning)
        adapters = Adapters(
            model, keeper, jobs if served else None, Path(config.state) / TUNING_FOLDER
        )
        app = Gateway(desk, model, keeper, config.pacing, tuning, adapters, jobs, config.tuning)
        server = uvicorn.Server(_uvicorn(config, app))
        desk.on_failure = lambda: setattr(server, "should_exit", True)
        tasks = [
            asyncio.ensure_future(_stop_without_keeper(server, keeper, desk)),
            asyncio.ensure_future(switching.watch()),
        ]
        _announce(config, hello, listener, operators)
        _calm_collector()
        try:
            await server.serve(sockets=[listener])  # (5)
        finally:
            for task in tasks:
                task.cancel()
            await desk.close()
        if desk.failure is not None:
            raise desk.failure
        if keeper.error is not None:
            raise keeper.error


def _callers(config: GatewayConfig, directory: Directory, pepper: bytes) -> Admission:
    """Who knows callers: by API key, and where configured by token and client certificate."""
    certificates = config.certificates and CertificateAuthenticator(directory, config.certificates)
    return Admission(
        Authenticator(directory, pepper),
        None if config.tokens is None else JwtAuthenticator(directory, config.tokens),
        certificates or None,
        directory,
    )


def _calm_collector() -> None:
    """Let the collector of cycles look at what requests leave, seldom, and not at what is there
    from the start: requests make few cycles, and looking for them took a twentieth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _stop_without_keeper(server: uvicorn.Server, keeper: KeeperClient, desk: Desk) -> None:
    await keeper.closed.wait()
    if isinstance(keeper.error, KeeperFault):
        code = keeper.error.code
        desk.book.write(entries.KeeperFault(desk.model_name, desk.model_digest, code))
    server.should_exit = True


def rungs_digest(card: ModelCard) -> str:
    """SHA-256 of the disclosure policy in force: organisation to rung, as canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(card.rungs, order="sorted")).hexdigest()


def _uvicorn(config: GatewayConfig, app: Gateway) -> uvicorn.Config:
    made = uvicorn.Config(
        app,
        http=bounded_protocol(config.max_head_bytes, config.head_seconds),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,  # that of the process, which quotes nothing
        server_header=False,
        proxy_headers=False,
        limit_concurrency=config.max_connections,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    made.load()
    made.ssl = None if config.tls is None else tls_context(config.tls)
    return made


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ConfigurationRefused(
            "gateway.cannot_listen",
            f"Cannot listen on {host} port {port}: {error.strerror}.",
            action="Choose another address or port.",
        ) from None
    return listener


def _announce(
    config: GatewayConfig, hello: Hello, listener: socket.socket, operators: socket.socket
) -> None:
    """One line for the supervisor: where we listen, and what the keeper said of itself."""
    scheme = "https" if config.tls else "http"
    said = {
        "ready": True,
        "url": f"{scheme}://{_address(config.host, listener)}",
        "operators": f"http://{_address(config.watching.host, operators)}",
        "kind": hello.card.kind,
        "rungs": hello.card.rungs,
        "walls": hello.walls,
        "egress": hello.egress,
    }
    try:
        with os.fdopen(config.ready_fd, "wb") as ready:
            ready.write(msgspec.json.encode(said) + b"\n")
    except OSError as error:
        raise ConfigurationRefused(
            "gateway.bad_ready_fd",
            f"Descriptor {config.ready_fd} cannot be written: {error.strerror}.",
            action="Hand down the writing end of a pipe as ready_fd.",
        ) from None


def _address(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
