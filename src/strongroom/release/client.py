"""The workload's end of the socket to key release."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from strongroom import framing
from strongroom.artifact.recipients import Recipient
from strongroom.errors import KeyRefused
from strongroom.release.evidence import Attester
from strongroom.release.messages import MAX_MESSAGE_BYTES
from strongroom.release.requester import Grant, Requester

TIMEOUT_SECONDS = 60.0


def obtain_key(
    sock: socket.socket,
    *,
    recipients: Sequence[Recipient],
    context: bytes,
    model: str,
    release: int,
    manifest_digest: str,
    evidence: Attester,
    service_key: bytes,
    timeout: float = TIMEOUT_SECONDS,
) -> Grant:
    """Obtain one model's data key from the service at the other end of ``sock``.

    Args:
        sock: a connected stream socket; it stays open, its timeout is set.
        recipients: the stanzas of the sealed model.
        context: what they are bound to (``recipient_context`` of the manifest).
        model: the model's id, and
        release: its release, as the manifest says.
        manifest_digest: SHA-256 (hex) of the manifest.
        evidence: who produces the evidence, ``LocalAttester`` where there is no TEE,
            ``HardwareAttester`` where there is one.
        service_key: the pinned raw Ed25519 public key of the service, 32 bytes.
        timeout: seconds to wait for each answer.

    Returns:
        The key, with its lease, the decision's id and the assurance behind it.

    Raises:
        KeyRefused: the service's reason, or one of ``requester``'s, or ``release.unreachable``.
        BoundaryRefused: the service broke the framing.
    """
    requester = Requester(
        recipients=recipients,
        context=context,
        model=model,
        release=release,
        manifest_digest=manifest_digest,
        attester=evidence,
        service_key=service_key,
    )
    sock.settimeout(timeout)
    frames = framing.FrameBuffer(MAX_MESSAGE_BYTES)
    try:
        challenge = _exchange(sock, frames, requester.ask())
        answer = _exchange(sock, frames, requester.request(challenge))
    except OSError as error:
        raise _unreachable(type(error).__name__) from None
    return requester.accept(answer)


def _exchange(sock: socket.socket, frames: framing.FrameBuffer, message: bytes) -> bytes:
    sock.sendall(framing.encode(message, MAX_MESSAGE_BYTES))
    while True:
        data = sock.recv(65_536)
        if not data:
            raise _unreachable("it hung up")
        answers = frames.feed(data)
        if len(answers) > 1:
            raise KeyRefused(
                "release.unexpected_answer",
                "Key release sent more than was asked.",
                action="Check that the pinned key-release service is the one that answers.",
            )
        if answers:
            return answers[0]


def _unreachable(why: str) -> KeyRefused:
    return KeyRefused(
        "release.unreachable",
        f"Key release did not answer ({why}).",
        action="Check that the key-release process runs; its own error line tells why it stopped.",
    )
