"""The cache holds only the memory of positions that were used."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from strongroom.keeper.engine.kv_cache import KeyValueCache
from strongroom.keeper.engine.llama_config import parse_llama_config

from .models import config_bytes, make


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_unused_positions_cost_no_memory() -> None:
    config = parse_llama_config(config_bytes(make()))
    before = resident()
    cache = KeyValueCache(config, slots=16, context=65_536)
    whole = 16 * 65_536 * cache.bytes_per_position
    assert whole > 400_000_000
    assert resident() - before < whole / 50
    rows = torch.arange(100_000)
    cache.write(0, rows, torch.ones(100_000, 2 * config.kv_heads * config.head_dim))
    assert resident() - before > 100_000 * cache.bytes_per_position / config.layers / 2


def test_padding_does_not_reach_any_slot() -> None:
    config = parse_llama_config(config_bytes(make()))
    cache = KeyValueCache(config, slots=2, context=8)
    width = 2 * config.kv_heads * config.head_dim
    cache.write(0, torch.tensor([cache.padding_row]), torch.ones(1, width))
    keys, values = cache.read(0, 0, 2, 8)
    assert not keys.any()
    assert not values.any()
