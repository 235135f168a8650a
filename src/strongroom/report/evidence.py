"""What other verbs found, as rows of a report: each with its file, its grade, and what it is about.

A signed statement (``strongroom distil release``, ``strongroom adapter export``) counts as measured
if the home's audit key signed it and it names this model's manifest. What is unsigned (``--json``
of ``strongroom prove detect``, ``strongroom prove radioactivity``, ``strongroom adapter scan``) is
declared by who hands it in. About another model, or absent: unknown, and never good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from strongroom.exposure.reasons import refuse
from strongroom.exposure.results import Evidence, Told
from strongroom.report.statement import STATEMENT_TYPE, verify

_MOST_BYTES = 16 * 2**20

_SIGNED: Final = {
    "urn:strongroom:student-release:": "student",
    "urn:strongroom:language-student-release:": "student",
    "urn:strongroom:adapter-export:": "adapter",
}
_EXPECTED: Final = {
    "student": "strongroom distil release",
    "adapter": "strongroom adapter export",
    "provenance": "strongroom prove detect --json",
}
"""What a report says is absent, and the command that makes it."""


class _Check(msgspec.Struct, frozen=True):
    """What the verdicts of all gates have in common."""

    name: str
    outcome: str
    value: float | None = None
    limit: float | None = None
    note: str = ""


def gathered(files: Sequence[Path], public: bytes | None, model: str) -> tuple[Evidence, ...]:
    """The rows of ``files``, and one for each expected kind that is absent.

    Args:
        files: statements and printed results.
        public: the home's audit key, or None where it has none.
        model: SHA-256 of the audited model's manifest, hex.

    Raises:
        ExposureRefused: ``exposure.evidence_refused``.
    """
    found = [_read(file, public, model) for file in files]
    kinds = {each.kind for each in found}
    absent = [
        Evidence(kind=kind, sentence=f"None was given: unknown. It is made by: {made}.")
        for kind, made in _EXPECTED.items()
        if kind not in kinds
    ]
    return (*found, *absent)


def _read(path: Path, public: bytes | None, model: str) -> Evidence:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than 16 MiB")
        raw = path.read_bytes()
        said = msgspec.json.decode(raw)
        if not isinstance(said, dict):
            raise ValueError("it is no JSON object")
        made = _signed(raw, public, model) if "payload" in said else _printed(said)
    except OSError as error:
        raise refuse("exposure.evidence_refused", path=path, why=error.strerror) from None
    except (ValueError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise refuse("exposure.evidence_refused", path=path, why=str(error)[:200]) from None
    source = {"source": path.name, "digest": hashlib.sha256(raw).hexdigest()}
    return msgspec.structs.replace(made, **source)


def _signed(raw: bytes, public: bytes | None, model: str) -> Evidence:
    """A statement in a DSSE envelope.

    Raises:
        ValueError: it is not signed by ``public``, or states nothing that is known here.
    """
    if public is None:
        raise ValueError("it is signed, and this home has no audit key to check it by")
    stated = msgspec.json.decode(verify(raw, public), type=dict[str, Any])
    named = str(stated.get("predicateType", ""))
    kind = next((kind for start, kind in _SIGNED.items() if named.startswith(start)), None)
    predicate = stated.get("predicate")
    if stated.get("_type") != STATEMENT_TYPE or kind is None or not isinstance(predicate, dict):
        raise ValueError(f"a statement of type {named[:80] or 'nothing'} is no evidence here")
    verdict = predicate.get("verdict")
    if not isinstance(verdict, dict):
        raise ValueError("it states no verdict")
    checks = msgspec.convert(verdict.get("checks"), tuple[_Check, ...])
    subjects = stated.get("subject") or ()
    about = ", ".join(str(each.get("name", "")) for each in subjects if isinstance(each, dict))
    if not _names(predicate, model):
        return Evidence(kind=kind, about=about, sentence="It is signed, and about another model.")
    failed = [check.name for check in checks if check.outcome == "failed"]
    unmade = [check.name for check in checks if check.value is None]
    passed = bool(checks) and not failed and not unmade
    said = f"{len(checks)} checks, {len(failed)} failed, {len(unmade)} could not be made"
    return Evidence(
        kind=kind,
        about=about,
        outcome="passed" if passed else "failed",
        grade="measured",
        sentence=f"The gate's verdict, signed by this home: {said}.",
        told=tuple(_told(check) for check in checks),
    )


def _told(check: _Check) -> Told:
    value = "not made" if check.value is None else f"{check.value:.4g}"
    limit = "" if check.limit is None else f"{check.limit:.4g}"
    return Told(check.name, value, limit, check.outcome)


def _names(found: Any, digest: str) -> bool:
    """Whether ``digest`` is a value anywhere in ``found``."""
    if isinstance(found, dict):
        return any(_names(value, digest) for value in found.values())
    if isinstance(found, list):
        return any(_names(value, digest) for value in found)
    return bool(digest) and found == digest


class _Detected(msgspec.Struct, frozen=True):
    """What ``prove detect --json`` prints."""

    suspect: str
    verdict: str
    likeness: float
    most_alike_of_library: float
    p: float
    p_by_rank: float


class _Probed(msgspec.Struct, frozen=True):
    """What ``prove radioactivity --json`` prints."""

    suspect: str
    radioactivity: str
    organisation: str
    scheme: str
    p: float
    p_without_controls: float
    controls: tuple[str, ...]
    committed: str


class _Scanned(msgspec.Struct, frozen=True):
    """What ``adapter scan --json`` prints."""

    places: tuple[dict[str, Any], ...]
    flagged: int


def _printed(said: dict[str, Any]) -> Evidence:
    """What a verb printed: nobody signed it, and it names no manifest.

    Raises:
        ValueError: it is no verb's that is known here.
    """
    if "most_alike_of_library" in said:
        one = msgspec.convert(said, _Detected)
        sentence = (
            f"{one.verdict}: likeness {one.likeness:.3g}, the most alike of the library "
            f"{one.most_alike_of_library:.3g}; p {one.p:.2g}, by rank {one.p_by_rank:.2g}."
        )
        return Evidence(kind="provenance", about=one.suspect, outcome="told", grade="declared",
                        sentence=f"{sentence} Unsigned.")  # fmt: skip
    if "radioactivity" in said:
        seen = msgspec.convert(said, _Probed)
        sentence = (
            f"{seen.radioactivity}: by the {seen.scheme} key of {seen.organisation}, committed "
            f"{seen.committed}, p {seen.p:.2g} beside {len(seen.controls)} clean models, "
            f"{seen.p_without_controls:.2g} alone."
        )
        return Evidence(kind="radioactivity", about=seen.suspect, outcome="told", grade="declared",
                        sentence=f"{sentence} Unsigned.")  # fmt: skip
    if {"places", "flagged"} <= said.keys():
        scan = msgspec.convert(said, _Scanned)
        sentence = f"{scan.flagged} of {len(scan.places)} matrices are unlike the others. Unsigned."
        return Evidence(kind="adapter scan", outcome="told", grade="declared", sentence=sentence)
    raise ValueError("it is neither a signed statement nor what a verb printed that is known here")
