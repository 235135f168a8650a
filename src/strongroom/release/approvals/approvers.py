"""Who may approve: the list in local configuration, and nothing else, says so.

TOML, with unknown keys refused::

    [[approver]]
    name = "ada"
    key = "base64 of the raw Ed25519 public key"

Two approvers never share a name (upper and lower case are one) or a key, so that counting names
counts people as far as configuration can know them.
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from strongroom.release.approvals.documents import Name, fingerprint
from strongroom.release.approvals.reasons import refuse

PUBLIC_BYTES: Final = 32
_MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody who may approve: a name, and the raw Ed25519 public key that stands for them."""

    name: str
    public: bytes

    @property
    def key_id(self) -> str:
        """Fingerprint of the key."""
        return fingerprint(self.public)

    @property
    def stanza(self) -> str:
        """The text that makes them an approver, for ``trust/approvers.toml``."""
        key = base64.b64encode(self.public).decode("ascii")
        return f'[[approver]]\n# fingerprint {self.key_id}\nname = "{self.name}"\nkey = "{key}"\n'


class Approvers:
    """A list of approvers.

    Raises:
        ConfigurationRefused: ``release.approvers_malformed``: two share a name or a key, or a key
            has not 32 bytes.
    """

    def __init__(self, listed: Iterable[Approver]) -> None:
        approvers = tuple(listed)
        self._by_name = {one.name.casefold(): one for one in approvers}
        if len(self._by_name) != len(approvers):
            raise refuse("release.approvers_malformed", problem="two share a name")
        if len({one.public for one in approvers}) != len(approvers):
            raise refuse("release.approvers_malformed", problem="two share a key")
        if any(len(one.public) != PUBLIC_BYTES for one in approvers):
            raise refuse("release.approvers_malformed", problem="a key has not 32 bytes")

    def find(self, name: str, key_id: str) -> Approver:
        """The approver of this name, if this is their key's fingerprint.

        Raises:
            KeyRefused: ``release.approver_unknown``.
        """
        found = self._by_name.get(name.casefold())
        if found is None or found.name != name or found.key_id != key_id:
            raise refuse("release.approver_unknown")
        return found

    def __len__(self) -> int:
        return len(self._by_name)


class _Stanza(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    key: Annotated[str, Meta(max_length=64)]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approver: Annotated[tuple[_Stanza, ...], Meta(max_length=1000)] = ()


def load(path: Path) -> Approvers:
    """The list in a file; an absent file lists nobody.

    Raises:
        ConfigurationRefused: ``release.approvers_malformed``.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return Approvers(())
    except OSError as error:
        raise refuse(
            "release.approvers_malformed", problem=f"it cannot be read ({error.strerror})"
        ) from None
    if len(raw) > _MAX_BYTES:
        raise refuse("release.approvers_malformed", problem="it is too large")
    try:
        listed = msgspec.convert(tomllib.loads(raw.decode()), _File)
        return Approvers(
            Approver(one.name, base64.b64decode(one.key, validate=True)) for one in listed.approver
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise refuse("release.approvers_malformed", problem=str(error)) from None
    except (binascii.Error, ValueError):
        raise refuse("release.approvers_malformed", problem="a key is not base64") from None
