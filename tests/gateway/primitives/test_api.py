"""The routes of Tinker's client: what it gets, and each way to more than that, refused."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import tinker

from gateway.conftest import MODEL, Door
from gateway.fake_keeper import SPECIAL, TEMPLATE
from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.schema import Message
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.ledger.entries import SessionChanged
from strongroom.store.tuning import TuningStore, open_tuning_store
from strongroom.tune.chat_lines import Turn
from strongroom.tune.dataset import mark
from strongroom.tune.frames import unpack_examples
from strongroom.tune.policy import Dp, Floors, Policy, Tuning

FLOORS = Floors(distinct_per_step=8, supervised_per_step=20, fresh_runs=2)
LIMITS = Tuning(primitives=True, policy=Policy(floors=FLOORS), most_open_jobs=2)
LORA = {"rank": 8, "train_unembed": False}


@pytest.fixture(scope="module")
def granted(
    tmp_path_factory: pytest.TempPathFactory, card: Any, tokenizer: Any
) -> Iterator[tuple[Door, TuningStore]]:
    folder = tmp_path_factory.mktemp("primitives")
    database = str(folder / "tuning.sqlite")
    door = Door(folder, card, tokenizer, tuning=LIMITS, tuning_database=database)
    with open_tuning_store(database) as store:
        yield door, store
    door.close()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_TELEMETRY", "0")


class Caller:
    """Somebody's requests, as bytes; what is answered."""

    def __init__(self, door: Door, key: str) -> None:
        self.door, self.key = door, key

    def ask(self, name: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.door.port, timeout=30)
        sent = {"x-api-key": f"tml-{self.key}", "content-type": "application/json"} | headers
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        connection.request("POST", f"/api/v1/{name}", raw, sent)
        answer = connection.getresponse()
        self.headers = answer.headers
        read = answer.read()
        return answer.status, json.loads(read) if b"{" in read[:1] else read

    def refused(self, name: str, body: Any = None, **headers: str) -> tuple[str, str | None]:
        status, said = self.ask(name, body, **headers)
        assert status >= 400, said
        return said["code"], said.get("param")

    def begin(self, number: int = 0, **lora: Any) -> str:
        body = model(number, **lora)
        status, said = self.ask("create_model", body)
        assert status == 200, said
        return str(said["model_id"])


def model(number: int = 0, **lora: Any) -> dict[str, Any]:
    return {
        "session_id": "s",
        "model_seq_id": number,
        "base_model": MODEL,
        "lora_config": LORA | lora,
    }


def newcomer(granted: tuple[Door, TuningStore], name: str) -> Caller:
    return Caller(granted[0], granted[0].new_key(name))


def datums(card: Any, count: int = 3) -> list[Any]:
    """What a careful client sends, by the card's own template."""
    tokenizer = ModelTokenizer(card.tokenizer, card.vocab_size)
    template = ChatTemplate(TEMPLATE, {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}, tokenizer)
    controls = frozenset(tokenizer.control_tokens.values())

    def encode(plain: Any) -> list[int]:
        return template.encode([Message(role, text) for role, text in plain])

    made = []
    for number in range(count):
        turns = [Turn("user", f"count {number}"), Turn("assistant", "one two three")]
        example = mark(turns, encode, controls)
        assert example is not None
        weights = [float(each) for each in example.learnt[1:]]
        made.append(
            tinker.Datum(
                model_input=tinker.ModelInput.from_ints(list(example.ids[:-1])),
                loss_fn_inputs={
                    "target_tokens": tinker.TensorData(data=example.ids[1:], dtype="int64"),
                    "weights": tinker.TensorData(data=weights, dtype="float32"),
                },
            )
        )
    return made


@pytest.fixture
def runner(granted: tuple[Door, TuningStore], card: Any) -> Iterator[None]:
    """Takes up every session, as a runner would, without training."""
    store, over = granted[1], threading.Event()

    def run() -> None:
        while not over.wait(0.02):
            for session in store.open_sessions(card.manifest_digest):
                store.session_is(session.id, "live")

    thread = threading.Thread(target=run)
    thread.start()
    yield
    over.set()
    thread.join()


def next_request(store: TuningStore, session: str) -> Any:
    """The request that waits, as soon as one does."""
    until = time.monotonic() + 10
    while (waits := store.next_request(session)) is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    return waits


def test_the_client_steers_and_only_its_rate_is_taken(
    granted: tuple[Door, TuningStore], card: Any, quiet: None, runner: None
) -> None:
    door, store = granted
    service = tinker.ServiceClient(base_url=door.url, api_key=f"tml-{door.new_key('driver')}")
    training = service.create_lora_training_client(MODEL, rank=8, train_unembed=False).result()
    info = training.get_info()
    assert (info.model_data.model_name, info.lora_rank) == (MODEL, 8)
    session, data = training.model_id, datums(card)
    learned = training.forward_backward(data, "cross_entropy")
    stepped = training.optim_step(tinker.AdamParams(learning_rate=5e-4))
    request, payload = next_request(store, session)
    examples = unpack_examples(payload, card.vocab_size, card.context_length)
    assert len(examples) == 3
    assert list(examples[0].ids[:-1]) == data[0].model_input.to_ints()
    store.answer_request(request.id, b'{"loss": 1.25, "count": 3}')
    request, payload = next_request(store, session)
    assert json.loads(payload) == 5e-4  # neither its betas nor its epsilon
    store.answer_request(request.id, b'{"step": 21}')
    assert learned.result().metrics == {"loss:mean": 1.25}
    assert learned.result().loss_fn_outputs == [{}] * 3
    metrics = stepped.result().metrics
    assert metrics == {"step": 21, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    chosen = {"eps": 1.0, "beta1": 0.0, "beta2": 0.9, "weight_decay": 0.1, "grad_clip_norm": 1e9}
    for name, value in chosen.items():
        with pytest.raises(tinker.BadRequestError) as caught:
            training.optim_step(tinker.AdamParams(**{name: value})).result()
        assert caught.value.body["param"] == name  # type: ignore[index, call-overload]
    assert store.next_request(session) is None
    training.optim_step(tinker.AdamParams(eps=1e-8, beta2=0.999, grad_clip_norm=1.0))
    assert next_request(store, session)[0].kind == "update"


def test_what_leaks_is_refused_by_name(granted: tuple[Door, TuningStore], card: Any) -> None:
    caller, store = newcomer(granted, "curious"), granted[1]
    for name, value in (("train_unembed", True), ("seed", 7)):
        assert caller.refused("create_model", model(**{name: value})) == (
            "gateway.parameter_not_allowed",
            name,
        )
    no_unembed = model()
    del no_unembed["lora_config"]["train_unembed"]  # what is left out means true
    assert caller.refused("create_model", no_unembed)[1] == "train_unembed"
    assert caller.refused("create_model", model(rank=32))[0] == "tune.rank_refused"
    assert caller.refused("create_model", model(train_mlp=False, train_attn=False))[0] == (
        "tune.modules_refused"
    )
    other = model() | {"optimizer_config": {"type": "dimuon", "version": 1}}
    assert caller.refused("create_model", other)[0] == "gateway.bad_request"
    assert caller.refused("create_model", model() | {"base_model": "x"})[0] == "gateway.no_model"
    assert not [s for s in store.open_sessions(card.manifest_digest) if s.organisation == "curious"]
    session = caller.begin()
    assert caller.begin() == session  # asked again, it is the same
    kind = {"content-type": "application/x-protobuf"}
    good = batch(session, datums(card))
    refusals = {
        "forward_only": batch(session, datums(card), forward_only=True),
        "loss_fn": batch(session, datums(card), loss="importance_sampling"),
        "loss_fn_config": batch(session, datums(card), config={"epsilon": 1.0}),
        "data[1]": batch(session, [datums(card)[0], weighted(card)]),
        "data[0]": batch(session, [control_token(card)]),
    }
    for param, body in refusals.items():
        assert caller.refused("forward_backward", body, **kind)[1] == param
    assert store.next_request(session) is None
    for _ in range(2):  # asked again, it is the same
        assert caller.ask("forward_backward", good, **kind)[0] == 200
    store.answer_request(f"{session}-1", b"{}")
    assert store.next_request(session) is None
    for gone in ("load_weights", "copy_weights", "save_weights_external", "create_custom_loss"):
        assert caller.refused(gone)[0] == "gateway.no_route"


def test_a_session_is_recorded_before_it_is_there(
    granted: tuple[Door, TuningStore], card: Any
) -> None:
    caller, store = newcomer(granted, "recorded"), granted[1]

    def recorded() -> list[SessionChanged]:
        found = [each for each in granted[0].records() if isinstance(each, SessionChanged)]
        return [each for each in found if each.organisation == "recorded"]

    assert not recorded()
    session = caller.begin()
    assert caller.begin() == session  # asked again, it is the same
    (began,) = recorded()
    assert (began.session, began.change, began.code) == (session, "began", "")
    assert (began.base_digest, began.key_id) == (card.manifest_digest, caller.key.split("_")[1])
    for number in range(1, LIMITS.most_open_jobs):
        caller.begin(number)
    one_more = model(LIMITS.most_open_jobs)
    assert caller.refused("create_model", one_more)[0] == "gateway.sessions_busy"
    *_, began, over = recorded()
    assert (began.change, over.change, over.code) == ("began", "over", "gateway.sessions_busy")
    assert began.session == over.session
    assert store.session(over.session) is None


def batch(session: str, data: list[Any], **changes: Any) -> bytes:
    from tinker.proto.request_conv import forward_backward_request_to_proto

    message = forward_backward_request_to_proto(
        tinker.types.ForwardBackwardRequest(
            model_id=session,
            seq_id=1,
            forward_backward_input=tinker.types.ForwardBackwardInput(
                data=data,
                loss_fn=changes.get("loss", "cross_entropy"),
                loss_fn_config=changes.get("config"),
            ),
        )
    )
    message.forward_only = changes.get("forward_only", False)
    return bytes(message.SerializeToString())


def changed(card: Any, **inputs: Any) -> Any:
    good = datums(card, 1)[0]
    values = good.loss_fn_inputs | inputs
    return tinker.Datum(model_input=good.model_input, loss_fn_inputs=values)


def weighted(card: Any) -> Any:
    """All but one token learnt next to nothing: a floor that counts tokens would be got around."""
    weights = datums(card, 1)[0].loss_fn_inputs["weights"].data
    tiny = [1e-9 if weight else 0.0 for weight in list(weights)[:-1]] + [1.0]
    return changed(card, weights=tinker.TensorData(data=tiny, dtype="float32"))


def control_token(card: Any) -> Any:
    """The first token of what the assistant says is a control token."""
    good = datums(card, 1)[0]
    ids = good.model_input.to_ints()
    targets = list(good.loss_fn_inputs["target_tokens"].data)
    at = next(i for i, w in enumerate(good.loss_fn_inputs["weights"].data) if w)
    ids[at + 1] = targets[at] = ids[0]
    return tinker.Datum(
        model_input=tinker.ModelInput.from_ints(ids),
        loss_fn_inputs=good.loss_fn_inputs
        | {"target_tokens": tinker.TensorData(data=targets, dtype="int64")},
    )


def test_another_organisation_finds_nothing(granted: tuple[Door, TuningStore], card: Any) -> None:
    mine, other = newcomer(granted, "holder"), newcomer(granted, "stranger")
    store = granted[1]
    session = mine.begin()
    store.session_is(session, "live")
    assert mine.ask("get_info", {"model_id": session})[0] == 200  # positive control
    assert mine.ask("retrieve_future", {"request_id": f"{session}-0"})[1]["model_id"] == session
    step = {"model_id": session, "seq_id": 1, "adam_params": {}}
    save = {"model_id": session, "seq_id": 1}
    kind = {"content-type": "application/x-protobuf"}
    attempts = [
        other.refused("get_info", {"model_id": session}),
        other.refused("optim_step", step),
        other.refused("save_weights", save),
        other.refused("save_weights_for_sampler", save),
        other.refused("forward_backward", batch(session, datums(card)), **kind),
        other.refused("retrieve_future", {"request_id": f"{session}-0"}),
    ]
    assert {code for code, _ in attempts} == {"gateway.tuning_not_found"}
    assert other.begin() != session  # its own numbers make another session
    assert mine.ask("optim_step", step)[0] == 200
    assert other.refused("retrieve_future", {"request_id": f"{session}-1"})[0] == (
        "gateway.tuning_not_found"
    )
    store.session_is(session, "over", "The session is over: idle.")
    failed = mine.ask("retrieve_future", {"request_id": f"{session}-1"})[1]
    assert failed["category"] == "user"
    assert "tune.session_over" in failed["error"]
    assert mine.refused("optim_step", step)[0] == "tune.session_over"


def test_sessions_of_one_organisation_are_few(granted: tuple[Door, TuningStore]) -> None:
    caller = newcomer(granted, "greedy")
    for number in range(2):
        caller.begin(number)
    assert caller.refused("create_model", model(2))[0] == "gateway.sessions_busy"
    assert caller.headers["retry-after"] == "30"


def test_a_sample_is_text_that_takes_the_usual_way(
    granted: tuple[Door, TuningStore], card: Any, quiet: None
) -> None:
    door, _ = granted
    caller = newcomer(granted, "sampler")
    tokenizer = ModelTokenizer(card.tokenizer, card.vocab_size)
    template = ChatTemplate(TEMPLATE, {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]}, tokenizer)
    prompt = template.encode([Message("user", "hello world")])
    service = tinker.ServiceClient(base_url=door.url, api_key=f"tml-{caller.key}")
    sampler = service.create_sampling_client(base_model=MODEL).result()
    params = tinker.SamplingParams(max_tokens=8, temperature=0.5)
    door.keeper.frames.clear()
    sample = sampler.sample(tinker.ModelInput.from_ints(prompt), 1, params).result()
    (sequence,) = sample.sequences
    assert tokenizer.decode(list(sequence.tokens)) == "hello world"
    assert (sequence.logprobs, sample.prompt_logprobs) == (None, None)
    (frame,) = [each for each in door.keeper.frames if hasattr(each, "tokens")]
    assert list(frame.tokens) == prompt
    assert (frame.max_tokens, frame.top_logprobs) == (8, 0)
    good = {
        "prompt": {"chunks": [{"tokens": prompt, "type": "encoded_text"}]},
        "sampling_params": {"max_tokens": 4},
        "sampling_session_id": MODEL,
    }
    assert caller.ask("asample", good)[0] == 200
    for name, value in (
        ("num_samples", 2),
        ("prompt_logprobs", True),
        ("topk_prompt_logprobs", 1),
        ("topk_sample_logprobs", 1),
        ("target_prompt_logprobs", {"data": [1]}),
        ("prompt_alt_tokens_k", 1),
        ("prompt_logprobs_last_n", 1),
        ("record_stability_info", True),
    ):
        assert caller.refused("asample", good | {name: value}) == (
            "gateway.parameter_not_allowed",
            name,
        )
    for name, value in (("seed", 1), ("top_k", 5)):
        changed_params = {"sampling_params": {"max_tokens": 4, name: value}}
        assert caller.refused("asample", good | changed_params)[1] == name
    control = next(iter(tokenizer.control_tokens.values()))
    for ids in ([*prompt, control], [control, *prompt], [control]):
        bad = good | {"prompt": {"chunks": [{"tokens": ids, "type": "encoded_text"}]}}
        assert caller.refused("asample", bad)[0] == "gateway.not_a_conversation"
    elsewhere = good | {"sampling_session_id": f"{MODEL}:not-mine"}
    assert caller.refused("asample", elsewhere)[0] == "gateway.no_model"


def test_it_takes_a_key_a_scope_and_a_grant(
    granted: tuple[Door, TuningStore], door: Door, open_door: Any, tmp_path: Any
) -> None:
    caller = newcomer(granted, "keyed")
    body = {"sdk_version": "0.38.0"}
    assert caller.ask("client/config", body)[1]["parallel_fwdbwd_chunks"] is False
    for _ in range(2):  # what it says of itself is neither read nor kept
        assert caller.ask("telemetry", {"events": ["x" * 99_999]})[1] == {"status": "accepted"}
    assert caller.ask("session_heartbeat", {"session_id": "s"})[0] == 200
    assert caller.refused("client/config", body, **{"x-api-key": caller.key})[0] == (
        "gateway.invalid_api_key"
    )
    assert caller.refused("client/config", body, **{"x-api-key": "tml-sr_x"})[0] == (
        "gateway.invalid_api_key"
    )
    narrow = Caller(granted[0], granted[0].new_key("keyed", scopes=frozenset({"chat"})))
    assert narrow.refused("client/config", body)[0] == "gateway.scope_missing"
    connection = http.client.HTTPConnection("127.0.0.1", granted[0].port, timeout=10)
    connection.request("GET", "/v1/models", headers={"x-api-key": f"tml-{caller.key}"})
    assert connection.getresponse().status == 401  # the other routes know no such header
    off = Caller(door, door.key)
    for name in ("client/config", "create_model", "asample"):
        assert off.refused(name, body)[0] == "gateway.primitives_off"
    policy = Policy(floors=FLOORS, dp=Dp())
    private = open_door(
        tuning=Tuning(primitives=True, policy=policy), tuning_database=str(tmp_path / "p.sqlite")
    )
    refused = Caller(private, private.key).refused("create_model", model())
    assert refused[0] == "gateway.primitives_not_private"
