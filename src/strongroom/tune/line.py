"""The socket between a training process and its runner: whole frames, blocking, at either end."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from strongroom import framing
from strongroom.tune import frames
from strongroom.tune.frames import Gathering, ToRunner, ToTrainer

_Frame = TypeVar("_Frame", bound=ToRunner | ToTrainer)

_READ_BYTES = 256 * 1024


class HungUp(Exception):
    """There is nobody at the other end any more."""


class Line(Generic[_Frame]):
    """Frames over one descriptor; after lock-down ``poll``, ``read`` and ``write`` only.

    Args:
        descriptor: stays the caller's to close.
        decode: reads the frames that come.
    """

    def __init__(self, descriptor: int, decode: Callable[[bytes], _Frame]) -> None:
        os.set_blocking(descriptor, True)
        self.descriptor = descriptor
        self._decode = decode
        self._buffer = framing.FrameBuffer(frames.MAX_FRAME_BYTES)
        self._came: deque[_Frame] = deque()

    def send(self, frame: ToRunner | ToTrainer, blob: bytes = b"") -> None:
        """Send a frame, and the parts of what it announces.

        Raises:
            HungUp: nobody reads it.
        """
        self._write(frames.encode(frame))
        self.send_blob(blob)

    def send_blob(self, blob: bytes) -> None:
        """Send the parts of something that was announced; ``HungUp`` as above."""
        for part in frames.parts(blob):
            self._write(part)

    def receive(self) -> _Frame:
        """The next frame; waits for it.

        Raises:
            HungUp: none will come.
            BoundaryRefused: ``framing.*`` or ``tune.bad_frame``.
        """
        while not self._came:
            self._read()
        return self._came.popleft()

    def blob(self, size: int) -> bytes:
        """The next ``size`` bytes, from parts; the errors of ``receive``."""
        gathering = Gathering(size)
        while not gathering.whole:
            gathering.add(self.receive())
        return gathering.take()

    def waiting(self, milliseconds: int = 0) -> bool:
        """Whether something has come, or does within this time: a frame's beginning, or the end."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(self._came or poll.poll(milliseconds))

    def _read(self) -> None:
        try:
            data = os.read(self.descriptor, _READ_BYTES)
        except ConnectionError:
            raise HungUp from None
        if not data:
            raise HungUp
        self._came.extend(map(self._decode, self._buffer.feed(data)))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except ConnectionError:
            raise HungUp from None
