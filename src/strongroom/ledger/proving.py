"""Proofs out of a log's tiles: a few tiles are read, not the log."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from strongroom.ledger import tiles
from strongroom.ledger.checkpoint import Checkpoint, parse_signed
from strongroom.ledger.folder import LogFolder
from strongroom.ledger.merkle import consistency_holds, consistency_proof, inclusion_proof
from strongroom.ledger.note import VerifierKey
from strongroom.ledger.proof import Proof
from strongroom.ledger.reasons import refuse
from strongroom.ledger.tree import TILE_WIDTH


def prove(folder: LogFolder, key: VerifierKey, index: int) -> tuple[Proof, bytes]:
    """The record at ``index``, and the proof that the published checkpoint covers it; it holds.

    Raises:
        ConfigurationRefused: ``ledger.out_of_range``, ``ledger.no_log``.
        LedgerRefused: ``ledger.proof_invalid``: the log is damaged there; or a code of
            ``checkpoint.parse_signed``.
    """
    signed = folder.checkpoint()
    size = parse_signed(signed, key, folder).size
    if not 0 <= index < size:
        raise refuse("ledger.out_of_range", index=index, size=size)
    number, place = divmod(index, TILE_WIDTH)
    bundle = folder.bundle(number, min(TILE_WIDTH, size - number * TILE_WIDTH))
    if place >= len(bundle):
        raise refuse("ledger.dropped", index=index, where=folder)
    hashes = inclusion_proof(index, size, tiles.nodes(size, folder.tile))
    proof = Proof(index, tuple(hashes), signed)
    proof.check(bundle[place], key)
    return proof, bundle[place]


@dataclass(frozen=True, slots=True)
class Growth:
    """That ``new`` continues a checkpoint over ``old_size`` records."""

    old_size: int
    hashes: tuple[bytes, ...]
    new: Checkpoint
    signed: bytes

    def encode(self) -> str:
        """What a witness takes as ``add-checkpoint`` (c2sp.org/tlog-witness)."""
        lines = [f"old {self.old_size}"]
        lines += [base64.b64encode(value).decode() for value in self.hashes]
        return "\n".join(lines) + "\n\n" + self.signed.decode()


def prove_consistency(folder: LogFolder, key: VerifierKey, old: Checkpoint) -> Growth:
    """The proof that the published checkpoint continues ``old``; it holds.

    Raises:
        ConfigurationRefused: ``ledger.no_log``.
        LedgerRefused: ``ledger.truncated``, ``ledger.forked``, ``ledger.other_log`` or a code of
            ``checkpoint.parse_signed``.
    """
    signed = folder.checkpoint()
    new = parse_signed(signed, key, folder)
    if new.origin != old.origin:
        raise refuse("ledger.other_log", origin=ascii(new.origin)[1:-1], expected=old.origin)
    if old.size > new.size:
        raise refuse("ledger.truncated", where=folder, size=new.size, seen=old.size)
    proof = consistency_proof(old.size, new.size, tiles.nodes(new.size, folder.tile))
    if not consistency_holds(old.size, new.size, old.root, new.root, proof):
        raise refuse("ledger.forked", where=folder, seen=old.size)
    return Growth(old.size, tuple(proof), new, signed)
