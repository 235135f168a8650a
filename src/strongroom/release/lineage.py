"""Which models' keys are not released any more, and what falls with them. Pure.

1. A revocation names a model, and one release of it or (0) all, those to come included. It names
   the manifest too where it was at hand, so that no other name helps; or the manifest alone.
2. A derivation says that a release was made from another: an adapter from its base, a student from
   its teacher, a fine-tuned model from what it began as.
3. What is revoked takes with it all that was made from it, however far. That derivations run in a
   circle, which only a mistake can bring about, changes nothing.
4. A later release of a model is not derived from an earlier one: often it is the remedy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from strongroom.errors import KeyRefused
from strongroom.store.lineage import Derivation, Named, Revocation

Standing = Callable[[Named], None]
"""Raises ``KeyRefused`` if the release named is revoked."""


def require_standing(
    asked: Named, revocations: Iterable[Revocation], derivations: Iterable[Derivation]
) -> None:
    """Rules 1 to 4.

    Raises:
        KeyRefused: ``release.revoked`` or ``release.source_revoked``.
    """
    revoked = tuple(revocations)
    if any(_names(each, asked) for each in revoked):
        raise KeyRefused(
            "release.revoked",
            f"The model {asked.model} is revoked, or this release of it.",
            action="Ask its owner since when, and why.",
        )
    for source in sources(asked, tuple(derivations)):
        if any(_names(each, source) for each in revoked):
            raise KeyRefused(
                "release.source_revoked",
                f"The model {asked.model} was made from {source.model}, which is revoked.",
                action="Ask its owner since when, and why.",
            )


def sources(asked: Named, derivations: tuple[Derivation, ...]) -> tuple[Named, ...]:
    """All that a release was made from, the nearest first."""
    found: dict[str, Named] = {}
    waiting = [asked.manifest]
    while waiting:
        made = waiting.pop(0)
        for each in derivations:
            if each.made.manifest == made and each.source.manifest not in found:
                found[each.source.manifest] = each.source
                waiting.append(each.source.manifest)
    return tuple(found.values())


def _names(revocation: Revocation, asked: Named) -> bool:
    same = revocation.model == asked.model and revocation.release in (0, asked.release)
    by_name = bool(revocation.model) and same
    return by_name or (bool(revocation.manifest) and revocation.manifest == asked.manifest)
