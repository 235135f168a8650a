"""``strongroom verify``: is this sealed model whole, signed by somebody trusted, and the newest?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options

if TYPE_CHECKING:
    from strongroom.artifact.trust import ReleaseState, Trust

signer_option = click.option(
    "--signer",
    "signers",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Trust the signers in FILE (somebody's signing.pub) instead of a home's. Repeatable.",
)


def trust_of(call: Call, signers: tuple[Path, ...]) -> tuple[Trust, ReleaseState | None]:
    """Whom to trust, and the record of releases: from ``--signer`` files, else from the home."""
    from strongroom.artifact.trust import Trust
    from strongroom.cli.home import open_home, read_signers

    if signers:
        return Trust([signer for file in signers for signer in read_signers(file)]), None
    home = open_home(call.home_path)
    return home.trust, home.releases


@click.command("verify")
@click.argument("sealed", type=click.Path(path_type=Path))
@signer_option
@shared_options
@click.pass_obj
def command(call: Call, sealed: Path, signers: tuple[Path, ...]) -> None:
    """Check a sealed model without any key.

    Signatures, exact lengths and the hash of every segment of SEALED are checked, that no other
    file lies there, that it has not expired, and that no newer release has been seen. With --signer
    no home is needed, and the history of releases is not looked at.
    """
    from strongroom.artifact.verify import verify

    trust, state = trust_of(call, signers)
    with output.progress(f"Verifying {sealed.name}", wanted=not call.json) as progress:
        manifest = verify(sealed, trust=trust, state=state, progress=progress)
    length = sum(part.length for part in manifest.parts)
    if call.json:
        output.print_json(
            {
                "ok": True,
                "model_id": manifest.model_id,
                "release": manifest.release,
                "digest": manifest.digest,
                "bytes": length,
                "segments": manifest.hash_list.segments,
                "not_after": manifest.not_after,
                "history_checked": state is not None,
            }
        )
        return
    click.echo(
        f"Good: {manifest.model_id}, release {manifest.release}, {output.size(length)} in "
        f"{manifest.hash_list.segments} segments, signed by a trusted signer."
    )
    click.echo(f"digest {manifest.digest}")
