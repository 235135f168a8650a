"""The release of a student as a signed statement that anybody can check.

An in-toto Statement v1 in the DSSE envelope of ``report.statement``: the subjects are the student's
files, the predicate is the plan, what was asked, and every check. The teacher is named by the
digest of its manifest only.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from strongroom.distil.gate import Verdict
from strongroom.distil.plan import Plan
from strongroom.distil.reasons import refuse
from strongroom.report.statement import Signer, enveloped, stated, verify_stated

SCHEMA = "urn:strongroom:student-release:v2"
WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS)


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The predicate. ``registered``: the record of the operators' log that fixed the weights."""

    plan: Plan
    plan_digest: str
    asked: int
    registered: Annotated[int, Meta(ge=0)]
    verdict: Verdict


def signed(student: Path, release: Release, signer: Signer) -> bytes:
    """The envelope over the files in the folder ``student``."""
    return enveloped(stated(SCHEMA, digests(student), release), signer)


def checked(student: Path, path: Path, public: bytes) -> Release:
    """The release in ``path``, signed by ``public``, over the files in ``student``.

    Raises:
        ExposureRefused: ``distil.statement_invalid``.
    """
    try:
        found = verify_stated(path.read_bytes(), public, SCHEMA, Release)
        if {each.name: each.sha256 for each in found.subject} != digests(student):
            raise ValueError("the student's files are not those that it names")
        release = found.predicate
        if release.plan.digest != release.plan_digest or not release.verdict.passed:
            raise ValueError("what it states does not hold together")
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise refuse("distil.statement_invalid", path=path, why=str(error)[:200]) from None
    return release


def digests(student: Path) -> dict[str, str]:
    """SHA-256 of each file of a student, hex."""
    return {name: hashlib.sha256((student / name).read_bytes()).hexdigest() for name in FILES}
