"""The same model, signed by somebody else: a mirror that would like to be the owner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from demo.attacks.interface import Outcome
from demo.attacks.sealed import NOTHING, SealedAttack, judge, sealed_copy
from strongroom.artifact import canonical, names
from strongroom.artifact.signing import SigningKey
from strongroom.artifact.trust import Trust

if TYPE_CHECKING:
    from demo.stage import Stage


class Stranger(SealedAttack):
    """Replaces the signatures by valid ones of a fresh key that nobody trusts."""

    name = "The same model, signed by a stranger"
    goal = "Be accepted as the one who publishes this model."
    reasons = frozenset({"artifact.signer_unknown"})

    def __init__(self) -> None:
        self._stranger = SigningKey.generate()

    def tamper(self, stage: Stage, copy: Path) -> str:
        signatures = self._stranger.sign((copy / names.MANIFEST).read_bytes())
        (copy / names.SIGNATURES).unlink()
        (copy / names.SIGNATURES).write_bytes(canonical.encode(signatures))
        return f"Signed anew by {self._stranger.public.fingerprint[:8]}…"

    def run(self, stage: Stage) -> Outcome:
        with sealed_copy(stage.sealed, stage.work) as copy:
            done = self.tamper(stage, copy)
            codes = {"verify": stage.verify_code(copy), "open": stage.open_code(copy)}
            # The signatures are sound: whoever trusts the stranger would open this very copy.
            trusting = stage.open_code(copy, trust=Trust([self._stranger.public]))
        control = "it opens for somebody who trusts the stranger"
        return judge(codes, done, control, control_ok=trusting == NOTHING)
