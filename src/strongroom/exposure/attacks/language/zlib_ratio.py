"""Membership by the loss over the text's own entropy, as zlib sees it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from strongroom.exposure.attacks.language.asking import batched
from strongroom.exposure.attacks.language.membership import TextMembership
from strongroom.exposure.interface import Knowledge


class ZlibRatio(TextMembership):
    """Log-probability of the text over its length in bytes when compressed."""

    name = "zlib-ratio"
    goal = "Tell trained-on texts from others by loss over compressed size."
    source = "Carlini et al. 2021, arXiv 2012.07805"

    def scores(
        self, target: Any, knowledge: Knowledge, texts: Sequence[str], rows: list[list[int]]
    ) -> list[float]:
        """See the class."""
        said = batched(target.token_logprobs, rows)
        sizes = [len(zlib.compress(text.encode())) for text in texts]
        return [float(each.sum()) / size for each, size in zip(said, sizes, strict=True)]
