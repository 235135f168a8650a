"""A model with random weights, held to schemas: whatever it says at its end fits."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tokenizers import Tokenizer

from strongroom.boundary.automaton import END, START
from strongroom.errors import ConfigurationRefused
from strongroom.keeper.engine.constraint import Constraint, Vocabulary
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import GenerateJob
from strongroom.keeper.engine.llama import LlamaEngine
from strongroom.schemas.compiling import compile_schema
from tests.cli.tiny_llama import write_tiny_llama
from tests.schemas.shapes import SCHEMAS, closed, fits

END_TOKEN = 1


class Model:
    """A tiny engine and its tokenizer."""

    def __init__(self, folder: Path) -> None:
        files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        tensors = load_file(folder / "model.safetensors")
        engine = build_engine(files, tensors, max_streams=4)
        assert isinstance(engine, LlamaEngine)
        engine.context_length = 128
        self.engine = engine
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.definition = files["tokenizer.json"]
        self.vocabulary = Vocabulary(self.definition, engine.vocab_size)

    def constraint(self, schema: dict[str, Any]) -> Constraint:
        automaton = compile_schema(json.dumps(schema).encode()).automaton
        return Constraint(automaton, self.vocabulary, self.engine.eos_token_ids)

    def say(self, temperature: float, *constraints: Constraint | None) -> list[tuple[str, str]]:
        """Answers generated together: text and how each ended."""
        said: dict[int, list[int]] = {}
        ends: dict[int, str] = {}
        for number, constraint in enumerate(constraints):
            job = GenerateJob(number, (5, 6, 7), 60, temperature, 0.95, constraint=constraint)
            self.engine.admit(job)
            said[number] = []
        while len(ends) < len(constraints):
            for result in self.engine.step():
                if result.finished:
                    ends[result.id] = result.finished
                if result.token is not None and result.finished != "stop":
                    said[result.id].append(result.token)
        return [
            (self.tokenizer.decode(said[n], skip_special_tokens=False), ends[n])
            for n in range(len(constraints))
        ]


@cache
def _model(folder: Path) -> Model:
    return Model(write_tiny_llama(folder / "tiny"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return _model(tmp_path_factory.mktemp("constraint"))


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schema=SCHEMAS, temperature=st.sampled_from([0.0, 1.0, 2.0]))
def test_every_complete_answer_fits_its_schema(
    model: Model, schema: dict[str, Any], temperature: float
) -> None:
    held = model.constraint(schema)
    for text, end in model.say(temperature, held):
        assert end in ("stop", "length")
        if end == "stop":
            assert fits(schema, text), text


SHORT = closed({"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": 1, "maximum": 9}})


def test_it_ends_with_the_text_and_without_the_mask_nothing_fits(model: Model) -> None:
    held = model.constraint(SHORT)
    answers = model.say(1.5, *[held] * 4)
    for text, end in answers:
        assert end == "stop"
        assert fits(SHORT, text)
    assert len(set(answers)) > 1  # the model still chooses
    for text, _ in model.say(1.5, *[None] * 4):  # positive control
        with pytest.raises(ValueError):
            json.loads(text)


def test_a_neighbour_without_a_schema_says_what_it_says_alone(model: Model) -> None:
    held = model.constraint(SHORT)
    alone = model.say(0.0, None)
    assert model.say(0.0, held, None, held)[1] == alone[0]


def test_what_is_cut_short_ends_with_length(model: Model) -> None:
    held = model.constraint(closed({"a": {"type": "string", "minLength": 90, "maxLength": 90}}))
    ((text, end),) = model.say(1.0, held)
    assert end == "length"
    assert text.startswith('{"a": "')


def test_end_tokens_are_allowed_at_the_end_and_no_control_token_before(model: Model) -> None:
    held = model.constraint(SHORT)
    state, seen = START, 0
    control = {0, END_TOKEN}
    for byte in b'{"ok": true, "n": 7}':
        allowed = set(held.allowed(state).tolist())
        assert not allowed & control
        token = next(t for t, raw in model.vocabulary.bytes_of.items() if raw == bytes([byte]))
        assert token in allowed
        state, seen = held.after(state, token), seen + 1
    assert state == END
    assert held.allowed(END).tolist() == [END_TOKEN]


def test_tokens_are_walked_as_the_tokenizer_spells_them(model: Model) -> None:
    for token, raw in model.vocabulary.bytes_of.items():
        said = model.tokenizer.decode([token])
        if "�" not in said:
            assert said.encode() == raw


@pytest.mark.parametrize(
    "change",
    [
        {"decoder": {"type": "Metaspace"}},
        {"decoder": None},
        {"model": {"type": "Unigram", "vocab": []}},
        {"model": {"type": "BPE", "vocab": {"{": 5, '"': 6}}},
    ],
)
def test_a_tokenizer_that_cannot_spell_the_schema_is_refused(
    model: Model, change: dict[str, Any]
) -> None:
    definition = json.dumps(json.loads(model.definition) | change).encode()
    automaton = compile_schema(json.dumps(SHORT).encode()).automaton
    with pytest.raises(ConfigurationRefused) as caught:
        Constraint(automaton, Vocabulary(definition, 320), (END_TOKEN,))
    assert caught.value.code == "keeper.schema_unfit"


def test_a_model_without_an_end_token_is_refused(model: Model) -> None:
    automaton = compile_schema(json.dumps(SHORT).encode()).automaton
    with pytest.raises(ConfigurationRefused):
        Constraint(automaton, model.vocabulary, ())
