"""Who learnt only from a model's answers is not called its copy; who started from its tensors is.

The student must have learnt, or the test would say nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from strongroom.provenance.compare import LEAST, compare
from strongroom.provenance.decoder import Decoder
from strongroom.provenance.fingerprint import take
from tests.provenance.copies import Tensors, altered, half_dropped, tiny

STEPS, BATCH, LENGTH, SPOKEN = 120, 32, 4, 32


def quiet(tensors: Tensors, model: Decoder) -> Tensors:
    """Layers that move the stream little: what is said is mostly the geometry of the embeddings,
    which a student can learn in seconds, and which a fingerprint is made of."""
    for name in tensors:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensors[name] *= 0.3
    return tensors


TEACHER = altered(tiny(0), quiet)


def module(model: Decoder) -> Any:
    """The decoder as ``transformers`` runs it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    width = model.tensors["model.embed_tokens.weight"].shape[1]
    config = LlamaConfig(
        vocab_size=len(model.embedding()),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=sum(name.endswith("q_proj.weight") for name in model.tensors),
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    made: Any = LlamaForCausalLM(config)
    made.load_state_dict(dict(model.tensors))
    return made


def draw(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(number)
    return torch.randint(0, SPOKEN, (BATCH, LENGTH), generator=generator)


def agreement(one: Any, other: Any) -> float:
    with torch.no_grad():
        said, meant = (each(input_ids=draw(10_000)).logits.argmax(-1) for each in (one, other))
    return float((said == meant).float().mean())


def taught(start: Decoder) -> tuple[Decoder, float, float]:
    """A student of the teacher's words, and how often it says what the teacher says where it was
    not asked, before and after."""
    teacher = module(TEACHER).eval()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        student = module(start)
        before = agreement(student, teacher)
        optimizer = torch.optim.AdamW(student.parameters(), 5e-3)
        for step in range(STEPS):
            with torch.no_grad():
                told = teacher(input_ids=draw(step)).logits.argmax(-1)
            said = student(input_ids=draw(step)).logits
            loss = functional.cross_entropy(said.flatten(0, 1), told.flatten())
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    weights: Mapping[str, Tensor] = {k: v.detach() for k, v in student.state_dict().items()}
    return replace(start, name="student", tensors=weights), before, agreement(student, teacher)


def test_only_who_started_from_the_tensors_is_called_a_copy() -> None:
    registered = take(TEACHER, name="tiny", release=1, manifest="ab" * 32, seed=b"s" * 32)
    library = [tiny(seed, layers=3 + seed % 4) for seed in range(1, 10)]
    student, before, after = taught(tiny(50, layers=3))
    found = compare(registered, student, library)
    print(before, after, found.suspect, found.p)
    assert before < 0.05
    assert after > 0.3
    assert found.verdict == "no copy found"
    assert found.suspect.value < LEAST / 2
    started, _, _ = taught(altered(TEACHER, half_dropped))
    copy = compare(registered, started, library)
    print(copy.suspect, copy.p)
    assert copy.verdict == "copy"
