"""The closed set of frames that cross between gateway and keeper.

The gateway may ask for little: generate, classify, cancel. The keeper answers with token ids,
labels and, where the sealed policy grants them, scores. Nothing else has a name here, so nothing
else can cross. Unknown fields are refused on both sides; every collection is bounded.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PROTOCOL: int = 1

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Largest frame in either direction (a tokenizer travels in ``Hello``)."""

MAX_PROMPT_TOKENS = 131_072
MAX_TENSOR_BYTES = 8 * 1024 * 1024

RequestId = Annotated[int, Meta(ge=1, le=2**53)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tenant = Annotated[str, Meta(min_length=1, max_length=128)]
Axis = Annotated[int, Meta(ge=1, le=2**20)]
Finite = Annotated[float, Meta(ge=-1e6, le=1e6)]

Rung = Literal["closed", "label", "text", "top1", "topk", "logits", "embeddings"]
"""Rungs of the exposure ladder that a keeper can serve, least first."""


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all frames."""


# --- gateway to keeper -------------------------------------------------------------------------


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to choose the next token. ``temperature`` 0 means greedy."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0


class Generate(Frame, frozen=True, tag="generate"):
    """Continue ``tokens`` by at most ``max_tokens`` tokens.

    ``top_logprobs`` asks for the probabilities of the k likeliest tokens at each position
    (0: none); the keeper refuses it unless the sealed policy grants that rung to ``tenant``.
    """

    id: RequestId
    tenant: Tenant
    tokens: Annotated[tuple[TokenId, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_PROMPT_TOKENS)]
    sampling: Sampling = Sampling()
    top_logprobs: Annotated[int, Meta(ge=0, le=5)] = 0


class Classify(Frame, frozen=True, tag="classify"):
    """Classify one batch of inputs: little-endian C-order ``data`` of ``dtype`` and ``shape``."""

    id: RequestId
    tenant: Tenant
    dtype: Literal["F32", "U8"]
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=2**20)], ...], Meta(min_length=1, max_length=5)
    ]
    data: Annotated[bytes, Meta(max_length=MAX_TENSOR_BYTES)]
    scores: bool = False


class Cancel(Frame, frozen=True, tag="cancel"):
    """Stop generating for ``id``; the keeper still answers with ``Done`` if it had not."""

    id: RequestId


class AskStatus(Frame, frozen=True, tag="ask_status"):
    """Ask for a ``Status`` frame."""


# --- keeper to gateway -------------------------------------------------------------------------


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the gateway needs to know in order to speak for the model; no weight among it.

    For ``causal-lm``: ``tokenizer`` is a ``tokenizer.json``, ``chat_template`` a Jinja template
    and ``special_tokens`` the named ones that templates may use (``bos_token``: ``<s>``, ...).
    For ``classifier``: ``input_dtype``, ``input_shape`` (without the batch axis), ``input_range``
    and ``labels``.
    """

    kind: Literal["causal-lm", "classifier"]
    model_id: str
    release: int
    manifest_digest: str
    rungs: dict[str, Rung]
    """Tenant to rung; ``*`` is everybody else."""
    context_length: int = 0
    vocab_size: int = 0
    max_streams: int = 1
    eos_token_ids: tuple[int, ...] = ()
    tokenizer: bytes = b""
    chat_template: str = ""
    special_tokens: dict[str, str] = {}
    input_dtype: Literal["", "F32", "U8"] = ""
    input_shape: tuple[int, ...] = ()
    input_range: tuple[float, float] = (0.0, 0.0)
    labels: tuple[str, ...] = ()


class Hello(Frame, frozen=True, tag="hello"):
    """First frame of a keeper, sent once the model is open and the process locked down.

    ``walls`` maps each lock-down measure to ``on`` or to the reason why it is off.
    ``egress`` says in plain words what the egress budget means for this model.
    """

    protocol: int
    card: ModelCard
    walls: dict[str, str]
    egress: str


class TokenScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The likeliest tokens at one position with their log-probabilities, likeliest first."""

    ids: tuple[TokenId, ...]
    logprobs: tuple[Finite, ...]


class Tokens(Frame, frozen=True, tag="tokens"):
    """Newly generated token ids, in order. ``scores`` is empty or has one entry a token."""

    id: RequestId
    tokens: tuple[TokenId, ...]
    scores: tuple[TokenScores, ...] = ()


class Done(Frame, frozen=True, tag="done"):
    """End of one generation: ``stop`` (an end token), ``length``, ``cancelled`` or ``egress``."""

    id: RequestId
    reason: Literal["stop", "length", "cancelled", "egress"]
    prompt_tokens: int
    completion_tokens: int


class Labels(Frame, frozen=True, tag="labels"):
    """Answer to ``Classify``: one class index a row, and scores (rows x classes) where granted."""

    id: RequestId
    labels: tuple[int, ...]
    scores: tuple[tuple[Finite, ...], ...] = ()


class Refused(Frame, frozen=True, tag="refused"):
    """The keeper will not do what ``id`` asked; ``code`` is stable, ``message`` one sentence."""

    id: RequestId
    code: str
    message: str


class Status(Frame, frozen=True, tag="status"):
    """Load and egress of the keeper. Bits are exact sums of information bounds."""

    active: int
    waiting: int
    egress_bits_hour: float
    egress_bits_day: float
    budget_bits_hour: float
    budget_bits_day: float


ToKeeper = Generate | Classify | Cancel | AskStatus
ToGateway = Hello | Tokens | Done | Labels | Refused | Status
