"""Who gets a mark, and what the secret must be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from strongroom.cli.main import run
from strongroom.errors import ConfigurationRefused
from strongroom.keeper.config import Watermark
from strongroom.keeper.engine.factory import build_engine
from strongroom.keeper.engine.interface import CausalEngine, GenerateJob
from strongroom.keeper.marking import NO_MARKS, read_marks
from strongroom.watermark.detect import detect
from strongroom.watermark.interface import Scheme
from strongroom.watermark.keys import expand
from strongroom.watermark.kgw import KgwMark
from strongroom.watermark.marks import Marks
from strongroom.watermark.synthid import SynthidMark
from tests.cli.tiny_llama import write_tiny_llama as write_with_tokenizer
from tests.keeper.tiny import CONFIG, CONTEXT, VOCABULARY, shapes

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def engine() -> CausalEngine:
    chance = torch.Generator().manual_seed(3)
    tensors = {name: 0.2 * torch.randn(shape, generator=chance) for name, shape in shapes().items()}
    files = {"config.json": json.dumps(CONFIG).encode()}
    made = build_engine(files, tensors, max_streams=8)
    assert isinstance(made, CausalEngine)
    made.warm_up()
    made._ends = frozenset()  # type: ignore[attr-defined]  # so that all answers are long
    return made


def secret_file(folder: Path, content: bytes = SECRET, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def test_only_who_is_named_gets_a_mark() -> None:
    marks = Marks(SECRET, {"acme": "kgw", "globex": "synthid"}, VOCABULARY)
    assert isinstance(marks.begin("acme", 1), KgwMark)
    assert isinstance(marks.begin("globex", 1), SynthidMark)
    assert marks.begin("initech", 1) is None
    assert Marks(SECRET, {"*": "kgw"}, VOCABULARY).begin("initech", 1) is not None
    assert NO_MARKS.begin("acme", 1) is None
    assert SECRET.hex() not in repr(marks)
    assert repr(SECRET)[2:-1] not in repr(marks)


def test_tenants_and_schemes_have_keys_of_their_own() -> None:
    keys = {
        expand(secret, scheme, tenant, 32)
        for secret in (SECRET, bytes(32))
        for scheme in ("kgw", "synthid")
        for tenant in ("acme", "acm", "")
    }
    assert len(keys) == 12
    with pytest.raises(ConfigurationRefused, match="secret_malformed"):
        expand(SECRET[1:], "kgw", "acme", 32)


def test_the_secret_must_be_private_and_whole(tmp_path: Path, engine: CausalEngine) -> None:
    wanted = {"acme": "kgw"}
    good = read_marks(Watermark(secret_file(tmp_path), wanted), engine)  # type: ignore[arg-type]
    assert good.begin("acme", 1) is not None
    for path in (
        secret_file(tmp_path, SECRET[1:]),
        secret_file(tmp_path, SECRET + b"x"),
        secret_file(tmp_path, mode=0o644),
        str(tmp_path / "absent"),
    ):
        with pytest.raises(ConfigurationRefused, match="watermark_secret_unusable"):
            read_marks(Watermark(path, wanted), engine)  # type: ignore[arg-type]
    off = read_marks(Watermark(str(tmp_path / "absent")), engine)  # off: nothing is read
    assert off.begin("acme", 1) is None


@pytest.mark.parametrize("scheme", ["kgw", "synthid"])
def test_answers_of_the_engine_carry_their_tenants_marks(
    engine: CausalEngine, scheme: Scheme
) -> None:
    marks = Marks(SECRET, {"acme": scheme, "globex": scheme}, VOCABULARY)
    tenants = ["acme", "globex", "initech"] * 4
    for number, tenant in enumerate(tenants):
        mark = marks.begin(tenant, 5)
        engine.admit(GenerateJob(number + 1, (4, 5), CONTEXT - 2, 1.0, 1.0, mark=mark))
    told: dict[int, list[int]] = {number + 1: [] for number in range(len(tenants))}
    while engine.active or engine.waiting:
        for result in engine.step():
            if result.token is not None:
                told[result.id].append(result.token)
    for key in ("acme", "globex"):
        for whose in ("acme", "globex", "initech"):
            texts = [told[number + 1] for number, tenant in enumerate(tenants) if tenant == whose]
            z = sum(detect(SECRET, key, scheme, text, VOCABULARY).z for text in texts) / 2
            assert (z > 4) is (key == whose), (key, whose, z)


def test_the_command_makes_a_secret_and_finds_a_mark(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home, plain = ("--home", str(tmp_path / "home")), write_with_tokenizer(tmp_path / "plain")
    assert run([*home, "init"]) == 0
    assert run([*home, "watermark", "secret"]) == 0
    assert run([*home, "watermark", "secret"]) != 0  # never over one that may be needed
    secret = (tmp_path / "home" / "keys" / "watermark.secret").read_bytes()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(plain / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    mark = Marks(secret, {"*": "kgw"}, size).begin("acme", 1)
    assert mark is not None
    chance, ids = np.random.default_rng(2), np.arange(size)
    letters = [token for token in ids if tokenizer.decode([int(token)]).isalpha()]
    text = []
    for _ in range(400):
        weights = mark.reweigh(np.ones(len(letters), np.float32), np.array(letters))
        text.append(int(chance.choice(letters, p=weights / weights.sum())))
        mark.follow(text[-1])
    marked, clean = tmp_path / "marked.txt", tmp_path / "clean.txt"
    marked.write_text(tokenizer.decode(text))
    clean.write_text("a sealed model answers questions about the quick brown fox " * 20)
    told = {}
    for path in (marked, clean):
        capfd.readouterr()
        words = [*home, "watermark", "detect", str(plain), str(path), "--scheme", "kgw"]
        assert run([*words, "--org", "acme", "--org", "globex", "--json"]) == 0
        told[path.stem] = json.loads(capfd.readouterr().out)
    assert told["marked"]["organisation"] == "acme"
    assert told["marked"]["p"] < 1e-3 < told["clean"]["p"]
    assert told["marked"]["tried"] == 2
    assert run([*home, "watermark", "detect", str(plain), str(marked)]) == 5  # nobody named
