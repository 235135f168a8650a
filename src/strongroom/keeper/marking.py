"""The marks that the configuration asks for, ready before the walls go up."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from strongroom.errors import ConfigurationRefused
from strongroom.keeper.config import Watermark
from strongroom.keeper.engine.interface import CausalEngine, ClassifierEngine
from strongroom.watermark.keys import SECRET_BYTES
from strongroom.watermark.marks import Marks

NO_MARKS = Marks(b"", {}, 0)


def read_marks(watermark: Watermark, engine: CausalEngine | ClassifierEngine) -> Marks:
    """Marks by tenant; none for a classifier, or where no tenant's answers are to carry one.

    Raises:
        ConfigurationRefused: ``keeper.watermark_secret_unusable``.
    """
    if not watermark.tenants or not isinstance(engine, CausalEngine):
        return NO_MARKS
    return Marks(read_secret(watermark), watermark.tenants, engine.vocab_size)


def read_secret(watermark: Watermark) -> bytes:
    """The secret that all marks follow from.

    Raises:
        ConfigurationRefused: ``keeper.watermark_secret_unusable``.
    """
    try:
        with Path(watermark.secret).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(SECRET_BYTES + 1)
    except OSError:
        mode, secret = 0, b""
    if mode & 0o077 or len(secret) != SECRET_BYTES:
        raise ConfigurationRefused(
            "keeper.watermark_secret_unusable",
            f"The watermark secret is not a file of {SECRET_BYTES} bytes that its owner alone "
            "can read.",
            action="Make one with `strongroom watermark secret`.",
        )
    return secret
