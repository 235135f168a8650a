"""The policy of key release on one machine without a TEE: this very installation, SOFTWARE-ONLY."""

from __future__ import annotations

from strongroom.release.evidence import running_measurement
from strongroom.release.policies.document import Allowed, Document, Image, Leasing, template

NAME = "dev"


def embedded(manifest: str = "", lease: Leasing | None = None) -> Document:
    """The ``dev`` template with the running installation as its one image.

    Args:
        manifest: the one model manifest (digest) whose key may leave; empty means any.
        lease: how long a key may be used; as any policy's, if left out.
    """
    own = Image("this-installation", "local", {"code": running_measurement()})
    allow = Allowed(manifests=(manifest,) if manifest else ())
    return Document(NAME, template(NAME), allow, (own,), {}, lease or Leasing())
