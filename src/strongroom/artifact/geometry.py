"""Where the segments of a part lie in its file and in its plaintext."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.artifact.floe import HEADER_BYTES, OVERHEAD, Parameters


@dataclass(frozen=True, slots=True)
class Geometry:
    """A FLOE file of ``length`` bytes with ``segments`` segments."""

    length: int
    segments: int
    parameters: Parameters

    @classmethod
    def for_plaintext(cls, size: int, parameters: Parameters) -> Geometry:
        """The one geometry for ``size`` bytes; an empty plaintext has one (empty) segment."""
        segments = max(1, -(-size // parameters.plaintext_bytes))
        return cls(HEADER_BYTES + size + segments * OVERHEAD, segments, parameters)

    @classmethod
    def fits(cls, length: int, segments: int, parameters: Parameters) -> bool:
        """Whether a file of ``length`` bytes has exactly ``segments`` segments."""
        size = length - HEADER_BYTES - segments * OVERHEAD
        return size >= 0 and cls.for_plaintext(size, parameters).segments == segments

    @property
    def body_bytes(self) -> int:
        """Length of all segments together."""
        return self.length - HEADER_BYTES

    @property
    def plaintext_bytes(self) -> int:
        """Length of the whole plaintext."""
        return self.length - HEADER_BYTES - self.segments * OVERHEAD

    def is_final(self, number: int) -> bool:
        """Whether segment ``number`` is the last."""
        return number == self.segments - 1

    def file_span(self, number: int) -> tuple[int, int]:
        """Offset in the file and length of segment ``number``."""
        full = self.parameters.segment_bytes
        start = HEADER_BYTES + number * full
        return start, (self.length - start if self.is_final(number) else full)

    def plain_span(self, number: int) -> tuple[int, int]:
        """Offset in the plaintext and length of segment ``number``."""
        _, length = self.file_span(number)
        return number * self.parameters.plaintext_bytes, length - OVERHEAD
