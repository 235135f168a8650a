"""A language model of a configuration, tensors and a tokenizer, as this room handles it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.in_process_language import LanguageModel

_CONTEXT = 2048


def causal_lm_of(
    config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], tokenizer: bytes
) -> LanguageModel:
    """The model in float32; the tensors are copied.

    Args:
        config: of a Hugging Face ``config.json``; no code that it names is run.
        tensors: by name.
        tokenizer: the content of a ``tokenizer.json``.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    kind = config.get("model_type", "")
    try:
        known = AutoConfig.for_model(**config)
        copied = {name: values.clone() for name, values in tensors.items()}
        concrete = type(AutoModelForCausalLM.from_config(known))  # type: ignore[no-untyped-call]
        module = concrete.from_pretrained(None, config=known, state_dict=copied)
    except (KeyError, ValueError, OSError, TypeError, RuntimeError) as error:
        raise refuse("exposure.model_unsupported", why=f"{kind}: {error}") from None
    try:
        cutting = Tokenizer.from_str(tokenizer.decode())
    except Exception as error:  # the tokenizers library raises nothing more exact
        raise refuse("exposure.model_unsupported", why=f"its tokenizer: {error}") from None
    eos = config.get("eos_token_id", ())
    ends = tuple(eos) if isinstance(eos, (list, tuple)) else (int(eos),)
    length = min(int(known.max_position_embeddings), _CONTEXT)
    found = LanguageModel(ready(module), cutting, ends, length)
    probe = torch.tensor([[0, 1, 2, 3]])
    with torch.no_grad():
        whole = found.module(input_ids=probe, use_cache=False).logits
    if not torch.allclose(found.head(found.hidden(probe.tolist())[0]), whole[0], atol=1e-3):
        raise refuse("exposure.model_unsupported", why=f"{kind} does more after its last layer")
    return found


def ready(module: Any) -> Any:
    """``module`` in float32, in eval mode, without gradients."""
    return module.to(torch.float32).eval().requires_grad_(False)
