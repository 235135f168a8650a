"""What a job leaves on a disk, sealed: only who was given the base's key opens it.

1. The job's key is ``HKDF-Expand-SHA-384(data key of the base, label ‖ job id, 32)``: whoever opens
   a checkpoint has been judged by key release, at each start anew.
2. There are two kinds: a *checkpoint* (seed of A, matrices, moments) from which the job goes on,
   and its *result* (the adapter under PEFT's names, without the seed). The plaintext is a length, a
   head in JSON (step, seed, names and shapes) and the float32 numbers.
3. AES-256-GCM with a random nonce, bound to the kind and to the ``Identity`` of the job: its id,
   its recipe, the digests of its data and of the base's manifest. What belongs to another job, or
   to this one after anything of it changed, does not open.

Not prevented: somebody who can write the file puts an older checkpoint of the same job back. The
job then repeats steps with the same seed and the same data, and ends at the same adapter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec
from torch import Tensor

from strongroom.artifact.data_key import DataKey
from strongroom.keeper.sealed_tensors import Foreign, TensorSealer
from strongroom.tune.adapter import Seed
from strongroom.tune.job import State
from strongroom.tune.policy import Recipe
from strongroom.tune.reasons import refuse

_KEY_LABEL: Final = b"strongroom tuning job v1\0"


class _Kind(Enum):
    CHECKPOINT = b"strongroom tuning checkpoint v1\0"
    RESULT = b"strongroom tuning result v1\0"


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What makes a job this job."""

    job: str
    manifest: str
    dataset: str
    recipe: Recipe

    @property
    def digest(self) -> bytes:
        """SHA-256 over all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    step: int
    seed: bytes
    history: bytes = b""


class JobKey:
    """Seals and opens the checkpoints of one job. Derived while the base's data key is at hand."""

    __slots__ = ("_sealer",)

    def __init__(self, key: DataKey, job: str) -> None:
        self._sealer = TensorSealer(key, _KEY_LABEL + job.encode())

    def seal(self, state: State, identity: Identity) -> bytes:
        """A checkpoint."""
        facts = _Facts(state.step, state.seed.value, state.history)
        return self._sealer.seal(_bound(_Kind.CHECKPOINT, identity), facts, state.tensors)

    def open(self, sealed: bytes, identity: Identity) -> State:
        """The state in a checkpoint.

        Raises:
            RequestRefused: ``tune.checkpoint_foreign``.
        """
        facts, tensors = self._open(_Kind.CHECKPOINT, sealed, identity)
        return State(facts.step, Seed(facts.seed), tensors, facts.history)

    def seal_result(self, step: int, tensors: Mapping[str, Tensor], identity: Identity) -> bytes:
        """A result."""
        return self._sealer.seal(_bound(_Kind.RESULT, identity), _Facts(step, b""), tensors)

    def open_result(self, sealed: bytes, identity: Identity) -> dict[str, Tensor]:
        """The tensors of a result; ``tune.checkpoint_foreign`` as for a checkpoint."""
        return self._open(_Kind.RESULT, sealed, identity)[1]

    def _open(
        self, kind: _Kind, sealed: bytes, identity: Identity
    ) -> tuple[_Facts, dict[str, Tensor]]:
        try:
            facts, tensors = self._sealer.open(_bound(kind, identity), sealed)
        except Foreign:
            raise refuse("tune.checkpoint_foreign", what="its key, job, data or recipe") from None
        return msgspec.json.decode(facts, type=_Facts), tensors


def _bound(kind: _Kind, identity: Identity) -> bytes:
    return kind.value + identity.digest
