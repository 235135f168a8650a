"""The Open Inference Protocol (v2) for classifiers: JSON tensors in, labels out.

``POST /v2/models/{name}/infer`` takes the steps of ``pipeline``, with a tensor in the place of
tokens: its data type, shape, length and range must be those of the card before it is packed.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from strongroom import __version__
from strongroom.boundary.frames import MAX_TENSOR_BYTES, Classify, Labels
from strongroom.gateway.detection.interface import Rows
from strongroom.gateway.http import JSON_TYPE, Request
from strongroom.gateway.keeper_client import KeeperClient
from strongroom.gateway.pipeline.desk import Desk
from strongroom.gateway.pipeline.spending import Spending
from strongroom.gateway.refusals import Refusal
from strongroom.gateway.served_model import ServedModel
from strongroom.gateway.strict_json import Fields, check_unique, decode_fields, parse_object

_DATATYPES = {"F32": "FP32", "U8": "UINT8"}
_OTHER_COMMAS = 512
"""More than stand in ``inputs`` between fields, in its shape and in its name."""

_SCORE_RUNGS = frozenset({"top1", "topk", "logits", "embeddings"})


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of request structs: an unknown field is refused."""


class InputTensor(_Closed, frozen=True):
    """One input tensor; ``data`` flat, in C order."""

    name: Annotated[str, Meta(max_length=256)]
    shape: Annotated[list[Annotated[int, Meta(ge=1, le=2**20)]], Meta(min_length=1, max_length=5)]
    datatype: Literal["FP32", "UINT8"]
    data: list[int | float]


class OutputChoice(_Closed, frozen=True):
    """One output that the caller wants."""

    name: Literal["label", "scores"]


class InferRequest(_Closed, frozen=True):
    """Body of an inference request."""

    inputs: Annotated[list[InputTensor], Meta(min_length=1, max_length=1)]
    id: Annotated[str, Meta(max_length=256)] | None = None
    outputs: Annotated[list[OutputChoice], Meta(min_length=1, max_length=2)] | None = None


_infer = msgspec.json.Decoder(InferRequest)
_encode = msgspec.json.Encoder().encode


class InferenceProtocol:
    """Handlers of ``/v2``."""

    def __init__(self, desk: Desk, model: ServedModel, keeper: KeeperClient) -> None:
        self._desk = desk
        self._model = model
        self._keeper = keeper

    async def server(self, request: Request) -> None:
        """``GET /v2``."""
        await request.answer({"name": "strongroom", "version": __version__, "extensions": []})

    async def ready(self, request: Request) -> None:
        """``GET /v2/models/{name}/ready``."""
        (await self._desk.identify(request)).require("models")
        ready = not self._keeper.closed.is_set()
        await request.answer(
            {"name": self._model.name, "ready": ready}, status=200 if ready else 503
        )

    async def metadata(self, request: Request) -> None:
        """``GET /v2/models/{name}``."""
        (await self._desk.identify(request)).require("models")
        card = self._model.card
        described: dict[str, Any] = {
            "name": self._model.name,
            "versions": [str(card.release)],
            "platform": "strongroom",
            "inputs": [],
            "outputs": [],
        }
        if card.kind == "classifier":
            shape = [-1, *card.input_shape]
            datatype = _DATATYPES[card.input_dtype]
            described["inputs"] = [{"name": "input", "datatype": datatype, "shape": shape}]
            described["outputs"] = [{"name": "label", "datatype": "BYTES", "shape": [-1]}]
        await request.answer(described)

    async def infer(self, request: Request) -> None:
        """``POST /v2/models/{name}/infer``."""
        model = self._model
        async with self._desk.passage(request, "infer") as passage:
            caller, body = await passage.admit()
            if model.card.kind != "classifier":
                raise _not_a_classifier(model.name)
            fields = parse_object(body)
            self._bound_numbers(fields)
            asked = decode_fields(fields, _infer)
            check_unique(body)
            frame = self._frame(asked, caller.organisation)
            rung = model.rung(caller.organisation)
            spending = Spending(frame, model.card, rung, self._desk.rates)
            await passage.reserve(spending, frame.data)
            with passage.hold():
                exchange = passage.exchange = self._keeper.start(frame)
                async with exchange:
                    answer = await exchange.next()
                await passage.progress()
            if not isinstance(answer, Labels):
                raise RuntimeError("the client let a wrong answer through")
            passage.observe(Rows(frame.data, frame.dtype, frame.shape[0], tuple(answer.labels)))
            said = _encode(self._answer(asked, answer))
            await passage.answered("label", said)
            await request.answer_bytes(said, 200, (JSON_TYPE,))

    def _frame(self, asked: InferRequest, organisation: str) -> Classify:
        tensor = asked.inputs[0]
        self._check_tensor(tensor)
        return Classify(
            id=self._keeper.next_id(),
            tenant=organisation,
            dtype="F32" if tensor.datatype == "FP32" else "U8",
            shape=tuple(tensor.shape),
            data=_pack(tensor),
            scores=self._wants_scores(asked, organisation),
        )

    def _wants_scores(self, asked: InferRequest, tenant: str) -> bool:
        wanted = asked.outputs is not None and any(o.name == "scores" for o in asked.outputs)
        if wanted and self._model.rung(tenant) not in _SCORE_RUNGS:
            raise Refusal(
                "gateway.output_not_allowed",
                "The output `scores` is not allowed at your rung of disclosure.",
                action="Ask for `label`, or ask the model's owner for rung `top1`.",
                status=403,
                param="outputs",
                rung="top1",
            )
        return wanted

    def _bound_numbers(self, fields: Fields) -> None:
        """Refuse more numbers than the model takes before memory is taken for them."""
        card = self._model.card
        most = card.max_rows * math.prod(card.input_shape)
        if bytes(fields.get("inputs", b"")).count(b",") > most + _OTHER_COMMAS:
            raise _bad_tensor(f"it has more than {most} numbers")

    def _check_tensor(self, tensor: InputTensor) -> None:
        card = self._model.card
        if tensor.datatype != _DATATYPES[card.input_dtype]:
            raise _bad_tensor(f"its datatype is not {_DATATYPES[card.input_dtype]}")
        if tuple(tensor.shape[1:]) != card.input_shape:
            raise _bad_tensor(f"its shape is not [rows, {', '.join(map(str, card.input_shape))}]")
        if tensor.shape[0] > card.max_rows:
            raise _bad_tensor(f"it has more than {card.max_rows} rows")
        if len(tensor.data) != math.prod(tensor.shape):
            raise _bad_tensor("its data is not as long as its shape says")
        size = 4 if tensor.datatype == "FP32" else 1
        if len(tensor.data) * size > MAX_TENSOR_BYTES:
            raise _bad_tensor(f"it is larger than {MAX_TENSOR_BYTES} bytes")
        low, high = card.input_range
        if tensor.datatype == "UINT8":
            if any(isinstance(value, float) for value in tensor.data):
                raise _bad_tensor("it holds a number that is no integer")
            low, high = max(low, 0.0), min(high, 255.0)
        if not (low <= min(tensor.data) and max(tensor.data) <= high):
            raise _bad_tensor(f"a value is outside {low:g} to {high:g}")

    def _answer(self, asked: InferRequest, answer: Labels) -> dict[str, Any]:
        names = self._model.card.labels
        rows = len(answer.labels)
        outputs: list[dict[str, Any]] = [
            {
                "name": "label",
                "datatype": "BYTES",
                "shape": [rows],
                "data": [names[index] for index in answer.labels],
            }
        ]
        if answer.scores:
            width = len(answer.scores[0])
            outputs.append(_tensor("scores", "FP32", rows, width, answer.scores))
        if answer.top:
            classes = [[names[index] for index in row] for row in answer.top]
            outputs.append(_tensor("classes", "BYTES", rows, len(classes[0]), classes))
        body: dict[str, Any] = {
            "model_name": self._model.name,
            "model_version": str(self._model.card.release),
            "outputs": outputs,
        }
        if asked.id is not None:
            body["id"] = asked.id
        return body


def _not_a_classifier(name: str) -> Refusal:
    return Refusal(
        "gateway.not_a_classifier",
        f"The model `{name}` does not classify.",
        action="Use /v1/chat/completions.",
        status=404,
    )


def _tensor(name: str, datatype: str, rows: int, width: int, values: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": datatype,
        "shape": [rows, width],
        "data": [value for row in values for value in row],
    }


def _pack(tensor: InputTensor) -> bytes:
    if tensor.datatype == "UINT8":
        return bytes(int(value) for value in tensor.data)
    return struct.pack(f"<{len(tensor.data)}f", *tensor.data)


def _bad_tensor(reason: str) -> Refusal:
    return Refusal(
        "gateway.bad_tensor",
        f"The input tensor is not acceptable: {reason}.",
        action="GET /v2/models/{name} says what the model takes.",
        param="inputs",
    )
