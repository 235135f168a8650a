"""The losses and gradients of a suffix search, computing nothing twice.

What stands before the suffix never changes: its keys and values are computed once. Candidates that
change the suffix from place p on share what stands before p as well. The head is asked only where
the answer's tokens are predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from strongroom.exposure.attacks.language.questions import Goal

Held = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, (1, heads, tokens, size)."""


class Scene:
    """One goal on one model. ``tokens`` counts the tokens that went through the model's layers.

    Args:
        module: a ``transformers`` Llama in eval mode, float32; its gradients are switched off.
        tokenizer: a ``tokenizers.Tokenizer``.
        goal: what is to be said.
    """

    def __init__(self, module: Any, tokenizer: Any, goal: Goal) -> None:
        self._module = module.requires_grad_(False)
        self._tokenizer = tokenizer
        self._goal = goal
        self._answer = self.ids(goal.answer)
        self._after = self.ids(goal.after)
        self._start = self.ids(goal.before + goal.question)
        self.tokens = 0
        self._before = self._hold(self._start)

    def text(self, suffix: Sequence[int]) -> str:
        """The user's message."""
        return self._goal.question + str(self._tokenizer.decode(list(suffix)))

    def stands(self, suffix: Sequence[int]) -> bool:
        """Whether the message, sent as text, is cut into these very tokens."""
        whole = self._goal.before + self.text(suffix) + self._goal.after
        return self.ids(whole) == [*self._start, *suffix, *self._after]

    @torch.no_grad()
    def losses(self, candidates: Tensor, shared: int = 0) -> Tensor:
        """Mean loss of the answer's tokens for each of ``candidates`` (n, length), (n,).

        The first ``shared`` tokens of all candidates are equal.
        """
        held = self._hold(candidates[0, :shared].tolist(), self._before)
        tail = torch.tensor([*self._after, *self._answer[:-1]], dtype=torch.long)
        fed = torch.cat([candidates[:, shared:], tail.expand(len(candidates), -1)], dim=1)
        return self._loss(self._module.get_input_embeddings()(fed), held)

    def gradient(self, suffix: Tensor) -> tuple[float, Tensor]:
        """Loss of ``suffix`` (length,), and its gradient for each place and token (length, v)."""
        table = self._module.get_input_embeddings()
        tail = torch.tensor([*self._after, *self._answer[:-1]], dtype=torch.long)
        own = table(suffix).requires_grad_(True)
        with torch.enable_grad():
            loss = self._loss(torch.cat([own, table(tail)])[None], self._before)[0]
            (towards,) = torch.autograd.grad(loss, own)
        self.tokens += 2 * (len(suffix) + len(tail))  # backward costs two forwards
        return float(loss.detach()), towards @ table.weight.t()

    def _loss(self, embedded: Tensor, held: Held) -> Tensor:
        rows, wanted = len(embedded), torch.tensor(self._answer)
        self.tokens += rows * embedded.shape[1]
        said = self._module.model(
            inputs_embeds=embedded, past_key_values=_cache(held, rows), use_cache=True
        )
        hidden = said.last_hidden_state[:, -len(wanted) :]
        logits = self._module.lm_head(hidden).float()
        chosen = logits.gather(2, wanted.expand(rows, -1)[..., None])[..., 0]
        losses: Tensor = (logits.logsumexp(2) - chosen).mean(1)
        return losses

    @torch.no_grad()
    def _hold(self, ids: Sequence[int], held: Held | None = None) -> Held:
        """Keys and values of ``held`` and then of ``ids``."""
        if not ids:
            return held or []
        self.tokens += len(ids)
        cache = _cache(held or [], 1)
        self._module.model(
            input_ids=torch.tensor([list(ids)]), past_key_values=cache, use_cache=True
        )
        layers: list[Any] = cache.layers
        return [(layer.keys, layer.values) for layer in layers]

    def ids(self, text: str) -> list[int]:
        """Tokens of ``text``."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _cache(held: Held, rows: int) -> DynamicCache:
    cache = DynamicCache()
    for number, (keys, values) in enumerate(held):
        cache.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), number)
    return cache
