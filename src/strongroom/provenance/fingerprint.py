"""A fingerprint of a decoder's weights that its function leaves no freedom to change.

What two tokens a, b make of each other in a layer's attention is ``e_a W_q^T W_k e_b`` (how much b
is looked at from a) and ``e_a W_v^T W_o^T e_b`` (how much a, looked at, moves the stream towards
b), summed over heads, with the norm's gain inside. Neither changes when the hidden space is
rotated, permuted or scaled, when heads change places, or when a head's inside is turned as rotary
positions allow: those change every matrix and nothing that the model says. Fine-tuning, merging,
pruning and quantisation change them a little, another training changes them wholly.

1. ``ANCHORS`` tokens are drawn by the seed out of the first ``COMMON`` whole words of the
   vocabulary: tokenizers share those, whoever made them. Their embeddings are centred, since what
   all tokens share is shared by all models. A word that a suspect's vocabulary lacks counts as
   nothing, which makes a copy less like and an independent model no more so.
2. Two secret matrices of the seed, (SIDE, ANCHORS) each, mix the anchors, so that a fingerprint
   shows next to nothing of the weights; inner products survive (Johnson and Lindenstrauss 1984).
3. Of each of a layer's two forms, (SIDE, SIDE), the largest singular component is taken away: in
   every trained model it is how frequent words are, and it made two models that share nothing but
   their text as like as 0.65. The rest is scaled to a norm of one, in steps of 1/127 of its largest
   number.

The invariance of such products is known from HuRef (Zeng et al. 2024, arXiv 2312.04828) and its
successors; the sketch, the centring and the alignment of layers (``compare``) are our own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from strongroom.provenance.decoder import Attention, Decoder
from strongroom.provenance.reasons import refuse

ANCHORS: Final = 384
COMMON: Final = 4096
SIDE: Final = 64
LEAST_SHARE: Final = 0.5
"""Of the anchors, what a model's vocabulary must have to be compared at all."""
SEED_BYTES: Final = 32
MOST_LAYERS: Final = 120
"""So that the file stays below what ``keys.private_file`` reads."""
_ROW: Final = 2 * SIDE * SIDE
_WORD: Final = re.compile(r" [a-z]{2,24}", re.ASCII)

Text = Annotated[str, Meta(min_length=1, max_length=256)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A registered fingerprint. It is its owner's secret until a claim is made with it.

    ``manifest`` is the digest of the sealed model that it was taken of; ``layers`` holds of each
    layer 2 * SIDE * SIDE signed bytes.
    """

    format: Literal["strongroom fingerprint v1"] = "strongroom fingerprint v1"
    model: Text
    release: Annotated[int, Meta(ge=0)]
    manifest: Digest
    seed: Annotated[bytes, Meta(min_length=SEED_BYTES, max_length=SEED_BYTES)]
    anchors: Annotated[tuple[Text, ...], Meta(min_length=ANCHORS, max_length=ANCHORS)]
    layers: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MOST_LAYERS)]

    def __repr__(self) -> str:
        return f"Fingerprint(model={self.model!r}, release={self.release})"


def take(model: Decoder, *, name: str, release: int, manifest: str, seed: bytes) -> Fingerprint:
    """The fingerprint of a model.

    Args:
        model: its tensors.
        name: its id, release and the digest of its manifest: what the claim will be about.
        release: see ``name``.
        manifest: see ``name``.
        seed: 32 random bytes, kept with the fingerprint.

    Raises:
        ArtifactRefused: ``provenance.model_unreadable``.
    """
    known = len(model.embedding())
    words = common({word: n for word, n in model.vocabulary.items() if n < known})
    if len(words) < ANCHORS:
        raise model.unreadable(f"its vocabulary has fewer than {ANCHORS} whole words")
    draw = _generator(seed, b"anchors")
    chosen = torch.randperm(len(words), generator=draw)[:ANCHORS].tolist()
    anchors = tuple(words[number] for number in chosen)
    layers = tuple(_steps(layer) for layer in forms(model, anchors, seed))
    if len(layers) > MOST_LAYERS:
        raise model.unreadable(f"it has more than {MOST_LAYERS} layers")
    return Fingerprint(
        model=name, release=release, manifest=manifest, seed=seed, anchors=anchors, layers=layers
    )


def common(vocabulary: Mapping[str, int]) -> list[str]:
    """The words that anchors are drawn from: the first ``COMMON`` whole ones."""
    found = [word for word in vocabulary if _WORD.fullmatch(word)]
    return sorted(found, key=vocabulary.__getitem__)[:COMMON]


def share(model: Decoder, anchors: tuple[str, ...]) -> float:
    """How many of the anchors the model's vocabulary has, 0 to 1."""
    return float((_ids(model, anchors) >= 0).float().mean())


@torch.no_grad()
def forms(model: Decoder, anchors: tuple[str, ...], seed: bytes) -> Tensor:
    """The sketched forms of every layer, (layers, 2 * SIDE * SIDE) float32, each half of norm one.

    Raises:
        ArtifactRefused: ``provenance.anchors_missing`` or ``provenance.model_unreadable``.
    """
    ids = _ids(model, anchors)
    known = ids >= 0
    found = int(known.sum())
    if found < LEAST_SHARE * len(anchors):
        raise refuse("provenance.anchors_missing", name=model.name, found=found, wanted=len(ids))
    rows = model.embedding()[ids[known]].float()
    rows = rows - rows.mean(dim=0)
    left, right = (
        torch.randn(SIDE, len(anchors), generator=_generator(seed, side))[:, known] @ rows
        for side in (b"left", b"right")
    )
    return torch.stack([_form(layer, left, right, model) for layer in model.layers()])


def sketches(fingerprint: Fingerprint) -> Tensor:
    """What ``forms`` gave when it was taken, but for the steps."""
    raw = bytearray(b"".join(fingerprint.layers))
    whole = torch.frombuffer(raw, dtype=torch.int8).float().reshape(-1, 2, _ROW // 2)
    scaled: Tensor = whole / whole.norm(dim=2, keepdim=True).clamp(min=1e-12)
    return scaled.reshape(-1, _ROW)


def encode(fingerprint: Fingerprint) -> bytes:
    """The file's bytes, of which ``digest`` is committed to."""
    return msgspec.msgpack.encode(fingerprint)


def digest(raw: bytes) -> str:
    """SHA-256 of a fingerprint's file, hex."""
    return hashlib.sha256(raw).hexdigest()


def decode(raw: bytes, name: str) -> Fingerprint:
    """A fingerprint's file.

    Raises:
        ArtifactRefused: ``provenance.fingerprint_malformed``.
    """
    try:
        found = msgspec.msgpack.decode(raw, type=Fingerprint)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise refuse("provenance.fingerprint_malformed", name=name) from None
    if any(len(layer) != _ROW for layer in found.layers) or encode(found) != raw:
        raise refuse("provenance.fingerprint_malformed", name=name)
    return found


def _form(layer: Attention, left: Tensor, right: Tensor, model: Decoder) -> Tensor:
    groups = model.heads // model.key_heads
    size = layer.q.shape[0] // model.heads

    def spread(matrix: Tensor) -> Tensor:
        """Key and value heads once for each query head that reads them."""
        return matrix.reshape(model.key_heads, size, -1).repeat_interleave(groups, 0).flatten(0, 1)

    looked = (left @ layer.q.T) @ (right @ spread(layer.k).T).T
    moved = (left @ spread(layer.v).T) @ (right @ layer.out).T
    bare = [_without_largest(form).flatten() for form in (looked, moved)]
    return torch.cat([form / form.norm().clamp(min=1e-12) for form in bare])


def _without_largest(form: Tensor) -> Tensor:
    """Rule 3: less its largest singular component."""
    left, values, right = torch.linalg.svd(form)
    rest: Tensor = form - values[0] * torch.outer(left[:, 0], right[0])
    return rest


def _ids(model: Decoder, anchors: tuple[str, ...]) -> Tensor:
    """The anchors' ids in the model; -1 for those that it does not have."""
    rows = len(model.embedding())
    found = (model.vocabulary.get(anchor, rows) for anchor in anchors)
    return torch.tensor([number if number < rows else -1 for number in found])


def _steps(form: Tensor) -> bytes:
    halves = form.reshape(2, -1)
    largest = halves.abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
    steps: Any = (halves / largest * 127).round().to(torch.int8).numpy()
    return bytes(steps.tobytes())


def _generator(seed: bytes, label: bytes) -> torch.Generator:
    key = hashlib.sha256(b"strongroom fingerprint " + label + b"\0" + seed).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
