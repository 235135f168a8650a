"""Which release policy decides over the key of a model that is served here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from strongroom.artifact.manifest import Manifest
    from strongroom.cli.home import Home
    from strongroom.cli.settings import Serving
    from strongroom.release.policies.document import Document


def of(home: Home, serving: Serving, manifest: Manifest | None) -> Document:
    """The owner's policy if one is named, else this installation for this one model (None: any).

    A policy that could not be used is refused here, before any process is started.

    Raises:
        ConfigurationRefused: ``release.policy_*``.
    """
    from strongroom.release.policies.document import Leasing, load
    from strongroom.release.policies.embedded import embedded
    from strongroom.release.policies.engine import Engine

    if not serving.release_policy:
        hours = serving.lease_hours
        digest = "" if manifest is None else manifest.digest
        return embedded(digest, Leasing(seconds=3600 * hours, grace=900 * hours))
    document = load(home.path / serving.release_policy)
    Engine(document)
    return document


def admits_software(document: Document) -> bool:
    """Whether evidence that no hardware vouches for may pass; where that is not known, yes."""
    from strongroom.release.policies.document import TEMPLATES, template

    if document.cedar == template("dev"):
        return any(image.kind == "local" for image in document.images)
    return document.cedar not in {template(name) for name in TEMPLATES}
