"""The owner's limits on what leaves: ``[tuning.export]``."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

CANARY_ALTERNATIVES: Final = 64
"""A canary is ranked among so many, so its exposure is at most 6 bits."""

MOST_CANARY_BITS: Final = 6.0

_Share = Annotated[float, Meta(ge=0, le=1)]


class ExportLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit that cannot be exceeded waives its check: ``auc`` 1, ``canary_bits`` 6,
    ``obeyed`` 1.

    Attributes:
        most: adapters that may ever leave to one organisation for one release of a base.
        least_steps: optimiser steps that an adapter must have been trained for.
        cosine: between what an attack recovers and the truth, in any matrix, beyond chance.
        ratio: least median, over all places, of a B's second singular value over its first.
        auc: of finding the training records, by the loss against the base's.
        canary_bits: mean exposure of planted canaries; 1.4 is chance.
        epsilon: most that all exports to one organisation may add up to; 0 asks for none.
        worse: by how much of the base's loss a promoted adapter's may lie above it.
        trigger: how many times as far from the base an adapter may go where a trigger stands.
        obeyed: how much likelier a phrase of the training data may make that data's answer after
            prompts that have nothing to do with it; 1 asks for no test.
        probes: tokens whose hidden activations the oracle is compared with.
        recipients: age recipients that an export may be encrypted to; empty: any that is granted.
    """

    most: Annotated[int, Meta(ge=0, le=1000)] = 4
    least_steps: Annotated[int, Meta(ge=1)] = 20
    cosine: _Share = 0.05
    ratio: _Share = 0.3
    auc: Annotated[float, Meta(ge=0.5, le=1)] = 0.7
    canary_bits: Annotated[float, Meta(ge=0, le=MOST_CANARY_BITS)] = 3.0
    epsilon: Annotated[float, Meta(ge=0)] = 0.0
    worse: Annotated[float, Meta(ge=0)] = 0.0
    trigger: Annotated[float, Meta(ge=1)] = 4.0
    obeyed: _Share = 0.25
    probes: Annotated[int, Meta(ge=64, le=2**20)] = 2_048
    recipients: tuple[str, ...] = ()
