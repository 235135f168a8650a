"""``strongroom`` with the simulated manufacturers' roots pinned, at their time.

For tests of whole processes: the command itself has no option that would trust other roots.
"""

from __future__ import annotations

from strongroom.attest.snp.products import ROOTS
from strongroom.cli.main import main
from strongroom.release.kbs.service import KbsService
from tests.attest.simulated import amd

if __name__ == "__main__":
    ROOTS.update(amd.roots())
    KbsService.__init__.__kwdefaults__["wall"] = lambda: float(amd.NOW)
    main()
