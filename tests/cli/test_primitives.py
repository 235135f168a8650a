"""Tinker's own client, unchanged, steers training behind the walls: real processes, a tiny base."""

from __future__ import annotations

import logging
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import tinker
from tokenizers import Tokenizer

from tests.cli.conftest import COMMAND, Made, Runs
from tests.cli.test_serve import served
from tests.cli.tiny_llama import TEXT

pytestmark = pytest.mark.slow

SETTINGS = """
[tuning]
primitives = true
idle_seconds = 60
checkpoint_seconds = 0
[tuning.policy]
least_steps = 4
[tuning.policy.floors]
distinct_per_step = 16
supervised_per_step = 60
fresh_runs = 2
"""
WORDS = " ".join(TEXT[:2]).split()


class Speaker:
    """Encodes conversations as a customer would: with the base's tokenizer and its template."""

    def __init__(self, plain: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(plain / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def prompt(self, asked: str) -> list[int]:
        return self.ids(f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n")

    def datum(self, asked: str, said: str) -> Any:
        prompt = self.prompt(asked)
        answer = self.ids(f"{said}<|im_end|>")
        whole, learnt = prompt + answer, [0.0] * len(prompt) + [1.0] * len(answer)
        return tinker.Datum(
            model_input=tinker.ModelInput.from_ints(whole[:-1]),
            loss_fn_inputs={
                "target_tokens": tinker.TensorData(data=whole[1:], dtype="int64"),
                "weights": tinker.TensorData(data=learnt[1:], dtype="float32"),
            },
        )

    def batch(self, count: int, seed: int) -> list[Any]:
        by = random.Random(seed)
        return [
            self.datum(" ".join(by.choices(WORDS, k=4)), " ".join(by.choices(WORDS, k=6)))
            for _ in range(count)
        ]


@pytest.fixture
def runner(made: Made) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts one more runner; all are ended at last."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        words = (COMMAND, "--home", made.home, "tune", "run", made.sealed)
        started.append(subprocess.Popen([str(word) for word in words]))
        return started[-1]

    yield start
    for each in started:
        each.terminate()
        each.wait(30)


@pytest.fixture
def steered(
    strongroom: Runs, made: Made, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> Iterator[tuple[str, str]]:
    """A served base: the door's address and a key."""
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    caplog.set_level(logging.ERROR, "tinker")
    settings = made.home / "strongroom.toml"
    text = settings.read_text()
    head, rest = text.index("[tuning]"), text.index("\n# Who may call")
    whole = text[:head] + SETTINGS + text[rest:]
    settings.write_text(whole.replace("\nthreads = 0", "\nthreads = 1"))
    key = strongroom("--home", made.home, "key", "create", "--org", "acme", "--json").json["key"]
    with served(made) as server:
        yield server.ready()["url"], key


def test_the_client_tunes_saves_and_samples(
    made: Made, steered: tuple[str, str], runner: Callable[[], subprocess.Popen[bytes]]
) -> None:
    (url, key), first = steered, runner()
    speaker = Speaker(made.plain)
    service = tinker.ServiceClient(base_url=url, api_key=f"tml-{key}")
    training = service.create_lora_training_client("tiny", rank=8, train_unembed=False).result()
    losses = []
    adam = tinker.AdamParams(learning_rate=2e-3)
    data = speaker.batch(20, 1)
    with pytest.raises(Exception, match=r"tune\.too_early"):
        training.save_state("early").result()
    training.forward_backward(data[:5], "cross_entropy").result()
    with pytest.raises(Exception, match=r"tune\.too_few_sequences"):
        training.optim_step(adam).result()
    training.forward_backward(data[5:], "cross_entropy").result()
    assert training.optim_step(adam).result().metrics["step"] == 1
    for _ in range(12):
        learned = training.forward_backward(data, "cross_entropy")
        stepped = training.optim_step(adam)
        losses.append(learned.result().metrics.get("loss:mean"))
        assert learned.result().loss_fn_outputs == [{}] * 20  # nothing of any one of them
    metrics = stepped.result().metrics
    assert (metrics["step"], metrics["epsilon"], metrics["beta2"]) == (13, 1e-8, 0.999)
    assert losses[:3] == [None] * 3
    assert all(loss == round(loss, 2) for loss in losses[3:])
    assert losses[-1] < losses[3]
    saved = training.save_weights_for_sampler("My notes").result()
    adapter = saved.path.rpartition("/")[2]
    assert adapter.startswith("My-notes-")
    prompt = tinker.ModelInput.from_ints(speaker.prompt(TEXT[0]))
    params = tinker.SamplingParams(max_tokens=16, temperature=0)
    said = []
    for where in ({"base_model": "tiny"}, {"model_path": saved.path}):
        sampler = service.create_sampling_client(**where).result()
        sample = sampler.sample(prompt, 1, params).result()
        said.append(sample.sequences[0].tokens)
        assert sample.sequences[0].logprobs is None
    assert said[0] != said[1]
    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    turns: Any = [{"role": "user", "content": TEXT[0]}]
    chat = client.chat.completions.create(
        model=f"tiny:{adapter}", messages=turns, max_tokens=16, temperature=0
    )
    assert chat.choices[0].message.content == speaker.tokenizer.decode(list(said[1]))
    first.kill()  # another goes on from the checkpoint of the last step
    first.wait(30)
    runner()
    with pytest.raises(tinker.RequestFailedError, match=r"tune\.too_few_sequences"):
        training.optim_step(adam).result()
    training.forward_backward(data, "cross_entropy")
    assert training.optim_step(adam).result().metrics["step"] == 14
    names = {path.name for path in (made.home / "state" / "tuning" / training.model_id).iterdir()}
    assert names == {"lock", "checkpoint"}
