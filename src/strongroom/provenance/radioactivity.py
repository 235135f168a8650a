"""Has the model in a folder learnt from one tenant's marked answers? Its weights are at hand.

1. The probe is refused if it is short, or carries the tenant's mark itself: a model shows a mark
   that it is made to read on, without having learnt it.
2. Suspect and controls are run on the probe, by transformers' own code for their architecture; no
   code of their folders is. All must cut text into the marked model's tokens.
3. The suspect is judged against the controls, and alone: that costs power, and needs nobody's word
   on how the controls were trained.
4. Controls that show the mark where the suspect does not are refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from strongroom.exposure.causal_lm import causal_lm_of
from strongroom.provenance.decoder import read_folder
from strongroom.provenance.reasons import refuse
from strongroom.watermark.detect import detect
from strongroom.watermark.interface import Scheme
from strongroom.watermark.radioactivity import (
    LEVEL,
    Probe,
    Radioactivity,
    Values,
    judge,
    probe,
    reading,
)

LEAST_TOKENS: Final = 2_000
_AT_ONCE: Final = 4
"""Rows whose logits stand in memory at once: 100 MB for 128 tokens of 49,152."""


@dataclass(frozen=True, repr=False)
class Marked:
    """What is looked for and with what: ``secret`` of the owner, ``tenant``'s mark; ``ids`` that
    the marked model's tokenizer, of ``vocabulary`` tokens, makes of the unmarked ``text``."""

    secret: bytes
    tenant: str
    scheme: Scheme
    vocabulary: int
    text: str
    ids: Sequence[int]

    def judge(self, asked: Probe, suspect: Values, controls: Sequence[Values]) -> Radioactivity:
        """See ``watermark.radioactivity``."""
        key = (self.secret, self.tenant, self.vocabulary)
        return judge(self.scheme, asked, suspect, controls, *key)


@dataclass(frozen=True, slots=True)
class Found:
    """``judged`` against the controls, ``alone`` without; ``tokens`` of the probe."""

    suspect: str
    tenant: str
    controls: tuple[str, ...]
    tokens: int
    judged: Radioactivity
    alone: Radioactivity

    @property
    def verdict(self) -> str:
        """What is said of the suspect."""
        return "radioactive" if self.judged.found else "not shown"


def look(marked: Marked, suspect: Path, controls: Sequence[Path]) -> Found:
    """Rules 1 to 4, of the models in those folders.

    Raises:
        ArtifactRefused: ``provenance.probe_too_short``, ``provenance.probe_marked``,
            ``provenance.model_unreadable``, ``provenance.tokenizer_differs``,
            ``provenance.control_marked``.
        ExposureRefused: ``exposure.model_unsupported``.
    """
    if len(marked.ids) < LEAST_TOKENS:
        raise refuse("provenance.probe_too_short", found=len(marked.ids), least=LEAST_TOKENS)
    by = (marked.secret, marked.tenant, marked.scheme, marked.ids, marked.vocabulary)
    own = detect(*by).p
    if own < LEVEL:
        raise refuse("provenance.probe_marked", tenant=marked.tenant, p=own)
    asked = probe(marked.ids)
    theirs = predictions(suspect, asked, marked)
    others = [predictions(folder, asked, marked) for folder in controls]
    judged = marked.judge(asked, theirs, others)
    if judged.p_below < LEVEL:
        raise refuse("provenance.control_marked", tenant=marked.tenant, p=judged.p_below)
    names = tuple(folder.name for folder in controls)
    alone = marked.judge(asked, theirs, ())
    return Found(suspect.name, marked.tenant, names, asked.rows.size, judged, alone)


def predictions(folder: Path, asked: Probe, marked: Marked) -> Values:
    """Rule 2, of the model in ``folder``, as Hugging Face lays it out.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``, ``provenance.tokenizer_differs``.
        ExposureRefused: ``exposure.model_unsupported``.
    """
    tensors = read_folder(folder).tensors
    config = json.loads((folder / "config.json").read_bytes())
    model = causal_lm_of(config, tensors, (folder / "tokenizer.json").read_bytes())
    cut = model.tokenizer.encode(marked.text, add_special_tokens=False).ids
    if cut != list(marked.ids) or max(cut) >= model.vocabulary:
        raise refuse("provenance.tokenizer_differs", name=folder.name)
    found = reading(marked.scheme, asked)
    columns = torch.from_numpy(asked.tokens)
    with torch.no_grad():
        for at in range(0, len(asked.rows), _AT_ONCE):
            rows = asked.rows[at : at + _AT_ONCE]
            logits = model.module(input_ids=torch.from_numpy(rows), use_cache=False).logits
            found.add(rows, torch.softmax(logits[:, :-1], -1)[..., columns].numpy())
    return found.value()
