"""An adapter leaves, in numbered steps.

1. The owner's grant: signed, for this job, organisation and base, still lasting.
2. The gate judges; what it would hand out is encrypted already.
3. The outcome is recorded, passed or not; a refusal ends here.
4. The export is counted, in the transaction that looks whether it may be.
5. File and signed statement are written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from strongroom.artifact.durable import write_durably
from strongroom.artifact.manifest import read_manifest
from strongroom.cli import audit_key, identities
from strongroom.cli.adapter_judging import digest_of, folder_of, judged, require_passed
from strongroom.cli.adapter_questions import Files
from strongroom.cli.tune_workload import Place
from strongroom.errors import ConfigurationRefused
from strongroom.ledger.entries import AdapterReleased
from strongroom.store.exports import StoredExport
from strongroom.store.tuning import StoredJob
from strongroom.tune.export import grant as grants
from strongroom.tune.export.gate import Verdict
from strongroom.tune.export.statement import Exported, signed
from strongroom.tune.policy import Recipe


def leave(
    place: Place,
    job: StoredJob,
    grant_file: Path,
    out: Path,
    files: Files,
    show: Callable[[Verdict], None] | None,
) -> Exported:
    """Steps 1 to 5; what the statement says.

    Raises:
        ExposureRefused: the grant does not allow it.
        GateRefused: a check failed.
        ConfigurationRefused: ``cli.exists``; ``store.export_refused`` if another export was first.
    """
    home = place.plan.home
    beside = out.with_name(f"{out.name}.json")
    for path in (out, beside):
        if path.exists():
            raise _exists(path)
    grant = grants.checked(grant_file, home.signers, int(time.time()))  # (1)
    grants.require_same(
        grant,
        job=job.id,
        organisation=job.organisation,
        manifest=place.plan.manifest.digest,
        allowed=home.settings.tuning.export.recipients,
    )
    adapter = read_manifest(folder_of(place, job), home.trust).digest
    answer = judged(
        place, job, "export", lambda reader: reader.to_leave(files, job), grant.recipients
    )  # (2)
    if show is not None:
        show(answer.verdict)
    entry = AdapterReleased(
        adapter, job.manifest, digest_of(answer.verdict), answer.verdict.passed, identities.by()
    )
    identities.record(home, entry)  # (3)
    require_passed(answer.verdict)
    recipe = msgspec.json.decode(job.recipe, type=Recipe)
    number = place.store.add_export(  # (4)
        StoredExport(
            job.id,
            job.organisation,
            job.manifest,
            job.dataset,
            None if recipe.private is None else recipe.private.epsilon,
            hashlib.sha256(answer.sealed).hexdigest(),
            int(time.time()),
        ),
        home.settings.tuning.export.most,
    )
    left = Exported(
        job=job.id,
        organisation=job.organisation,
        base_manifest=job.manifest,
        adapter_manifest=adapter,
        dataset=job.dataset,
        number=number,
        recipients=grant.recipients,
        verdict=answer.verdict,
    )
    signer = audit_key.load_or_create(home.keys / "audit.key")
    write_durably(beside, signed(out.name, answer.sealed, left, signer))
    write_durably(out, answer.sealed)  # (5)
    return left


def _exists(path: Path) -> ConfigurationRefused:
    return ConfigurationRefused(
        "tune.export_exists", f"{path} exists.", action="Name a file that does not."
    )
