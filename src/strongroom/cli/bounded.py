"""Files of others that are read into memory: not more of them than may be."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from strongroom.errors import ConfigurationRefused

MOST_BYTES: Final = 16 * 1024 * 1024
"""As long as a bundle of evidence may be; whatever is put into one is shorter."""


def content(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        ConfigurationRefused: ``cli.file_unreadable``, ``cli.file_too_large``.
    """
    try:
        with path.open("rb") as file:
            found = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationRefused(
            "cli.file_unreadable",
            f"{path} cannot be read: {error.strerror}.",
            action="Check the path, and that you may read it.",
        ) from None
    if len(found) > MOST_BYTES:
        raise ConfigurationRefused(
            "cli.file_too_large",
            f"{path} has more than {MOST_BYTES} bytes.",
            action="Give the evidence, certificate or policy itself.",
        )
    return found
