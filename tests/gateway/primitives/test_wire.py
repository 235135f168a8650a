"""Our protobuf and the client's own generated classes say the same, both ways."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import tinker
from hypothesis import given, settings
from hypothesis import strategies as st
from tinker.proto import tinker_public_pb2 as pb
from tinker.proto.request_conv import forward_backward_request_to_proto
from tinker.proto.response_conv import deserialize_proto_response

from strongroom.gateway.primitives import wire
from strongroom.gateway.refusals import Refusal

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=20)
TEXTS = st.text(max_size=20)
FLOATS = st.floats(width=32, allow_nan=False)
DATUM = IDS.flatmap(
    lambda ids: st.tuples(
        st.just(ids),
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=len(ids), max_size=len(ids)),
        st.lists(FLOATS, min_size=len(ids), max_size=len(ids)),
    )
)


def request(data: list[Any], **fields: Any) -> Any:
    made = [
        tinker.Datum(
            model_input=tinker.ModelInput.from_ints(ids),
            loss_fn_inputs={
                "target_tokens": tinker.TensorData(data=targets, dtype="int64"),
                "weights": tinker.TensorData(data=weights, dtype="float32"),
            },
        )
        for ids, targets, weights in data
    ]
    values = {"model_id": "m", "seq_id": 1, "loss": "cross_entropy", "config": None} | fields
    return forward_backward_request_to_proto(
        tinker.types.ForwardBackwardRequest(
            model_id=values["model_id"],
            seq_id=values["seq_id"],
            forward_backward_input=tinker.types.ForwardBackwardInput(
                data=made, loss_fn=values["loss"], loss_fn_config=values["config"]
            ),
        )
    )


@given(st.lists(DATUM, max_size=5), TEXTS, st.integers(1, 2**31 - 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_the_client_writes_is_what_we_read(
    data: list[Any], model: str, number: int, forward: bool
) -> None:
    message = request(data, model_id=model, seq_id=number)
    message.forward_only = forward
    found = wire.read_batch(message.SerializeToString(), 5)
    assert (found.model_id, found.number, found.loss) == (model, number, "cross_entropy")
    assert found.forward_only == forward
    assert found.data == tuple(wire.WireDatum(*map(tuple, datum)) for datum in data)


@given(st.integers(0, 5000), st.none() | st.floats(allow_nan=False, width=32))
@settings(max_examples=40, deadline=None)
def test_what_we_write_of_a_loss_is_what_the_client_reads(count: int, loss: float | None) -> None:
    body = wire.write_learned(count, loss)
    read = deserialize_proto_response(body, tinker.types.ForwardBackwardOutput)
    assert read.loss_fn_outputs == [{}] * count  # as many as were sent, with nothing in them
    assert read.metrics == ({} if loss is None else {"loss:mean": loss})
    parsed = pb.ForwardBackwardOutput.FromString(body)
    assert pb.ForwardBackwardOutput.FromString(parsed.SerializeToString()) == parsed


@given(IDS, st.sampled_from([wire.STOP, wire.LENGTH]))
@settings(max_examples=40, deadline=None)
def test_what_we_write_of_a_sample_is_what_the_client_reads(ids: list[int], reason: int) -> None:
    body = wire.write_sample(ids, reason)
    (sequence,) = deserialize_proto_response(body, tinker.types.SampleResponse).sequences
    assert list(sequence.tokens) == ids
    assert sequence.stop_reason == ("stop", "length")[reason]
    assert sequence.logprobs is None


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(Refusal):  # and nothing else is ever raised
        wire.read_batch(body, 5)


def datum(**tensors: Any) -> bytes:
    """A request with one datum, made with the generated classes."""
    message = pb.ForwardBackwardRequest()
    made = message.data.add()
    made.model_input.add().encoded_text.tokens = np.asarray([1, 2], np.int32).tobytes()
    for name, (dtype, values, shape) in tensors.items():
        tensor = made.loss_fn_inputs[name]
        tensor.dtype, tensor.dense = dtype, values
        tensor.shape.extend(shape)
    return bytes(message.SerializeToString())


TARGETS = (pb.DTYPE_INT64, np.asarray([2, 3]).tobytes(), [2])
WEIGHTS = (pb.DTYPE_FLOAT32, np.asarray([0, 1], np.float32).tobytes(), [2])


def image() -> bytes:
    message = pb.ForwardBackwardRequest()
    message.data.add().model_input.add().image.data = b"png"
    return bytes(message.SerializeToString())


def spans() -> bytes:
    message = pb.ForwardBackwardRequest()
    message.data.add().model_input_spans.add().prompt_tokens.length = 1
    return bytes(message.SerializeToString())


def sparse() -> bytes:
    message = pb.ForwardBackwardRequest.FromString(datum(target_tokens=TARGETS, weights=WEIGHTS))
    message.data[0].loss_fn_inputs["weights"].sparse_csr.values = b"1234"
    return bytes(message.SerializeToString())


GOOD = datum(target_tokens=TARGETS, weights=WEIGHTS)


@pytest.mark.parametrize(
    "body",
    [
        datum(target_tokens=TARGETS),
        datum(target_tokens=TARGETS, weights=WEIGHTS, advantages=WEIGHTS),
        datum(target_tokens=TARGETS, weights=(pb.DTYPE_INT64, TARGETS[1], [2])),
        datum(target_tokens=TARGETS, weights=(pb.DTYPE_FLOAT32, WEIGHTS[1], [2, 1])),
        datum(target_tokens=TARGETS, weights=(pb.DTYPE_FLOAT32, WEIGHTS[1][:-1], [2])),
        image(),
        spans(),
        sparse(),
        GOOD * 2,  # one datum too many
        GOOD + b"\x0a\x01a\x0a\x01b",  # model_id twice
        GOOD + b"\x42\x00",  # field 8
        GOOD[:-1],
        b"\x1a\xff\xff\xff\xff\x0f",
        b"\x12" + b"\xff" * 11,
        b"\x0b",
    ],
)
def test_what_is_not_text_to_learn_is_refused(body: bytes) -> None:
    assert wire.read_batch(GOOD, 1).data[0].targets == (2, 3)  # positive control
    with pytest.raises(Refusal) as caught:
        wire.read_batch(body, 1)
    assert caught.value.code == "gateway.bad_protobuf"


def test_the_configuration_of_a_loss_is_refused_by_name() -> None:
    message = request([], config={"epsilon": 0.2})
    with pytest.raises(Refusal) as caught:
        wire.read_batch(message.SerializeToString(), 1)
    assert caught.value.param == "loss_fn_config"
