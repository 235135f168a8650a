"""What left, as a signed statement that anybody can check.

An in-toto Statement v1 in the DSSE envelope of ``report.statement``: the subject is the encrypted
file, the predicate is every check with its figure and limit. Base and data are named by digests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec

from strongroom.report.statement import Signer, enveloped, stated, verify_stated
from strongroom.tune.export.gate import Verdict
from strongroom.tune.reasons import refuse

SCHEMA: Final = "urn:strongroom:adapter-export:v1"


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The predicate. ``number``: the how-manieth of this base to this organisation."""

    job: str
    organisation: str
    base_manifest: str
    adapter_manifest: str
    dataset: str
    number: int
    recipients: tuple[str, ...]
    form: Literal["svd-bf16"] = "svd-bf16"
    verdict: Verdict


def signed(name: str, content: bytes, exported: Exported, signer: Signer) -> bytes:
    """The envelope over the encrypted file ``content``, called ``name``."""
    digest = hashlib.sha256(content).hexdigest()
    return enveloped(stated(SCHEMA, {name: digest}, exported), signer)


def checked(file: Path, statement: Path, public: bytes) -> Exported:
    """What ``statement`` says of ``file``, if ``public`` signed it.

    Raises:
        ExposureRefused: ``tune.export_statement``.
    """
    try:
        found = verify_stated(statement.read_bytes(), public, SCHEMA, Exported)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if [each.sha256 for each in found.subject] != [digest]:
            raise ValueError("the file is not the one that it names")
        if not found.predicate.verdict.passed:
            raise ValueError("what it states does not hold together")
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise refuse("tune.export_statement", path=statement, why=str(error)[:200]) from None
    return found.predicate
