"""Vault or OpenBao transit: the wrapping key never leaves the server.

1. A fresh 256-bit key-encryption key (KEK) encloses the data key here (``envelope``), bound to
   label, key id and context; so the server, and whoever reads its traffic, never sees a data key.
2. The server encrypts the KEK with its transit key, the same binding as associated data, and so
   refuses to decrypt it for another context. The binding of step 1 does not depend on that.
3. The stanza's ``wrapped`` is the envelope, its parameter ``kek`` the server's ciphertext.

Needs the extra ``vault`` (hvac). The transit key should be ``aes256-gcm96``.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.errors import EnvironmentLacks, KeyRefused
from strongroom.keys import envelope, stanza
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.wiping import wipe_bytes

_LABEL = b"strongroom vault wrap v1"
TIMEOUT_SECONDS = 10


class VaultTransit(KeyWrapper):
    """One transit key of one server.

    Args:
        address: URL of the server.
        key: name of the transit key.
        token: token that may use ``MOUNT/encrypt/KEY`` to wrap, ``MOUNT/decrypt/KEY`` to unwrap.
        mount: where the transit engine is mounted.
        namespace: Vault Enterprise or OpenBao namespace.
        ca: file of CA certificates for the server; the system's by default.

    Raises:
        EnvironmentLacks: ``keys.missing_extra`` when hvac is not installed.
    """

    kind = "vault"

    def __init__(
        self,
        address: str,
        key: str,
        *,
        token: str,
        mount: str = "transit",
        namespace: str | None = None,
        ca: str | None = None,
    ) -> None:
        hvac = _hvac()
        self._address = address
        self._key = key
        self._mount = mount
        self._client = hvac.Client(
            url=address,
            token=token,
            namespace=namespace,
            timeout=TIMEOUT_SECONDS,
            verify=ca or True,
            allow_redirects=False,  # a redirect would carry the token elsewhere
        )

    @property
    def key_id(self) -> str:
        """``MOUNT/KEY``. Which server holds it is the configuration's to say, not the stanza's."""
        return f"{self._mount}/{self._key}"

    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap; asks the server once.

        Raises:
            KeyRefused: ``keys.unreachable``, ``keys.denied``, ``keys.no_such_key``,
                ``keys.server_refused``.
        """
        bound = envelope.binding(_LABEL, self.key_id, context)
        kek = os.urandom(32)
        try:
            answer = self._ask(
                "encrypt_data",
                plaintext=base64.b64encode(kek).decode(),
                associated_data=base64.b64encode(bound).decode(),
            )
            ciphertext = _text(answer, "ciphertext")
            sealed = envelope.seal(kek, key, bound)
        finally:
            wipe_bytes(kek)
        return stanza.make(self.kind, self.key_id, sealed, context, {"kek": ciphertext})

    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Unwrap; asks the server once.

        Raises:
            KeyRefused: the codes of ``stanza.check`` and of ``wrap``, or ``keys.altered``.
        """
        sealed = stanza.check(recipient, self.kind, (self.key_id,), context, ("kek",))
        bound = envelope.binding(_LABEL, self.key_id, context)
        answer = self._ask(
            "decrypt_data",
            ciphertext=recipient.params["kek"],
            associated_data=base64.b64encode(bound).decode(),
        )
        kek = stanza.decode(_text(answer, "plaintext"))
        try:
            if len(kek) != 32:
                raise stanza.altered()
            return envelope.unseal(kek, sealed, bound)
        finally:
            wipe_bytes(kek)

    def __repr__(self) -> str:
        return f"VaultTransit({self._address!r}, {self._key!r}, mount={self._mount!r})"

    def _ask(self, operation: str, **arguments: str) -> Any:
        hvac = _hvac()
        import requests

        call: Callable[..., Any] = getattr(self._client.secrets.transit, operation)
        try:
            return call(name=self._key, mount_point=self._mount, **arguments)
        except hvac.exceptions.Forbidden:
            raise _refused("keys.denied", "denied the use of the key") from None
        except hvac.exceptions.InvalidPath:
            raise _refused("keys.no_such_key", "has no such key or mount") from None
        except hvac.exceptions.InvalidRequest:
            if operation == "decrypt_data":
                raise stanza.altered() from None
            raise _refused("keys.server_refused", "refused the request") from None
        except (hvac.exceptions.VaultError, requests.RequestException) as error:
            raise _refused("keys.unreachable", f"did not answer ({type(error).__name__})") from None


def _hvac() -> Any:
    try:
        import hvac
        import hvac.exceptions
    except ImportError:
        raise EnvironmentLacks(
            "keys.missing_extra",
            "Vault and OpenBao need the package hvac, which is not installed.",
            action="Install strongroom with the extra: pip install 'strongroom[vault]'.",
        ) from None
    return hvac


def _text(answer: Any, field: str) -> str:
    try:
        value = answer["data"][field]
    except (KeyError, TypeError):
        value = None
    if not isinstance(value, str):
        raise _refused("keys.server_refused", "sent an answer without what was asked")
    return value


def _refused(code: str, message: str) -> KeyRefused:
    return KeyRefused(
        code,
        f"The Vault server {message}.",
        action="Check the address, the token's policy, the mount and the key's name.",
    )
