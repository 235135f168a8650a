"""Whether a student holds what is in another model's weights, by tensors and by what they do.

The other is its teacher, or any that its owner has sealed. Two measures, each scaled so that 0 is
the most alike of models that are independent of the teacher and 1 the other model itself:

- by tensors: ``distil.similarity``, and beside each matrix of the other's its embeddings of the
  tokens that both have, since a student with a part of the vocabulary holds a part of those;
- by the fingerprint of ``provenance``: what tokens make of each other in each layer's attention,
  which no change that keeps the function alters, whatever width the student has. It is taken anew
  over words that both vocabularies have, so that it does not depend on how many they share.

Independent are models of the student's own shape with fresh weights, and the student that the
teacher told nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from strongroom.errors import ArtifactRefused
from strongroom.exposure.targets.in_process_language import LanguageModel
from strongroom.provenance.compare import aligned
from strongroom.provenance.decoder import Decoder, decoder
from strongroom.provenance.fingerprint import ANCHORS, common, forms

LEAST_WORDS = 96
"""Words that both vocabularies must have for a fingerprint."""

_FRESH = 3


@dataclass(frozen=True)
class Alike:
    """How like the student is to the other; ``value`` None: not measurable, and ``why``."""

    value: float | None
    words: int
    why: str = ""


def fresh(student: LanguageModel, seed: int) -> list[LanguageModel]:
    """Models of the student's shape and tokens, as they are before training."""
    made = []
    with torch.random.fork_rng(devices=[]):
        for number in range(_FRESH):
            torch.manual_seed(seed + number)
            module: Any = type(student.module)(student.module.config).float().eval()
            made.append(
                LanguageModel(module, student.tokenizer, student.eos, student.context_length)
            )
    return made


def decoder_of(name: str, model: LanguageModel) -> Decoder:
    """The model as fingerprints read it.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``.
    """
    config = model.module.config.to_dict()
    return decoder(name, config, model.tokenizer.to_str().encode(), model.module.state_dict())


def shared_rows(student: LanguageModel, other: LanguageModel) -> list[torch.Tensor]:
    """The other's embeddings, in and out, of the tokens that both have."""
    theirs = other.tokenizer.get_vocab()
    shared = [theirs[token] for token in student.tokenizer.get_vocab() if token in theirs]
    layers = {
        id(layer.weight): layer.weight.detach()
        for layer in (other.module.get_input_embeddings(), other.module.get_output_embeddings())
    }
    rows = torch.tensor(sorted(shared), dtype=torch.long)
    return [weight[rows] for weight in layers.values()] if len(rows) else []


def by_function(
    student: LanguageModel,
    other: LanguageModel,
    independent: Sequence[LanguageModel],
    seed: bytes,
) -> Alike:
    """See the module.

    Args:
        student: what is to be released.
        other: what it must not hold.
        independent: made like the student, without the teacher.
        seed: of the fingerprint.
    """
    try:
        ours, own = decoder_of("the other", other), decoder_of("the student", student)
        words = [word for word in common(ours.vocabulary) if word in own.vocabulary]
        if len(words) < LEAST_WORDS:
            return Alike(
                None, len(words), f"needs {LEAST_WORDS} words of both, there are {len(words)}"
            )
        draw = torch.Generator().manual_seed(int.from_bytes(seed[:4], "big"))
        chosen = torch.randperm(len(words), generator=draw)[:ANCHORS].tolist()
        anchors = tuple(words[number] for number in chosen)
        registered = forms(ours, anchors, seed)
        found, *others = (
            aligned(registered, forms(each, anchors, seed))[0]
            for each in (own, *(decoder_of("independent", each) for each in independent))
        )
    except ArtifactRefused as error:
        return Alike(None, 0, error.message)
    null = max(others)
    return Alike((found - null) / (1 - null), len(anchors))
