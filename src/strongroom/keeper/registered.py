"""The schemas that the configuration names, ready to hold answers to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from strongroom.boundary import automaton
from strongroom.errors import ConfigurationRefused
from strongroom.keeper.config import SchemaFile
from strongroom.keeper.engine.constraint import Constraint, Vocabulary
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine


def read_constraints(
    schemas: Sequence[SchemaFile],
    engine: CausalEngine | ClassifierEngine,
    files: Mapping[str, bytes],
) -> dict[str, Constraint]:
    """Each schema's constraint by its name; none for a classifier.

    The configuration states the digest of each file, and key release was told of it: nobody can put
    another automaton in its place.

    Raises:
        ConfigurationRefused: ``keeper.schema_altered`` or ``keeper.schema_unfit``.
        BoundaryRefused: ``boundary.bad_automaton``.
    """
    if not schemas or not isinstance(engine, CausalEngine):
        return {}
    vocabulary = Vocabulary(files.get("tokenizer.json", b""), engine.vocab_size)
    ends = engine.eos_token_ids
    automata = {each.name: automaton.decode(_read(each)) for each in schemas}
    return {name: Constraint(each, vocabulary, ends) for name, each in automata.items()}


def _read(schema: SchemaFile) -> bytes:
    try:
        with Path(schema.path).open("rb") as file:
            raw = file.read(2 * automaton.MAX_AUTOMATON_BYTES)
    except OSError:
        raw = b""
    if hashlib.sha256(raw).hexdigest() != schema.sha256:
        raise ConfigurationRefused(
            "keeper.schema_altered",
            f"The compiled schema {schema.name} is not the one that the configuration states.",
            action="Start the model again with `strongroom serve`, which compiles schemas.",
        )
    return raw
