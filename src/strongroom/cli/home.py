"""A home: the folder where an owner's or operator's keys, trust, state and settings lie.

::

    H/strongroom.toml           settings (``settings``)
    H/keys/signing.key          signs sealed models (owner)
    H/keys/signing.pub          its public half: a stanza for somebody else's trust/signers.toml
    H/keys/keyring.json         wraps and unwraps data keys
    H/keys/service.key          signs the answers of key release
    H/keys/token.key            signs its EAR tokens (made by the first `release serve`)
    H/keys/pepper               keys the digests of API keys
    H/keys/watermark.secret     what marks in answers follow from (`watermark secret`)
    H/keys/student-*.fingerprint  of a student's weights, by their digest (`distil register`)
    H/trust/signers.toml        whose signature on a sealed model is accepted
    H/trust/approvers.toml      who may approve the release of a key (made by hand)
    H/state/releases.json       the newest release seen of each model
    H/state/egress.state        what answers have carried out
    H/state/strongroom.sqlite   organisations and API keys
    H/state/operators.json      who may log in to the console
    H/state/grants.sqlite       requests for approval and the votes on them
    H/state/tuning.sqlite       tuning jobs, and customers' files for them
    H/state/tuning/JOB/         a job's sealed checkpoint, and the sealed adapter that came of it
    H/state/lineage.sqlite      which models are revoked, and what was made from what
    H/keys/log.key              signs the record, keys the digests in it
    H/keys/log.begun/           which logs were begun, with their checkpoints of then
    H/keys/log.pub              its public half, for whoever verifies the record
    H/state/log/NAME/           the record: gateway, release, operator
    H/state/log.seen/NAME       that this log exists, and its newest checkpoint
    H/schemas/NAME.json         schemas of structured output (made when the first is registered)
    H/run/                      nothing that outlives a process

Folders have mode 0700, secrets 0600; that and the owner are checked whenever a home is opened.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.artifact.signing import PublicSigner
    from strongroom.artifact.trust import ReleaseState, Trust
    from strongroom.cli.settings import Settings
    from strongroom.keeper.config import Watermark
    from strongroom.release.config import Unlocker

FOLDERS = ("keys", "trust", "state", "run")
SECRETS = ("keys/signing.key", "keys/keyring.json", "keys/service.key", "keys/pepper")
OPTIONAL_SECRETS = ("keys/log.key", "keys/watermark.secret", "keys/token.key")
"""Secrets that not every home has; the verb that needs one makes it, or says how to."""

OPTIONAL_FOLDERS = ("schemas",)
UNALTERED = ("strongroom.toml", "trust/signers.toml")
OPTIONAL_UNALTERED = ("trust/approvers.toml",)
_MAX_TEXT_BYTES = 4 * 1024 * 1024


class Signer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``trust/signers.toml``. ``name`` is for people; ``key`` is what counts."""

    key: str
    name: Annotated[str, Meta(max_length=200)] = ""


class Signers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``trust/signers.toml``, and ``keys/signing.pub``, which has one entry."""

    signer: Annotated[tuple[Signer, ...], Meta(max_length=1000)] = ()


@dataclass(frozen=True)
class Home:
    """An opened home. Make one with ``open_home``."""

    path: Path

    @property
    def keys(self) -> Path:
        """Folder of secret keys."""
        return self.path / "keys"

    @property
    def state(self) -> Path:
        """Folder of what must be remembered."""
        return self.path / "state"

    @property
    def log_key(self) -> Path:
        """Signs the record."""
        return self.keys / "log.key"

    @property
    def watermark(self) -> Watermark:
        """Whose answers carry a mark; the secret's path made absolute."""
        found = self.settings.watermark
        return msgspec.structs.replace(found, secret=str(self.path / found.secret))

    @property
    def schemas(self) -> Path:
        """Schemas of structured output."""
        return self.path / "schemas"

    @property
    def keyring(self) -> Path:
        """The keyring's file."""
        return self.keys / "keyring.json"

    @property
    def database(self) -> Path:
        """Organisations and API keys."""
        return self.state / "strongroom.sqlite"

    @property
    def operators(self) -> Path:
        """Who may log in to the console."""
        return self.state / "operators.json"

    @property
    def approvers_file(self) -> Path:
        """Who may approve the release of a key."""
        return self.path / "trust" / "approvers.toml"

    @property
    def grants(self) -> str:
        """Where requests for approval are kept: a PostgreSQL URL, or a file of this home."""
        return self.settings.stores.grants or str(self.state / "grants.sqlite")

    @property
    def lineage(self) -> str:
        """Where it is kept which models are revoked: the same database, or a file of its own."""
        return self.settings.stores.grants or str(self.state / "lineage.sqlite")

    @property
    def tuning(self) -> str:
        """Where tuning jobs are kept: a PostgreSQL URL, or a file of this home."""
        return self.settings.stores.tuning or str(self.state / "tuning.sqlite")

    @property
    def signers_file(self) -> Path:
        """Who may sign."""
        return self.path / "trust" / "signers.toml"

    @cached_property
    def settings(self) -> Settings:
        """What ``strongroom.toml`` says; the errors of ``settings.parse``."""
        from strongroom.cli import settings

        return settings.parse(_read_text(self.path / "strongroom.toml"))

    @cached_property
    def signers(self) -> tuple[PublicSigner, ...]:
        """Whose signatures are accepted; ``cli.bad_signers`` if the file is not usable."""
        return read_signers(self.signers_file)

    @property
    def trust(self) -> Trust:
        """The same, as the artifact's checks take it."""
        from strongroom.artifact.trust import Trust

        return Trust(self.signers)

    @property
    def releases(self) -> ReleaseState:
        """The record of releases seen."""
        from strongroom.artifact.trust import ReleaseState

        return ReleaseState(self.state / "releases.json")

    def unlockers(self) -> tuple[Unlocker, ...]:
        """Keys that may open sealed models: the keyring first, then those in the settings."""
        from strongroom.release.config import AwsKmsUnlocker, KeyringUnlocker

        others = (
            unlocker
            if isinstance(unlocker, AwsKmsUnlocker)
            else msgspec.structs.replace(unlocker, **self._paths(unlocker))
            for unlocker in self.settings.unlock
        )
        return (KeyringUnlocker(str(self.keyring)), *others)

    def _paths(self, unlocker: Unlocker) -> dict[str, str]:
        """The file names in an unlocker, made absolute: they start at the home."""
        names = ("path", "token", "ca")
        found = ((name, getattr(unlocker, name, None)) for name in names)
        return {name: str(self.path / value) for name, value in found if value}


def open_home(path: Path) -> Home:
    """The home at ``path``, its permissions checked.

    Raises:
        ConfigurationRefused: ``cli.no_home``, ``cli.home_incomplete``, ``cli.home_owner``,
            ``cli.home_exposed``, ``cli.home_irregular``.
    """
    if not (path / "strongroom.toml").exists():
        raise ConfigurationRefused(
            "cli.no_home",
            f"There is no strongroom home at {path}.",
            action="Make one with `strongroom init`, or name another with --home.",
        )
    check_permissions(path)
    return Home(path)


def check_permissions(path: Path) -> None:
    """Folders and secrets belong to us and to nobody else; trust and settings only we can alter."""
    for folder in (path, *(path / name for name in FOLDERS)):
        _judge(folder, stat.S_ISDIR, 0o077, f"chmod 700 {folder}")
    for name in OPTIONAL_FOLDERS:
        if os.path.lexists(path / name):
            _judge(path / name, stat.S_ISDIR, 0o077, f"chmod 700 {path / name}")
    for name in SECRETS:
        if (path / name).exists() or name != "keys/signing.key":  # kept elsewhere: a good habit
            _judge(path / name, stat.S_ISREG, 0o077, f"chmod 600 {path / name}")
    for name in OPTIONAL_SECRETS:
        if os.path.lexists(path / name):
            _judge(path / name, stat.S_ISREG, 0o077, f"chmod 600 {path / name}")
    for name in UNALTERED:
        _judge(path / name, stat.S_ISREG, 0o022, f"chmod 600 {path / name}")
    for name in OPTIONAL_UNALTERED:
        if os.path.lexists(path / name):
            _judge(path / name, stat.S_ISREG, 0o022, f"chmod 600 {path / name}")


def read_signers(path: Path) -> tuple[PublicSigner, ...]:
    """The signers in a trust file or in somebody's ``signing.pub``."""
    from strongroom.artifact.signing import PublicSigner

    try:
        listed = msgspec.convert(tomllib.loads(_read_text(path)), Signers)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationRefused(
            "cli.bad_signers",
            f"{path} is not a list of signers: {error}.",
            action="It holds [[signer]] stanzas, as in the signing.pub that `init` makes.",
        ) from None
    return tuple(PublicSigner.decode(signer.key) for signer in listed.signer)


def signer_stanza(name: str, public: PublicSigner) -> str:
    """One signer as text, for ``signing.pub`` and ``signers.toml``."""
    quoted = msgspec.json.encode(name).decode()  # a JSON string is a TOML basic string
    return (
        f"[[signer]]\n# fingerprint {public.fingerprint}\n"
        f'name = {quoted}\nkey = "{public.encode()}"\n'
    )


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_TEXT_BYTES + 1)
        if len(raw) > _MAX_TEXT_BYTES:
            raise ValueError(f"it has more than {_MAX_TEXT_BYTES} bytes")
        return raw.decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationRefused(
            "cli.unreadable", f"{path} cannot be read: {reason}.", action="Check the file."
        ) from None


def _judge(path: Path, is_kind: Callable[[int], bool], forbidden: int, remedy: str) -> None:
    try:
        found = path.lstat()
    except OSError:
        raise ConfigurationRefused(
            "cli.home_incomplete",
            f"The home lacks {path}.",
            action="Restore it from a copy, or make a new home with `strongroom init`.",
        ) from None
    if not is_kind(found.st_mode):
        raise ConfigurationRefused(
            "cli.home_irregular",
            f"{path} is a link or another kind of file than it must be.",
            action="Put the real file or folder in its place.",
        )
    if found.st_uid != os.geteuid():
        raise ConfigurationRefused(
            "cli.home_owner",
            f"{path} belongs to user {found.st_uid}, this process is user {os.geteuid()}.",
            action="Run as the home's owner.",
        )
    if found.st_mode & forbidden:
        raise ConfigurationRefused(
            "cli.home_exposed",
            f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: other users may reach it.",
            action=f"Run `{remedy}`, and replace keys that others may have read.",
        )
