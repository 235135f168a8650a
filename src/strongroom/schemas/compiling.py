"""From the text of a schema to its automaton, in bounded time and size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from strongroom.boundary.automaton import Automaton
from strongroom.schemas import subset
from strongroom.schemas.canonical import digest
from strongroom.schemas.language import spell
from strongroom.schemas.regular import Builder


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema as it was decoded, its digest, and the automaton of the texts that fit it."""

    schema: dict[str, Any]
    digest: str
    automaton: Automaton


def compile_schema(raw: bytes) -> Compiled:
    """Compile the schema in ``raw``.

    Raises:
        ConfigurationRefused: ``schemas.not_json``, ``schemas.unsupported``, ``schemas.too_large``.
    """
    schema = subset.load(raw)
    builder = Builder()
    spell(subset.read(schema), builder, builder.begin, builder.final)
    return Compiled(schema, digest(schema), builder.automaton())
