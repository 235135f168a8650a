"""A sealed language model as a subject of an audit: the module here, the door outside."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.served_embeddings import open_served_embeddings
from strongroom.exposure.targets.served_text import open_served_text

if TYPE_CHECKING:
    from strongroom.cli.audit_opening import Opened
    from strongroom.cli.audit_serving import ServedDoor
    from strongroom.cli.auditing import Asked
    from strongroom.exposure.data import Corpus
    from strongroom.exposure.interface import Budget
    from strongroom.exposure.subjects.interface import Opener, Scale
    from strongroom.exposure.subjects.language import LanguageSubject

_CONTEXT = 2048


def language_subject(
    model: Opened,
    corpus: Corpus | None,
    scale: Scale,
    door: ServedDoor | None,
    asked: Asked,
) -> LanguageSubject:
    """The subject of an opened model.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.exposure.subjects.language import LanguageSubject

    openers: dict[Rung, Opener] = {}
    for rung, key in (door.keys if door else {}).items():
        if door is not None and rung in {Rung.TEXT, Rung.TOP1, Rung.TOPK, Rung.EMBEDDINGS}:
            openers[rung] = partial(_open, door, key, rung)
    public = None if asked.base is None else folder_module(asked.base)
    return LanguageSubject(
        _language_model(model),
        corpus,
        public,
        scale,
        openers,
        adapter=asked.adapter,
        goals=asked.goals,
        seed=asked.seed,
    )


def _open(door: ServedDoor, key: str, rung: Rung, budget: Budget) -> Any:
    if rung is Rung.TEXT:
        door.use()
    else:
        door.renew()
    if rung is Rung.EMBEDDINGS:
        return open_served_embeddings(door.url, key, door.model, budget)
    return open_served_text(door.url, key, door.model, rung, budget)


def _language_model(model: Opened) -> Any:
    from tokenizers import Tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    from strongroom.exposure.targets.in_process_language import LanguageModel

    kind = model.config.get("model_type", "")
    try:
        config = AutoConfig.for_model(**model.config)
        tensors = {name: values.clone() for name, values in model.tensors.items()}
        concrete = type(AutoModelForCausalLM.from_config(config))  # type: ignore[no-untyped-call]
        module = concrete.from_pretrained(None, config=config, state_dict=tensors)
        tokenizer = Tokenizer.from_str(model.files["tokenizer.json"].decode())
    except (KeyError, ValueError, OSError, TypeError) as error:
        raise refuse("exposure.model_unsupported", why=f"{kind}: {error}") from None
    eos = model.config.get("eos_token_id", ())
    ends = tuple(eos) if isinstance(eos, (list, tuple)) else (int(eos),)
    length = min(int(config.max_position_embeddings), _CONTEXT)
    found = LanguageModel(_ready(module), tokenizer, ends, length)
    probe = torch.tensor([[0, 1, 2, 3]])
    with torch.no_grad():
        whole = found.module(input_ids=probe, use_cache=False).logits
    if not torch.allclose(found.head(found.hidden(probe.tolist())[0]), whole[0], atol=1e-3):
        raise refuse("exposure.model_unsupported", why=f"{kind} does more after its last layer")
    return found


def folder_module(folder: Path) -> Any:
    """The plain model in a folder as Hugging Face lays it out, safetensors only."""
    from transformers import AutoModelForCausalLM

    try:
        found = AutoModelForCausalLM.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise refuse("exposure.data_unreadable", path=folder, why=str(error)[:200]) from None
    return _ready(found)


def _ready(module: Any) -> Any:
    return module.to(torch.float32).eval().requires_grad_(False)
