"""All attacks there are, found in a list and not by looking around: nothing is loaded by name.

Modules are imported when their family is asked for, so that the list costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from strongroom.exposure.interface import Attack
from strongroom.exposure.reasons import refuse

_CLASSIFIER = (
    ("vision.loss_threshold", "LossThreshold"),
    ("vision.lira", "Lira"),
    ("vision.rmia", "Rmia"),
    ("vision.label_neighbours", "LabelNeighbours"),
    ("vision.gradient_membership", "GradientMembership"),
    ("vision.inversion", "Inversion"),
    ("vision.cloning", "Cloning"),
    ("vision.hidden_size", "HiddenSize"),
    ("vision.rays", "Rays"),
    ("vision.square", "Square"),
    ("vision.transfer", "Transfer"),
    ("vision.pgd", "Pgd"),
    ("vision.apgd", "Apgd"),
    ("vision.backdoor_screen", "BackdoorScreen"),
    ("vision.bit_flip", "BitFlip"),
    ("system.planted_backdoors", "PlantedBackdoors"),
)
_LANGUAGE = (
    ("language.text_membership", "TextOnlyMembership"),
    ("language.loss", "TextLoss"),
    ("language.zlib_ratio", "ZlibRatio"),
    ("language.min_k", "MinK"),
    ("language.min_k", "MinKPlusPlus"),
    ("language.base_ratio", "BaseRatio"),
    ("language.verbatim", "Verbatim"),
    ("language.canary_exposure", "CanaryExposure"),
    ("language.discoverable", "Discoverable"),
    ("language.language_cloning", "LanguageCloning"),
    ("language.embedded_words", "EmbeddedWords"),
    ("language.final_layer", "FinalLayer"),
    ("language.logit_bias", "LogitBias"),
    ("language.logit_bias", "LogitBiasRankings"),
    ("language.output_signature", "OutputSignature"),
    ("language.merged_adapters", "MergedAdapters"),
    ("language.gradient_oracle", "GradientOracle"),
    ("language.random_suffix", "RandomSuffix"),
    ("language.suffix_search", "SuffixSearch"),
)
_SYSTEM = (
    ("system.sealed_edit", "SealedEdit"),
    ("system.memory_flip", "MemoryFlip"),
    ("system.sponge", "Sponge"),
    ("system.many_keys", "ManyKeys"),
    ("system.exfiltration", "Exfiltration"),
    ("system.tenant_timing", "ActivityTiming"),
)
_LANGUAGE_SYSTEM = (
    ("system.tenant_timing", "PrefixTiming"),
    ("system.poisoned_adapter", "PoisonedAdapter"),
)
_MODULES = {
    "classifier": (*_CLASSIFIER, *_SYSTEM),
    "causal-lm": (*_LANGUAGE, *_SYSTEM, *_LANGUAGE_SYSTEM),
}


def attacks_on(kind: str) -> tuple[Attack, ...]:
    """An instance of every attack on this kind of model, in the order in which they are shown."""
    return tuple(
        getattr(import_module(f"strongroom.exposure.attacks.{module}"), name)()
        for module, name in _MODULES[kind]
    )


def chosen(kind: str, names: Sequence[str]) -> tuple[Attack, ...]:
    """Those whose name or family begins with one of ``names``; all where none is given.

    Raises:
        ExposureRefused: ``exposure.unknown_attack``.
    """
    every = attacks_on(kind)
    for name in names:
        if not any(_meant(attack, name) for attack in every):
            known = ", ".join(attack.name for attack in every)
            raise refuse("exposure.unknown_attack", name=name, known=known)
    if not names:
        return every
    return tuple(a for a in every if any(_meant(a, name) for name in names))


def _meant(attack: Attack, name: str) -> bool:
    return attack.name.startswith(name) or attack.family.value.startswith(name)
