"""What left, as a signed statement that anybody can check.

An in-toto Statement v1 in the DSSE envelope of ``report.statement``: the subject is the encrypted
file, the predicate is every check with its figure and limit. Base and data are named by digests.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Literal

import msgspec

from strongroom.report.canonical import canonical
from strongroom.report.statement import STATEMENT_TYPE, Signer, enveloped, verify
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


class _Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    digest: dict[Literal["sha256"], str]


class _Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[_Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: Exported


def signed(name: str, content: bytes, exported: Exported, signer: Signer) -> bytes:
    """The envelope over the encrypted file ``content``, called ``name``."""
    digest = hashlib.sha256(content).hexdigest()
    return enveloped(
        canonical(
            {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": name, "digest": {"sha256": digest}}],
                "predicateType": SCHEMA,
                "predicate": msgspec.to_builtins(exported),
            }
        ),
        signer,
    )


def checked(file: Path, statement: Path, public: bytes) -> Exported:
    """What ``statement`` says of ``file``, if ``public`` signed it.

    Raises:
        ExposureRefused: ``tune.export_statement``.
    """
    try:
        found = msgspec.json.decode(verify(statement.read_bytes(), public), type=_Statement)
        if found.type != STATEMENT_TYPE or found.predicate_type != SCHEMA:
            raise ValueError("it states something else")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if [each.digest.get("sha256") for each in found.subject] != [digest]:
            raise ValueError("the file is not the one that it names")
        if not found.predicate.verdict.passed:
            raise ValueError("what it states does not hold together")
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise refuse("tune.export_statement", path=statement, why=str(error)[:200]) from None
    return found.predicate
