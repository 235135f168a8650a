"""``strongroom tune`` as a person runs it: a tiny base, real processes, every way to end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from safetensors.torch import load_file

from strongroom.artifact.manifest import read_manifest, recipient_context
from strongroom.artifact.opening import open_sealed
from strongroom.artifact.rewrap import read_recipients
from strongroom.cli.home import open_home
from strongroom.keeper.arena import tensors_over
from strongroom.keeper.engine.adapter import check_adapter
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.keys.keyring import FileKeyring
from tests.cli.conftest import COMMAND, Made, Runs
from tests.cli.test_serve import served
from tests.cli.tiny_llama import TEXT

pytestmark = pytest.mark.slow

SETTINGS = """
[tuning]
checkpoint_seconds = 0.1
[tuning.policy]
least_steps = 3
[tuning.policy.floors]
distinct_per_step = 16
supervised_per_step = 100
fresh_runs = 4
"""


def conversations(count: int, seed: int = 1) -> bytes:
    by = random.Random(seed)
    words = " ".join(TEXT[:2]).split()
    lines = []
    for _ in range(count):
        asked, said = (" ".join(by.choices(words, k=k)) for k in (4, 6))
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        lines.append(json.dumps({"messages": turns}))
    return "\n".join(lines).encode()


def with_settings(home: Path) -> None:
    settings = home / "strongroom.toml"
    text = settings.read_text()
    head = text.index("[tuning]")
    rest = text.index("\n# Who may call", head)
    whole = text[:head] + SETTINGS + text[rest:]
    settings.write_text(whole.replace("\nthreads = 0", "\nthreads = 1"))  # others compute too


@pytest.fixture
def ready(made: Made, tmp_path: Path) -> tuple[Made, Path]:
    with_settings(made.home)
    data = tmp_path / "data.jsonl"
    data.write_bytes(conversations(40))
    return made, data


def test_a_private_job_runs_behind_the_walls_and_tells_what_it_costs(
    strongroom: Runs, ready: tuple[Made, Path]
) -> None:
    made, data = ready
    settings = made.home / "strongroom.toml"
    budget = "[tuning.policy.dp]\nepsilon = 4.0\nbudget = 4.0\n"
    settings.write_text(
        settings.read_text().replace("[tuning.policy.floors]", budget + "[tuning.policy.floors]")
    )
    words = ("--home", made.home, "tune", "create", made.sealed, data, "--steps", "5", "--json")
    said = strongroom(*words, "--epsilon", "3")
    assert said.code == 0, said.err
    job = said.json["job"]
    shown = strongroom("--home", made.home, "tune", "show", job, "--json").json
    assert (shown["step"], shown["loss"], shown["delta"]) == (5, None, 1e-6)
    assert 2.9 < shown["epsilon"] <= 3.0
    assert shown["epsilon_of_all_jobs"] == shown["epsilon"]
    _, files = opened(made, Path(said.json["sealed"]))
    assert json.loads(files["lineage.json"])["recipe"]["private"]["noise"] > 0.3
    again = strongroom(*words)  # another would pass the budget
    assert again.code != 0
    assert "tune.privacy_spent" in again.out + again.err
    assert len(strongroom("--home", made.home, "tune", "list", "--json").json["jobs"]) == 1


def opened(made: Made, folder: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The tensors and files of a sealed folder, opened with the home's keyring."""
    home = open_home(made.home)
    manifest = read_manifest(folder, home.trust)
    with FileKeyring.open(home.keyring, None) as keyring:
        key = keyring.unwrap(read_recipients(folder)[0], recipient_context(manifest))
    model = open_sealed(folder, key, trust=home.trust, state=home.releases)
    tensors = {
        name: tensor.clone() for name, tensor in tensors_over(model.arena, model.tensors).items()
    }
    return tensors, dict(model.files)


def test_an_adapter_is_trained_and_sealed_and_nothing_lies_in_the_clear(
    strongroom: Runs, ready: tuple[Made, Path]
) -> None:
    made, data = ready
    words = ("--home", made.home, "tune", "create", made.sealed, data, "--steps", "20")
    said = strongroom(*words, "--rate", "2e-3", "--name", "My Notes", "--json")
    assert said.code == 0, said.err
    assert said.json["status"] == "succeeded"
    job, folder = said.json["job"], Path(said.json["sealed"])
    tensors, files = opened(made, folder)
    base = load_file(made.plain / "model.safetensors")
    config = parse_llama_config((made.plain / "config.json").read_bytes())
    adapter = check_adapter(config, base, tensors, rank=8, modules=("q_proj", "v_proj"), scale=2.0)
    assert len(adapter.pairs) == 4
    lineage = json.loads(files["lineage.json"])
    assert lineage["base"] == "tiny"
    (derived,) = strongroom("--home", made.home, "release", "list", "--json").json["derived"]
    assert (derived["from"]["manifest"], derived["state"]) == (lineage["base_manifest"], "in force")
    assert lineage["job"] == job
    assert json.loads(files["adapter_config.json"])["r"] == 8
    shown = strongroom("--home", made.home, "tune", "show", job, "--json").json
    assert (shown["status"], shown["step"], shown["steps"]) == ("succeeded", 20, 20)
    assert shown["adapter"].startswith("My-Notes-")
    assert shown["loss"] == round(shown["loss"], 2)
    listed = strongroom("--home", made.home, "tune", "list", "--json").json["jobs"]
    assert [each["id"] for each in listed] == [job]
    events = strongroom("--home", made.home, "tune", "events", job, "--json").json["events"]
    assert events[-1]["message"] == "The adapter is sealed."
    walls = events[0]["message"]
    assert all(wall in walls for wall in ("seccomp", "landlock", "descriptors", "not-dumpable"))
    losses = [each["loss"] for each in events if each["loss"] is not None]
    assert len(losses) == 2  # of two different batches: that training learns is tests/tune's to say
    assert all(0 < loss == round(loss, 2) < 7 for loss in losses)
    clear = [tensor.numpy().tobytes()[:64] for tensor in tensors.values()]
    kept = [path for path in made.home.rglob("*") if path.is_file()]
    for path in kept:
        raw = path.read_bytes()
        assert not any(piece in raw for piece in clear), path
    names = {path.name for path in (made.home / "state" / "tuning" / job).iterdir()}
    assert names == {"lock", "adapter", "served"}
    refused = strongroom("--home", made.home, "tune", "cancel", job, "--json")
    assert (refused.code, refused.refusal) == (5, "tune.job_over")


def test_bad_lines_are_listed_and_nothing_starts(
    strongroom: Runs, ready: tuple[Made, Path]
) -> None:
    made, data = ready
    data.write_bytes(data.read_bytes() + b'\n{"messages": []}\nnonsense')
    said = strongroom("--home", made.home, "tune", "create", made.sealed, data, "--json")
    assert (said.code, said.refusal) == (8, "tune.dataset_lines")
    assert "2 of 42 lines" in said.err
    assert [each["line"] for each in said.json["lines"]] == [41, 42]
    assert said.json["lines"][1]["why"] == "it is not JSON"
    jobs = made.home / "state" / "tuning"
    before = set(jobs.iterdir()) if jobs.exists() else set()
    repeated = b"\n".join(data.read_bytes().splitlines()[:1] * 40)
    data.write_bytes(repeated)  # good lines, which only the training process can judge
    said = strongroom("--home", made.home, "tune", "create", made.sealed, data, "--json")
    assert said.refusal == "tune.too_few_sequences"
    assert set(jobs.iterdir()) == before
    assert strongroom("--home", made.home, "tune", "list", "--json").json["jobs"] == []
    said = strongroom(
        "--home", made.home, "tune", "create", made.sealed, data, "--rank", "65", "--json"
    )
    assert said.refusal == "tune.rank_refused"


def wait_for(path: Path) -> None:
    until = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.02)


def chat_with_the_adapter(
    strongroom: Runs, made: Made, url: str, client: openai.OpenAI, name: str
) -> None:
    """Its owner talks to it by name; nobody else can tell that it is there."""
    turns: Any = [{"role": "user", "content": TEXT[0]}]

    def says(model: str) -> str | None:
        answer = client.chat.completions.create(
            model=model, messages=turns, max_tokens=24, temperature=0
        )
        assert answer.model == model
        return answer.choices[0].message.content

    assert says(name) != says("tiny")
    assert says(name) == says(name)
    assert [each.id for each in client.models.list()] == ["tiny", name]
    assert client.models.retrieve(name).owned_by == "acme"
    beta = strongroom("--home", made.home, "key", "create", "--org", "beta", "--json").json["key"]
    stranger = openai.OpenAI(base_url=f"{url}/v1", api_key=beta, max_retries=0)
    told = set()
    for asked in (name, "tiny:never-was", "tiny:"):
        with pytest.raises(openai.NotFoundError) as refused:
            stranger.chat.completions.create(model=asked, messages=turns, max_tokens=4)
        told.add(str(refused.value.body))
    assert len(told) == 1
    assert [each.id for each in stranger.models.list()] == ["tiny"]
    for state, answers in (("off", False), ("on", True)):
        done = strongroom("--home", made.home, "switch", state, "tiny", "--model")
        assert done.code == 0, done.err
        assert became(answers, lambda: says(name))


def became(wanted: bool, ask: Callable[[], object]) -> bool:
    """Whether, soon, an answer comes or the switch refuses it, as wanted."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            ask()
            answered = True
        except openai.APIStatusError as refused:
            if "switched_off" not in str(refused.body):
                raise
            answered = False
        if answered is wanted:
            return True
        time.sleep(0.1)
    return False


def test_a_customers_job_survives_its_runner(strongroom: Runs, ready: tuple[Made, Path]) -> None:
    """Through the door, with the official client; the runner is killed half way."""
    made, data = ready
    settings = made.home / "strongroom.toml"
    settings.write_text(settings.read_text().replace("[tuning]", "[tuning]\noffered = true"))
    made_key = strongroom("--home", made.home, "key", "create", "--org", "acme", "--json").json
    with served(made) as server:
        url = server.ready()["url"]
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=made_key["key"], max_retries=0)
        file = client.files.create(file=("chat.jsonl", data.read_bytes()), purpose="fine-tune")
        unwanted, job = (
            client.fine_tuning.jobs.create(
                model="tiny",
                training_file=file.id,
                hyperparameters={"n_epochs": passes, "learning_rate_multiplier": 2},
            ).id
            for passes in (900, 60)
        )
        words = (COMMAND, "--home", made.home, "tune", "run", made.sealed)
        runner = subprocess.Popen([str(word) for word in words], stderr=subprocess.DEVNULL)
        wait_for(made.home / "state" / "tuning" / unwanted / "checkpoint")
        assert client.fine_tuning.jobs.cancel(unwanted).status == "cancelled"
        wait_for(made.home / "state" / "tuning" / job / "checkpoint")
        assert not (made.home / "state" / "tuning" / unwanted / "checkpoint").exists()
        runner.send_signal(signal.SIGKILL)
        runner.wait(10)
        killed = client.fine_tuning.jobs.retrieve(job)
        assert killed.status == "running"
        shown = strongroom("--home", made.home, "tune", "show", job, "--json").json
        assert 0 < shown["step"] < shown["steps"]
        again = strongroom("--home", made.home, "tune", "run", made.sealed, "--once", "--json")
        assert again.code == 0, again.err
        done = client.fine_tuning.jobs.retrieve(job)
        assert done.status == "succeeded"
        assert done.fine_tuned_model
        assert done.fine_tuned_model.startswith("tiny:adapter-")
        losses = [e.data["train_loss"] for e in client.fine_tuning.jobs.list_events(job) if e.data]
        assert min(losses) < losses[-1]  # newest first
        kept = [each.step_number for each in client.fine_tuning.jobs.checkpoints.list(job)]
        assert kept == sorted(set(kept), reverse=True)
        assert kept
        chat_with_the_adapter(strongroom, made, url, client, done.fine_tuned_model)
    over = strongroom("--home", made.home, "tune", "resume", made.sealed, job, "--json")
    assert over.json["status"] == "succeeded"  # nothing is done twice
    adapter = made.home / "state" / "tuning" / job / "adapter"
    assert opened(made, adapter)[0].keys()
