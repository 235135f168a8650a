"""``strongroom rewrap``: who may open a sealed model, changed without touching a weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from strongroom.cli import output
from strongroom.cli.call import Call, passphrase_option, shared_options
from strongroom.errors import ConfigurationRefused, KeyRefused

if TYPE_CHECKING:
    from strongroom.artifact.recipients import Recipient
    from strongroom.keys.interface import KeyWrapper

_SHORTEST_PREFIX = 8


@click.command("rewrap")
@click.argument("sealed", type=click.Path(path_type=Path))
@click.option(
    "--add",
    "added",
    metavar="WHO",
    multiple=True,
    help="A recipient FILE, vault:URL#MOUNT/KEY, aws-kms:ARN, or `keyring` for this home's own. "
    "Repeatable.",
)
@click.option(
    "--remove",
    "removed",
    metavar="ID",
    multiple=True,
    help="The key id of a recipient, or its first 8 characters or more. Repeatable.",
)
@click.option("--list", "only_list", is_flag=True, help="Only show who may open it.")
@passphrase_option
@shared_options
@click.pass_obj
def command(
    call: Call,
    sealed: Path,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    only_list: bool,
    passphrase_file: Path | None,
) -> None:
    """Add and remove recipients of SEALED.

    The weights are not touched. Removing somebody does not take back a key that he has used
    already: seal a new release for that.
    """
    from strongroom.artifact.rewrap import read_recipients, replace_recipients

    if only_list == bool(added or removed):
        raise click.UsageError("Give --list alone, or --add and --remove.")
    stanzas: tuple[Recipient, ...] = read_recipients(sealed)
    if only_list:
        _report(call, sealed, stanzas)
        return
    kept = without(stanzas, removed)
    new = _wrap(call, sealed, added, passphrase_file) if added else ()
    fresh = {(stanza.kind, stanza.key_id) for stanza in new}
    result = [stanza for stanza in kept if (stanza.kind, stanza.key_id) not in fresh] + list(new)
    if not result:
        raise KeyRefused(
            "cli.last_recipient",
            "That would leave nobody who can open the model.",
            action="Add another recipient in the same command.",
        )
    replace_recipients(sealed, result)
    _report(call, sealed, result)


def without(stanzas: Sequence[Recipient], removed: Sequence[str]) -> list[Recipient]:
    """``stanzas`` less those that ``removed`` names, each exactly one.

    Raises:
        ConfigurationRefused: ``cli.no_such_recipient`` or ``cli.ambiguous_recipient``.
    """
    kept = list(stanzas)
    for text in removed:
        named = [stanza for stanza in kept if _names(text, stanza)]
        if len(named) != 1:
            code, problem = (
                ("cli.ambiguous_recipient", f"More than one recipient begins with {text!r}.")
                if named
                else ("cli.no_such_recipient", f"The model has no recipient {text!r}.")
            )
            action = "See `strongroom rewrap SEALED --list` for the ids."
            raise ConfigurationRefused(code, problem, action=action)
        kept.remove(named[0])
    return kept


def _names(text: str, stanza: Recipient) -> bool:
    if text in (stanza.key_id, f"{stanza.kind}:{stanza.key_id}"):
        return True
    return len(text) >= _SHORTEST_PREFIX and stanza.key_id.startswith(text)


def _wrap(
    call: Call, sealed: Path, added: Sequence[str], passphrase_file: Path | None
) -> tuple[Recipient, ...]:
    """Stanzas for the new recipients, of the key that the signed manifest commits to."""
    from strongroom.artifact.manifest import read_manifest, recipient_context
    from strongroom.cli.home import open_home
    from strongroom.cli.recipient_spec import open_recipient
    from strongroom.cli.unlocking import data_key, keyring

    home = open_home(call.home_path)
    manifest = read_manifest(sealed, home.trust)
    context = recipient_context(manifest)
    others: list[KeyWrapper] = [open_recipient(text) for text in added if text != "keyring"]
    with data_key(home, sealed, manifest, passphrase_file) as key:
        stanzas = [holder.wrap(key, context) for holder in others]
        if "keyring" in added:
            with keyring(home, passphrase_file) as own:
                stanzas.append(own.wrap(key, context))
    return tuple(stanzas)


def _report(call: Call, sealed: Path, stanzas: Sequence[Recipient]) -> None:
    if call.json:
        listed = [{"kind": stanza.kind, "key_id": stanza.key_id} for stanza in stanzas]
        output.print_json({"sealed": str(sealed), "recipients": listed})
        return
    for stanza in stanzas:
        click.echo(f"opens for  {stanza.kind}:{stanza.key_id}")
