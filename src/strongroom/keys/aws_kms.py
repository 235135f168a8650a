"""AWS KMS: the wrapping key never leaves the service.

1. A fresh 256-bit key-encryption key (KEK) encloses the data key here (``envelope``), bound to
   label, key id and context; so KMS, and whoever reads its traffic, never sees a data key.
2. KMS encrypts the KEK, with SHA-256 of the context as encryption context: it decrypts only when
   the same is given, and CloudTrail shows which model a key was asked for.
3. The stanza's ``wrapped`` is the envelope, its parameter ``kek`` the base64 of KMS's ciphertext.

Needs the extra ``aws`` (boto3). Credentials come from where AWS's own tools take them.
"""

from __future__ import annotations

import base64
import os
from typing import Any

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient
from strongroom.errors import EnvironmentLacks, KeyRefused
from strongroom.keys import envelope, stanza
from strongroom.keys.interface import KeyWrapper
from strongroom.keys.wiping import wipe_bytes

_LABEL = b"strongroom aws-kms wrap v1"
_CONTEXT_NAME = "strongroom-context-sha256"
TIMEOUT_SECONDS = 10
_MAX_BLOB_BYTES = 6144

_CODES = {
    "AccessDeniedException": ("keys.denied", "denied the use of the key"),
    "NotFoundException": ("keys.no_such_key", "has no such key"),
    "DisabledException": ("keys.key_disabled", "says that the key is disabled"),
    "KMSInvalidStateException": ("keys.key_disabled", "says that the key cannot be used now"),
}


class AwsKms(KeyWrapper):
    """One symmetric key of AWS KMS.

    Args:
        key: its ARN. Not an alias: an alias can be pointed at another key.
        region: the region to ask.
        endpoint: another endpoint URL (a VPC endpoint, a test).

    Raises:
        EnvironmentLacks: ``keys.missing_extra`` when boto3 is not installed.
    """

    kind = "aws-kms"

    def __init__(self, key: str, *, region: str, endpoint: str | None = None) -> None:
        boto3, botocore = _libraries()
        self._key = key
        self._region = region
        self._client = boto3.client(
            "kms",
            region_name=region,
            endpoint_url=endpoint,
            config=botocore.config.Config(
                connect_timeout=TIMEOUT_SECONDS,
                read_timeout=TIMEOUT_SECONDS,
                retries={"total_max_attempts": 3, "mode": "standard"},
            ),
        )

    @property
    def key_id(self) -> str:
        """The key's ARN as configured."""
        return self._key

    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap; asks KMS once.

        Raises:
            KeyRefused: ``keys.unreachable``, ``keys.denied``, ``keys.no_such_key``,
                ``keys.key_disabled``, ``keys.server_refused``.
        """
        kek = os.urandom(32)
        try:
            answer = self._ask(
                "encrypt", Plaintext=kek, EncryptionContext=_encryption_context(context)
            )
            sealed = envelope.seal(kek, key, envelope.binding(_LABEL, self.key_id, context))
        finally:
            wipe_bytes(kek)
        ciphertext = base64.b64encode(answer["CiphertextBlob"]).decode()
        return stanza.make(self.kind, self.key_id, sealed, context, {"kek": ciphertext})

    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Unwrap; asks KMS once.

        Raises:
            KeyRefused: the codes of ``stanza.check`` and of ``wrap``, or ``keys.altered``.
        """
        sealed = stanza.check(recipient, self.kind, (self.key_id,), context, ("kek",))
        blob = stanza.decode(recipient.params["kek"])
        if not 1 <= len(blob) <= _MAX_BLOB_BYTES:
            raise stanza.malformed("its ciphertext has no length that KMS knows")
        answer = self._ask(
            "decrypt",
            CiphertextBlob=blob,
            EncryptionContext=_encryption_context(context),
        )
        kek: bytes = answer["Plaintext"]
        try:
            if len(kek) != 32:
                raise stanza.altered()
            return envelope.unseal(kek, sealed, envelope.binding(_LABEL, self.key_id, context))
        finally:
            wipe_bytes(kek)

    def __repr__(self) -> str:
        return f"AwsKms({self._key!r}, region={self._region!r})"

    def _ask(self, operation: str, **arguments: object) -> Any:
        _, botocore = _libraries()
        try:
            return getattr(self._client, operation)(KeyId=self._key, **arguments)
        except botocore.exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise stanza.altered() from None
            raise _refused(
                *_CODES.get(code, ("keys.server_refused", "refused the request"))
            ) from None
        except botocore.exceptions.BotoCoreError as error:
            raise _refused("keys.unreachable", f"did not answer ({type(error).__name__})") from None


def _encryption_context(context: bytes) -> dict[str, str]:
    return {_CONTEXT_NAME: stanza.digest(context)}


def _libraries() -> tuple[Any, Any]:
    try:
        import boto3
        import botocore
        import botocore.config
        import botocore.exceptions
    except ImportError:
        raise EnvironmentLacks(
            "keys.missing_extra",
            "AWS KMS needs the package boto3, which is not installed.",
            action="Install strongroom with the extra: pip install 'strongroom[aws]'.",
        ) from None
    return boto3, botocore


def _refused(code: str, message: str) -> KeyRefused:
    return KeyRefused(
        code,
        f"AWS KMS {message}.",
        action="Check the credentials, the region, the key's ARN and its key policy.",
    )
