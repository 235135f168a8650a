"""A student as the folder that is handed out, in Hugging Face's format, and how to open it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from safetensors import SafetensorError
from safetensors.torch import load, save

from strongroom.distil.language.plan import Asked
from strongroom.distil.reasons import refuse
from strongroom.errors import ExposureRefused
from strongroom.exposure.causal_lm import causal_lm_of
from strongroom.exposure.targets.in_process_language import LanguageModel

WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
"""What a student is; beside them lies ``student.json``, which says how it came about."""

TOLD = "student.json"
_CONFIG = (
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "rope_parameters",
    "bos_token_id",
    "eos_token_id",
)


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``run`` tells ``gate``: the plan's digest, and what the teacher was asked."""

    plan: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    asked: Asked


def files_of(student: LanguageModel, told: Told) -> dict[str, bytes]:
    """The content of each file, by name."""
    said = student.module.config.to_dict() | {"architectures": [type(student.module).__name__]}
    config = {name: said[name] for name in _CONFIG if said.get(name) is not None}
    tied = bool(said["tie_word_embeddings"])
    tensors = {
        name: values.detach().contiguous()
        for name, values in student.module.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": student.context_length,
        "clean_up_tokenization_spaces": False,
    }
    if student.eos:
        settings["eos_token"] = student.tokenizer.id_to_token(student.eos[0])
    return {
        "config.json": _json(config),
        WEIGHTS: save(tensors, metadata={"format": "pt"}),
        "tokenizer.json": student.tokenizer.to_str().encode(),
        "tokenizer_config.json": _json(settings),
        TOLD: msgspec.json.encode(told),
    }


def open_student(folder: Path) -> tuple[LanguageModel, Told]:
    """The student in ``folder``, and what ``run`` told of it.

    Its next-token log-probabilities are ``LanguageModel.logprobs``; what attacks it takes it behind
    ``open_language``.

    Raises:
        ExposureRefused: ``distil.student_malformed``.
    """
    try:
        config = json.loads((folder / "config.json").read_bytes())
        tensors = load((folder / WEIGHTS).read_bytes())
        tokenizer = (folder / "tokenizer.json").read_bytes()
        told = msgspec.json.decode((folder / TOLD).read_bytes(), type=Told)
        return causal_lm_of(config, tensors, tokenizer), told
    except ExposureRefused as error:
        why = error.message
    except (OSError, ValueError, msgspec.MsgspecError, SafetensorError) as error:
        why = str(error)[:200]
    raise refuse("distil.student_malformed", path=folder, why=why)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
