"""``strongroom seal``: a plain model in, a sealed one out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.artifact.policy import DisclosurePolicy, EgressCeiling
    from strongroom.artifact.trust import Seen
    from strongroom.cli.home import Home

_MAX_CONFIG_BYTES = 16 * 1024 * 1024


@click.command("seal")
@click.argument("model_dir", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "sealed",
    metavar="SEALED",
    required=True,
    type=click.Path(path_type=Path),
    help="The sealed folder to make; it must not exist.",
)
@click.option(
    "--model-id",
    metavar="ID",
    help="Public name, the same for all releases.  [default: the folder's name]",
)
@click.option(
    "--release",
    type=click.IntRange(min=1),
    help="Number of this release.  [default: the last one seen and 1]",
)
@click.option(
    "--recipient",
    "recipients",
    metavar="WHO",
    multiple=True,
    help="Who may open it besides this home: a recipient FILE, "
    "vault:URL#MOUNT/KEY or aws-kms:ARN. Repeatable.",
)
@click.option(
    "--not-after",
    metavar="DATE",
    help="Refuse the model from this time on: 2027-06-30 or 2027-06-30T12:00:00Z.",
)
@click.option(
    "--rung",
    "rungs",
    metavar="[ORG=]RUNG",
    multiple=True,
    help="What callers get: closed, label, text, top1, topk, logits or embeddings; "
    "with ORG= for one organisation only. Repeatable.",
)
@click.option(
    "--egress",
    "ceilings",
    metavar="WHOSE=HOUR/DAY",
    multiple=True,
    help="Ceiling sealed with the model, in bits: deployment=4000000/20000000 for all "
    "answers, tenant=... for those of one organisation.",
)
@passphrase_option
@shared_options
@click.pass_obj
def command(
    call: Call,
    model_dir: Path,
    sealed: Path,
    model_id: str | None,
    release: int | None,
    recipients: tuple[str, ...],
    not_after: str | None,
    rungs: tuple[str, ...],
    ceilings: tuple[str, ...],
    passphrase_file: Path | None,
) -> None:
    """Encrypt and sign a model.

    MODEL_DIR is a folder as Hugging Face lays it out: safetensors weights, config.json, tokenizer.
    Everything in it is sealed. SEALED appears whole or not at all. The model can be opened by this
    home and by the recipients you name, and is recorded here as the newest release.
    """
    from strongroom.cli.home import open_home
    from strongroom.cli.sealing_turn import only_sealing

    home = open_home(call.home_path)
    name = model_id or _name_for(model_dir)
    expires = None if not_after is None else _moment(not_after)
    policy = make_policy(_default_rung(home, model_dir), rungs, ceilings)
    with only_sealing(home.state, name):
        seen = home.releases.seen(name)
        number = _next_release(release, seen)
        manifest, held_by = _seal(
            call,
            home,
            model_dir,
            sealed,
            name,
            number,
            policy,
            seen,
            expires,
            recipients,
            passphrase_file,
        )
        home.releases.advance(manifest)
    _report(call, sealed, manifest, policy, held_by, _signer(sealed))


def _seal(
    call: Call,
    home: Home,
    source: Path,
    sealed: Path,
    name: str,
    number: int,
    policy: DisclosurePolicy,
    seen: Seen | None,
    expires: datetime | None,
    recipients: Sequence[str],
    passphrase_file: Path | None,
) -> tuple[Manifest, list[str]]:
    """Open what is needed and seal; returns the manifest and who holds the key."""
    from strongroom.artifact.seal import seal
    from strongroom.cli import passphrase, signing_key_file
    from strongroom.cli.recipient_spec import open_recipient
    from strongroom.keys.keyring import FileKeyring

    secret = passphrase.for_home(home, passphrase_file)
    signer = signing_key_file.load(home.keys / "signing.key", secret)
    others = [open_recipient(text) for text in recipients]
    title = f"Sealing {source.name}"
    with (
        FileKeyring.open(home.keyring, secret) as own,
        output.progress(title, wanted=not call.json) as progress,
    ):
        holders = [own, *others]
        manifest = seal(
            source,
            sealed,
            signer=signer,
            wrap=[holder.wrap for holder in holders],
            model_id=name,
            release=number,
            policy=policy,
            previous=None if seen is None else seen.digest,
            not_after=expires,
            progress=progress,
        )
        return manifest, [f"{holder.kind}:{holder.key_id}" for holder in holders]


def make_policy(default: str, rungs: Sequence[str], ceilings: Sequence[str]) -> DisclosurePolicy:
    """The policy that ``--rung`` and ``--egress`` ask for.

    Raises:
        ConfigurationRefused: ``cli.bad_rung`` or ``cli.bad_egress``.
    """
    from strongroom.artifact.policy import DisclosurePolicy, Rung

    granted = {"*": default}
    for text in rungs:
        who, separator, rung = text.rpartition("=")
        if rung not in get_args(Rung) or (separator and not who):
            raise ConfigurationRefused(
                "cli.bad_rung",
                f"{text!r} names no rung.",
                action=f"Write RUNG or ORG=RUNG; rungs are {', '.join(get_args(Rung))}.",
            )
        granted[who or "*"] = rung
    found = dict(_ceiling(text) for text in ceilings)
    return DisclosurePolicy(
        rungs=granted,  # type: ignore[arg-type]  # each was looked up in Rung above
        deployment=found.get("deployment"),
        tenant=found.get("tenant"),
    )


def _ceiling(text: str) -> tuple[str, EgressCeiling]:
    from strongroom.artifact.policy import EgressCeiling

    matched = re.fullmatch(r"(deployment|tenant)=(\d{1,15})/(\d{1,15})", text, re.ASCII)
    if matched is None:
        raise ConfigurationRefused(
            "cli.bad_egress",
            f"{text!r} is not a ceiling.",
            action="Write deployment=HOUR/DAY or tenant=HOUR/DAY, in bits.",
        )
    return matched[1], EgressCeiling(int(matched[2]), int(matched[3]))


def _default_rung(home: Home, source: Path) -> str:
    """The label for a classifier, text for anything else."""
    from strongroom.keeper.engine.classifier_config import MODEL_TYPE

    sealing = home.settings.sealing
    with suppress(OSError, ValueError, AttributeError):
        path = source / "config.json"
        small = path.stat().st_size <= _MAX_CONFIG_BYTES
        if small and json.loads(path.read_bytes()).get("model_type") == MODEL_TYPE:
            return sealing.classifier_rung
    return sealing.language_model_rung


def _name_for(source: Path) -> str:
    """A model id from a folder's name, where that gives one."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.resolve().name).lstrip("-._")[:128]
    return name or "model"


def _next_release(asked: int | None, seen: Seen | None) -> int:
    last = 0 if seen is None else seen.release
    if asked is not None and asked <= last:
        raise ConfigurationRefused(
            "cli.release_not_newer",
            f"Release {asked} is not newer than release {last}, which this home has seen.",
            action=f"Leave --release out to take {last + 1}.",
        )
    return asked or last + 1


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationRefused(
            "cli.bad_time",
            f"{text!r} is not a time.",
            action="Write 2027-06-30 or 2027-06-30T12:00:00Z.",
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found <= datetime.now(UTC):
        raise ConfigurationRefused(
            "cli.bad_time", f"{text} has passed.", action="Give --not-after a time to come."
        )
    return found


def _signer(sealed: Path) -> str:
    return str(json.loads((sealed / "signatures.json").read_bytes())["signer"])


def _report(
    call: Call,
    sealed: Path,
    manifest: Manifest,
    policy: DisclosurePolicy,
    held_by: list[str],
    signer: str,
) -> None:
    sizes = [path.stat().st_size for path in sealed.iterdir()]
    if call.json:
        output.print_json(
            {
                "sealed": str(sealed),
                "model_id": manifest.model_id,
                "release": manifest.release,
                "digest": manifest.digest,
                "signer": signer,
                "recipients": held_by,
                "rungs": policy.rungs,
                "files": len(sizes),
                "bytes": sum(sizes),
                "not_after": manifest.not_after,
            }
        )
        return
    output.print_facts(
        {
            "sealed": sealed,
            "model": f"{manifest.model_id}, release {manifest.release}",
            "digest": manifest.digest,
            "signer": signer,
            "opens for": ", ".join(held_by),
            "callers get": ", ".join(f"{who}: {rung}" for who, rung in policy.rungs.items()),
            "files": f"{len(sizes)}, {output.size(sum(sizes))}",
            "not after": manifest.not_after or "no limit",
        }
    )
