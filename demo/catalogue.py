"""Every attack of the demonstration, in the order of its table."""

from __future__ import annotations

from demo.attacks.bit_flip import BitFlip
from demo.attacks.interface import Attack
from demo.attacks.keeper_primitives import all_groups
from demo.attacks.key_holder import KeyHolderForgery
from demo.attacks.key_in_memory import KeyInMemory
from demo.attacks.leaky_parameters import LeakyParameters
from demo.attacks.memory_theft import MemoryTheft
from demo.attacks.plain_model import PlainBeside, PlainInstead
from demo.attacks.plaintext_search import PlaintextSearch
from demo.attacks.rollback import Rollback
from demo.attacks.segment_swap import SegmentSwap
from demo.attacks.smuggled_tokens import SmuggledTokens
from demo.attacks.stranger import Stranger
from demo.attacks.truncation import Truncation


def catalogue() -> list[Attack]:
    """Every attack of the demonstration. The search of the disk comes last, after all the rest."""
    return [
        BitFlip(),
        SegmentSwap(),
        KeyHolderForgery(),
        Truncation(),
        Rollback(),
        Stranger(),
        PlainInstead(),
        PlainBeside(),
        LeakyParameters(),
        SmuggledTokens(),
        MemoryTheft(),
        *all_groups(),
        KeyInMemory(),
        PlaintextSearch(),
    ]
