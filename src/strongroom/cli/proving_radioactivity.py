"""What ``prove radioactivity`` needs of a home: an organisation's key, and that it was fixed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from strongroom.cli.bounded import content
from strongroom.cli.commitments import first
from strongroom.cli.home import Home
from strongroom.cli.proving import digests, proven, shown_time
from strongroom.cli.watermark import cut
from strongroom.keeper.marking import read_secret
from strongroom.provenance.cell import radioactivity_cell
from strongroom.provenance.radioactivity import Marked, look
from strongroom.provenance.reasons import refuse
from strongroom.report.proof import Learnt
from strongroom.watermark.interface import Scheme
from strongroom.watermark.keys import commitment


def commitments(home: Home, tenant: str) -> tuple[str, ...]:
    """The digests that fix a tenant's keys, one of each scheme.

    Raises:
        ConfigurationRefused: ``keeper.watermark_secret_unusable``.
    """
    secret = read_secret(home.watermark)
    return tuple(commitment(secret, scheme, tenant) for scheme in get_args(Scheme))


def probed(
    home: Home,
    model: Path,
    suspect: Path,
    tenant: str,
    scheme: Scheme | None,
    controls: Sequence[Path],
    texts: Path,
) -> dict[str, Any]:
    """What the verb prints; ``weights`` and ``cell`` only as JSON.

    Raises:
        ArtifactRefused: ``provenance.key_not_committed``, and as ``look``.
        ConfigurationRefused: ``keeper.watermark_secret_unusable``, ``cli.watermark_unreadable``.
        ExposureRefused: ``exposure.model_unsupported``.
        LedgerRefused: the log is damaged.
    """
    named = home.watermark.tenants
    chosen: Scheme = scheme or named.get(tenant) or named.get("*", "synthid")
    secret = read_secret(home.watermark)
    digest = commitment(secret, chosen, tenant)
    fixed = first(home, "watermark_key", digest)
    if fixed is None:
        raise refuse("provenance.key_not_committed", tenant=tenant, scheme=chosen)
    text, ids, vocabulary = cut(model, texts)
    found = look(Marked(secret, tenant, chosen, vocabulary, text, ids), suspect, controls)
    return {
        "suspect": found.suspect,
        "radioactivity": found.verdict,
        "organisation": tenant,
        "scheme": chosen,
        "p": float(f"{found.judged.p:.3g}"),
        "z": round(found.judged.z, 2),
        "p_without_controls": float(f"{found.alone.p:.3g}"),
        "z_without_controls": round(found.alone.z, 2),
        "controls": list(found.controls),
        "other_keys": found.judged.wrong,
        "probe_tokens": found.tokens,
        "key": digest,
        "committed": shown_time(fixed),
        "record": fixed.index,
        "weights": dict(digests(suspect)),
        "cell": msgspec.to_builtins(radioactivity_cell(found)),
    }


class _Printed(msgspec.Struct, frozen=True):
    """What a report takes of it."""

    radioactivity: Literal["radioactive", "not shown"]
    organisation: str
    scheme: Scheme
    p: float
    z: float
    p_without_controls: float
    controls: tuple[str, ...]
    other_keys: int
    probe_tokens: int
    key: str
    weights: dict[str, str]


def learnt(home: Home, file: Path, suspect: Path) -> Learnt:
    """What ``prove radioactivity --json`` printed of ``suspect``, with its key's commitment.

    Raises:
        ArtifactRefused: ``provenance.radioactivity_malformed``, ``provenance.key_not_committed``.
        ConfigurationRefused: ``cli.file_unreadable``, ``cli.file_too_large``.
        LedgerRefused: the log is damaged.
    """
    try:
        said = msgspec.json.decode(content(file), type=_Printed)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise refuse("provenance.radioactivity_malformed", name=file.name) from None
    if said.weights != dict(digests(suspect)):
        raise refuse("provenance.radioactivity_malformed", name=file.name)
    fixed = first(home, "watermark_key", said.key)
    if fixed is None:
        raise refuse("provenance.key_not_committed", tenant=said.organisation, scheme=said.scheme)
    return Learnt(
        said.radioactivity,
        said.organisation,
        said.scheme,
        said.p,
        said.z,
        said.p_without_controls,
        said.controls,
        said.other_keys,
        said.probe_tokens,
        said.key,
        proven(home, fixed),
    )
