"""What a language model's student needs for its release: the verdict, and what was registered."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.cli.call import Call

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.cli.distilling import Given
    from strongroom.cli.home import Home
    from strongroom.distil.checks import Verdict
    from strongroom.distil.language.plan import Asked, LanguagePlan
    from strongroom.distil.statement import Registered

_SAME = 0.99
"""Likeness of a model to its own fingerprint, whose steps are rounded."""


@contextmanager
def judged_language(
    call: Call, plan: LanguagePlan, given: Given
) -> Iterator[tuple[Home, Asked, Verdict]]:
    """The home, what the teacher told, and the verdict over the student in the folder."""
    from strongroom.cli.distil_language import language_workshop, telling
    from strongroom.cli.distilling import others
    from strongroom.distil.language.folder import open_student
    from strongroom.distil.language.gate import judge, untaught
    from strongroom.distil.reasons import refuse

    model, told = open_student(given.student)
    if told.plan != plan.digest:
        raise refuse("distil.plan_unfit", why="the student was made by another plan")
    texts = given.data, given.corpus, given.passphrase_file
    with language_workshop(call, given.sealed, plan, *texts) as (home, shop):
        with telling(call) as tell:
            what = "training a student that the teacher tells nothing"
            beside = untaught(shop, lambda at, most, loss: tell(at, most, f"{what}, {loss:.2f}"))
        verdict = judge(model, beside, shop, told.asked, others(home, given))
        yield home, told.asked, verdict


def register_language(
    home: Home, plan: LanguagePlan, manifest: Manifest, student: Path, tenants: tuple[str, ...]
) -> None:
    """Commit to the student's weights, to its fingerprint, and to the keys of organisations.

    The fingerprint is kept with the home's keys. What was fixed before is not fixed again.

    Raises:
        ExposureRefused: ``distil.watermark_not_registered``: no organisation is named anywhere.
        ArtifactRefused: ``provenance.model_unreadable``: it has too few words for a fingerprint.
        ConfigurationRefused: ``keeper.watermark_secret_unusable``.
    """
    from strongroom.cli import identities
    from strongroom.cli.commitments import first
    from strongroom.cli.distilling import weights_digest
    from strongroom.cli.proving import read_fingerprint
    from strongroom.cli.proving_radioactivity import commitments
    from strongroom.distil.reasons import refuse
    from strongroom.keys import private_file
    from strongroom.ledger.entries import Committed
    from strongroom.provenance.decoder import read_folder
    from strongroom.provenance.fingerprint import SEED_BYTES, digest, encode, take

    named = tenants or tuple(name for name in home.watermark.tenants if name != "*")
    keys = [key for tenant in named for key in commitments(home, tenant)]
    if not keys and not _keys(home, plan):
        raise refuse("distil.watermark_not_registered")
    weights = weights_digest(student)
    path = fingerprint_file(home, weights)
    if not path.exists():
        taken = take(
            read_folder(student),
            name=f"a student of {manifest.model_id}"[:256],
            release=manifest.release,
            manifest=weights,
            seed=os.urandom(SEED_BYTES),
        )
        private_file.write_private(path, encode(taken), replace=False)
    raw, _ = read_fingerprint(path)
    kinds = [("student", weights), ("fingerprint", digest(raw))]
    for kind, value in [*kinds, *(("watermark_key", key) for key in keys)]:
        if first(home, kind, value) is None:
            entry = Committed(
                kind,  # type: ignore[arg-type]
                value,
                manifest.model_id,
                manifest.release,
                manifest.digest,
                identities.by(),
            )
            identities.record(home, entry)


def registered_language(home: Home, plan: LanguagePlan, student: Path, weights: int) -> Registered:
    """Where weights (given), fingerprint and keys were fixed.

    Raises:
        ExposureRefused: ``distil.fingerprint_not_registered``, ``distil.watermark_not_registered``.
        LedgerRefused: the log is damaged.
    """
    from strongroom.cli.commitments import first
    from strongroom.cli.distilling import weights_digest
    from strongroom.cli.proving import read_fingerprint
    from strongroom.distil.reasons import refuse
    from strongroom.distil.statement import Registered
    from strongroom.provenance.compare import likeness
    from strongroom.provenance.decoder import read_folder
    from strongroom.provenance.fingerprint import digest

    path = fingerprint_file(home, weights_digest(student))
    if not path.exists():
        raise refuse("distil.fingerprint_not_registered")
    raw, taken = read_fingerprint(path)
    fixed = first(home, "fingerprint", digest(raw))
    if fixed is None or likeness(taken, read_folder(student)).value < _SAME:
        raise refuse("distil.fingerprint_not_registered")
    keys = _keys(home, plan)
    if not keys:
        raise refuse("distil.watermark_not_registered")
    return Registered(weights, fixed.index, keys)


def fingerprint_file(home: Home, weights: str) -> Path:
    """Where the secret fingerprint of a student with these weights is kept."""
    return home.keys / f"student-{weights}.fingerprint"


def _keys(home: Home, plan: LanguagePlan) -> tuple[int, ...]:
    """Records that fixed a key which marks the teacher's answers."""
    from strongroom.cli.commitments import every

    found = every(home, "watermark_key")
    return tuple(each.index for each in found if each.entry.manifest_digest == plan.teacher)
