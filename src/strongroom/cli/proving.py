"""What the verbs of ``prove`` share: reading, comparing, and finding the commitment."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import strongroom
from strongroom.cli.commitments import Fixed, first, verifier
from strongroom.cli.home import Home
from strongroom.cli.identities import OPERATOR_LOG
from strongroom.keys import private_file
from strongroom.ledger.opening import look
from strongroom.ledger.proving import prove
from strongroom.provenance.compare import LEAST, LEVEL, Comparison, compare
from strongroom.provenance.decoder import Decoder, read_folder
from strongroom.provenance.fingerprint import Fingerprint, decode, digest, share
from strongroom.provenance.reasons import refuse
from strongroom.report.proof import Commitment, Learnt, Shown


def read_fingerprint(file: Path) -> tuple[bytes, Fingerprint]:
    """A fingerprint's file, which nobody else may read.

    Raises:
        KeyRefused: a code of ``private_file``.
        ArtifactRefused: ``provenance.fingerprint_malformed``.
    """
    raw = bytes(private_file.read_private(file))
    return raw, decode(raw, file.name)


def compared(taken: Fingerprint, suspect: Path, library: Path) -> tuple[Comparison, Decoder]:
    """The suspect in its folder beside the models in the folders of ``library``.

    Raises:
        ArtifactRefused: as ``compare`` and ``read_folder``.
    """
    model = read_folder(suspect)
    folders = sorted(path for path in library.iterdir() if (path / "config.json").is_file())
    return compare(taken, model, [read_folder(folder) for folder in folders]), model


def committed(home: Home, wanted: str) -> Fixed:
    """The first commitment to the fingerprint of that digest; the log is verified first.

    Raises:
        ArtifactRefused: ``provenance.not_committed``.
        LedgerRefused: the log is damaged.
    """
    fixed = first(home, "fingerprint", wanted)
    if fixed is None:
        raise refuse("provenance.not_committed")
    return fixed


def told(
    home: Home,
    raw: bytes,
    taken: Fingerprint,
    model: Decoder,
    suspect: Path,
    found: Comparison,
    learnt: Learnt | None,
) -> Shown:
    """Everything that the report says.

    Raises:
        ArtifactRefused: ``provenance.not_committed``.
    """
    return Shown(
        model=taken.model,
        release=taken.release,
        manifest=taken.manifest,
        fingerprint=digest(raw),
        suspect=model.name,
        weights=tuple(digests(suspect)),
        likeness=found.suspect.value,
        least=LEAST,
        level=LEVEL,
        z=found.z,
        p=found.p,
        rank_p=found.rank_p,
        verdict=found.verdict,
        library=tuple((other.name, other.value) for other in found.library),
        matched=found.suspect.matched,
        shared=share(model, taken.anchors),
        layers=(len(taken.layers), sum(1 for _ in model.layers())),
        made=_time(datetime.now(UTC)),
        version=strongroom.__version__,
        commitment=proven(home, committed(home, digest(raw))),
        learnt=learnt,
    )


def proven(home: Home, fixed: Fixed) -> Commitment:
    """A commitment with what convinces somebody else of it.

    Raises:
        LedgerRefused: the log is damaged.
    """
    key = verifier(home)
    folder, _ = look(home.state, OPERATOR_LOG, key)
    named = key.renamed(f"{key.name}/{OPERATOR_LOG}")
    proof, entry = prove(folder, named, fixed.index)
    return Commitment(
        at=shown_time(fixed),
        index=fixed.index,
        shown=json.dumps({"entry": entry.decode(), "proof": proof.encode()}),
        verifier_key=named.encode(),
    )


def digests(folder: Path) -> list[tuple[str, str]]:
    """Names and SHA-256 of the weights in a folder."""
    found = []
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            found.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return found


def shown_time(fixed: Fixed) -> str:
    """When the log says that it was fixed."""
    return _time(datetime.fromtimestamp(fixed.at / 1000, UTC))


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
