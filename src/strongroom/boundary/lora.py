"""What a LoRA adapter can change, in words that both sides of the wall use."""

from __future__ import annotations

from typing import Final

MODULES: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""All that an adapter can change: never embeddings, norms or lm_head."""

RANK_CAP: Final = 64
"""No policy allows a larger rank."""
