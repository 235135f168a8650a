"""The recipient stanza: one wrapped copy of a model's data key.

Stanzas live in ``recipients.json`` beside the weights, outside the signature, so that they can be
replaced without touching a weight. They need no signature: a stanza that yields another key than
the sealed one fails the key commitment of the signed manifest.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wrapped data key.

    ``kind`` names the wrapper (``keyring``, ``hpke``, ``vault``, ``aws-kms``), ``key_id`` the key
    that can unwrap it, ``wrapped`` the base64 bytes, ``params`` what the wrapper needs besides.
    """

    kind: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"\A[a-z0-9-]+\Z")]
    key_id: Annotated[str, Meta(min_length=1, max_length=2048)]
    wrapped: Annotated[str, Meta(max_length=16_384)]
    params: Annotated[dict[str, str], Meta(max_length=16)] = {}
