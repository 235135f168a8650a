"""The codec refuses whatever is not the one spelling of a frame, and raises nothing else."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.boundary import codec, frames
from strongroom.errors import BoundaryRefused

ids = st.integers(1, 2**53)
tokens = st.integers(0, 2**31 - 1)
names = st.text(min_size=1, max_size=128)
finite = st.floats(-1e6, 1e6)
counts = st.integers(0, 2**53)
adapter_names = st.from_regex(r"[A-Za-z0-9_\-]{0,64}", fullmatch=True)


def tuples(of: st.SearchStrategy[Any], most: int = 8, least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(of, min_size=least, max_size=most).map(tuple)


samplings = st.builds(
    frames.Sampling,
    temperature=st.floats(0.0, 2.0),
    top_p=st.floats(0.0, 1.0, exclude_min=True),
)
to_keeper = st.one_of(
    st.builds(
        frames.Generate,
        id=ids,
        tenant=names,
        tokens=tuples(tokens, least=1),
        max_tokens=st.integers(1, frames.MAX_PROMPT_TOKENS),
        sampling=samplings,
        top_logprobs=st.integers(0, frames.MAX_TOP_LOGPROBS),
        adapter=adapter_names,
    ),
    st.builds(
        frames.LoadAdapter,
        id=ids,
        tenant=names,
        adapter=adapter_names.filter(bool),
        size=st.integers(1, frames.MAX_ADAPTER_BYTES),
        offset=st.integers(0, frames.MAX_ADAPTER_BYTES - 1),
        data=st.binary(min_size=1, max_size=64),
    ),
    st.builds(frames.UnloadAdapter, id=ids, tenant=names, adapter=adapter_names.filter(bool)),
    st.builds(
        frames.Classify,
        id=ids,
        tenant=names,
        dtype=st.sampled_from(["F32", "U8"]),
        shape=tuples(st.integers(1, 2**20), most=5, least=1),
        data=st.binary(max_size=64),
        scores=st.booleans(),
    ),
    st.builds(frames.Cancel, id=ids),
    st.just(frames.AskStatus()),
)
scores = st.builds(
    frames.TokenScores,
    ids=tuples(tokens, most=5, least=1),
    logprobs=tuples(finite, most=5, least=1),
)
cards = st.builds(
    frames.ModelCard,
    kind=st.sampled_from(["causal-lm", "classifier"]),
    model_id=names,
    release=counts,
    manifest_digest=names,
    rungs=st.dictionaries(names, st.sampled_from(["closed", "text", "topk"]), max_size=3),
    eos_token_ids=tuples(tokens),
    tokenizer=st.binary(max_size=32),
    special_tokens=st.dictionaries(names, names, max_size=2),
    input_shape=tuples(st.integers(1, 2**20), most=4),
    input_range=st.tuples(finite, finite),
    labels=tuples(names),
)
bits = st.floats(0, 1e18)
to_gateway = st.one_of(
    st.builds(frames.AdapterState, id=ids, loaded=st.booleans()),
    st.builds(
        frames.Hello,
        protocol=counts,
        card=cards,
        walls=st.dictionaries(names, names, max_size=3),
        egress=st.text(max_size=64),
    ),
    st.builds(frames.Tokens, id=ids, tokens=tuples(tokens, least=1), scores=tuples(scores, 2)),
    st.builds(
        frames.Done,
        id=ids,
        reason=st.sampled_from(["stop", "length", "cancelled", "egress"]),
        prompt_tokens=counts,
        completion_tokens=counts,
    ),
    st.builds(
        frames.Labels,
        id=ids,
        labels=tuples(st.integers(0, 9), least=1),
        scores=tuples(tuples(finite, least=1)),
        top=tuples(tuples(st.integers(0, 9), least=1)),
    ),
    st.builds(frames.Refused, id=ids, code=st.just("keeper.closed"), message=st.text(max_size=32)),
    st.builds(frames.Status, counts, counts, bits, bits, bits, bits),
    st.builds(frames.Fault, st.just("keeper.test"), st.text(max_size=32)),
)

GENERATE = frames.Generate(id=7, tenant="acme", tokens=(1, 2, 3), max_tokens=4)
SCORED = frames.Tokens(7, (5,), (frames.TokenScores((5, 6), (-0.5, -2.0)),))
LABELLED = frames.Labels(7, (3, 1), scores=((0.5, 0.25), (1.0, 0.0)), top=((3, 2), (1, 0)))
PREFIX = 4


def spelt(**fields: object) -> bytes:
    """A ``Generate`` as MessagePack, with some fields replaced or added."""
    plain = msgspec.to_builtins(GENERATE, builtin_types=(bytes,))
    return msgspec.msgpack.encode({**plain, **fields})


def refused(payload: bytes) -> str:
    with pytest.raises(BoundaryRefused) as caught:
        codec.decode_to_keeper(payload)
    return caught.value.code


@given(to_keeper)
def test_frames_to_the_keeper_survive_the_wire(frame: frames.ToKeeper) -> None:
    (payload,) = codec.keeper_buffer().feed(codec.encode_to_keeper(frame))
    assert codec.decode_to_keeper(payload) == frame


@given(to_gateway)
def test_frames_to_the_gateway_survive_the_wire(frame: frames.ToGateway) -> None:
    (payload,) = codec.gateway_buffer().feed(codec.encode_to_gateway(frame))
    assert codec.decode_to_gateway(payload) == frame


def test_the_spelling_helper_is_the_canonical_one() -> None:
    """Positive control of the tests below: nothing replaced, nothing refused."""
    assert codec.decode_to_keeper(spelt()) == GENERATE


@pytest.mark.parametrize(
    "fields",
    [
        {"logit_bias": {}},
        {"tokens": []},
        {"tokens": [-1]},
        {"tokens": [2**31]},
        {"tokens": [1.0]},
        {"tokens": ["1"]},
        {"tokens": None},
        {"tenant": ""},
        {"tenant": "x" * 129},
        {"tenant": b"acme"},
        {"id": 0},
        {"id": True},
        {"max_tokens": 0},
        {"top_logprobs": 6},
        {"top_logprobs": -1},
        {"sampling": {"temperature": math.nan, "top_p": 1.0}},
        {"sampling": {"temperature": math.inf, "top_p": 1.0}},
        {"sampling": {"temperature": -0.1, "top_p": 1.0}},
        {"sampling": {"temperature": 1.0, "top_p": 0.0}},
        {"sampling": {"temperature": 1.0, "top_p": 1.0, "seed": 1}},
        {"type": "status"},
        {"type": "hello"},
        {"type": None},
    ],
    ids=str,
)
def test_fields_out_of_their_bounds_are_refused(fields: dict[str, object]) -> None:
    assert refused(spelt(**fields)) == "boundary.malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        b"\xc1",
        b"\x91" * 100_000,
        spelt() + b"\x00",
        spelt()[:-1],
        b"\x81\xa4type\xaaask_statu\xff",  # a string that is not UTF-8
        b"\x82\xa4type\xa8generate\xa6tokens\xdd\xff\xff\xff\xff",  # four thousand million tokens
    ],
    ids=["empty", "nil", "reserved", "nested", "trailing", "cut", "not UTF-8", "huge count"],
)
def test_junk_is_refused(payload: bytes) -> None:
    assert refused(payload) == "boundary.malformed"


@pytest.mark.parametrize(
    "payload",
    [
        spelt(sampling={"temperature": 1, "top_p": 1.0}),
        spelt().replace(b"\xa2id\x07", b"\xa2id\xcc\x07"),
        spelt().replace(b"\xa2id\x07", b"\xa2id\x06\xa2id\x07").replace(b"\x89", b"\x8a", 1),
        msgspec.msgpack.encode(dict(reversed(msgspec.to_builtins(GENERATE).items()))),
        msgspec.msgpack.encode(
            {"type": "generate", "id": 7, "tenant": "acme", "tokens": [1], "max_tokens": 4}
        ),
        spelt().replace(b"\xcb" + struct.pack(">d", 1.0), b"\xca" + struct.pack(">f", 1.0), 1),
    ],
    ids=[
        "int for float",
        "long int",
        "repeated key",
        "reordered",
        "omitted default",
        "short float",
    ],
)
def test_second_spellings_are_refused(payload: bytes) -> None:
    assert payload != spelt()
    assert refused(payload) == "boundary.not_canonical"


def test_a_refusal_does_not_quote_the_payload() -> None:
    with pytest.raises(BoundaryRefused) as caught:
        codec.decode_to_keeper(spelt(tenant=b"s3cret"))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_frames_of_the_other_direction_are_refused() -> None:
    done = frames.Done(1, "stop", 1, 1)
    assert refused(codec.encode_to_gateway(done)[PREFIX:]) == "boundary.malformed"
    with pytest.raises(BoundaryRefused):
        codec.decode_to_gateway(codec.encode_to_keeper(GENERATE)[PREFIX:])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2e6])
def test_scores_must_be_finite(value: float) -> None:
    frame = frames.Labels(1, (0,), scores=((value,),))
    with pytest.raises(BoundaryRefused):
        codec.decode_to_gateway(codec.encode_to_gateway(frame)[PREFIX:])


def test_oversized_frames_are_refused_both_ways() -> None:
    data = bytes(frames.MAX_TO_KEEPER_BYTES)
    with pytest.raises(BoundaryRefused, match="limit"):
        codec.encode_to_keeper(frames.Classify(1, "a", "U8", (1,), data))
    assert refused(data + b"\x00") == "boundary.oversized"
    with pytest.raises(BoundaryRefused, match="limit"):
        codec.keeper_buffer().feed(struct.pack(">I", frames.MAX_TO_KEEPER_BYTES + 1))


def test_the_largest_tensor_fits() -> None:
    frame = frames.Classify(
        2**53, "t" * 128, "U8", (1, 1024, 1024, 8), bytes(frames.MAX_TENSOR_BYTES), True
    )
    assert codec.decode_to_keeper(codec.encode_to_keeper(frame)[PREFIX:]) == frame


def survives(payload: bytes) -> int:
    """Decode in both directions; return how many accepted. Any other exception is a failure."""
    accepted = 0
    directions: list[tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = [
        (codec.decode_to_keeper, codec.encode_to_keeper),
        (codec.decode_to_gateway, codec.encode_to_gateway),
    ]
    for decode, encode in directions:
        try:
            frame = decode(payload)
        except BoundaryRefused:
            continue
        accepted += 1
        assert encode(frame)[PREFIX:] == payload
    return accepted


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=256))
def test_random_bytes_never_crash_the_decoder(payload: bytes) -> None:
    survives(payload)


edits = st.lists(
    st.tuples(st.sampled_from(["flip", "insert", "delete", "cut"]), st.integers(0), st.binary()),
    min_size=1,
    max_size=4,
)


def mutate(payload: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    out = bytearray(payload)
    for kind, where, what in changes:
        at = where % (len(out) + 1)
        if kind == "insert":
            out[at:at] = what
        elif kind == "delete":
            del out[at : at + len(what)]
        elif kind == "cut":
            del out[at:]
        elif at < len(out):
            out[at] ^= 1 << (where // 7 % 8)
    return bytes(out)


@settings(max_examples=800, deadline=None)
@given(st.one_of(to_keeper, to_gateway), edits)
def test_mutated_frames_never_crash_the_decoder(
    frame: Any, changes: list[tuple[str, int, bytes]]
) -> None:
    survives(mutate(codec.encode_to_gateway(frame)[PREFIX:], changes))


def test_a_hundred_thousand_seeded_edits() -> None:
    """A seeded corpus besides hypothesis: bytes replaced, doubled, dropped and swapped."""
    chance = random.Random(20_260)
    done = frames.Done(7, "stop", 3, 4)
    seeds = [spelt(), *(codec.encode_to_gateway(f)[PREFIX:] for f in (done, SCORED, LABELLED))]
    accepted = 0
    for _ in range(100_000):
        payload = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(payload))
            what = chance.randrange(4)
            if what == 0:
                payload[at] = chance.randrange(256)
            elif what == 1:
                payload[at:at] = payload[at : at + chance.randint(1, 8)]
            elif what == 2 and len(payload) > 1:
                del payload[at]
            else:
                other = chance.randrange(len(payload))
                payload[at], payload[other] = payload[other], payload[at]
        accepted += survives(bytes(payload))
    assert accepted < 50_000  # some edits only change a value, most break the frame
    assert accepted > 0
