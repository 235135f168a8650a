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

from strongroom.distil.checks import Verdict
from strongroom.distil.language import folder
from strongroom.distil.language.plan import Asked, LanguagePlan
from strongroom.distil.plan import AnyPlan, Plan
from strongroom.distil.reasons import refuse
from strongroom.report.statement import Signer, Statement, enveloped, kind_of, stated, verify_stated

SCHEMA = "urn:strongroom:student-release:v2"
LANGUAGE_SCHEMA = "urn:strongroom:language-student-release:v1"
WEIGHTS = "model.safetensors"
_FILES = ("config.json", WEIGHTS)
_Record = Annotated[int, Meta(ge=0)]


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a classifier's student. ``registered``: the record of the operators' log that fixed the
    weights."""

    plan: Plan
    plan_digest: str
    asked: int
    registered: _Record
    verdict: Verdict


class Registered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records of the operators' log that fixed the weights, their fingerprint, and the keys that
    mark the teacher's answers."""

    weights: _Record
    fingerprint: _Record
    watermark_keys: Annotated[tuple[_Record, ...], Meta(min_length=1)]


class LanguageRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a language model's student."""

    plan: LanguagePlan
    plan_digest: str
    asked: Asked
    registered: Registered
    verdict: Verdict


AnyRelease = Release | LanguageRelease


def stating(
    plan: AnyPlan, asked: int | Asked, registered: int | Registered, verdict: Verdict
) -> AnyRelease:
    """What a release of a student made by ``plan`` states.

    Raises:
        TypeError: what was asked and registered is of another kind of student.
    """
    match plan, asked, registered:
        case Plan(), int(), int():
            return Release(plan, plan.digest, asked, registered, verdict)
        case LanguagePlan(), Asked(), Registered():
            return LanguageRelease(plan, plan.digest, asked, registered, verdict)
    raise TypeError("what was asked and registered is of another kind of student")


def signed(student: Path, release: AnyRelease, signer: Signer) -> bytes:
    """The envelope over the files in the folder ``student``."""
    kind = SCHEMA if isinstance(release, Release) else LANGUAGE_SCHEMA
    return enveloped(stated(kind, digests(student, release.plan), release), signer)


def checked(student: Path, path: Path, public: bytes) -> AnyRelease:
    """The release in ``path``, signed by ``public``, over the files in ``student``.

    Raises:
        ExposureRefused: ``distil.statement_invalid``.
    """
    try:
        raw = path.read_bytes()
        found: Statement[Release] | Statement[LanguageRelease]
        if kind_of(raw, public) == LANGUAGE_SCHEMA:
            found = verify_stated(raw, public, LANGUAGE_SCHEMA, LanguageRelease)
        else:
            found = verify_stated(raw, public, SCHEMA, Release)
        release = found.predicate
        if {each.name: each.sha256 for each in found.subject} != digests(student, release.plan):
            raise ValueError("the student's files are not those that it names")
        if release.plan.digest != release.plan_digest or not release.verdict.passed:
            raise ValueError("what it states does not hold together")
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise refuse("distil.statement_invalid", path=path, why=str(error)[:200]) from None
    return release


def digests(student: Path, plan: AnyPlan) -> dict[str, str]:
    """SHA-256 of each file of a student made by ``plan``, hex."""
    names = _FILES if isinstance(plan, Plan) else folder.FILES
    return {name: hashlib.sha256((student / name).read_bytes()).hexdigest() for name in names}
