"""Merkle trees as RFC 6962, section 2.1, defines them, over SHA-256. Pure: hashes in, hashes out.

``MTH(D[lo:hi])`` below is the RFC's Merkle Tree Hash of the leaves from ``lo`` (included) to ``hi``
(not). A *node* (level, index) is the hash of the complete subtree over the ``2**level`` leaves
that begin at ``index * 2**level``; nodes never change while a log grows. Whoever asks for a proof
says how a node is found (``NodeAt``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeAt = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one entry as a leaf."""
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two neighbouring subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def root_at(size: int, node: NodeAt) -> bytes:
    """``MTH(D[0:size])``."""
    return _range_hash(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[bytes]:
    """``PATH(index, D[0:size])`` of RFC 6962 2.1.1, for ``0 <= index < size``; leaf end first."""
    low, high, proof = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_range_hash(middle, high, node))
            high = middle
        else:
            proof.append(_range_hash(low, middle, node))
            low = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: NodeAt) -> list[bytes]:
    """``PROOF(old, D[0:new])`` of RFC 6962 2.1.2; empty if ``old`` is 0 or ``new``."""
    low, high, proof = 0, new, []
    if old in (0, new):
        return []
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            proof.append(_range_hash(middle, high, node))
            high = middle
        else:
            proof.append(_range_hash(low, middle, node))
            low = middle
    if low:  # else the old tree is this very subtree, whose root the verifier has
        proof.append(_range_hash(low, high, node))
    return proof[::-1]


def inclusion_holds(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether ``proof`` shows that ``leaf`` stands at ``index`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(sibling, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def consistency_holds(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether ``proof`` shows that the new tree continues the old one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    found_old = found_new = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            found_old = node_hash(sibling, found_old)
            found_new = node_hash(sibling, found_new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found_new = node_hash(found_new, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and found_old == old_root and found_new == new_root


def _split(count: int) -> int:
    """The largest power of two smaller than ``count`` (at least 2)."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(low: int, high: int, node: NodeAt) -> bytes:
    """``MTH(D[low:high])`` where ``low`` is where RFC 6962's recursion would begin a subtree."""
    peaks = []
    while low < high:
        level = (high - low).bit_length() - 1
        peaks.append(node(level, low >> level))
        low += 1 << level
    found = peaks.pop()
    while peaks:
        found = node_hash(peaks.pop(), found)
    return found
