"""The schemas of structured output that a home has registered: one file of JSON each.

A schema is compiled when it is added, so that what could not be served is refused then, and again
at each start: what is served always fits the text that is registered.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from strongroom.errors import ConfigurationRefused

if TYPE_CHECKING:
    from strongroom.keeper.config import SchemaFile
    from strongroom.schemas.compiling import Compiled

MOST: Final = 64
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_SUFFIX: Final = ".json"


class Schemas:
    """The folder ``schemas`` of a home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Those that are registered, sorted."""
        if not self._folder.exists():
            return []
        return sorted(path.stem for path in self._folder.glob(f"*{_SUFFIX}"))

    def compiled(self, name: str) -> Compiled:
        """A registered schema, compiled.

        Raises:
            ConfigurationRefused: ``cli.no_schema``, or what is wrong with it.
        """
        from strongroom.schemas.compiling import compile_schema

        return compile_schema(self._path(name, there=True).read_bytes())

    def add(self, name: str, raw: bytes) -> Compiled:
        """Compile the schema in ``raw``; nothing is written yet: see ``write``.

        Raises:
            ConfigurationRefused: ``cli.bad_schema_name``, ``cli.schema_exists``,
                ``cli.too_many_schemas``, ``schemas.*``.
        """
        from strongroom.schemas.compiling import compile_schema

        self._path(name, there=False)
        if len(self.names()) >= MOST:
            raise ConfigurationRefused(
                "cli.too_many_schemas",
                f"There are {MOST} schemas, and there cannot be more.",
                action="Remove one that is no longer used.",
            )
        return compile_schema(raw)

    def write(self, name: str, compiled: Compiled) -> None:
        """Keep what ``add`` has compiled, its members in their order."""
        from strongroom.keys.private_file import write_private

        self._folder.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps(compiled.schema, indent=1, ensure_ascii=False)
        write_private(self._path(name, there=False), text.encode(), replace=False)

    def remove(self, name: str) -> None:
        """Forget a schema; ``cli.no_schema``."""
        self._path(name, there=True).unlink()

    def lay_out(self, run: Path) -> tuple[dict[str, str], tuple[SchemaFile, ...]]:
        """Compile all into files in ``run``; names and digests, and what a keeper is told of them.

        A file is named after its content, so that two models of one home can share it.
        """
        from strongroom.boundary.automaton import encode
        from strongroom.keeper.config import SchemaFile
        from strongroom.keys.private_file import write_private

        digests, files = {}, []
        for name in self.names():
            found = self.compiled(name)
            raw = encode(found.automaton)
            sha256 = hashlib.sha256(raw).hexdigest()
            path = run / f"schema-{sha256}"
            write_private(path, raw, replace=True)
            digests[name] = found.digest
            files.append(SchemaFile(name, str(path), sha256))
        return digests, tuple(files)

    def _path(self, name: str, *, there: bool) -> Path:
        if NAME.fullmatch(name) is None:
            raise ConfigurationRefused(
                "cli.bad_schema_name",
                "A schema's name has 1 to 64 letters, digits, _ and -, and no sign first.",
                action="Choose another name.",
            )
        path = self._folder / f"{name}{_SUFFIX}"
        if there and not path.exists():
            raise ConfigurationRefused(
                "cli.no_schema",
                f"There is no schema named {name}.",
                action="List those there are with `strongroom schema list`.",
            )
        if not there and path.exists():
            raise ConfigurationRefused(
                "cli.schema_exists",
                f"There is a schema named {name} already.",
                action="Remove that one first, or choose another name.",
            )
        return path
