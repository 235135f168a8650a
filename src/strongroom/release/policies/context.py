"""Verified facts as the Cedar values that the schema describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from strongroom.attest.interface import Claim, Facts
from strongroom.release.policies.document import Image

ACCELERATORS = frozenset({"nvidia"})
"""Kinds of evidence that speak of accelerators, not of the guest."""


def of_guest(facts: Facts, images: Sequence[Image]) -> dict[str, Any]:
    """``Evidence`` of the schema."""
    return {
        "kind": facts.kind,
        "product": facts.product,
        "assurance": facts.assurance,
        "debug": facts.debug,
        "chip": facts.chip,
        "images": [image.name for image in images if matches(facts, image)],
        "measurements": _pairs(facts.measurements),
        "tcb": _pairs(facts.tcb),
        "claims": _pairs(facts.claims),
    }


def of_accelerators(facts: Sequence[Facts]) -> dict[str, Any]:
    """``Accelerators`` of the schema; one piece of evidence may speak of several."""
    claims = [set(_pairs(fact.claims)) for fact in facts]
    return {
        "count": sum(_gpus(fact) for fact in facts),
        "products": sorted({fact.product for fact in facts}),
        "devices": sorted({device for fact in facts for device in _devices(fact)}),
        "hardware": bool(facts) and all(fact.assurance == "HARDWARE" for fact in facts),
        "debug": any(fact.debug for fact in facts),
        "claims": sorted(set.intersection(*claims)) if claims else [],
    }


def _gpus(facts: Facts) -> int:
    count = facts.claims.get("gpus")
    return count if isinstance(count, int) else 0


def _devices(facts: Facts) -> tuple[str, ...]:
    devices = facts.claims.get("devices")
    return devices if isinstance(devices, tuple) else ()


def matches(facts: Facts, image: Image) -> bool:
    """Whether evidence shows every measurement of an image of its kind."""
    shown = facts.measurements
    return facts.kind == image.kind and all(
        shown.get(name) == value for name, value in image.measurements.items()
    )


def _pairs(values: Mapping[str, Claim]) -> list[str]:
    return sorted(text for name, value in values.items() for text in _texts(name, value))


def _texts(name: str, value: Claim) -> list[str]:
    if isinstance(value, tuple):
        return [f"{name}={item}" for item in value]
    if isinstance(value, bool):
        return [f"{name}={'true' if value else 'false'}"]
    return [f"{name}={value}"]
