"""Inclusion proofs as text (c2sp.org/tlog-proof): self-contained, checked offline. Pure."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.merkle import HASH_BYTES, inclusion_holds, leaf_hash
from strongroom.ledger.note import MAX_NOTE_BYTES, VerifierKey
from strongroom.ledger.reasons import refuse

_FIRST_LINE = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry stands at ``index`` of the log that the signed checkpoint is of."""

    index: int
    hashes: tuple[bytes, ...]
    signed: bytes

    def encode(self) -> str:
        """The proof as text."""
        lines = [_FIRST_LINE, f"index {self.index}"]
        lines += [base64.b64encode(value).decode() for value in self.hashes]
        return "\n".join(lines) + "\n\n" + self.signed.decode()

    @classmethod
    def parse(cls, text: str) -> Proof:
        """Read the text; ``ledger.proof_malformed``. The line ``extra`` is passed over."""
        head, blank, signed = text.partition("\n\n")
        first, *lines = head.split("\n")
        if lines and lines[0].startswith("extra "):
            lines = lines[1:]
        index = _INDEX.fullmatch(lines[0]) if lines else None
        try:
            hashes = tuple(base64.b64decode(line, validate=True) for line in lines[1:])
        except ValueError:
            hashes = (b"",)
        sound = all(len(value) == HASH_BYTES for value in hashes) and len(hashes) <= _MAX_HASHES
        if first != _FIRST_LINE or not blank or not index or not sound:
            raise refuse("ledger.proof_malformed")
        if len(signed) > MAX_NOTE_BYTES:
            raise refuse("ledger.proof_malformed")
        return cls(int(index[1]), hashes, signed.encode())

    def check(self, entry: bytes, key: VerifierKey) -> Checkpoint:
        """The checkpoint, once it is signed by ``key`` and ``entry`` is shown to be under it.

        Raises:
            LedgerRefused: ``ledger.proof_invalid`` or a code of ``checkpoint.parse_signed``.
        """
        checkpoint = parse_signed(self.signed, key, "the proof")
        leaf = leaf_hash(entry)
        if not inclusion_holds(
            self.index, checkpoint.size, leaf, list(self.hashes), checkpoint.root
        ):
            raise refuse("ledger.proof_invalid")
        return checkpoint
