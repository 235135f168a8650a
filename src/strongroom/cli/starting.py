"""Starts who stands behind a workload: key release, and where devices give evidence an attester."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

from strongroom.cli import child, children
from strongroom.release.config import AwsKmsUnlocker

if TYPE_CHECKING:
    from strongroom.cli.children import Child, Wires
    from strongroom.cli.plan import Plan
    from strongroom.keeper.config import AttesterSocket


def start_release(plan: Plan, wires: Wires, secret: bytes | None) -> Child:
    """Start it; its passphrase, if it needs one, goes down a pipe of its own.

    It answers nobody before its decision is recorded: the caller hears them (``decisions``).
    """
    asks_aws = any(isinstance(each, AwsKmsUnlocker) for each in plan.home.unlockers())
    with ExitStack() as stack:
        secret_fd = None if secret is None else children.pipe_with(secret, stack)
        return children.start(
            "release",
            plan.release_config(wires, secret_fd),
            pass_fds=[wires.release.fileno(), *([secret_fd] if secret_fd is not None else [])],
            environment=child.environment(1, keep=("AWS_",) if asks_aws else ()),
            talks=True,
        )


def start_attester(plan: Plan, stack: ExitStack) -> tuple[Child, AttesterSocket] | None:
    """Start it and say what a keeper is told of it; None where the evidence is ``local``.

    ``stack`` closes the keeper's end of their socket, to be left once the keeper has been started.
    """
    from strongroom.attester.config import AttesterConfig
    from strongroom.keeper.config import AttesterSocket

    source = plan.evidence
    if source.guest == "local":
        return None
    own, keepers = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    child_of_devices = children.start(
        "attester",
        AttesterConfig(own.fileno(), source),
        pass_fds=[own.fileno()],
        environment=child.environment(1, keep=("TPM2TOOLS_",) if source.guest == "tpm" else ()),
    )
    return child_of_devices, AttesterSocket(keepers.fileno(), source.guest)
