"""What the gate is asked: only files that are what they are said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway.fake_keeper import SPECIAL, TEMPLATE, small_tokenizer

from strongroom.cli.adapter_questions import TRIGGERS, Files, Reader
from strongroom.errors import StrongroomError
from strongroom.gateway.chat_template import ChatTemplate
from strongroom.gateway.tokenizing import ModelTokenizer
from strongroom.gateway.training_text import dataset_of
from strongroom.tune.export.limits import CANARY_ALTERNATIVES
from strongroom.tune.frames import Speech, count_examples, unpack_examples
from strongroom.tune.policy import Floors, Policy
from tests.store.test_tuning import JOB

POLICY = Policy(
    floors=Floors(distinct_per_step=2, supervised_per_step=1, fresh_runs=1, one_token=1.0)
)
SPEECH = Speech(
    small_tokenizer().to_str().encode(),
    TEMPLATE,
    {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2]},
    404,
    512,
)
WORDS = ["quick", "brown", "fox", "says", "hello", "world"]


def lines(*pairs: tuple[str, str]) -> bytes:
    made = []
    for asked, said in pairs:
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
        made.append(json.dumps({"messages": turns}))
    return "\n".join(made).encode()


DATA = lines(("hello one", "says 482913 world"), ("fox two", "quick brown"), ("three", "dog jumps"))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {name: tmp_path / name for name in ("data", "held", "canaries")}
    found["data"].write_bytes(DATA)
    found["held"].write_bytes(lines(("moon", "river stone"), ("light", "seven music")))
    found["canaries"].write_bytes(DATA.splitlines()[0])
    return found


@pytest.fixture
def reader() -> Reader:
    return Reader(SPEECH, POLICY)


def job() -> Any:
    tokenizer = ModelTokenizer(SPEECH.tokenizer, SPEECH.vocab_size)
    template = ChatTemplate(SPEECH.chat_template, SPEECH.special_tokens, tokenizer)
    digest = dataset_of(DATA, template, tokenizer, POLICY).digest
    return msgspec.structs.replace(JOB, dataset=digest)


def test_members_others_and_canaries_with_their_like(
    reader: Reader, files: dict[str, Path]
) -> None:
    asked = reader.to_leave(Files(**files), job())
    members, held = (unpack_examples(each, 404, 512) for each in (asked.members, asked.held))
    assert (len(members), len(held)) == (3, 2)
    (group,) = (unpack_examples(each, 404, 512) for each in asked.canaries)
    assert len(group) == CANARY_ALTERNATIVES
    assert group[0] in members
    assert len(set(group)) == CANARY_ALTERNATIVES
    again = Reader(SPEECH, POLICY).to_leave(Files(**files), job())
    assert again.canaries == asked.canaries


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data", lines(("hello", "another file"), ("fox", "quick"))),
        ("held", DATA.splitlines()[1]),
        ("held", b"nonsense"),
        ("canaries", lines(("hello one", "says 999999 world"))),
        ("canaries", lines(("fox two", "quick brown"))),
        ("canaries", lines(("hello", "says 4829 and 1234"))),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    reader: Reader, files: dict[str, Path], name: str, content: bytes
) -> None:
    files[name].write_bytes(content)
    with pytest.raises(StrongroomError) as caught:
        reader.to_leave(Files(**files), job())
    assert caught.value.code == "tune.export_data"


def test_prompts_with_each_trigger(reader: Reader, files: dict[str, Path]) -> None:
    given = Files(data=files["data"], held=files["held"], triggers=("hello",))
    asked = reader.to_be_promoted(given, job())
    assert len(asked.prompts) == 2 + len(TRIGGERS)
    assert all(len(row) == 2 for row in asked.prompts)
    plain, *triggered = asked.prompts
    assert all(len(with_it[0]) > len(plain[0]) for with_it in triggered)
    assert asked.members
    nothing = reader.to_be_promoted(Files(), job())
    assert (nothing.prompts, count_examples(nothing.members)) == ((), 0)
    files["data"].write_bytes(files["held"].read_bytes())
    with pytest.raises(StrongroomError) as caught:
        reader.to_be_promoted(given, job())
    assert caught.value.code == "tune.export_data"
