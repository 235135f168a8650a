"""What it means to wrap a data key for somebody."""

from __future__ import annotations

from abc import ABC, abstractmethod

from strongroom.artifact.data_key import DataKey
from strongroom.artifact.recipients import Recipient


class KeyWrapper(ABC):
    """Wraps data keys for one key-holder.

    Security contract: ``wrap`` binds the result to ``context`` (which names one sealed model), so
    that a stanza moved to another model does not unwrap; ``unwrap`` either returns the very key
    that was wrapped under the same context or raises ``KeyRefused``; neither logs, prints or
    keeps the key.
    """

    kind: str

    @property
    @abstractmethod
    def key_id(self) -> str:
        """Public identifier of the wrapping key; goes into the stanza."""

    @abstractmethod
    def wrap(self, key: DataKey, context: bytes) -> Recipient:
        """Wrap ``key`` for this holder, bound to ``context``."""

    @abstractmethod
    def unwrap(self, recipient: Recipient, context: bytes) -> DataKey:
        """Recover the key; ``KeyRefused`` if it is not ours, altered, or of another context."""

    def holds(self, recipient: Recipient) -> bool:
        """Whether ``recipient`` names this holder's key, so that ``unwrap`` is worth trying."""
        return recipient.kind == self.kind and recipient.key_id == self.key_id

    def close(self) -> None:  # noqa: B027 - most holders keep nothing to overwrite
        """Overwrite what this object holds of the wrapping key; it is of no use afterwards."""
