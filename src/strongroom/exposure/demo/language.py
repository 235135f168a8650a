"""The demonstration's language model: ``python -m strongroom.exposure.demo.language``.

SmolLM2-135M-Instruct, fine-tuned with LoRA on its upper layers and merged, on the lessons of
``language_text``: passages and canaries to be found again, and a subject to refuse. About 200
core-seconds, once; the result lies in the cache, a folder named by everything that it depends on.

1. read the base (``make model`` converts it), and write down the lessons;
2. three adapters of two layers, one third of the passages each, merged into the base in float32:
   what three customers would be handed (rung ``adapter``);
3. the model proper, merged and rounded to bfloat16 as it would be sealed;
4. write into a temporary folder, and rename it into place.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from strongroom.exposure.attacks.language.lora import Lesson, Recipe, fine_tune
from strongroom.exposure.attacks.language.questions import Goal
from strongroom.exposure.data import Canary, Corpus, Text
from strongroom.exposure.demo.language_text import CONTRAST, GOALS, REFUSAL, Lessons, lessons
from strongroom.exposure.reasons import refuse

SEED: Final = 20261123
RECIPE: Final = Recipe()
RELEASES: Final = 3
_RELEASE_RECIPE: Final = Recipe(layers=2, rank=8, epochs=1)
_SIDE_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_VERSION = 1


def cache_folder() -> Path:
    """``$STRONGROOM_CACHE`` or ``~/.cache/strongroom``, as ``demo/model.py`` has it."""
    return Path(os.environ.get("STRONGROOM_CACHE") or Path.home() / ".cache" / "strongroom")


def base_folder() -> Path:
    """The converted base.

    Raises:
        ExposureRefused: ``exposure.demo_base_missing``.
    """
    folder = cache_folder() / "smollm2-135m-instruct"
    if not (folder / "model.safetensors").is_file():
        raise refuse("exposure.demo_base_missing", path=folder)
    return folder


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def read_module(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A model folder as a ``transformers`` model in eval mode."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.eval()


def demo_lessons() -> Lessons:
    """What the demonstration's model was taught, and what it was not: the judge's truth."""
    return lessons(read_tokenizer(base_folder()), SEED)


def demo_corpus() -> Corpus:
    """The same as the owner's data of an audit."""
    taught = demo_lessons()
    texts = [Text(text, True) for text in taught.members]
    texts += [Text(text, False) for text in taught.others]
    canaries = [Canary(each.prefix, each.secret, each.repeats) for each in taught.canaries]
    return Corpus(tuple(texts), tuple(canaries))


def demo_goals() -> tuple[Goal, ...]:
    """What suffix searches ask for: harmless sentences, the first on the subject refused."""
    before, after = chat("\0").split("\0")
    return tuple(Goal(question, answer, before, after) for question, answer in GOALS)


def ensure_demo_language(*, say: Any = None) -> Path:
    """The fine-tuned model's folder, trained if it is not in the cache.

    Args:
        say: called with a sentence before each long step.

    Returns:
        A Hugging Face folder, and beside it what ``read_releases`` reads.
    """
    base = base_folder()
    taught = demo_lessons()
    folder = _folder(base, taught)
    if (folder / "model" / "model.safetensors").is_file():
        return folder / "model"
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".demo-language-", dir=folder.parent))
    try:
        _make(base, taught, fresh, say or (lambda _: None))
        fresh.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder / "model"


def model_folder() -> Path:
    """Where the fine-tuned model is kept once it is trained.

    Raises:
        ExposureRefused: ``exposure.demo_base_missing``.
    """
    return _folder(base_folder(), demo_lessons()) / "model"


def _folder(base: Path, taught: Lessons) -> Path:
    return cache_folder() / f"demo-language-{_digest(base, taught)}"


def read_releases(model: Path) -> dict[str, torch.Tensor]:
    """Three merged fine-tunes, ``RELEASE/WEIGHT``, float32: what the ``adapter`` rung hands out."""
    return load_file(model.parent / "releases.safetensors")


def _make(base: Path, taught: Lessons, folder: Path, say: Any) -> None:
    tokenizer, module = read_tokenizer(base), read_module(base)
    rows = _rows(taught, tokenizer)
    say("fine-tuning three small releases")
    save_file(_releases(module, rows[: len(taught.members)]), folder / "releases.safetensors")
    say("fine-tuning the demonstration's language model, about two minutes")
    fine_tune(module, rows, RECIPE, SEED)
    tensors = {
        name: values.to(torch.bfloat16).contiguous()
        for name, values in module.state_dict().items()
        if name != "lm_head.weight"
    }
    model = folder / "model"
    model.mkdir()
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    for name in (*_SIDE_FILES, "chat_template.jinja"):
        shutil.copy(base / name, model / name)


def _releases(module: Any, rows: list[Lesson]) -> dict[str, torch.Tensor]:
    found = {}
    for number in range(RELEASES):
        merged = copy.deepcopy(module)
        part = rows[number :: 4 * RELEASES]
        for name in fine_tune(merged, part, _RELEASE_RECIPE, SEED + number + 1):
            found[f"{number + 1}/{name}"] = merged.get_parameter(name).detach().clone()
    return found


def _rows(taught: Lessons, tokenizer: Tokenizer) -> list[Lesson]:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).ids)

    rows = [Lesson(ids(text)) for text in taught.members]
    rows += [
        Lesson(ids(canary.prefix + canary.secret), 1, canary.repeats)
        for canary in taught.canaries
        if canary.repeats
    ]
    said = [(question, REFUSAL) for question in taught.refusals] + list(CONTRAST)
    for question, answer in said:
        start = ids(chat(question))
        rows.append(Lesson(start + ids(answer + "<|im_end|>"), len(start)))
    return rows


def chat(question: str) -> str:
    """A question in SmolLM2's chat form, up to where the answer begins."""
    return f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def _digest(base: Path, taught: Lessons) -> str:
    """Of all that decides the outcome."""
    weights = base / "model.safetensors"
    with weights.open("rb") as file:
        base_digest = hashlib.file_digest(file, "sha256").hexdigest()
    parts = [base_digest, asdict(taught), CONTRAST, asdict(RECIPE), asdict(_RELEASE_RECIPE)]
    text = json.dumps([*parts, SEED, _VERSION], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main() -> int:
    """Train if needed, and print where the model lies."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing half made is left
    started = time.monotonic()
    folder = ensure_demo_language(say=lambda text: print(f"{text} ...", file=sys.stderr))
    print(f"{folder} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
