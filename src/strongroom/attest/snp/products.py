"""The products: how a report names them, how each lays out its TCB, and its pinned root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Product = Literal["Milan", "Genoa", "Turin"]
TCB_OID = "1.3.6.1.4.1.3704.1.3"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which part of the TCB stands in which of its eight bytes; a certificate names all eight.

    ``oids`` are the last arcs under ``1.3.6.1.4.1.3704.1.3``, byte by byte; ``hwid`` is how many
    bytes of the chip's id are used.
    """

    names: Mapping[str, int]
    oids: tuple[int, ...]
    hwid: int


# Bytes: boot loader, TEE, four reserved (spl_4 to spl_7), SNP firmware, microcode.
_ZEN3_AND_4 = Layout(
    names={"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7},
    oids=(1, 2, 4, 5, 6, 7, 3, 8),
    hwid=64,
)
# Bytes: FMC, boot loader, TEE, SNP firmware, three reserved (spl_5 to spl_7), microcode.
_ZEN5 = Layout(
    names={"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7},
    oids=(9, 1, 2, 3, 5, 6, 7, 8),
    hwid=8,
)

LAYOUTS: dict[str, Layout] = {"Milan": _ZEN3_AND_4, "Genoa": _ZEN3_AND_4, "Turin": _ZEN5}

# SHA-256 of the DER form of each product's self-signed ARK.
ROOTS: dict[str, str] = {
    "Milan": "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
    "Genoa": "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
    "Turin": "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
}

# CPUID family and the range of models; Bergamo and Siena carry Genoa's certificates.
_MODELS: tuple[tuple[int, range, str], ...] = (
    (0x19, range(0x00, 0x10), "Milan"),
    (0x19, range(0x10, 0x20), "Genoa"),
    (0x19, range(0xA0, 0xB0), "Genoa"),
    (0x1A, range(0x00, 0x12), "Turin"),
)


def of_processor(family: int, model: int) -> str:
    """The product of a CPUID family and model; empty if it is none that is known."""
    return next((name for f, models, name in _MODELS if f == family and model in models), "")


def tcb_of(product: str, word: bytes) -> dict[str, int]:
    """The parts of a TCB version by name."""
    return {name: word[at] for name, at in LAYOUTS[product].names.items()}
