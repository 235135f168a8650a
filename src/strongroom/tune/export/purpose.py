"""What the gate is asked for. Apart from ``judging``, so that naming it loads no torch."""

from __future__ import annotations

from typing import Literal

Purpose = Literal["scan", "attack", "promote", "export"]
