"""Named float32 tensors under a key that follows from a model's data key.

1. The key is ``HKDF-Expand-SHA-384(data key, label, 32)``: who has it was judged by key release.
2. AES-256-GCM with a random nonce, bound to what the caller says. The plaintext is the length of a
   head (4 bytes, little-endian), the head (JSON: the caller's facts, names and shapes) and the
   numbers, little-endian.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Final

import msgspec
import torch
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from torch import Tensor

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.secret_access import TOKEN
from strongroom.keys.wiping import wipe, wipe_bytes

_NONCE: Final = 12
_TAG: Final = 16


class Foreign(ValueError):
    """Not sealed under this key, for this use."""


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    facts: msgspec.Raw
    shapes: dict[str, tuple[int, ...]]


class TensorSealer:
    """Seals and opens. Derived while the data key is at hand; ``label`` keeps uses apart."""

    __slots__ = ("_cipher",)

    def __init__(self, key: DataKey, label: bytes) -> None:
        derived = HKDFExpand(SHA384(), 32, label).derive(key.reveal(TOKEN))
        try:
            self._cipher = AESGCM(derived)
        finally:
            wipe_bytes(derived)

    def seal(self, bound: bytes, facts: msgspec.Struct, tensors: Mapping[str, Tensor]) -> bytes:
        """The facts and the tensors, bound to ``bound``."""
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        head = msgspec.json.encode(_Head(msgspec.Raw(msgspec.json.encode(facts)), shapes))
        plain = bytearray(len(head).to_bytes(4, "little") + head)
        for tensor in tensors.values():
            plain += tensor.detach().float().contiguous().numpy().tobytes()
        nonce = os.urandom(_NONCE)
        try:
            return nonce + self._cipher.encrypt(nonce, plain, bound)
        finally:
            wipe(plain)

    def open(self, bound: bytes, sealed: bytes) -> tuple[bytes, dict[str, Tensor]]:
        """The facts, as JSON, and the tensors.

        Raises:
            Foreign: it was not sealed by this key, with this ``bound``.
        """
        try:
            if len(sealed) < _NONCE + _TAG:
                raise InvalidTag
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
        except InvalidTag:
            raise Foreign("another key, or another use") from None
        stop = 4 + int.from_bytes(plain[:4], "little")  # the seal vouches for the form
        head = msgspec.json.decode(plain[4:stop], type=_Head)
        flat = torch.frombuffer(bytearray(plain[stop:]), dtype=torch.float32)
        sizes = [math.prod(shape) for shape in head.shapes.values()]
        pieces = zip(head.shapes.items(), torch.split(flat, sizes), strict=True)
        return bytes(head.facts), {name: piece.view(shape) for (name, shape), piece in pieces}
