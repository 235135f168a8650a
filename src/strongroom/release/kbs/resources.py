"""Which path names which model's key. A resource is the data key of one sealed model, 32 bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from strongroom.artifact.manifest import Manifest, recipient_context
from strongroom.artifact.recipients import Recipient
from strongroom.errors import ConfigurationRefused
from strongroom.release.approvals.documents import Subject

_PATH: Final = re.compile(
    r"\A(?:[A-Za-z0-9][A-Za-z0-9._-]{0,127}/){2}[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z"
)


@dataclass(frozen=True, slots=True)
class Resource:
    """A sealed model's key: what it is the key of, and the stanzas that hold it wrapped.

    ``context`` is what the stanzas are bound to.
    """

    model: str
    release: int
    manifest: str
    context: bytes
    recipients: tuple[Recipient, ...]

    @classmethod
    def of(cls, manifest: Manifest, recipients: tuple[Recipient, ...]) -> Resource:
        """The key of a sealed model, from its manifest (signature checked) and its stanzas."""
        return cls(
            model=manifest.model_id,
            release=manifest.release,
            manifest=manifest.digest,
            context=recipient_context(manifest),
            recipients=recipients,
        )

    def subject(self, policy_digest: str) -> Subject:
        """What approvals of its release under a policy are about."""
        return Subject(self.model, self.release, self.manifest, policy_digest)


class Resources:
    """Paths ``repository/type/tag`` to resources.

    Raises:
        ConfigurationRefused: ``release.kbs_path``: a path is not of three plain names.
    """

    def __init__(self, listed: Mapping[str, Resource] | Iterable[tuple[str, Resource]]) -> None:
        self._by_path = dict(listed)
        for path in self._by_path:
            if not _PATH.match(path):
                raise ConfigurationRefused(
                    "release.kbs_path",
                    "A resource's path is not of the form repository/type/tag.",
                    action="Use three names of letters, digits, dots, dashes and underscores.",
                )

    def find(self, path: str) -> Resource | None:
        """The resource under a path; None if there is none."""
        return self._by_path.get(path)
