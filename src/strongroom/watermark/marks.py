"""Which tenant's answers carry which mark."""

from __future__ import annotations

from collections.abc import Mapping

from strongroom.watermark.interface import Mark, Scheme
from strongroom.watermark.kgw import Greens, KgwMark
from strongroom.watermark.synthid import Coins, SynthidMark


class Marks:
    """Marks for answers of one model.

    Args:
        secret: the owner's; empty where ``tenants`` is.
        tenants: tenant to scheme; ``*`` is everybody else. Absent: no mark.
        vocabulary: number of tokens.
    """

    def __init__(self, secret: bytes, tenants: Mapping[str, Scheme], vocabulary: int) -> None:
        self._secret, self._tenants, self._vocabulary = secret, tenants, vocabulary
        self._made: dict[str, Greens | Coins] = {}

    def __repr__(self) -> str:
        return f"Marks({len(self._tenants)} tenants)"

    def begin(self, tenant: str, last: int) -> Mark | None:
        """The mark of a new answer to ``tenant``, whose prompt ends with the token ``last``."""
        scheme = self._tenants.get(tenant, self._tenants.get("*"))
        if scheme is None:
            return None
        keyed = self._made.get(tenant)
        if keyed is None:
            keyed = self._made[tenant] = (
                Greens(self._secret, tenant, self._vocabulary)
                if scheme == "kgw"
                else Coins(self._secret, tenant)
            )
        return KgwMark(keyed, last) if isinstance(keyed, Greens) else SynthidMark(keyed)
