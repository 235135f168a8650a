"""The model's card: what a gateway must know to speak for it, taken from the sealed files.

The files were signed by the model's owner; they are read here and not interpreted: a template
is text that the gateway will render.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from strongroom.boundary import codec
from strongroom.boundary.frames import MAX_ROWS, PROTOCOL, Hello, ModelCard, Rung
from strongroom.errors import ArtifactRefused, BoundaryRefused
from strongroom.framing import PREFIX_BYTES
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine

_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


def card_of(
    engine: CausalEngine | ClassifierEngine,
    files: Mapping[str, bytes],
    *,
    model_id: str,
    release: int,
    manifest_digest: str,
    rungs: Mapping[str, Rung],
) -> ModelCard:
    """The card of a built engine.

    Args:
        engine: the model.
        files: the sealed files by name.
        model_id: opaque name of the model, from its manifest.
        release: its release number.
        manifest_digest: SHA-256 of the manifest, hex.
        rungs: the sealed policy's rungs.

    Raises:
        ArtifactRefused: ``keeper.tokenizer_missing`` or ``keeper.file_malformed``.
    """
    if isinstance(engine, CausalEngine):
        kind: Literal["causal-lm", "classifier"] = "causal-lm"
        details = _speaking(engine, files)
    else:
        kind, details = "classifier", _classifying(engine)
    plain = ModelCard(kind, model_id, release, manifest_digest, dict(rungs))
    return msgspec.structs.replace(plain, **details)


def _speaking(engine: CausalEngine, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "context_length": engine.context_length,
        "vocab_size": engine.vocab_size,
        "embedding_width": engine.width,
        "max_streams": engine.max_streams,
        "eos_token_ids": tuple(engine.eos_token_ids),
        **speech_of(files),
    }


def speech_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """How text becomes ids: ``tokenizer``, ``chat_template`` and ``special_tokens``."""
    settings = _json(files, "tokenizer_config.json")
    return {
        "tokenizer": _tokenizer(files),
        "chat_template": _template(files, settings),
        "special_tokens": _special_tokens(_json(files, "special_tokens_map.json") | settings),
    }


def _classifying(engine: ClassifierEngine) -> dict[str, Any]:
    return {
        "input_dtype": engine.input_dtype,
        "input_shape": tuple(engine.input_shape),
        "input_range": tuple(engine.input_range),
        "labels": tuple(engine.labels),
        "max_rows": min(engine.max_batch, MAX_ROWS),
    }


def hello(
    card: ModelCard, walls: Mapping[str, str], egress: str, effective_bits: float = 0.0
) -> Hello:
    """The first frame, checked to be one that a gateway will accept.

    Raises:
        ArtifactRefused: ``keeper.card_unfit``.
    """
    frame = Hello(PROTOCOL, card, dict(walls), egress, effective_bits)
    try:
        codec.decode_to_gateway(codec.encode_to_gateway(frame)[PREFIX_BYTES:])
    except BoundaryRefused:
        raise ArtifactRefused(
            "keeper.card_unfit",
            "What this model says of itself does not fit the boundary's limits.",
            action="Check the size of its tokenizer, template, labels and policy.",
        ) from None
    return frame


def _tokenizer(files: Mapping[str, bytes]) -> bytes:
    tokenizer = files.get("tokenizer.json", b"")
    if not tokenizer:
        raise ArtifactRefused(
            "keeper.tokenizer_missing",
            "The sealed model has no tokenizer.json.",
            action="Put the model's tokenizer.json beside its weights and seal it again.",
        )
    return tokenizer


def _template(files: Mapping[str, bytes], settings: Mapping[str, Any]) -> str:
    """The chat template: its own file, else the default one of the tokenizer's settings."""
    own = files.get("chat_template.jinja")
    if own is not None:
        try:
            return own.decode()
        except UnicodeDecodeError:
            raise _malformed("chat_template.jinja") from None
    inside = settings.get("chat_template", "")
    if isinstance(inside, list):  # several named templates
        named = {
            item.get("name"): item.get("template") for item in inside if isinstance(item, dict)
        }
        inside = named.get("default", "")
    return inside if isinstance(inside, str) else ""


def _special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _SPECIAL:
        value = settings.get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            found[name] = text
    return found


def _json(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(files.get(name, b"{}"), type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _malformed(name) from None


def _malformed(name: str) -> ArtifactRefused:
    return ArtifactRefused(
        "keeper.file_malformed",
        f"The sealed file {name} cannot be read.",
        action="Correct the file beside the plain model and seal it again.",
    )
