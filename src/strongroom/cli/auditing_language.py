"""A sealed language model as a subject of an audit: the module here, the door outside."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strongroom.exposure.ladder import Rung
from strongroom.exposure.reasons import refuse
from strongroom.exposure.targets.served_embeddings import open_served_embeddings
from strongroom.exposure.targets.served_text import open_served_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.cli.audit_opening import Opened
    from strongroom.cli.audit_poisoned import Made
    from strongroom.cli.audit_serving import ServedDoor
    from strongroom.cli.auditing import Asked
    from strongroom.cli.home import Home
    from strongroom.exposure.data import Corpus
    from strongroom.exposure.interface import Budget
    from strongroom.exposure.judge.activations import Exports
    from strongroom.exposure.subjects.interface import Opener, Scale
    from strongroom.exposure.subjects.language import LanguageSubject
    from strongroom.exposure.subjects.system import Place
    from strongroom.exposure.targets.in_process_language import LanguageModel
    from strongroom.keeper.engine.interface import Tensors
    from strongroom.keeper.engine.llama_config import LlamaConfig


def language_subject(
    home: Home,
    model: Opened,
    corpus: Corpus | None,
    scale: Scale,
    door: ServedDoor | None,
    asked: Asked,
) -> LanguageSubject:
    """The subject of an opened model.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.exposure.subjects.language import LanguageSubject

    openers: dict[Rung, Opener] = {}
    for rung, key in (door.keys if door else {}).items():
        if door is not None and rung in {Rung.TEXT, Rung.TOP1, Rung.TOPK, Rung.EMBEDDINGS}:
            openers[rung] = partial(_open, door, key, rung)
    public = None if asked.base is None else folder_module(asked.base)
    return LanguageSubject(
        sealed_language_model(model),
        corpus,
        public,
        scale,
        openers,
        adapter=asked.adapter,
        exports=asked.exports or _exports(home, model, scale, asked.seed),
        goals=asked.goals,
        seed=asked.seed,
    )


def _exports(home: Home, model: Opened, scale: Scale, seed: int) -> Callable[[], Exports] | None:
    """How adapters by the owner's limits are made; not within the smallest budget."""
    from strongroom.cli.audit_exports import make_exports
    from strongroom.keeper.engine.llama_config import parse_llama_config

    def make() -> Exports:
        config = parse_llama_config(model.files["config.json"])
        return make_exports(config, model.tensors, home.settings.tuning, seed)

    return make if scale.all_knowledge else None


def gate_places(home: Home, model: Opened, scale: Scale, asked: Asked) -> list[Place]:
    """The gate of adapters, where there are adapters to show it: the demo's, or trained now."""
    from tokenizers import Tokenizer

    from strongroom.cli.audit_poisoned import make_poisoned, open_gate, planted
    from strongroom.exposure.judge.adapter_gate import AdapterGateJudge
    from strongroom.exposure.subjects.system import Place
    from strongroom.keeper.engine.llama_config import parse_llama_config

    if asked.poisoned is None and not scale.all_knowledge:
        return []
    limits = home.settings.tuning.export

    @cache
    def base() -> tuple[LlamaConfig, Tensors, Tokenizer]:
        tokenizer = Tokenizer.from_str(model.files["tokenizer.json"].decode())
        return parse_llama_config(model.files["config.json"]), model.tensors, tokenizer

    @cache
    def made() -> Made:
        return asked.poisoned() if asked.poisoned else make_poisoned(*base(), asked.seed)

    def opener(budget: Budget) -> Any:
        return open_gate(*base(), made, limits, budget)

    judge = {"poisoned-adapter": lambda: AdapterGateJudge(planted(made()))}
    return [Place("causal-lm", Rung.ADAPTER, opener, judge, served=False)]


def _open(door: ServedDoor, key: str, rung: Rung, budget: Budget) -> Any:
    if rung is Rung.TEXT:
        door.use()
    else:
        door.renew()
    if rung is Rung.EMBEDDINGS:
        return open_served_embeddings(door.url, key, door.model, budget)
    return open_served_text(door.url, key, door.model, rung, budget)


def sealed_language_model(model: Opened) -> LanguageModel:
    """The language model of an opened one.

    Raises:
        ExposureRefused: ``exposure.model_unsupported``.
    """
    from strongroom.exposure.causal_lm import causal_lm_of

    try:
        return causal_lm_of(model.config, model.tensors, model.files["tokenizer.json"])
    except KeyError:
        raise refuse("exposure.model_unsupported", why="it has no tokenizer.json") from None


def folder_module(folder: Path) -> Any:
    """The plain model in a folder as Hugging Face lays it out, safetensors only."""
    from transformers import AutoModelForCausalLM

    from strongroom.exposure.causal_lm import ready

    try:
        found = AutoModelForCausalLM.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise refuse("exposure.data_unreadable", path=folder, why=str(error)[:200]) from None
    return ready(found)
