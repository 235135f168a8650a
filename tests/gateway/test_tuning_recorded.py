"""Tuning jobs stand in the record: before they are there, without what they learn from."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from strongroom.ledger import entries
from strongroom.ledger.entries import TuningChanged
from strongroom.ledger.log_key import LogKey
from strongroom.store.tuning import open_tuning_store
from strongroom.tune.policy import Tuning

from .conftest import MODEL, Door, OpenDoor
from .test_fine_tuning import POLICY, Both, conversations, uploaded


def recorded(door: Door) -> list[TuningChanged]:
    return [each for each in door.records() if isinstance(each, TuningChanged)]


@pytest.fixture
def offered(open_door: OpenDoor, tmp_path: Path) -> Iterator[Both]:
    database = str(tmp_path / "tuning.sqlite")
    door = open_door(tuning=Tuning(offered=True, policy=POLICY), tuning_database=database)
    with open_tuning_store(database) as store:
        yield door, store


def made(client: openai.OpenAI, file: str) -> str:
    return client.fine_tuning.jobs.create(model=MODEL, training_file=file).id


def test_what_becomes_of_a_job_is_recorded_and_its_text_is_not(offered: Both) -> None:
    door, store = offered
    client, content = door.client(), conversations(24)
    file = uploaded(client, content)
    job = made(client, file)
    kept = store.job(job)
    (created,) = recorded(door)
    assert (created.job, created.organisation, created.model) == (job, "acme", MODEL)
    assert (created.change, created.base_digest) == ("created", door.card.manifest_digest)
    assert created.key_id == door.key.split("_")[1]
    key = LogKey.load(door.folder / "log.key")
    assert created.dataset_digest == key.digest("dataset", bytes.fromhex(kept.dataset))
    client.fine_tuning.jobs.cancel(job)
    last = recorded(door)[-1]
    assert (last.job, last.change, last.dataset_digest) == (
        job,
        "cancelled",
        created.dataset_digest,
    )
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(job)
    assert len(recorded(door)) == 2  # what did not happen is not recorded
    log = b"".join(
        entries.encode(entries.Recorded(at, 0, each)) for at, each in enumerate(door.records())
    )
    files = b"".join(path.read_bytes() for path in door.state.rglob("*") if path.is_file())
    unkeyed = (kept.dataset, hashlib.sha256(content).hexdigest())
    for text in (b"quick", b"brown", *(each.encode() for each in unkeyed)):
        assert text not in log + files
    assert created.dataset_digest.encode() in log  # control: what is there is found
    assert created.dataset_digest.encode() in files


def test_no_job_is_made_that_cannot_be_recorded(offered: Both) -> None:
    door, store = offered
    client = door.client()
    file = uploaded(client)
    _, most = resource.prlimit(door.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(door.process.pid, resource.RLIMIT_FSIZE, (0, most))  # as a full disk would
    with pytest.raises(openai.APIStatusError) as caught:
        made(client, file)
    assert (caught.value.status_code, caught.value.code) == (503, "gateway.record_unavailable")
    assert store.jobs() == ()
    door.restart()  # it stopped, since it may not serve without a record
    assert recorded(door) == []
    job = made(door.client(), file)  # control: the same request
    assert [(each.job, each.change) for each in recorded(door)] == [(job, "created")]
    assert store.job(job).status == "queued"
