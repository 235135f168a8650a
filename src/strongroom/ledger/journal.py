"""The journal: what makes an entry durable before its tiles are written.

The writer appends one *batch* to the newest segment for each fsync::

    "SRJ1", length of the entries (4), length of the note (2), CRC-32 of these ten bytes (4)
    entries, each behind its length, as in a bundle
    note: the signed checkpoint over the log with these entries

1. So every acknowledged entry is under a signature, not only those under the published checkpoint.
2. A crash can leave the last batch of the last segment short: its file ends before its header says,
   or holds only zeros from some batch on. Nothing of it was acknowledged, and it is passed over.
3. Anything else that is not as written was altered.
4. A segment is named by the index of its first entry and deleted once the tiles hold all of it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from strongroom.ledger import tiles
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.reasons import refuse

FOLDER = "journal"
_HEADER = struct.Struct(">4sIH")
_CHECK = struct.Struct(">I")
_HEAD_BYTES = _HEADER.size + _CHECK.size
_MAGIC = b"SRJ1"
_SEGMENT = re.compile(r"[0-9]{20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that one fsync made durable, and the checkpoint that covers the log up to them."""

    entries: list[bytes]
    checkpoint: Checkpoint
    signed: bytes

    @property
    def start(self) -> int:
        """Index of the first entry."""
        return self.checkpoint.size - len(self.entries)


def segment_name(start: int) -> str:
    """File name of the segment whose first entry has that index."""
    return f"{start:020}"


def segment_starts(folder: Path) -> list[int]:
    """Index of the first entry of each segment in the journal's folder, in order."""
    names = [path.name for path in folder.glob("*")]
    return sorted(int(name) for name in names if _SEGMENT.fullmatch(name))


def encode_batch(entries: Iterable[bytes], signed: bytes) -> bytes:
    """The bytes of one batch."""
    body = tiles.encode_bundle(entries)
    header = _HEADER.pack(_MAGIC, len(body), len(signed))
    return header + _CHECK.pack(zlib.crc32(header)) + body + signed


def decode_segment(
    content: bytes, start: int, key: VerifierKey, where: object, *, last: bool
) -> tuple[list[Batch], int]:
    """The whole batches of a segment, and how many bytes they take.

    Roots and the order of batches are for the caller to judge; each note's signature is not.

    Args:
        content: the segment.
        start: index of its first entry, for messages.
        key: the log's verifier key.
        where: the log, for messages.
        last: whether it is the newest segment, which a crash may have left short.

    Raises:
        LedgerRefused: ``ledger.altered``.
    """
    batches: list[Batch] = []
    at, reached = 0, start
    while at < len(content):
        lengths = _lengths(content[at : at + _HEAD_BYTES])
        stop = at + _HEAD_BYTES + sum(lengths or (0, 0))
        if last and (_short(content, at, stop) or not any(content[at:])):  # (2)
            break
        if lengths is None or stop > len(content):
            raise refuse("ledger.altered", index=reached, where=where)
        entries = tiles.decode_bundle(content[at + _HEAD_BYTES : stop - lengths[1]])
        signed = content[stop - lengths[1] : stop]
        batches.append(Batch(entries, _checkpoint(signed, key, reached, where), signed))
        at, reached = stop, batches[-1].checkpoint.size
    return batches, at


def _lengths(head: bytes) -> tuple[int, int] | None:
    """Lengths of entries and note, or None if this is no header."""
    if len(head) < _HEAD_BYTES or head[_HEADER.size :] != _CHECK.pack(
        zlib.crc32(head[: _HEADER.size])
    ):
        return None
    magic, entries, note = _HEADER.unpack(head[: _HEADER.size])
    return (entries, note) if magic == _MAGIC else None


def _short(content: bytes, at: int, stop: int) -> bool:
    return len(content) < at + _HEAD_BYTES or len(content) < stop


def _checkpoint(signed: bytes, key: VerifierKey, reached: int, where: object) -> Checkpoint:
    try:
        return parse_signed(signed, key, where)
    except Exception as error:
        raise refuse("ledger.altered", index=reached, where=where) from error
