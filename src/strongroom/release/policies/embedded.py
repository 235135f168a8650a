"""The policy of key release on one machine without a TEE: this very installation, SOFTWARE-ONLY."""

from __future__ import annotations

from strongroom.release.evidence import running_measurement
from strongroom.release.policies.document import Allowed, Document, Image, template

NAME = "dev"


def embedded(manifest: str = "") -> Document:
    """The ``dev`` template with the running installation as its one image.

    Args:
        manifest: the one model manifest (digest) whose key may leave; empty means any.
    """
    own = Image("this-installation", "local", {"code": running_measurement()})
    allow = Allowed(manifests=(manifest,) if manifest else ())
    return Document(NAME, template(NAME), allow, (own,), {})
