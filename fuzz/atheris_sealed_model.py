"""Coverage-guided fuzzing of the parsers behind the signature.

Run ``python fuzz/atheris_sealed_model.py``. Needs ``atheris``, which is no dependency of ours. The
first byte of an input chooses the parser; a finding is anything raised that is not a
StrongroomError. Options go to libFuzzer, for example
``-max_total_time=600 -rss_limit_mb=512 fuzz/corpus``.
"""

from __future__ import annotations

import contextlib
import os
import sys

import atheris

with atheris.instrument_imports():
    from strongroom.artifact import canonical, index, manifest, rewrap, signing
    from strongroom.artifact.safetensors_header import read_header
    from strongroom.errors import StrongroomError


def header(raw: bytes) -> None:
    """A safetensors file that somebody wants sealed."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, raw)
        read_header(fd, "x.safetensors")
    finally:
        os.close(fd)


PARSERS = (
    manifest.parse,
    index.decode,
    header,
    lambda raw: canonical.decode(raw, signing.Signatures, "signatures.json"),
    lambda raw: canonical.decode(raw, rewrap.Recipients, "recipients.json"),
)


def one_input(raw: bytes) -> None:
    """Give the input to the parser that its first byte chooses."""
    if raw:
        with contextlib.suppress(StrongroomError):
            PARSERS[raw[0] % len(PARSERS)](raw[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
