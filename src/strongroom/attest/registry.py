"""Which verifier takes which kind of evidence; a verifier is imported when its kind is met.

A verifier's module has two names::

    Expectations                                         # what the owner may choose
    verify_bundle(bundle, *, now, expectations) -> Facts

``Expectations`` is a frozen msgspec struct that forbids unknown fields and whose defaults are the
strict ones, so that a policy file states only what departs from them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Protocol, cast

import msgspec

from strongroom.attest.bundle import REASONS, Bundle
from strongroom.attest.interface import Facts, Reason, refusal
from strongroom.errors import ConfigurationRefused

KINDS: dict[str, str] = {
    "azure-snp": "strongroom.attest.azure.bundled",
    "nitro": "strongroom.attest.nitro.verify",
    "nvidia": "strongroom.attest.nvidia.bundled",
    "sgx": "strongroom.attest.sgx.verify",
    "snp": "strongroom.attest.snp.bundled",
    "tdx": "strongroom.attest.tdx.verify",
    "tpm": "strongroom.attest.tpm.bundled",
}
"""Kind of evidence to the module of its verifier."""

TABLES = (
    "strongroom.attest.azure.reasons",
    "strongroom.attest.bundle",
    "strongroom.attest.dcap.reasons",
    "strongroom.attest.nitro.reasons",
    "strongroom.attest.nvidia.reasons",
    "strongroom.attest.snp.reasons",
    "strongroom.attest.tpm.reasons",
)
"""The modules whose ``REASONS`` say why evidence is refused."""


class Verifier(Protocol):
    """What a verifier's module offers."""

    Expectations: type[msgspec.Struct]

    def verify_bundle(self, bundle: Bundle, *, now: int, expectations: msgspec.Struct) -> Facts:
        """Facts of a bundle of the verifier's kind; raises ``EvidenceRefused``."""


def verifier(kind: str) -> Verifier:
    """The verifier of a kind.

    Raises:
        EvidenceRefused: ``attest.bundle_kind``.
    """
    if kind not in KINDS:
        raise refusal(REASONS, "attest.bundle_kind")
    return cast(Verifier, importlib.import_module(KINDS[kind]))


def reasons() -> dict[str, Reason]:
    """Why any verifier refuses evidence, by code."""
    tables = (importlib.import_module(name).REASONS for name in TABLES)
    return {code: reason for rows in tables for code, reason in rows.items()}


def verify_bundle(
    bundle: Bundle, *, now: int, expectations: Mapping[str, object]
) -> tuple[Facts, ...]:
    """Verify a bundle and those nested in it; all must pass.

    That nested evidence comes from the same machine is not shown by this, but only where the
    outer evidence commits to the nested one, as key release demands.

    Args:
        bundle: what was gathered.
        now: the time to judge validity by, in Unix seconds.
        expectations: kind to the fields of its ``Expectations``; a kind left out gets the defaults.

    Returns:
        The facts of the bundle, then those of the nested ones.

    Raises:
        EvidenceRefused: a check did not hold.
        ConfigurationRefused: ``attest.expectations``.
    """
    module = verifier(bundle.kind)
    chosen = _convert(expectations.get(bundle.kind, {}), module.Expectations)
    facts = module.verify_bundle(bundle, now=now, expectations=chosen)
    inner = (verify_bundle(entry, now=now, expectations=expectations) for entry in bundle.nested)
    return (facts, *(fact for nested in inner for fact in nested))


def _convert(fields: object, kind: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ConfigurationRefused(
            "attest.expectations",
            "The expectations name a field that the verifier lacks, or give one a wrong value.",
            action="See docs/attestation.md for the fields of each kind and their types.",
        ) from error
