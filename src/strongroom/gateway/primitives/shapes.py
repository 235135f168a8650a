"""The JSON requests of Tinker's client, closed, and what of them may be chosen.

Its client sends every field with its default. A default asks for nothing and is passed over; what
was chosen and is not the customer's to choose is refused by name, with the reason.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from strongroom.boundary.lora import MODULES
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.strict_json import check_unique, decode_fields, parse_object
from strongroom.tune.policy import BETAS, CLIP, EPSILON, Policy, Recipe, Wish, grant

_ATTENTION: Final = MODULES[:4]
_INNER: Final = MODULES[4:]

_Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Word = Annotated[str, Meta(max_length=256)]
_Number = Annotated[int, Meta(ge=0, lt=2**31)]
_Metadata = Annotated[dict[_Word, Any], Meta(max_length=16)] | None
_Ids = Annotated[tuple[Annotated[int, Meta(ge=0, lt=2**31)], ...], Meta(max_length=2**17)]
_T = TypeVar("_T")


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of request structs: an unknown field is refused."""


class ClientRequest(_Closed, frozen=True):
    """Body of ``client/config`` and ``client/dynamic_config``."""

    sdk_version: _Word


class SessionRequest(_Closed, frozen=True):
    """Body of ``create_session``; what it says of itself is dropped."""

    tags: Annotated[list[_Word], Meta(max_length=64)] = []
    user_metadata: _Metadata = None
    sdk_version: _Word = ""
    project_id: _Word | None = None
    display_name: _Word | None = None
    type: Literal["create_session"] = "create_session"


class Lora(_Closed, frozen=True):
    """``lora_config``."""

    rank: Annotated[int, Meta(ge=0, le=2**20)]
    seed: int | None = None
    train_unembed: bool = True
    train_mlp: bool = True
    train_attn: bool = True


class OptimizerConfig(_Closed, frozen=True):
    """``optimizer_config``: the one there is."""

    type: Literal["adamw"] = "adamw"


class ModelRequest(_Closed, frozen=True):
    """Body of ``create_model``."""

    session_id: _Id
    model_seq_id: _Number
    base_model: _Word
    lora_config: Lora
    user_metadata: _Metadata = None
    optimizer_config: OptimizerConfig = OptimizerConfig()
    type: Literal["create_model"] = "create_model"


class InfoRequest(_Closed, frozen=True):
    """Body of ``get_info``."""

    model_id: _Id
    type: Literal["get_info"] = "get_info"


class Adam(_Closed, frozen=True):
    """``adam_params``, with the client's defaults."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


class StepRequest(_Closed, frozen=True):
    """Body of ``optim_step``."""

    model_id: _Id
    adam_params: Adam
    seq_id: Annotated[int, Meta(ge=1, lt=2**31)]
    type: Literal["optim_step"] = "optim_step"


class SaveRequest(_Closed, frozen=True):
    """Body of ``save_weights`` and ``save_weights_for_sampler``, which do the same here."""

    model_id: _Id
    seq_id: Annotated[int, Meta(ge=1, lt=2**31)]
    path: _Word | None = None
    sampling_session_seq_id: _Number | None = None
    kind: Literal["snapshot"] = "snapshot"
    ttl_seconds: None = None
    overwrite: Literal[False] = False
    user_metadata: _Metadata = None
    type: Literal["save_weights", "save_weights_for_sampler"] = "save_weights"


class FutureRequest(_Closed, frozen=True):
    """Body of ``retrieve_future``."""

    request_id: _Id
    allow_metadata_only: bool = False


class SamplerRequest(_Closed, frozen=True):
    """Body of ``create_sampling_session``."""

    session_id: _Id
    sampling_session_seq_id: _Number
    base_model: _Word | None = None
    model_path: _Word | None = None
    type: Literal["create_sampling_session"] = "create_sampling_session"


class Chunk(_Closed, frozen=True):
    """Tokens of a prompt; nothing but text is taken."""

    tokens: _Ids
    type: Literal["encoded_text"] = "encoded_text"


class Prompt(_Closed, frozen=True):
    """``prompt``."""

    chunks: Annotated[tuple[Chunk, ...], Meta(min_length=1, max_length=256)]


class Sampling(_Closed, frozen=True):
    """``sampling_params``; a seed and a threshold on rank are refused by name."""

    max_tokens: Annotated[int, Meta(ge=1, lt=2**31)] | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    seed: int | None = None
    stop: str | list[str] | None = None


class SampleRequest(_Closed, frozen=True):
    """Body of ``asample``; scores of any kind are refused by name."""

    prompt: Prompt
    sampling_params: Sampling
    sampling_session_id: _Id
    seq_id: Annotated[int, Meta(ge=0, le=2**62)] = 0
    num_samples: int = 1
    prompt_logprobs: bool = False
    topk_prompt_logprobs: int = 0
    topk_sample_logprobs: int = 0
    target_prompt_logprobs: Any = None
    prompt_alt_tokens_k: int = 0
    prompt_logprobs_last_n: int | None = None
    record_stability_info: bool = False
    type: Literal["sample"] = "sample"


def read(body: bytes, kind: type[_T]) -> _T:
    """A request of ``kind``.

    Raises:
        Refusal: 400, with the field's name.
    """
    request: _T = decode_fields(parse_object(body), msgspec.json.Decoder(kind))
    check_unique(body)
    return request


def recipe_of(request: ModelRequest, policy: Policy) -> Recipe:
    """What a session computes with: rank and modules as granted, the rest the policy's most.

    Raises:
        Refusal: ``gateway.parameter_not_allowed``.
        RequestRefused: ``tune.rank_refused``, ``tune.modules_refused``.
    """
    lora = request.lora_config
    if lora.train_unembed:
        raise never("train_unembed", "the unembedding's gradient is a row of the base itself")
    if lora.seed is not None:
        raise never("seed", "whoever knows what an adapter began from can read the base from it")
    asked = (*(_ATTENTION if lora.train_attn else ()), *(_INNER if lora.train_mlp else ()))
    wish = Wish(
        rank=lora.rank,
        modules=tuple(name for name in asked if name in policy.modules),
        rate=policy.most_rate,
        steps=policy.most_steps,
    )
    return grant(wish, policy)


def rate_of(request: StepRequest) -> float:
    """The learning rate; everything else is the service's.

    Raises:
        Refusal: ``gateway.parameter_not_allowed``: something else was chosen.
    """
    asked, default = request.adam_params, Adam()
    ours = {"beta1": BETAS[0], "beta2": BETAS[1], "eps": EPSILON, "grad_clip_norm": CLIP}
    for name in ("eps", "beta1", "beta2", "weight_decay", "grad_clip_norm"):
        value = getattr(asked, name)
        if value not in (getattr(default, name), ours.get(name, 0.0)):
            raise never(name, "the optimiser is the service's own, but for its rate")
    if not math.isfinite(asked.learning_rate):
        raise never("learning_rate", "it is not a number")
    return asked.learning_rate


def require_plain(request: SampleRequest) -> None:
    """Refuse by name what a sample does not show, and what makes an oracle of it.

    Raises:
        Refusal: ``gateway.parameter_not_allowed``.
    """
    asked = request.sampling_params
    refused = {
        "num_samples": request.num_samples != 1,
        "prompt_logprobs": request.prompt_logprobs,
        "topk_prompt_logprobs": request.topk_prompt_logprobs != 0,
        "topk_sample_logprobs": request.topk_sample_logprobs != 0,
        "target_prompt_logprobs": request.target_prompt_logprobs is not None,
        "prompt_alt_tokens_k": request.prompt_alt_tokens_k != 0,
        "prompt_logprobs_last_n": request.prompt_logprobs_last_n is not None,
        "record_stability_info": request.record_stability_info,
        "top_k": asked.top_k != -1,
        "seed": asked.seed is not None,
    }
    for name, chosen in refused.items():
        if chosen:
            raise never(name, "a sample is one text, and shows nothing of how it was drawn")


def never(name: str, why: str) -> Refusal:
    """The refusal of something that was chosen and is not the customer's to choose."""
    return Refusal(
        "gateway.parameter_not_allowed",
        f"`{name}` is not accepted: {why}.",
        action="Leave it out, or give the value that docs/tuning.md names.",
        param=name,
        rung="never",
    )
