"""The closed set of frames that cross between gateway and keeper.

The gateway may ask for little: generate, classify, embed, cancel; and bring sealed adapters, which
it cannot open. The keeper answers with token ids, labels and, where the sealed policy grants them,
scores and embeddings. Nothing else has a name here, so nothing else can cross. Unknown fields are
refused on both sides; every collection is bounded.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PROTOCOL: int = 5

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Largest frame in either direction (a tokenizer travels in ``Hello``)."""

MAX_PROMPT_TOKENS = 131_072
MAX_TENSOR_BYTES = 8 * 1024 * 1024

MAX_TO_KEEPER_BYTES = MAX_TENSOR_BYTES + 64 * 1024
"""Largest frame towards the keeper: a full tensor and the fields around it."""

MAX_TOP_LOGPROBS = 5
MAX_ROWS = 4096
MAX_TEXTS = 16
MAX_WIDTH = 65_536
MAX_CLASSES = 65_536
MAX_TENANTS = 4096
MAX_ADAPTER_BYTES = 512 * 1024 * 1024
MAX_PIECE_BYTES = 4 * 1024 * 1024

RequestId = Annotated[int, Meta(ge=1, le=2**53)]
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tenant = Annotated[str, Meta(min_length=1, max_length=128)]
Axis = Annotated[int, Meta(ge=1, le=2**20)]
Finite = Annotated[float, Meta(ge=-1e6, le=1e6)]
Index = Annotated[int, Meta(ge=0, lt=MAX_CLASSES)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Bits = Annotated[float, Meta(ge=0, le=1e18)]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Sentence = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(max_length=1024)]
AdapterName = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_\-]*\Z")]
SchemaName = Annotated[str, Meta(max_length=64, pattern=r"^[A-Za-z0-9_\-]*\Z")]

Rung = Literal["closed", "label", "text", "top1", "topk", "logits", "embeddings"]
"""Rungs of the exposure ladder that a keeper can serve, least first."""


class Frame(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of all frames."""


# --- gateway to keeper -------------------------------------------------------------------------


class Sampling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to choose the next token. ``temperature`` 0 means greedy."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 1.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0


Text = Annotated[tuple[TokenId, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]


class Generate(Frame, frozen=True, tag="generate"):
    """Continue ``tokens`` by at most ``max_tokens`` tokens.

    ``top_logprobs`` asks for the probabilities of the k likeliest tokens at each position
    (0: none); the keeper refuses it unless the sealed policy grants that rung to ``tenant``.
    ``schema`` names the registered schema to which the answer is held, ``adapter`` a loaded adapter
    of ``tenant`` through which the tokens go; without one they go through the bare base.
    """

    id: RequestId
    tenant: Tenant
    tokens: Text
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_PROMPT_TOKENS)]
    sampling: Sampling = Sampling()
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] = 0
    schema: SchemaName = ""
    adapter: AdapterName = ""


class Classify(Frame, frozen=True, tag="classify"):
    """Classify one batch of inputs: little-endian C-order ``data`` of ``dtype`` and ``shape``.

    ``shape`` starts with the number of rows. ``scores`` asks for all the scores that the sealed
    policy grants to ``tenant``; the keeper refuses it where the policy grants none.
    """

    id: RequestId
    tenant: Tenant
    dtype: Literal["F32", "U8"]
    shape: Annotated[tuple[Axis, ...], Meta(min_length=1, max_length=5)]
    data: Annotated[bytes, Meta(max_length=MAX_TENSOR_BYTES)]
    scores: bool = False


class Embed(Frame, frozen=True, tag="embed"):
    """Embed each of ``texts`` (token ids); refused where the sealed policy grants no embeddings."""

    id: RequestId
    tenant: Tenant
    texts: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=MAX_TEXTS)]


class LoadAdapter(Frame, frozen=True, tag="load_adapter"):
    """A piece of a sealed adapter of ``tenant``, from ``offset`` on, of ``size`` bytes in all.

    Pieces come in order under one ``id``; the last is answered. Another adapter that begins drops
    one that was not finished.
    """

    id: RequestId
    tenant: Tenant
    adapter: Annotated[AdapterName, Meta(min_length=1)]
    size: Annotated[int, Meta(ge=1, le=MAX_ADAPTER_BYTES)]
    offset: Annotated[int, Meta(ge=0, lt=MAX_ADAPTER_BYTES)]
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_PIECE_BYTES)]


class UnloadAdapter(Frame, frozen=True, tag="unload_adapter"):
    """Forget a loaded adapter of ``tenant``; refused while a request goes through it."""

    id: RequestId
    tenant: Tenant
    adapter: Annotated[AdapterName, Meta(min_length=1)]


class Cancel(Frame, frozen=True, tag="cancel"):
    """Stop working for ``id``; the keeper still answers with ``Done`` if it had not."""

    id: RequestId


class AskStatus(Frame, frozen=True, tag="ask_status"):
    """Ask for a ``Status`` frame."""


# --- keeper to gateway -------------------------------------------------------------------------


class ModelCard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the gateway needs to know in order to speak for the model; no weight among it.

    For ``causal-lm``: ``tokenizer`` is a ``tokenizer.json``, ``chat_template`` a Jinja template,
    ``special_tokens`` the named ones that templates may use (``bos_token``: ``<s>``, ...) and
    ``embedding_width`` how many numbers an embedding has.
    For ``classifier``: ``input_dtype``, ``input_shape`` (without the batch axis), ``input_range``
    and ``labels``.
    """

    kind: Literal["causal-lm", "classifier"]
    model_id: Name
    release: Count
    manifest_digest: Name
    rungs: Annotated[dict[Name, Rung], Meta(max_length=MAX_TENANTS)]
    """Tenant to rung; ``*`` is everybody else."""
    context_length: Count = 0
    vocab_size: Count = 0
    embedding_width: Annotated[int, Meta(ge=0, le=MAX_WIDTH)] = 0
    max_streams: Count = 1
    eos_token_ids: Annotated[tuple[TokenId, ...], Meta(max_length=64)] = ()
    tokenizer: Annotated[bytes, Meta(max_length=MAX_FRAME_BYTES)] = b""
    chat_template: Annotated[str, Meta(max_length=2**20)] = ""
    special_tokens: Annotated[dict[Name, Name], Meta(max_length=64)] = {}
    input_dtype: Literal["", "F32", "U8"] = ""
    input_shape: Annotated[tuple[Axis, ...], Meta(max_length=4)] = ()
    input_range: tuple[Finite, Finite] = (0.0, 0.0)
    labels: Annotated[tuple[Name, ...], Meta(max_length=MAX_CLASSES)] = ()
    max_rows: Annotated[int, Meta(ge=0, le=MAX_ROWS)] = 0
    """Most rows of one ``Classify``; 0 where the model is no classifier."""


class Hello(Frame, frozen=True, tag="hello"):
    """First frame of a keeper, sent once the model is open and the process locked down.

    ``walls`` maps each lock-down measure to ``on`` or to the reason why it is off.
    ``egress`` says in plain words what the egress budget means for this model, ``effective_bits``
    what must be carried out to have it; 0 where that is not known.
    """

    protocol: Count
    card: ModelCard
    walls: Annotated[dict[Name, Name], Meta(max_length=64)]
    egress: Sentence
    effective_bits: Bits = 0.0


class TokenScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The likeliest tokens at one position with their log-probabilities, likeliest first.

    At rung ``top1`` there is one, its probability rounded to two decimals before the logarithm.
    """

    ids: Annotated[tuple[TokenId, ...], Meta(min_length=1, max_length=MAX_TOP_LOGPROBS)]
    logprobs: Annotated[tuple[Finite, ...], Meta(min_length=1, max_length=MAX_TOP_LOGPROBS)]


class Tokens(Frame, frozen=True, tag="tokens"):
    """Newly generated token ids, in order. ``scores`` is empty or has one entry a token."""

    id: RequestId
    tokens: Annotated[tuple[TokenId, ...], Meta(min_length=1, max_length=MAX_PROMPT_TOKENS)]
    scores: Annotated[tuple[TokenScores, ...], Meta(max_length=MAX_PROMPT_TOKENS)] = ()


class Done(Frame, frozen=True, tag="done"):
    """End of one generation: ``stop`` (an end token), ``length``, ``cancelled``, ``egress`` (the
    budget) or ``time`` (it took too long)."""

    id: RequestId
    reason: Literal["stop", "length", "cancelled", "egress", "time"]
    prompt_tokens: Count
    completion_tokens: Count


Scores = Annotated[tuple[Finite, ...], Meta(min_length=1, max_length=MAX_CLASSES)]
TopIndices = Annotated[tuple[Index, ...], Meta(min_length=1, max_length=MAX_CLASSES)]


class Labels(Frame, frozen=True, tag="labels"):
    """Answer to ``Classify``: one class index a row, and where granted and asked for, scores.

    ``scores`` has one entry a row, by the tenant's rung: ``top1`` the probability of the label,
    rounded to two decimals; ``topk`` the probabilities of the likeliest classes, likeliest first,
    with their class indices in ``top``; ``logits`` and above the logits of all classes in order.
    """

    id: RequestId
    labels: Annotated[tuple[Index, ...], Meta(min_length=1, max_length=MAX_ROWS)]
    scores: Annotated[tuple[Scores, ...], Meta(max_length=MAX_ROWS)] = ()
    top: Annotated[tuple[TopIndices, ...], Meta(max_length=MAX_ROWS)] = ()


class Embeddings(Frame, frozen=True, tag="embeddings"):
    """Answer to ``Embed``: for each text ``embedding_width`` signed bytes, row by row.

    A row is the model's mean hidden state over the text, scaled so that its largest number is 127
    or -127, and rounded: its direction, in steps.
    """

    id: RequestId
    data: Annotated[bytes, Meta(min_length=1, max_length=MAX_TEXTS * MAX_WIDTH)]


class AdapterState(Frame, frozen=True, tag="adapter_state"):
    """Answer to ``LoadAdapter`` and ``UnloadAdapter``: whether it is loaded now."""

    id: RequestId
    loaded: bool


class Refused(Frame, frozen=True, tag="refused"):
    """The keeper will not do what ``id`` asked; ``code`` is stable, ``message`` one sentence."""

    id: RequestId
    code: Code
    message: Sentence


class Status(Frame, frozen=True, tag="status"):
    """Load and egress of the keeper. Bits are exact sums of information bounds."""

    active: Count
    waiting: Count
    egress_bits_hour: Bits
    egress_bits_day: Bits
    budget_bits_hour: Bits
    budget_bits_day: Bits


class Fault(Frame, frozen=True, tag="fault"):
    """Last frame of a keeper that may not go on: ``code`` is stable, ``message`` one sentence."""

    code: Code
    message: Sentence


ToKeeper = Generate | Classify | Embed | LoadAdapter | UnloadAdapter | Cancel | AskStatus
ToGateway = Hello | Tokens | Done | Labels | Embeddings | AdapterState | Refused | Status | Fault
