"""What attacks share: each text goes through the model once, and is paid for each time."""

from __future__ import annotations

from typing import Any

import torch

from strongroom.exposure.interface import Budget
from strongroom.exposure.ladder import Rung
from strongroom.exposure.targets.in_process_language import LanguageModel, open_language
from strongroom.exposure.targets.shared_prefix import SharedPrefix

from . import tiny


def fed(model: LanguageModel) -> list[int]:
    """Tokens of each forward pass from now on."""
    counts: list[int] = []

    def note(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        counts.append(kwargs["input_ids"].numel())

    model.module.base_model.register_forward_pre_hook(note, with_kwargs=True)
    return counts


def alone(module: Any, row: list[int]) -> torch.Tensor:
    with torch.no_grad():
        said = module.base_model(input_ids=torch.tensor([row]), use_cache=False)
    states: torch.Tensor = said.last_hidden_state[0]
    return states


def test_sharing_changes_no_answer() -> None:
    module, shared = tiny.fresh_copy(tiny.base()), SharedPrefix()
    start = tiny.ids("the code of the door ")
    asked = [
        [[*start, 1, 2]],
        [[*start, 1, 2, 3]],
        [[*start, 7], [*start, 7, 8, 9], [*start, 4]],
        [start[:6]],
        [[*start[:8], 5, 5]],
        [[9, 8, 7], [6, 5]],
        [[*start, 1, 2], [*start, 1, 3]],
    ]
    with torch.no_grad():
        for rows in asked:
            for row, states in zip(rows, shared.states(module, rows), strict=True):
                torch.testing.assert_close(states, alone(module, row), atol=1e-4, rtol=1e-4)


def test_a_shared_beginning_is_computed_once() -> None:
    model = tiny.language(tiny.fresh_copy(tiny.base()))
    counts, start = fed(model), tiny.ids("the code of the door ")
    model.hidden([[*start, n] for n in range(8)])
    assert sum(counts) == len(start) + 8
    model.hidden([[*start, 1, 2]])
    assert sum(counts) <= len(start) + 8 + 2


def test_a_known_text_is_not_computed_again_but_charged() -> None:
    model = tiny.language(tiny.fresh_copy(tiny.base()))
    counts, rows = fed(model), [tiny.ids(text) for text in tiny.texts()[:6]]
    first = open_language(model, Rung.LOGITS, Budget(6, 60))
    said = first.token_logprobs(rows)
    computed = sum(counts)
    again = open_language(model, Rung.LOGITS, Budget(6, 60))
    for one, other in zip(said, again.token_logprobs(rows), strict=True):
        assert (one == other).all()
    assert sum(counts) == computed == sum(map(len, rows))
    assert (first.spent().queries, again.spent().queries) == (6, 6)
    said[0][:] = 0.0  # an attacker's copy is his own
    assert (open_language(model, Rung.LOGITS, Budget(1, 60)).token_logprobs(rows[:1])[0] < 0).all()
