"""Who a request comes from, however it was proven: an API key, a token, or a client certificate."""

from __future__ import annotations

from dataclasses import dataclass

from strongroom.gateway.refusals import Refusal
from strongroom.store.interface import Organisation, Scope
from strongroom.store.limits import Limits, Subject


@dataclass(frozen=True, slots=True)
class Caller:
    """An identified caller. ``subjects`` are who pays: the organisation, and the key below it.

    ``key_id`` is the key's id, or says which token or certificate it was, in the form ``jwt:...``
    or ``cert:...``; it is no secret.
    """

    organisation: str
    key_id: str
    scopes: frozenset[Scope]
    subjects: tuple[Subject, ...]

    def require(self, scope: Scope) -> None:
        """Refuse, 403 ``gateway.scope_missing``, unless the key has this scope."""
        if scope not in self.scopes:
            raise Refusal(
                "gateway.scope_missing",
                f"This key may not do this: it lacks the scope {scope}.",
                action="Ask whoever gave you the key for one with this scope.",
                status=403,
            )


def caller_of(
    name: str, organisation: Organisation, scopes: frozenset[Scope], limits: Limits
) -> Caller:
    """The caller behind a key, token or certificate called ``name``, which has ``limits``."""
    payers = (
        Subject("organisation", organisation.name, organisation.limits),
        Subject("key", name, limits),
    )
    return Caller(organisation.name, name, scopes, payers)
