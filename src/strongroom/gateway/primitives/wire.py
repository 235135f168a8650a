"""The protobuf messages of Tinker's client that are read and written here, and no others.

By hand, because a schema compiler's runtime would read far more than is ever meant to come: every
field that is not named here is refused, and so is one that stands twice and may not. Each function
gives the message and the numbers of its fields. A test compares both ways with the client's own
generated classes.

Source: protobuf's encoding specification (tag = number << 3 | type; types 0 varint, 1 eight bytes,
2 length-delimited, 5 four bytes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from strongroom.gateway.primitives.shapes import never
from strongroom.gateway.refusals import Refusal

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT32, _INT64 = 1, 2
_LONGEST_VARINT: Final = 10
_MOST_DIMENSIONS: Final = 4

STOP, LENGTH = 0, 1
"""``StopReason``."""


class WireDatum(NamedTuple):
    """One datum: what the model reads, what it is to say next, and 1 where that is learnt."""

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    weights: tuple[float, ...]


class WireBatch(NamedTuple):
    """A ``ForwardBackwardRequest``."""

    model_id: str
    number: int
    loss: str
    forward_only: bool
    data: tuple[WireDatum, ...]


def read_batch(body: bytes, most: int) -> WireBatch:
    """A ``ForwardBackwardRequest`` of at most ``most`` data: model_id 1, seq_id 2, data 3,
    loss_fn 4, forward_only 6.

    Raises:
        Refusal: 400 ``gateway.bad_protobuf``, or ``gateway.parameter_not_allowed`` for the loss's
            configuration (5, 7).
    """
    found: dict[int, int | bytes] = {}
    data: list[WireDatum] = []
    for number, value in _fields(body):
        if number == 3:
            if len(data) >= most:
                raise _bad(f"it has more than {most} data")
            data.append(_datum(_chunk(value)))
        elif number in (5, 7):
            raise never("loss_fn_config", "the loss has nothing to choose")
        else:
            _once(found, number, value, (1, 2, 4, 6))
    return WireBatch(
        _text(found.get(1, b"")),
        _number(found.get(2, 0)),
        _text(found.get(4, b"")),
        bool(_number(found.get(6, 0))),
        tuple(data),
    )


def _datum(body: bytes) -> WireDatum:
    """``Datum``: model_input 1 (repeated ``Chunk``), loss_fn_inputs 2 (a map to ``Tensor``)."""
    ids: list[int] = []
    tensors: dict[str, bytes] = {}
    for number, value in _fields(body):
        if number == 1:
            ids += _chunk_ids(_chunk(value))
        elif number == 2:
            entry: dict[int, int | bytes] = {}
            for at, part in _fields(_chunk(value)):
                _once(entry, at, part, (1, 2))
            name = _text(entry.get(1, b""))
            if name in tensors or name not in ("target_tokens", "weights"):
                raise _bad("a datum's inputs are `target_tokens` and `weights`, each once")
            tensors[name] = _chunk(entry.get(2, b""))
        else:
            raise _bad("a datum has other fields than tokens and inputs of the loss")
    if len(tensors) != 2:
        raise _bad("a datum's inputs are `target_tokens` and `weights`, each once")
    targets = _tensor(tensors["target_tokens"], _INT64)
    weights = _tensor(tensors["weights"], _FLOAT32)
    return WireDatum(tuple(ids), tuple(map(int, targets)), tuple(map(float, weights)))


def _chunk_ids(body: bytes) -> list[int]:
    """``Chunk``: encoded_text 1 (``EncodedTextChunk``: tokens 1, int32 little-endian)."""
    raw = _only(_only(body, "only text is learnt from"), "only text is learnt from")
    if len(raw) % 4:
        raise _bad("tokens are no whole numbers of four bytes")
    return [int(each) for each in np.frombuffer(raw, "<i4")]


def _tensor(body: bytes, kind: int) -> np.ndarray:
    """``Tensor`` of one dimension: dense 1, dtype 3, shape 4 (repeated)."""
    found: dict[int, int | bytes] = {}
    shape: list[int] = []
    for number, value in _fields(body):
        if number == 4:
            shape += [value] if isinstance(value, int) else list(_varints(value))
            if len(shape) > _MOST_DIMENSIONS:
                raise _bad("a tensor has too many dimensions")
        else:
            _once(found, number, value, (1, 3))
    raw = _chunk(found.get(1, b""))
    size = 8 if kind == _INT64 else 4
    if _number(found.get(3, 0)) != kind or len(raw) % size or shape not in ([], [len(raw) // size]):
        raise _bad("a tensor is not of one dimension, or not of the type that its name asks for")
    return np.frombuffer(raw, "<i8" if kind == _INT64 else "<f4")


def _only(body: bytes, why: str) -> bytes:
    """The bytes of field 1, which is the only one."""
    found: dict[int, int | bytes] = {}
    for number, value in _fields(body):
        if number != 1:
            raise _bad(why)
        _once(found, number, value, (1,))
    return _chunk(found.get(1, b""))


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: a number for a varint, else bytes."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(body, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(body, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise _bad("a field has an unknown type")
        if size > len(body) - at:
            raise _bad("it ends too early")
        yield number, body[at : at + size]
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        if at >= len(body):
            raise _bad("it ends too early")
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise _bad("a number is too long")


def _varints(body: bytes) -> Iterator[int]:
    at = 0
    while at < len(body):
        value, at = _varint(body, at)
        yield value


def _once(
    found: dict[int, int | bytes], number: int, value: int | bytes, allowed: tuple[int, ...]
) -> None:
    if number not in allowed:
        raise _bad(f"it has the unknown field {number}")
    if number in found:
        raise _bad(f"field {number} stands twice")
    found[number] = value


def _chunk(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _bad("a number stands where bytes belong")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise _bad("bytes stand where a number belongs")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _chunk(value).decode()
    except UnicodeDecodeError:
        raise _bad("a text is not UTF-8") from None


def _bad(why: str) -> Refusal:
    return Refusal(
        "gateway.bad_protobuf",
        f"The request body cannot be used: {why}.",
        action="Send what the client package tinker, version 0.38, sends for plain text.",
    )


def write_learned(count: int, loss: float | None) -> bytes:
    """``ForwardBackwardOutput``: loss_fn_output_type 1, loss_fn_outputs 2 (one ``ArrayRecord`` with
    num_datums 3 and nothing else), metrics 3 (a map: key 1, value 2, a double).
    """
    record = _field(3, count) if count else b""
    body = _field(1, b"ArrayRecord") + _field(2, record)
    if loss is not None:
        value = bytes((2 << 3 | _FIXED64,)) + struct.pack("<d", loss)
        body += _field(3, _field(1, b"loss:mean") + value)
    return body


def write_sample(ids: Sequence[int], reason: int) -> bytes:
    """``SampleResponse``: sequences 1 (one ``SampledSequence``: stop_reason 1, tokens 2, int32)."""
    tokens = np.asarray(ids, "<i4").tobytes()
    return _field(1, (_field(1, reason) if reason else b"") + (_field(2, tokens) if ids else b""))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _encoded(number << 3 | _VARINT) + _encoded(value)
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value


def _encoded(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
