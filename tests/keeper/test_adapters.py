"""Sealed adapters come in through the boundary: opened for whom they were sealed, or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import torch

from strongroom.artifact.data_key import DataKey
from strongroom.boundary.frames import (
    AdapterState,
    Done,
    Generate,
    LoadAdapter,
    Refused,
    Sampling,
    Tokens,
    UnloadAdapter,
)
from strongroom.keeper.adapters import AdapterKey, Adapters, Belonging, Shape
from strongroom.keeper.config import ScoreCaps
from strongroom.keeper.coordinates import FILE_BYTES, Coordinates
from strongroom.keeper.disclosure import Disclosure
from strongroom.keeper.engine.adapter import peft_names, place_shapes
from strongroom.keeper.engine.llama_config import parse_llama_config
from strongroom.keeper.generations import Terms
from strongroom.keeper.session import Session
from tests.keeper.engine.models import config_bytes, engine_of, make, reference

from .fakes import PLENTY, meter

MODEL = make()
CONFIG = parse_llama_config(config_bytes(MODEL))
MANIFEST = "ab" * 32
MODULES = ("q_proj", "v_proj", "down_proj")
SHAPE = Shape(rank=2, modules=MODULES, scale=2.0, most_change=0.9)
PROMPT = (5, 9, 17, 30)


def tensors(seed: int, size: float = 0.3) -> dict[str, torch.Tensor]:
    by = torch.Generator().manual_seed(seed)
    found = {}
    for place, (rows, columns) in place_shapes(CONFIG, MODULES).items():
        a, b = peft_names(place)
        found[a] = torch.randn(2, columns, generator=by) * size
        found[b] = torch.randn(rows, 2, generator=by) * size
    return found


class Room:
    """A session whose engine serves adapters, and the key that seals them."""

    def __init__(self, most_bytes: int = 2**20) -> None:
        self.data_key = DataKey.generate()
        self.key = AdapterKey(self.data_key)
        engine = engine_of(MODEL, adapters=True)
        base = {name: value.detach() for name, value in MODEL.state_dict().items()}
        adapters = Adapters(engine, self.key, MANIFEST, CONFIG, base, most_bytes)
        self.session = Session(
            engine,
            Disclosure({"*": "text"}),
            Coordinates(bytearray(FILE_BYTES), ScoreCaps()),
            meter(PLENTY, PLENTY),
            lambda: 10**9,
            lambda: None,
            Terms({}, 600, adapters=adapters),
        )
        self._last = 0

    def number(self) -> int:
        self._last += 1
        return self._last

    def blob(self, seed: int, org: str = "acme", name: str = "notes", **changes: Any) -> bytes:
        whose = Belonging(org, name, changes.pop("manifest", MANIFEST))
        shape = msgspec.structs.replace(SHAPE, **changes.pop("shape", {}))
        return self.key.seal(whose, shape, changes.pop("tensors", None) or tensors(seed))

    def bring(
        self, blob: bytes, org: str = "acme", name: str = "notes", piece: int = 2**22
    ) -> str | bool:
        """The code of the refusal, or that it is loaded."""
        number, answers = self.number(), []
        for at in range(0, len(blob), piece):
            frame = LoadAdapter(number, org, name, len(blob), at, blob[at : at + piece])
            answers += self.session.receive(frame)
        (answer,) = answers
        return answer.code if isinstance(answer, Refused) else answer.loaded

    def drop(self, org: str = "acme", name: str = "notes") -> str | bool:
        (answer,) = self.session.receive(UnloadAdapter(self.number(), org, name))
        if isinstance(answer, Refused):
            return answer.code
        assert isinstance(answer, AdapterState)
        return answer.loaded

    def ask(self, org: str, name: str = "", count: int = 6) -> int:
        number = self.number()
        greedy = Sampling(temperature=0.0)
        answers = self.session.receive(
            Generate(number, org, PROMPT, count, sampling=greedy, adapter=name)
        )
        if answers:
            (answer,) = answers
            raise LookupError(answer.code)  # type: ignore[union-attr]
        return number

    def finish(self) -> dict[int, list[int]]:
        said: dict[int, list[int]] = {}
        while self.session.busy:
            for frame in self.session.step():
                if isinstance(frame, Tokens):
                    said.setdefault(frame.id, []).extend(frame.tokens)
                else:
                    assert isinstance(frame, Done)
        return said

    def says(self, org: str, name: str = "") -> list[int]:
        number = self.ask(org, name)
        return self.finish()[number]


def merged(seed: int) -> list[int]:
    """What transformers says with the adapter's product added to the weights."""
    import copy

    other = copy.deepcopy(MODEL)
    weights, change = other.state_dict(), tensors(seed)
    for place in place_shapes(CONFIG, MODULES):
        a, b = (change[name] for name in peft_names(place))
        name = peft_names(place)[0].removeprefix("base_model.model.")
        weights[name.replace("lora_A.weight", "weight")] += SHAPE.scale * (b @ a)
    return reference(other, list(PROMPT), 6)


def test_two_organisations_ask_in_one_batch_and_each_gets_its_own() -> None:
    room = Room()
    assert room.bring(room.blob(1)) is True
    assert room.bring(room.blob(2, "beta"), "beta") is True
    asked = [room.ask("acme", "notes"), room.ask("beta", "notes"), room.ask("acme")]
    said = room.finish()
    expected = [merged(1), merged(2), reference(MODEL, list(PROMPT), 6)]
    assert [said[number] for number in asked] == expected
    assert len(set(map(tuple, expected))) == 3  # or it would have shown nothing


def test_an_adapter_is_reached_by_its_own_organisation_alone() -> None:
    room = Room()
    room.bring(room.blob(1))
    for org, name in (("beta", "notes"), ("acme", "other"), ("", "notes")):
        with pytest.raises(LookupError, match=r"keeper\.adapter_unknown"):
            room.ask(org, name)


def test_what_was_sealed_for_another_does_not_open() -> None:
    room, other = Room(), Room()
    blob = room.blob(1)
    assert room.bring(blob) is True  # the same bytes do open where they should
    assert room.drop() is False
    flipped = bytearray(blob)
    flipped[len(blob) // 2] ^= 1
    strange = {
        "another organisation": (blob, "beta", "notes"),
        "another name": (blob, "acme", "other"),
        "another base": (room.blob(1, manifest="cd" * 32), "acme", "notes"),
        "another key": (other.blob(1), "acme", "notes"),
        "a flipped bit": (bytes(flipped), "acme", "notes"),
        "cut short": (blob[:-1], "acme", "notes"),
        "nothing in it": (b"x", "acme", "notes"),
    }
    for why, (bytes_, org, name) in strange.items():
        assert room.bring(bytes_, org, name) == "keeper.adapter_foreign", why


def test_what_is_no_usable_adapter_is_refused_with_its_reason() -> None:
    room = Room()
    lacking, endless, nothing = tensors(1), tensors(1), tensors(1)
    lacking.popitem()
    next(iter(endless.values()))[0, 0] = float("nan")
    for name, value in nothing.items():
        if "lora_B" in name:
            value.zero_()
    cases = {
        "keeper.adapter_keys": {"tensors": lacking},
        "keeper.adapter_not_finite": {"tensors": endless},
        "keeper.adapter_changes_nothing": {"tensors": nothing},
        "keeper.adapter_too_large": {"shape": {"most_change": 1e-6}},
        "keeper.adapter_shape": {"shape": {"rank": 3}},
    }
    for code, changes in cases.items():
        assert room.bring(room.blob(1, **changes)) == code
        with pytest.raises(LookupError):
            room.ask("acme", "notes")
    assert room.bring(room.blob(1)) is True


def test_it_comes_in_pieces_and_in_order() -> None:
    room = Room()
    blob = room.blob(1)
    assert room.bring(blob, piece=1000) is True
    assert room.bring(blob) == "keeper.adapter_loaded"
    room.drop()
    number = room.number()
    first = LoadAdapter(number, "acme", "notes", len(blob), 0, blob[:1000])
    wrong = {
        "a gap": LoadAdapter(number, "acme", "notes", len(blob), 1001, blob[1001:2000]),
        "another id": LoadAdapter(number + 1, "acme", "notes", len(blob), 1000, blob[1000:2000]),
        "another name": LoadAdapter(number, "acme", "noted", len(blob), 1000, blob[1000:2000]),
        "too much": LoadAdapter(number, "acme", "notes", len(blob), 1000, blob[1000:] + b"x"),
    }
    for why, frame in wrong.items():
        assert room.session.receive(first) == []
        (answer,) = room.session.receive(frame)
        assert isinstance(answer, Refused), why
        assert answer.code == "keeper.adapter_piece", why
        (answer,) = room.session.receive(frame)  # nothing of the first is left
        assert isinstance(answer, Refused)
    assert room.session.receive(first) == []
    assert room.bring(blob) is True  # a new beginning drops the old one


def test_together_they_have_a_bound_and_one_in_use_stays() -> None:
    room = Room()
    size = len(room.blob(1))
    room = Room(2 * size + 10)
    for name in ("one", "two"):
        assert room.bring(room.blob(1, name=name), name=name) is True
    third = room.blob(3, name="three")
    assert room.bring(third, name="three") == "keeper.adapters_full"
    room.ask("acme", "one")
    assert room.drop(name="one") == "keeper.adapter_in_use"
    assert room.drop(name="two") is False
    assert room.drop(name="never-there") is False
    assert room.bring(third, name="three") is True
    room.finish()
    assert room.drop(name="one") is False
    assert room.says("acme", "three") == merged(3)


def test_a_keeper_without_adapters_says_so() -> None:
    engine = engine_of(MODEL)
    session = Session(
        engine,
        Disclosure({"*": "text"}),
        Coordinates(bytearray(FILE_BYTES), ScoreCaps()),
        meter(PLENTY, PLENTY),
        lambda: 10**9,
        lambda: None,
        Terms({}, 600),
    )
    for frame in (
        Generate(1, "acme", PROMPT, 4, adapter="notes"),
        LoadAdapter(2, "acme", "notes", 1, 0, b"x"),
        UnloadAdapter(3, "acme", "notes"),
    ):
        (answer,) = session.receive(frame)
        assert isinstance(answer, Refused)
        assert answer.code == "keeper.adapters_off"
