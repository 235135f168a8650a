"""Two organisations talk to their own adapters at one time: real processes, official clients."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from strongroom.ledger.entries import RequestIntent, TuningChanged
from tests.cli.conftest import Made, Runs
from tests.cli.records import recorded
from tests.cli.test_serve import served
from tests.cli.test_tune import conversations, with_settings
from tests.cli.tiny_llama import TEXT

pytestmark = pytest.mark.slow

TURNS: Any = [{"role": "user", "content": TEXT[0]}]


@dataclass
class Talk:
    """One caller's question, and when the pieces of its answer came."""

    client: openai.OpenAI
    model: str
    at: list[float] = field(default_factory=list)
    text: str = ""

    def ask(self, start: threading.Barrier | None = None) -> str:
        if start is not None:
            start.wait(20)
        stream = self.client.chat.completions.create(
            model=self.model, messages=TURNS, max_tokens=80, temperature=0, stream=True
        )
        self.at, said = [], []
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                self.at.append(time.monotonic())
                said.append(chunk.choices[0].delta.content)
        self.text = "".join(said)
        return self.text


def at_once(talks: list[Talk]) -> bool:
    """Whether every answer had begun before any had ended."""
    start = threading.Barrier(len(talks))
    threads = [threading.Thread(target=talk.ask, args=(start,)) for talk in talks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return max(talk.at[0] for talk in talks) < min(talk.at[-1] for talk in talks)


def test_each_organisation_gets_its_own_adapter_while_others_get_theirs(
    strongroom: Runs, made: Made, tmp_path: Path
) -> None:
    with_settings(made.home)
    keys, jobs = {}, {}
    for seed, organisation in enumerate(("acme", "beta"), start=1):
        data = tmp_path / f"{organisation}.jsonl"
        data.write_bytes(conversations(40, seed))
        said = strongroom(
            *("--home", made.home, "tune", "create", made.sealed, data, "--org", organisation),
            *("--name", "notes", "--steps", "12", "--rate", "2e-3", "--json"),
        )
        assert said.code == 0, said.err
        jobs[organisation] = said.json
        words = ("--home", made.home, "key", "create", "--org", organisation, "--json")
        keys[organisation] = strongroom(*words).json["key"]
    with served(made) as server:
        url = server.ready()["url"]
        clients = {
            name: openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
            for name, key in keys.items()
        }
        names = {name: f"tiny:{jobs[name]['adapter']}" for name in jobs}
        talks = [Talk(clients[name], names[name]) for name in jobs]
        talks += [Talk(clients["acme"], "tiny"), Talk(clients["beta"], "tiny")]
        alone = [talk.ask() for talk in talks]
        assert len(set(alone)) == 3  # two adapters and the base, which both hear
        assert alone[2] == alone[3]
        for _ in range(10):
            together = at_once(talks)
            assert [talk.text for talk in talks] == alone
            if together:
                break
        assert together
        for name, other in (("acme", "beta"), ("beta", "acme")):
            told = set()
            for asked in (names[other], "tiny:never-was"):
                with pytest.raises(openai.NotFoundError) as refused:
                    Talk(clients[name], asked).ask()
                told.add(str(refused.value.body))
            assert len(told) == 1
            assert [each.id for each in clients[name].models.list()] == ["tiny", names[name]]
            job = jobs[other]["job"]
            for path in ("content", "export", "download", "weights"):
                for where in (f"/models/{names[name]}", f"/fine_tuning/jobs/{job}"):
                    with pytest.raises(openai.NotFoundError):
                        clients[name].get(f"{where}/{path}", cast_to=object)
        document = clients["acme"]._client.get(f"{url}/openapi.json").json()
        assert not [path for path in document["paths"] if "export" in path or "weights" in path]
    through = {
        (each.organisation, each.adapter)
        for each in recorded(made.home, "gateway")
        if isinstance(each, RequestIntent)
    }
    own = {(name, jobs[name]["adapter"]) for name in jobs}
    assert through == own | {("acme", ""), ("beta", "")}
    changes = [each for each in recorded(made.home, "operator") if isinstance(each, TuningChanged)]
    assert [(each.organisation, each.change) for each in changes] == [
        ("acme", "created"),
        ("acme", "sealed"),
        ("beta", "created"),
        ("beta", "sealed"),
    ]
    assert len({each.manifest_digest for each in changes}) == 3
    assert len({each.dataset_digest for each in changes}) == 2
