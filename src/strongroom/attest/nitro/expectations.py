"""What an owner may choose about an enclave; debug mode and age are refused in code."""

from __future__ import annotations

import msgspec


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the enclave must be. ``None`` leaves a field to the policy over the facts.

    Args:
        nonce: the challenge that the document must answer, lower-case hex.
        any_nonce: judge a document that answers no challenge of the caller's, such as an old
            capture; its age is then the only sign of freshness.
        public_key: the key that it must carry, hex of the bytes that the enclave passed.
        user_data: the data that it must carry, hex.
        pcr0: allowed images, lower-case hex of 48 bytes.
        pcr1: allowed kernels and boot images.
        pcr2: allowed applications.
        pcr8: allowed signers: SHA-384 of the certificate that signed the image.
    """

    nonce: str = ""
    any_nonce: bool = False
    public_key: str | None = None
    user_data: str | None = None
    pcr0: frozenset[str] | None = None
    pcr1: frozenset[str] | None = None
    pcr2: frozenset[str] | None = None
    pcr8: frozenset[str] | None = None

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The values that are left to a later policy."""
        left = tuple(name for name in self.__struct_fields__ if getattr(self, name) is None)
        return ("nonce", *left) if self.any_nonce else left
