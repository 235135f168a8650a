"""``strongroom init``: a home, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import click

from strongroom.cli import output
from strongroom.cli.call import Call, shared_options
from strongroom.errors import ConfigurationRefused


@click.command("init")
@click.option("--name", metavar="NAME", help="What the signer is called in trust files.")
@click.option("--passphrase", is_flag=True, help="Ask for a passphrase that protects the keys.")
@click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Protect the keys with the passphrase in FILE (one line, mode 0600).",
)
@shared_options
@click.pass_obj
def command(call: Call, name: str | None, passphrase: bool, passphrase_file: Path | None) -> None:
    """Make a home: keys, trust and a commented configuration.

    The home holds the key that signs your models, the keyring that wraps their data keys, the list
    of signers you trust, and strongroom.toml. It is made beside its place and then renamed: an
    interrupted init leaves no half-made home. An existing folder is never touched.
    """
    from strongroom.artifact.publish import new_folder
    from strongroom.cli import passphrase as passphrases

    path = call.home_path
    if os.path.lexists(path):
        raise ConfigurationRefused(
            "cli.home_exists",
            f"There is something at {path} already.",
            action="Use it as it is, or name another place with --home.",
        )
    secret = passphrases.new(passphrase_file) if passphrase or passphrase_file else None
    os.umask(0o077)
    with new_folder(path) as folder:
        fingerprint = _fill(folder, name or path.name, secret)
    _report(call, path, fingerprint, protected=secret is not None)


def _fill(folder: Path, name: str, secret: bytes | None) -> str:
    """Everything a home holds; returns the signer's fingerprint."""
    from strongroom.artifact.signing import SigningKey
    from strongroom.cli import home, settings_text, signing_key_file
    from strongroom.gateway.config import GATEWAY_LOG, PEPPER_BYTES
    from strongroom.keys import private_file
    from strongroom.keys.keyring import FileKeyring
    from strongroom.ledger.log_key import LogKey
    from strongroom.ledger.opening import open_log
    from strongroom.release.service_key import ServiceKey
    from strongroom.store.sqlite import SqliteStore

    folder.chmod(0o700)
    for inner in home.FOLDERS:
        (folder / inner).mkdir(mode=0o700)
    keys = folder / "keys"
    signing = SigningKey.generate()
    signing_key_file.save(keys / "signing.key", signing, secret)
    FileKeyring.create(keys / "keyring.json", secret).close()
    ServiceKey.create(keys / "service.key")
    log_key = LogKey.create(keys / "log.key")
    open_log(folder / "state", GATEWAY_LOG, log_key).close()
    private_file.write_private(keys / "pepper", os.urandom(PEPPER_BYTES), replace=False)
    stanza = home.signer_stanza(name, signing.public)
    texts = {
        keys / "signing.pub": "# Append this to the trust/signers.toml of whoever trusts me.\n"
        + stanza,
        folder / "trust" / "signers.toml": "# Who may sign the models that this home accepts. "
        "Append the signing.pub of others.\n\n" + stanza,
        folder / "strongroom.toml": settings_text.TEXT,
    }
    for path, text in texts.items():
        private_file.write_private(path, text.encode(), replace=False)
    SqliteStore(folder / "state" / "strongroom.sqlite").close()
    return signing.public.fingerprint


def _report(call: Call, path: Path, fingerprint: str, *, protected: bool) -> None:
    if call.json:
        output.print_json({"home": str(path), "signer": fingerprint, "passphrase": protected})
        return
    output.print_facts(
        {
            "home": path,
            "signer": fingerprint,
            "keys": "protected by the passphrase" if protected else "protected by file modes",
            "settings": path / "strongroom.toml",
        }
    )
    click.echo("\nBack up keys/ now: without it nobody opens what you seal.")
    click.echo("Next: strongroom seal MODEL_DIR --out MODEL.sealed")
