"""An older release comes back: genuine, signed by the owner, and full of what was mended since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.attacks.interface import Attack, Outcome
from demo.attacks.sealed import NOTHING, judge, sealed_copy
from strongroom.artifact.trust import ReleaseState

if TYPE_CHECKING:
    from demo.stage import Stage


class Rollback(Attack):
    """Release 2 is being served; release 1 is put in its place."""

    name = "An older release put back"
    goal = "Serve release 1 again after release 2 has been seen."
    expected = "refused"
    reasons = frozenset({"artifact.rollback"})

    def run(self, stage: Stage) -> Outcome:
        with sealed_copy(stage.older, stage.work) as copy:
            codes = {"verify": stage.verify_code(copy), "open": stage.open_code(copy)}
            # Nothing else is wrong with it: a machine that has seen no release yet opens it.
            forgetful = ReleaseState(stage.work / "no-memory.json")
            fresh = stage.open_code(copy, state=forgetful)
        done = "Release 1 stood where release 2 had been opened"
        control = "it opens on a machine that has never seen release 2"
        return judge(codes, done, control, control_ok=fresh == NOTHING)
