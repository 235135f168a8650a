"""Where evidence of each kind carries what it was made for, and how its verifier is told.

The binding replaces whatever an owner's expectations say about the field, and the switch by which
an owner has old captures judged without it is taken away: no policy file opens this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple


class Bound(NamedTuple):
    """The field of a verifier's expectations, its size in bytes, and the switch that waives it."""

    field: str
    size: int
    waiver: str


BOUND_FIELDS: Final[Mapping[str, Bound]] = {
    "snp": Bound("report_data", 64, ""),
    "tdx": Bound("report_data", 64, "any_report_data"),
    "sgx": Bound("report_data", 64, "any_report_data"),
    "nitro": Bound("nonce", 64, "any_nonce"),
    # A TPM's extraData has room for its longest digest, which is SHA-384's on most.
    "azure-snp": Bound("nonce", 48, "any_nonce"),
    "tpm": Bound("nonce", 48, "any_nonce"),
}
"""Kinds of evidence that speak of a guest."""

DEVICE_FIELDS: Final[Mapping[str, Bound]] = {"nvidia": Bound("nonce", 32, "any_nonce")}
"""Kinds of evidence that speak of its devices: what is carried is ``binding.device_nonce``."""


def binding_size(kind: str) -> int:
    """How many bytes of the report data evidence of a guest carries; all for an unknown kind."""
    return BOUND_FIELDS[kind].size if kind in BOUND_FIELDS else 64


def demanding(chosen: Mapping[str, Any], bound: Bound, value: bytes) -> dict[str, Any]:
    """An owner's expectations of a kind, with ``value`` demanded whatever they say."""
    kept = {name: wish for name, wish in chosen.items() if name != bound.waiver}
    return {**kept, bound.field: value[: bound.size].hex()}
