"""A signal in one sentence: what was counted, and what else it may be."""

from __future__ import annotations

from strongroom.gateway.detection.interface import Kind


def explain(kind: Kind, score: float, threshold: float, subjects: int, count: int) -> str:
    """The sentence. ``count``: keys seen of one organisation, or prompts of a shared template."""
    if kind in ("spread", "spread_grid"):
        who = f"{subjects} organisations, {count} prompts of one template"
    else:
        who = "1 key" if count == 1 else f"{count} keys"
    limit = f"(limit {threshold:g}; {who})"
    match kind:
        case "grid":
            return (
                f"{score:.0%} of the latest prompts are new but hardly a pair of tokens in them is "
                f"{limit}: a filled-in template, an enumeration or a sweep of prefixes."
            )
        case "coverage":
            return (
                f"Of 512 tokens of new text, {score:.0%} differ {limit}: random prompts, a walk "
                "over the vocabulary, or unusually broad subjects."
            )
        case "spread":
            return (
                f"{score:.0f} organisations send little but one template {limit}: one extraction "
                "over many accounts, or a popular public template."
            )
        case "spread_grid":
            return (
                f"{score:.0%} of the prompts that organisations make of one template are new but "
                f"hardly a pair of tokens in them is {limit}: one grid over many accounts."
            )
        case "distances":
            return (
                f"Distances between inputs depart from normal by {score:.3f} {limit}: inputs made "
                "from one another, or many copies of a few."
            )
        case "outlying":
            return (
                f"Inputs lie {score:.1f} times as far from everybody's as is usual {limit}: random "
                "or foreign inputs."
            )
        case "neighbours":
            return (
                f"{score:.0%} of the inputs lie unusually near to other organisations' {limit}: "
                "one set of inputs over several accounts, or a source that both use."
            )
