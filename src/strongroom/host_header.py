"""Which ``Host`` headers a listener for operators takes: the wall against DNS rebinding.

A page elsewhere can point a name of its own at 127.0.0.1 and have an operator's browser ask there.
Its requests carry that name. So a name is taken only if it was configured; an address cannot be
borrowed in this way and is always taken.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection


def acceptable(host: str, names: Collection[str] = ()) -> bool:
    """Whether ``host`` (``name``, ``name:port`` or ``[address]:port``) is ours to answer for."""
    name = host.lower()
    if name.startswith("["):
        name, _, rest = name[1:].partition("]")
        if rest and not rest.startswith(":"):
            return False
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
