"""From a configured unlocker to the open key; only the adapter that is named gets imported."""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.errors import ConfigurationRefused
from strongroom.keys import private_file
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.wiping import wipe, wipe_bytes
from strongroom.release.config import (
    AwsKmsUnlocker,
    HpkeUnlocker,
    KeyringUnlocker,
    Unlocker,
    VaultUnlocker,
)

_MAX_PASSPHRASE_BYTES = 4096


def open_unlocker(unlocker: Unlocker) -> KeyWrapper:
    """The open key that ``unlocker`` describes; the errors are those of its adapter."""
    match unlocker:
        case KeyringUnlocker():
            return _open_keyring(unlocker)
        case HpkeUnlocker():
            from strongroom.keys.hpke import HpkeIdentity

            return HpkeIdentity.load(unlocker.path)
        case VaultUnlocker():
            return _open_vault(unlocker)
        case AwsKmsUnlocker():
            from strongroom.keys.aws_kms import AwsKms

            return AwsKms(unlocker.key, region=unlocker.region, endpoint=unlocker.endpoint)


def _open_keyring(unlocker: KeyringUnlocker) -> KeyWrapper:
    from strongroom.keys.keyring import FileKeyring

    if unlocker.passphrase_fd is None:
        return FileKeyring.open(unlocker.path, None)
    passphrase = _read_passphrase(unlocker.passphrase_fd)
    try:
        return FileKeyring.open(unlocker.path, passphrase)
    finally:
        wipe_bytes(passphrase)


def _open_vault(unlocker: VaultUnlocker) -> KeyWrapper:
    from strongroom.keys.vault import VaultTransit

    content = private_file.read_private(Path(unlocker.token))
    try:
        token = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ConfigurationRefused(
            "release.bad_token_file",
            f"{unlocker.token} does not hold a token.",
            action="Write the token alone into the file.",
        ) from None
    finally:
        wipe(content)
    return VaultTransit(
        unlocker.address,
        unlocker.key,
        token=token,
        mount=unlocker.mount,
        namespace=unlocker.namespace,
        ca=unlocker.ca,
    )


def _read_passphrase(descriptor: int) -> bytes:
    """All that stands in ``descriptor`` but one newline at the end; closes it."""
    gathered = bytearray(_MAX_PASSPHRASE_BYTES + 1)
    filled = 0
    try:
        while filled < len(gathered):
            got = os.readv(descriptor, [memoryview(gathered)[filled:]])
            if got == 0:
                break
            filled += got
        if filled > _MAX_PASSPHRASE_BYTES:
            raise ConfigurationRefused(
                "release.passphrase_oversized",
                f"The passphrase has more than {_MAX_PASSPHRASE_BYTES} bytes.",
                action="Check what is written to the passphrase's descriptor.",
            )
        end = filled - 1 if filled and gathered[filled - 1] == 0x0A else filled
        return bytes(memoryview(gathered)[:end])
    except OSError as error:
        raise ConfigurationRefused(
            "release.passphrase_unreadable",
            f"The passphrase's descriptor cannot be read: {error.strerror}.",
            action="Hand down an open pipe or file.",
        ) from None
    finally:
        wipe(gathered)
        os.close(descriptor)
