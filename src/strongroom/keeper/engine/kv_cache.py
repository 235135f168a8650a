"""Keys and values of every slot, allocated once.

Per layer one float32 block of (slots * context + 1) rows; a row is the keys, then the values of
one position. The extra row takes what padding rows write. Pages are zero and cost no memory until
a position is first used: ``bytes_per_position`` × positions in use is what is resident.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import torch

from strongroom.keeper.engine.llama_config import LlamaConfig
from strongroom.keeper.engine.scheduler import Move


class KeyValueCache:
    """Static slots for ``slots`` sequences of at most ``context`` positions."""

    def __init__(self, config: LlamaConfig, slots: int, context: int) -> None:
        self._context = context
        self._slots = slots
        width = 2 * config.kv_heads * config.head_dim
        self.bytes_per_position = config.layers * width * 4
        rows = slots * context + 1
        self._layers = [_untouched(rows, width) for _ in range(config.layers)]
        shape = (slots, context, 2, config.kv_heads, config.head_dim)
        views = [layer[:-1].view(shape).permute(2, 0, 3, 1, 4) for layer in self._layers]
        self._keys = [view[0] for view in views]
        self._values = [view[1] for view in views]

    @property
    def padding_row(self) -> int:
        """The row that padding writes to."""
        return self._slots * self._context

    def row(self, slot: int, position: int) -> int:
        """The row of one position of one slot."""
        return slot * self._context + position

    def write(self, layer: int, rows: torch.Tensor, kv: torch.Tensor) -> None:
        """Store ``kv`` float32 (n, 2 * kv_heads * head_dim) at ``rows`` int64 (n,)."""
        self._layers[layer].index_copy_(0, rows, kv)

    def read(
        self, layer: int, first: int, last: int, length: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of slots ``first..last-1``: views (n, kv_heads, length, head_dim)."""
        keys = self._keys[layer][first:last, :, :length]
        return keys, self._values[layer][first:last, :, :length]

    def follow(self, moves: Sequence[Move]) -> None:
        """Copy slots as the scheduler moved them."""
        for move in moves:
            source, target = self.row(move.source, 0), self.row(move.target, 0)
            for layer in self._layers:
                layer[target : target + move.length] = layer[source : source + move.length]


def _untouched(rows: int, width: int) -> torch.Tensor:
    """Float32 zeros that take memory only page by page, as they are first written.

    ``torch.zeros`` writes and so holds all of it. Huge pages would hold two megabytes of each
    layer for the first token of a slot.
    """
    block = mmap.mmap(-1, rows * width * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(block, dtype=torch.float32).view(rows, width)
