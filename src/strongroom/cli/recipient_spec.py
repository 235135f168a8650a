"""Recipients as people write them on a command line.

::

    FILE                               an HPKE recipient file (`strongroom recipient create`)
    hpke:FILE                          the same
    vault:https://HOST:PORT#MOUNT/KEY  a transit key of Vault or OpenBao; the token comes from
                                       $VAULT_TOKEN, a namespace from $VAULT_NAMESPACE, a private
                                       CA from $VAULT_CACERT, as for Vault's own tools
    aws-kms:ARN                        a key of AWS KMS; credentials as for AWS's own tools
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from strongroom.errors import ConfigurationRefused
from strongroom.keys.interface import KeyWrapper


def open_recipient(text: str) -> KeyWrapper:
    """Who can be wrapped for, as named by ``text``.

    Raises:
        ConfigurationRefused: ``cli.bad_recipient``.
        KeyRefused: the file is no recipient.
        EnvironmentLacks: the extra for this kind is not installed.
    """
    kind, separator, rest = text.partition(":")
    if not separator or kind not in ("hpke", "vault", "aws-kms"):
        return _hpke(text)
    if kind == "hpke":
        return _hpke(rest)
    return _vault(rest) if kind == "vault" else _aws_kms(rest)


def _hpke(file: str) -> KeyWrapper:
    from strongroom.keys.hpke import HpkeRecipient

    return HpkeRecipient.load(Path(file).expanduser())


def _vault(text: str) -> KeyWrapper:
    from strongroom.keys.vault import VaultTransit

    parts = urlsplit(text)
    mount, _, key = parts.fragment.rpartition("/")
    if parts.scheme not in ("https", "http") or not parts.netloc or not key:
        raise _bad(f"vault:{text}", "Write it as vault:https://HOST:PORT#MOUNT/KEY.")
    token = os.environ.get("VAULT_TOKEN")
    if not token:
        raise _bad(f"vault:{text}", "Set VAULT_TOKEN to a token that may encrypt with the key.")
    return VaultTransit(
        parts._replace(fragment="").geturl(),
        key,
        token=token,
        mount=mount or "transit",
        namespace=os.environ.get("VAULT_NAMESPACE"),
        ca=os.environ.get("VAULT_CACERT"),
    )


def _aws_kms(arn: str) -> KeyWrapper:
    from strongroom.keys.aws_kms import AwsKms

    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or parts[2] != "kms" or not parts[3]:
        raise _bad(f"aws-kms:{arn}", "Write it as aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID.")
    return AwsKms(arn, region=parts[3])


def _bad(text: str, action: str) -> ConfigurationRefused:
    return ConfigurationRefused(
        "cli.bad_recipient", f"The recipient {text!r} cannot be used.", action=action
    )
