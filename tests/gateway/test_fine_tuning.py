"""OpenAI's files and fine-tuning API, driven by the official client unchanged."""

from __future__ import annotations

import http.client
import json
import random
import re
import time
from typing import Any

import msgspec
import openai
import pytest

from strongroom.gateway.fine_tuning_shapes import REFUSED
from strongroom.ledger.entries import TuningChanged
from strongroom.store.tuning import StoredCheckpoint, StoredEvent, open_tuning_store
from strongroom.tune.dataset import digest_of
from strongroom.tune.frames import unpack_examples
from strongroom.tune.policy import Dp, Floors, Policy, Tuning

from .conftest import MODEL, Door

WORDS = ["quick", "brown", "fox", "says", "hello", "world", "counts", "one", "two", "three", "end"]
POLICY = Policy(floors=Floors(distinct_per_step=8, supervised_per_step=20, fresh_runs=2))


def conversations(count: int, seed: int = 1) -> bytes:
    by = random.Random(seed)
    lines = []
    for _ in range(count):
        asked, said = (" ".join(by.choices(WORDS, k=k)) for k in (4, 8))
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns}))
    return "\n".join(lines).encode()


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory, card: Any, tokenizer: Any) -> Any:
    folder = tmp_path_factory.mktemp("tuning")
    limits = Tuning(offered=True, policy=POLICY, most_open_jobs=2, most_file_bytes=100_000)
    database = str(folder / "tuning.sqlite")
    door = Door(folder, card, tokenizer, tuning=limits, tuning_database=database)
    with open_tuning_store(database) as store:
        yield door, store
    door.close()


Both = tuple[Door, Any]


def uploaded(client: openai.OpenAI, content: bytes | None = None) -> str:
    content = conversations(24) if content is None else content
    return client.files.create(file=("chat.jsonl", content), purpose="fine-tune").id


def test_files_come_and_go(offered: Both) -> None:
    door, _ = offered
    client = door.client(door.new_key("filer"))
    made = client.files.create(file=("my chat.jsonl", b"\x00\r\n--x\n"), purpose="fine-tune")
    assert (made.filename, made.bytes, made.purpose) == ("my chat.jsonl", 7, "fine-tune")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == b"\x00\r\n--x\n"
    others = {uploaded(client, b"%d" % number) for number in range(3)}
    listed = [each.id for each in client.files.list(limit=2)]  # two pages
    assert set(listed) == others | {made.id}
    assert len(listed) == 4
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as caught:
        client.files.retrieve(made.id)
    assert caught.value.code == "gateway.tuning_not_found"


def test_a_private_job_says_what_it_costs_and_the_budget_ends(
    tmp_path: Any, card: Any, tokenizer: Any
) -> None:
    policy = msgspec.structs.replace(POLICY, dp=Dp(epsilon=4.0, budget=5.0, delta=1e-5))
    limits = Tuning(offered=True, policy=policy, most_open_jobs=9)
    door = Door(
        tmp_path, card, tokenizer, tuning=limits, tuning_database=str(tmp_path / "t.sqlite")
    )
    try:
        client = door.client()
        file = uploaded(client)

        def made(**chosen: Any) -> Any:
            how = {"type": "supervised", "supervised": {"hyperparameters": chosen}}
            return client.fine_tuning.jobs.create(model=MODEL, training_file=file, method=how)

        job = made(privacy_epsilon=1.5)
        said = job.method.supervised.hyperparameters.model_dump()
        assert 1.4 < said["privacy_epsilon"] <= 1.5
        assert said["privacy_delta"] == 1e-5
        with pytest.raises(openai.BadRequestError) as caught:
            made(privacy_epsilon=4.5)
        assert caught.value.code == "tune.epsilon_refused"
        client.fine_tuning.jobs.cancel(job.id)  # what it reserved does not come back
        made()
        with pytest.raises(openai.BadRequestError) as caught:
            made()
        assert caught.value.code == "tune.privacy_spent"
        assert len(list(client.fine_tuning.jobs.list())) == 2
        asked, refused = [each for each in door.records() if isinstance(each, TuningChanged)][-2:]
        assert (asked.change, refused.change) == ("created", "failed")  # it was not kept after all
        assert (asked.job, refused.code) == (refused.job, "tune.privacy_spent")
        other = door.client(door.new_key("another"))
        theirs = uploaded(other)
        assert other.fine_tuning.jobs.create(model=MODEL, training_file=theirs).id
    finally:
        door.close()


def test_a_job_from_its_file_to_its_model(offered: Both) -> None:
    door, store = offered
    client = door.client()
    file = uploaded(client)
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=file,
        suffix="my notes",
        metadata={"team": "support"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 10}}},
    )
    assert (job.status, job.model, job.training_file) == ("queued", MODEL, file)
    assert job.hyperparameters.n_epochs == 10
    assert job.metadata == {"team": "support"}
    assert job.seed is None
    kept = store.job(job.id)
    assert (kept.organisation, kept.steps, kept.examples) == ("acme", 30, 24)
    assert kept.manifest == door.card.manifest_digest
    examples = unpack_examples(store.dataset(job.id), 10**6, 10**6)
    assert digest_of(examples) == kept.dataset
    assert [each.id for each in client.fine_tuning.jobs.list()] == [job.id]

    store.begin(job.id, kept.created_at)  # what `strongroom tune run` would do
    store.advance(job.id, 20, 1.25)
    store.add_event(StoredEvent(job.id, 0, 1, "info", "Step 20 of 30: loss 1.25", 20, 1.25))
    store.add_checkpoint(StoredCheckpoint(job.id, 20, 1, 1.25))
    running = client.fine_tuning.jobs.retrieve(job.id)
    assert running.status == "running"
    assert running.fine_tuned_model is None
    assert running.estimated_finish
    event, created = client.fine_tuning.jobs.list_events(job.id)
    assert (event.type, event.data) == ("metrics", {"step": 20, "train_loss": 1.25})
    assert created.message == "Created: 24 conversations, 30 steps."
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert (checkpoint.step_number, checkpoint.metrics.train_loss) == (20, 1.25)

    store.end(job.id, "succeeded", 2)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.fine_tuned_model == f"{MODEL}:{kept.adapter}"
    assert kept.adapter.startswith("my-notes-")
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.cancel(job.id)
    assert caught.value.code == "gateway.tuning_over"


def test_another_organisation_finds_nothing(offered: Both) -> None:
    door, _ = offered
    mine, other = (door.client(door.new_key(name)) for name in ("owner-of-it", "stranger"))
    file = uploaded(mine)
    job = mine.fine_tuning.jobs.create(model=MODEL, training_file=file).id
    assert mine.fine_tuning.jobs.retrieve(job).id == job  # positive control
    assert list(other.files.list()) == []
    assert list(other.fine_tuning.jobs.list()) == []
    attempts = [
        lambda: other.files.retrieve(file),
        lambda: other.files.content(file),
        lambda: other.files.delete(file),
        lambda: other.fine_tuning.jobs.create(model=MODEL, training_file=file),
        lambda: other.fine_tuning.jobs.retrieve(job),
        lambda: other.fine_tuning.jobs.cancel(job),
        lambda: other.fine_tuning.jobs.list_events(job),
        lambda: other.fine_tuning.jobs.checkpoints.list(job),
    ]
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError) as caught:
            attempt()
        assert caught.value.code == "gateway.tuning_not_found"
    assert mine.fine_tuning.jobs.cancel(job).status == "cancelled"


def test_what_is_refused_is_refused_by_name(offered: Both) -> None:
    door, store = offered
    client = door.client(door.new_key("strict"))
    file = uploaded(client)

    def refused(code: str, param: str | None, file: str = file, **fields: Any) -> str:
        with pytest.raises(openai.APIStatusError) as caught:
            client.fine_tuning.jobs.create(
                model=fields.pop("model", MODEL), training_file=file, extra_body=fields
            )
        assert (caught.value.code, caught.value.param) == (code, param), caught.value
        return str(caught.value)

    for name in REFUSED:
        refused("gateway.parameter_not_allowed", name, **{name: 7})
    refused("gateway.bad_request", "epsilon", epsilon=1.0)
    hyper = {"hyperparameters": {"adam_epsilon": 1.0}}
    refused("gateway.bad_request", "hyperparameters.adam_epsilon", **hyper)
    refused("gateway.bad_request", "method.type", method={"type": "dpo"})
    refused("gateway.no_model", "model", model="other")
    refused("gateway.tuning_not_found", "training_file", file="file-0")
    refused("tune.rate_refused", None, hyperparameters={"learning_rate_multiplier": 11})
    refused("tune.batch_refused", None, hyperparameters={"batch_size": 4})
    refused("tune.steps_refused", None, hyperparameters={"n_epochs": 1})
    few = uploaded(client, conversations(3))
    refused("tune.too_few_sequences", None, file=few)
    bad = uploaded(client, conversations(24) + b'\n{"messages": []}\nsecret words')
    said = refused("tune.dataset_lines", "training_file", file=bad)
    assert "line 25: " in said
    assert "line 26: it is not JSON" in said
    assert "secret" not in said
    assert store.jobs("strict") == ()


def test_only_so_much_is_kept_for_one_organisation(offered: Both) -> None:
    door, _ = offered
    client = door.client(door.new_key("greedy"))
    file = uploaded(client)
    jobs = [client.fine_tuning.jobs.create(model=MODEL, training_file=file) for _ in range(2)]
    with pytest.raises(openai.RateLimitError) as caught:
        client.fine_tuning.jobs.create(model=MODEL, training_file=file)
    assert caught.value.code == "gateway.tuning_too_many"
    client.fine_tuning.jobs.cancel(jobs[0].id)
    assert client.fine_tuning.jobs.create(model=MODEL, training_file=file).status == "queued"
    with pytest.raises(openai.BadRequestError) as large:
        uploaded(client, b"x" * 100_001)
    assert large.value.code == "gateway.bad_request"
    with pytest.raises(openai.APIStatusError) as larger:
        uploaded(client, b"x" * 400_000)
    assert larger.value.code == "gateway.body_too_large"


def test_one_upload_at_a_time_for_an_organisation(offered: Both) -> None:
    door, _ = offered
    key = door.new_key("hasty")
    slow = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    slow.putrequest("POST", "/v1/files")
    for name, value in (
        ("authorization", f"Bearer {key}"),
        ("content-type", FORM),
        ("content-length", str(len(HEAD + FILE))),
    ):
        slow.putheader(name, value)
    slow.endheaders(HEAD)
    until = time.monotonic() + 5
    code = ""
    while code != "gateway.tuning_busy" and time.monotonic() < until:  # the first is on its way
        with pytest.raises(openai.APIStatusError) as caught:
            door.client(key).files.create(file=("a", b"x"), purpose="batch")  # type: ignore[arg-type]
        code = str(caught.value.code)
    assert code == "gateway.tuning_busy"
    assert uploaded(door.client(door.new_key("another")))  # nobody else waits for it
    slow.send(FILE)
    assert slow.getresponse().status == 200
    assert uploaded(door.client(key))


def raw(door: Door, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {"authorization": f"Bearer {door.key}", **names})
    response = connection.getresponse()
    return response.status, json.loads(response.read())["error"]["code"]


FORM = "multipart/form-data; boundary=b"
HEAD = b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--b\r\n'
FILE = b'content-disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b"{}", (415, "gateway.wrong_kind")),
        ("multipart/form-data", HEAD + FILE, (400, "gateway.bad_form")),
        (FORM, b"x" + HEAD + FILE, (400, "gateway.bad_form")),
        (FORM, HEAD + FILE + b"more", (400, "gateway.bad_form")),
        (FORM, HEAD + HEAD.removeprefix(b"--b\r\n") + FILE, (400, "gateway.bad_form")),
        (FORM, HEAD + FILE.replace(b"file", b"fill", 1), (400, "gateway.bad_request")),
        (FORM, HEAD + b"x-y: 1\r\n" + FILE, (400, "gateway.bad_form")),
        (FORM, HEAD.replace(b"fine-tune", b"batch") + FILE, (400, "gateway.bad_request")),
        (FORM, HEAD + FILE.replace(b'; filename="a"', b""), (400, "gateway.bad_request")),
    ],
)
def test_forms_are_read_strictly(
    offered: Both, kind: str, body: bytes, expected: tuple[int, str]
) -> None:
    assert raw(offered[0], "POST", "/v1/files", body, content_type=kind) == expected


def test_paths_methods_and_queries(offered: Both) -> None:
    door, _ = offered
    assert raw(door, "PUT", "/v1/files") == (405, "gateway.wrong_method")
    assert raw(door, "GET", "/v1/fine_tuning/alpha") == (404, "gateway.no_route")
    assert raw(door, "POST", "/v1/fine_tuning/jobs/x/pause") == (404, "gateway.no_route")
    assert raw(door, "GET", "/v1/files?purpose=x") == (400, "gateway.bad_request")
    assert raw(door, "GET", "/v1/files?after=file-0") == (400, "gateway.bad_request")


def test_it_takes_a_scope_and_an_offer(offered: Both, door: Door) -> None:
    narrow = offered[0].client(offered[0].new_key("acme", scopes=frozenset({"chat"})))
    with pytest.raises(openai.PermissionDeniedError) as caught:
        narrow.files.list()
    assert caught.value.code == "gateway.scope_missing"
    with pytest.raises(openai.NotFoundError) as off:
        door.client().files.list()
    assert off.value.code == "gateway.tuning_off"
    with pytest.raises(openai.AuthenticationError):
        offered[0].client("sk-nobody").files.list()


METHODS = ("GET", "POST", "DELETE")


def test_the_document_describes_each_route(offered: Both) -> None:
    """What it names is answered, what it does not is refused, and with which methods are right."""
    door, _ = offered
    paths = described(door)["paths"]
    tuning = [path for path in paths if path.startswith(("/v1/files", "/v1/fine_tuning"))]
    assert len(tuning) == 8
    for path in tuning:
        at = path.replace("{file_id}", "file-0").replace("{job_id}", "ftjob-0")
        told = {method.upper() for method in paths[path]}
        for method in METHODS:
            status, allow = asked(door, method, at)
            assert (status == 405) is (method not in told), (method, path)
            if status == 405:
                assert set(allow.split(", ")) == told
    unknown, _ = asked(door, "GET", "/v1/fine_tuning/jobs/ftjob-0/pause")
    assert unknown == 404


def test_the_document_is_silent_where_nothing_is_tuned(door: Door) -> None:
    document = described(door)
    assert not [path for path in document["paths"] if "fine_tuning" in path or "files" in path]
    assert "FineTuningRequest" not in document["components"]["schemas"]


def test_the_document_says_that_a_model_may_be_an_adapter(offered: Both, door: Door) -> None:
    def takes(at: Door, name: str, kind: str = "ChatRequest") -> bool:
        wanted = described(at)["components"]["schemas"][kind]["properties"]["model"]
        return any(
            name == each["const"] if "const" in each else bool(re.search(each["pattern"], name))
            for each in wanted.get("anyOf", [wanted])
        )

    tuned, _ = offered
    assert takes(tuned, f"{MODEL}:mine")
    assert takes(tuned, MODEL)
    assert not takes(tuned, "other:mine")
    assert not takes(tuned, f"{MODEL}:mine", "FineTuningRequest")
    assert not takes(door, f"{MODEL}:mine")


def described(door: Door) -> Any:
    return door.client()._client.get(f"{door.url}/openapi.json").json()


def asked(door: Door, method: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    connection.request(method, path, headers={"authorization": f"Bearer {door.key}"})
    response = connection.getresponse()
    response.read()
    return response.status, response.headers.get("allow", "")
