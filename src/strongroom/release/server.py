"""The service's end of the socket: frames in, the kernel's word on their sender, answers out."""

from __future__ import annotations

import socket
import struct

from strongroom import framing
from strongroom.attest.local import Peer
from strongroom.errors import BoundaryRefused
from strongroom.release.messages import MAX_MESSAGE_BYTES
from strongroom.release.protocol import ReleaseService, Session

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid
_CHUNK = 65_536


def serve(sock: socket.socket, service: ReleaseService) -> None:
    """Answer one workload until it hangs up, breaks the framing or its session ends.

    The sender of each message is taken from ``SCM_CREDENTIALS``, which the kernel fills in for
    every message, and not from ``SO_PEERCRED``: on an inherited socket pair that one names whoever
    made the pair, and neither of the two who talk.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    session = service.open_session()
    try:
        _converse(sock, service, session)
    except (BoundaryRefused, ConnectionError):
        return
    finally:
        service.close_session(session)


def _converse(sock: socket.socket, service: ReleaseService, session: Session) -> None:
    frames = framing.FrameBuffer(MAX_MESSAGE_BYTES)
    begun_by: Peer | None = None
    while not session.ended:
        data, peer = _receive(sock)
        if not data:
            return
        # A message that several processes wrote has no sender.
        sender = peer if not frames.pending or begun_by == peer else None
        for payload in frames.feed(data):
            answer = service.answer(session, payload, sender)
            sock.sendall(framing.encode(answer, MAX_MESSAGE_BYTES))
            if session.ended:
                return
            sender = peer
        begun_by = sender


def _receive(sock: socket.socket) -> tuple[bytes, Peer | None]:
    # There is room for credentials and nothing else: descriptors somebody sends along are
    # closed by the kernel.
    data, control, _, _ = sock.recvmsg(_CHUNK, socket.CMSG_SPACE(_CREDENTIALS.size))
    for level, kind, content in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid, uid, _ = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])
            # Sent before we asked for credentials: the kernel then reports process 0.
            return data, Peer(pid, uid) if pid else None
    return data, None
