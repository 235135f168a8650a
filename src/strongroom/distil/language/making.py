"""The student: what is asked of the teacher, the network that begins, and its training."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from strongroom.distil.language.answers import Answered, open_teacher
from strongroom.distil.language.division import TextDivision
from strongroom.distil.language.plan import LanguagePlan
from strongroom.distil.language.training import Lessons, Progress, train
from strongroom.distil.language.vocabulary import Vocabulary, own, reduced
from strongroom.distil.reasons import refuse
from strongroom.exposure.interface import Integers
from strongroom.exposure.targets.in_process_language import LanguageModel

_TOGETHER = 16
"""Rows or prompts of one question to the teacher."""

Asking = Callable[[int, int], None]
"""Called with rows or prompts that were asked, and how many will be."""


@dataclass(frozen=True)
class LanguageWorkshop:
    """What a student is made from.

    Args:
        plan: what to do, granted.
        teacher: the owner's model.
        division: the owner's texts.
    """

    plan: LanguagePlan
    teacher: LanguageModel
    division: TextDivision

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The student's tokens.

        Raises:
            ExposureRefused: ``distil.plan_unfit``.
        """
        plan, corpus = self.plan, self.division.corpus
        if plan.tokenizer == "own":
            return own(corpus, plan.vocabulary)
        teacher = self.teacher
        return reduced(teacher.tokenizer, teacher.eos, corpus, plan.vocabulary)

    def target(self) -> Any:
        """The teacher, closed: it tells what the plan declares."""
        return open_teacher(self.teacher, self.plan, self.vocabulary)

    def student(
        self, target: Any, *, asking: Asking | None = None, tell: Progress | None = None
    ) -> LanguageModel:
        """Ask, and train on the answers; nothing of them is kept.

        Raises:
            ExposureRefused: ``distil.asked_out``, ``distil.corpus_unfit``, ``distil.plan_unfit``.
        """
        return self.trained(self.lessons(target, asking), tell)

    def lessons(self, target: Any, asking: Asking | None = None) -> Lessons:
        """The corpus, and what the teacher says to it: as much as was declared has room for.

        Raises:
            ExposureRefused: ``distil.asked_out``, ``distil.corpus_unfit``, ``distil.plan_unfit``.
        """
        if self.plan.answers == "text":
            return self._of_text(target, asking)
        return self._of_rows(target, asking)

    def untaught(self, *, tell: Progress | None = None) -> LanguageModel:
        """The same student of the corpus alone, to compare with: the teacher says nothing to it."""
        return self.trained(Lessons(torch.from_numpy(self._rows())), tell)

    def _rows(self, more: tuple[str, ...] = ()) -> Integers:
        length = self.plan.schedule.length
        rows = self.vocabulary.rows([*self.division.corpus, *more], length + 1)
        if not len(rows):
            raise refuse("distil.corpus_unfit", why="it is shorter than one row")
        return rows[np.random.default_rng(self.plan.seed + 2).permutation(len(rows))]

    def _of_text(self, target: Any, asking: Asking | None) -> Lessons:
        """As many continuations as the declaration has room for, the corpus beside them."""
        plan = self.plan
        each = plan.charge(plan.continuation, self.teacher.vocabulary, 1)
        most = min(plan.asked.positions // each.positions, plan.asked.bits // each.bits)
        prompts = self.division.corpus[:most]
        said: list[str] = []
        for at in range(0, len(prompts), _TOGETHER):
            said += target.continued(prompts[at : at + _TOGETHER])
            if asking is not None:
                asking(min(at + _TOGETHER, len(prompts)), len(prompts))
        return Lessons(torch.from_numpy(self._rows(tuple(said))))

    def _of_rows(self, target: Any, asking: Asking | None) -> Lessons:
        """Answers to as many rows of the corpus as the declaration has room for."""
        plan, rows = self.plan, self._rows()
        each = plan.charge(plan.schedule.length, self.vocabulary.size)
        pairs = [
            (plan.asked.positions, each.positions),
            (plan.asked.coordinates, each.coordinates),
            (plan.asked.bits, each.bits),
        ]
        asked = min([len(rows), *(most // one for most, one in pairs if one)])
        parts: list[Answered] = []
        for at in range(0, asked, _TOGETHER):
            parts.append(target.told(rows[at : min(at + _TOGETHER, asked)]))
            if asking is not None:
                asking(min(at + _TOGETHER, asked), asked)
        told = _together(parts) if parts else None
        return Lessons(torch.from_numpy(rows), told, asked)

    def trained(self, lessons: Lessons, tell: Progress | None = None) -> LanguageModel:
        """The student of ``lessons``: what else decides it is the plan."""
        vocabulary = self.vocabulary
        torch.manual_seed(self.plan.seed)
        module = self.begun()
        train(module, lessons, self.plan, tell)
        context = int(module.config.max_position_embeddings)
        return LanguageModel(module, vocabulary.tokenizer, (vocabulary.end,), context)

    def begun(self) -> Any:
        """The network before its training.

        Raises:
            ExposureRefused: ``distil.plan_unfit``.
        """
        if self.plan.init == "fresh":
            return fresh(self.plan, self.vocabulary)
        return of_teacher(self.plan, self.vocabulary, self.teacher)


def fresh(plan: LanguagePlan, vocabulary: Vocabulary) -> Any:
    """A Llama-type decoder of the plan's shape with weights of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = plan.architecture
    make: Any = LlamaForCausalLM
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=vocabulary.end,
    )
    return make(config)


def of_teacher(plan: LanguagePlan, vocabulary: Vocabulary, teacher: LanguageModel) -> Any:
    """A decoder of the teacher's shape but for its layers, with some of its tensors.

    ``teacher-embeddings``: those of the kept tokens. ``teacher-layers``: these, evenly chosen
    layers from the first to the last, and what stands after them.

    Raises:
        ExposureRefused: ``distil.plan_unfit``: it has fewer layers.
    """
    config = copy.deepcopy(teacher.module.config)
    before, layers = config.num_hidden_layers, plan.architecture.layers
    if layers > before:
        raise refuse("distil.plan_unfit", why=f"the teacher has {before} layers, fewer than asked")
    config.num_hidden_layers, config.vocab_size = layers, vocabulary.size
    config.bos_token_id, config.eos_token_id, config.pad_token_id = None, vocabulary.end, None
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    make: Any = type(teacher.module)
    module = make(config).float()
    chosen = np.linspace(0, before - 1, layers).round().astype(int)
    theirs = teacher.module.state_dict()
    kept = torch.from_numpy(np.asarray(vocabulary.kept))
    with torch.no_grad():
        for name, values in module.state_dict().items():
            if values.shape[0] == vocabulary.size and theirs[name].shape[0] == teacher.vocabulary:
                values.copy_(theirs[name][kept])
            elif plan.init == "teacher-layers":
                values.copy_(theirs[_theirs(name, chosen.tolist())])
    return module


def _theirs(name: str, chosen: list[int]) -> str:
    """The teacher's name of a student's tensor."""
    before, mark, after = name.partition(".layers.")
    if not mark:
        return name
    number, _, rest = after.partition(".")
    return f"{before}{mark}{chosen[int(number)]}.{rest}"


def _together(parts: list[Answered]) -> Answered:
    tokens = [part.tokens for part in parts if part.tokens is not None]
    scores = [part.scores for part in parts if part.scores is not None]
    return Answered(torch.cat(tokens) if tokens else None, torch.cat(scores) if scores else None)
