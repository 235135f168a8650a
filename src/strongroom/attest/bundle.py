"""A bundle: everything that one verification needs, in one canonical JSON file.

A bundle is gathered beforehand, because no verifier opens a connection. ``evidence`` and
``collateral`` name their parts; each kind's ``verify_bundle`` says which names it takes, and
refuses others. Byte strings are standard base64. ``nested`` holds what belongs to the same
machine, such as the GPUs beside a CPU.

The only accepted form of a bundle is the one that :func:`encode` writes, plus one newline at the
end: sorted keys, no white space, no unknown fields, bounded in size, number and depth.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from strongroom.attest.interface import Reason, refusal, table

MAX_BYTES = 16 * 1024 * 1024
MAX_PARTS = 64
MAX_NESTED = 32

REASONS = table(
    Reason(
        "attest.bundle_size",
        "The bundle is larger than any genuine one.",
        "Make it again with `strongroom attest bundle`.",
    ),
    Reason(
        "attest.bundle_form",
        "The file is no bundle in canonical form.",
        "Make it again with `strongroom attest bundle`; do not reformat it.",
    ),
    Reason(
        "attest.bundle_bounds",
        "The bundle holds more parts, or deeper ones, than a bundle may.",
        "Make one bundle a machine: its CPU's evidence, with that of its GPUs nested one deep.",
    ),
    Reason(
        "attest.bundle_kind",
        "The bundle names a kind of evidence that no verifier here takes.",
        "See `strongroom attest bundle --help` for the kinds, or update strongroom.",
    ),
    Reason(
        "attest.bundle_parts",
        "The bundle lacks a part that its kind needs, or holds one that it does not take.",
        "See docs/attestation.md for the parts of each kind, and make the bundle again.",
    ),
)


class Bundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Evidence of one kind with its certificates, revocation lists and collateral.

    ``certificates`` and ``crls`` are DER, signer first, root last.
    """

    kind: str
    evidence: dict[str, bytes]
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    collateral: dict[str, bytes] = {}
    nested: tuple[Bundle, ...] = ()
    version: Literal[1] = 1


def encode(bundle: Bundle) -> bytes:
    """The canonical form of a bundle, without a newline."""
    return msgspec.json.encode(bundle, order="sorted")


def decode(raw: bytes) -> Bundle:
    """Read a bundle.

    Raises:
        EvidenceRefused: ``attest.bundle_size``, ``attest.bundle_form`` or
            ``attest.bundle_bounds``.
    """
    if len(raw) > MAX_BYTES:
        raise refusal(REASONS, "attest.bundle_size")
    try:
        bundle = msgspec.json.decode(raw, type=Bundle)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(REASONS, "attest.bundle_form") from error
    if encode(bundle) != raw.removesuffix(b"\n"):
        raise refusal(REASONS, "attest.bundle_form")
    if not _bounded(bundle):
        raise refusal(REASONS, "attest.bundle_bounds")
    return bundle


def parts(bundle: Bundle, *required: str, optional: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The parts of the evidence, if they are those that the kind takes.

    Raises:
        EvidenceRefused: ``attest.bundle_parts``.
    """
    if not set(required) <= set(bundle.evidence) <= {*required, *optional}:
        raise refusal(REASONS, "attest.bundle_parts")
    return bundle.evidence


def _bounded(bundle: Bundle) -> bool:
    inner = bundle.nested
    counts = (bundle.evidence, bundle.certificates, bundle.crls, bundle.collateral)
    return (
        all(len(count) <= MAX_PARTS for count in counts)
        and len(inner) <= MAX_NESTED
        and all(not entry.nested and _bounded(entry) for entry in inner)
    )
